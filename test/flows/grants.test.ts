import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Approval, GrantDetail, GrantProposal } from '../../control/contract.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';

interface GateBody {
  id: string;
  verdict: string;
  approvalId?: string;
  reasons: { code: string }[];
}

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.close());

let count = 0;
const call = (token: string, args: Record<string, unknown>, more: Record<string, unknown> = {}) =>
  world.gate<GateBody>(
    'POST',
    '/v1/tool-calls',
    { tool: 'exec', arguments: args, callId: `c-${++count}`, sessionKey: 's', ...more },
    token,
  );
const run = (token: string, command: string, more: Record<string, unknown> = {}) => call(token, { command }, more);
const proposal = async (id: string | undefined) => (await world.api<GrantProposal>('GET', `/approvals/${id}/grant-proposal`)).body;

/** Approves a held call for longer, by the pattern of this name. */
async function approveForLonger(approvalId: string | undefined, agentId: string, name: string, grant: Record<string, unknown> = {}) {
  const pattern = (await proposal(approvalId)).patterns.find((candidate) => candidate.name === name);
  return world.api<Approval>('POST', `/approvals/${approvalId}/approve`, {
    grant: { scope: { kind: 'agent', agentId }, patternId: pattern?.id ?? 'none', expiresInMs: 3_600_000, ...grant },
  });
}

describe('a call that is approved for longer', () => {
  it('lets later ones of its pattern run without a person, counted and named; others still wait', async () => {
    const agent = await newAgent(world);
    const first = await run(agent.token, 'python3 tools/report.py --month 3');
    expect(first.status).toBe(202);
    await run(agent.token, 'python3 tools/clean.py --month 3');
    await run(agent.token, 'python3 tools/report.py --year 3');
    const offer = await proposal(first.body.approvalId);
    expect(offer).toMatchObject({ refusal: null, maxExpiresInMs: 28_800_000, maxUses: 100 });
    expect(offer.patterns.map((pattern) => [pattern.name, pattern.text])).toEqual([
      ['exact', 'python3 tools/report.py --month 3'],
      ['folder', 'python3 tools/<any>.py --month 3'],
      ['below', 'python3 tools/<any folder>/<any>.py --month 3'],
    ]);
    const folder = offer.patterns[1];
    expect(folder?.covers.map((example) => example.summary)).toEqual([
      'python3 tools/clean.py --month 3',
      'python3 tools/report.py --month 3',
    ]);
    expect(folder?.leavesOut.map((example) => example.summary)).toEqual(['python3 tools/report.py --year 3']);

    const approved = await approveForLonger(first.body.approvalId, agent.id, 'folder', { note: 'monthly reports', maxUses: 2 });
    expect(approved).toMatchObject({ status: 200, body: { status: 'approved', grantId: null } });
    const grantId = approved.body.madeGrantId;
    const second = await run(agent.token, 'python3 tools/totals.py --month 3');
    expect(second).toMatchObject({ status: 200, body: { verdict: 'allow' } });
    expect(second.body.reasons[0]?.code).toBe('APPROVED');
    expect((await run(agent.token, 'python3 tools/totals.py --month 4')).status).toBe(202);
    expect((await run(agent.token, 'python3 docs/totals.py --month 3')).status).toBe(202);
    expect((await run(agent.token, 'python3 tools/other.py --month 3')).status).toBe(200);
    // Both uses are taken.
    expect((await run(agent.token, 'python3 tools/last.py --month 3')).status).toBe(202);

    const grant = await world.api<GrantDetail>('GET', `/grants/${grantId}`);
    expect(grant.body).toMatchObject({ uses: 2, maxUses: 2, status: 'used_up', note: 'monthly reports', tool: 'exec' });
    expect(grant.body.calls.map((used) => used.summary)).toEqual([
      'exec python3 tools/other.py --month 3',
      'exec python3 tools/totals.py --month 3',
    ]);
    const used = await world.api<Approval>('GET', `/approvals/${grant.body.calls[0]?.approvalId}`);
    expect(used.body).toMatchObject({ grantId, approver: 'admin', status: 'approved', redeemedBy: grant.body.calls[0]?.callId });
    expect(await world.api('GET', '/audit/verify')).toMatchObject({ body: { ok: true } });
  });

  it('waits for a person again from the moment that the grant is revoked', async () => {
    const agent = await newAgent(world);
    const first = await run(agent.token, 'make report');
    const { madeGrantId } = (await approveForLonger(first.body.approvalId, agent.id, 'exact')).body;
    await until(
      () => world.gate('GET', `/v1/tool-calls/${first.body.id}?waitMs=0`, undefined, agent.token),
      (answer) => answer.status === 200,
    );
    expect((await run(agent.token, 'make report')).status).toBe(200);
    expect((await world.api('POST', `/grants/${madeGrantId}/revoke`, { reason: 'enough' })).body).toMatchObject({
      status: 'revoked',
      uses: 1,
    });
    expect((await run(agent.token, 'make report')).status).toBe(202);
    expect((await world.api('POST', `/grants/${madeGrantId}/revoke`, {})).status).toBe(409);
  });

  it('cannot be red, unreadable, or something that the agent could change meanwhile', async () => {
    const agent = await newAgent(world);
    for (const [command, code] of [
      ['npm publish', 'RED'],
      ['make $TARGET', 'UNREADABLE'],
      ['make > out.txt', 'UNREADABLE'],
      ["bash -c 'make report'", 'UNREADABLE'],
      ['python3 output/mine.py', 'WRITABLE'],
      ['make -C output', 'WRITABLE'],
    ] as const) {
      const held = await run(agent.token, command);
      expect([command, (await proposal(held.body.approvalId)).refusal?.code]).toEqual([command, code]);
      const tried = await approveForLonger(held.body.approvalId, agent.id, 'exact', {});
      expect([tried.status, (await world.api('GET', `/approvals/${held.body.approvalId}`)).body.status], command).toEqual([422, 'pending']);
    }
  });

  it('is held for a person all the same where a link on the disk leads to what is red', async () => {
    const workspace = realpathSync(mkdtempSync(join(tmpdir(), 'mc-grants-')));
    mkdirSync(join(workspace, 'src'));
    symlinkSync(join(workspace, '.ssh', 'id_rsa'), join(workspace, 'src', 'link.ts'));
    const agent = await newAgent(world, { workspace });
    const write = (path: string) => call(agent.token, { path, content: 'x' }, { tool: 'write' });
    const first = await write('src/a.ts');
    expect((await approveForLonger(first.body.approvalId, agent.id, 'folder')).status).toBe(200);
    expect((await write('src/b.ts')).status).toBe(200);
    const link = await write('src/link.ts');
    expect([link.status, link.body.reasons.map((reason) => reason.code)]).toEqual([202, expect.arrayContaining(['SECRETS'])]);
    expect((await world.api('GET', `/approvals/${link.body.approvalId}`)).body).toMatchObject({
      status: 'pending',
      risk: 'red',
      grantId: null,
    });
    rmSync(workspace, { recursive: true });
  });
});

describe('the deputy of somebody who is away', () => {
  it('decides by the same routes, and may not before and after', async () => {
    const [approver, viewer] = await Promise.all(
      ['approver', 'viewer'].map((role) => world.api<{ id: string; token: string }>('POST', '/operators', { name: `the ${role}`, role })),
    );
    const agent = await newAgent(world);
    const [one, two, three] = [
      await run(agent.token, 'make one'),
      await run(agent.token, 'make two'),
      await run(agent.token, 'make three'),
    ];
    const approve = (held: typeof one, body = {}) =>
      world.api('POST', `/approvals/${held.body.approvalId}/approve`, body, viewer?.body.token);
    expect((await approve(one)).status).toBe(403);
    const absence = { until: Date.now() + 60_000, deputyId: viewer?.body.id };
    const path = `/operators/${approver?.body.id}/absence`;
    expect((await world.api('POST', path, absence, viewer?.body.token)).status).toBe(403);
    expect((await world.api('POST', path, absence, approver?.body.token)).body).toMatchObject({ absence: { deputyName: 'the viewer' } });
    expect((await approve(one)).body).toMatchObject({ status: 'approved', approver: 'the viewer (for the approver)' });
    const decided = await world.api('POST', '/approvals/decide', { ids: [two.body.approvalId], verdict: 'deny' }, viewer?.body.token);
    expect(decided.body).toMatchObject({ results: [{ ok: true, approval: { status: 'denied' } }] });
    const pattern = (await proposal(three.body.approvalId)).patterns[0]?.id;
    const grant = { scope: { kind: 'agent', agentId: agent.id }, patternId: pattern, expiresInMs: 60_000 };
    expect(await approve(three, { grant })).toMatchObject({ status: 403, body: { code: 'GRANT_ROLE' } });
    expect((await world.api('DELETE', path, undefined, approver?.body.token)).body).toMatchObject({ absence: null });
    expect((await approve(three)).status).toBe(403);
  });
});
