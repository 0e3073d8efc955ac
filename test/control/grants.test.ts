import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Actor } from '../../control/audit.ts';
import type { Grant, GrantRequest, HoldState, Role } from '../../control/contract.ts';
import type { JsonObject } from '../../policies/index.ts';
import { heldCall } from '../support/held-calls.ts';
import { ADMIN, type Services, startServices, usePolicy } from '../support/services.ts';

const HOUR = 3_600_000;
let services: Services;
let agent: { id: string; autonomy: 'specialist' | 'intern' };
beforeAll(async () => {
  services = await startServices();
});
beforeEach(async () => {
  agent = await newAgent();
});
afterAll(() => services.close());

let agents = 0;
async function newAgent(autonomy: 'specialist' | 'intern' = 'specialist') {
  const { id } = await services.agents.create(ADMIN, { name: `agent-${++agents}`, autonomyLevel: autonomy, workspace: '/workspace' });
  return { id, autonomy };
}
const policy = (approvals: JsonObject) => usePolicy(services, { approvals });

const held = (args: JsonObject | string, more: Parameters<typeof heldCall>[4] & { by?: typeof agent; tool?: string } = {}) =>
  heldCall(
    services.policies.current().policy,
    more.by ?? agent,
    more.tool ?? 'exec',
    typeof args === 'string' ? { command: args } : args,
    more,
  );
const open = (args: JsonObject | string, more: Parameters<typeof held>[1] = {}): Promise<HoldState> =>
  services.holds.open(held(args, more));

let people = 0;
async function person(role: Role): Promise<Actor & { id: string }> {
  const name = `${role}-${++people}`;
  const { id } = await services.operators.create(ADMIN, { name, role });
  services.time.now += 1;
  return { type: 'human', id, name };
}

/** Approves a call for longer, by default exactly it, for its agent, for an hour. */
async function grantFor(state: HoldState, change: Partial<GrantRequest> & { name?: string; actor?: Actor } = {}): Promise<Grant> {
  const { name = 'exact', actor = ADMIN, ...request } = change;
  const proposal = await services.approvals.proposeGrant(state.approvalId);
  const patternId = proposal.patterns.find((pattern) => pattern.name === name)?.id ?? 'none';
  const approved = await services.approvals.decide(actor, state.approvalId, 'approved', {
    grant: { scope: { kind: 'agent', agentId: agent.id }, patternId, expiresInMs: HOUR, ...request },
  });
  const grant = await services.grants.find(approved.madeGrantId ?? '');
  if (!grant) throw new Error('no grant was made');
  return grant;
}

describe('a standing grant', () => {
  it('decides calls that it covers as the person who gave it, and says so', async () => {
    const grant = await grantFor(await open('make a'), { note: 'nightly' });
    const state = await open('make a');
    expect(state).toMatchObject({ status: 'approved', approver: 'admin', approverType: 'human', releases: ['SHELL_NOT_ALLOWLISTED'] });
    expect(await services.approvals.get(state.approvalId)).toMatchObject({
      grantId: grant.id,
      decision: `Standing grant ${grant.number}: nightly`,
      approvedBy: [{ name: 'admin' }],
    });
    expect(await services.grants.get(grant.id)).toMatchObject({ uses: 1, calls: [{ approvalId: state.approvalId }] });
    // The feed says that it was approved, not that somebody has to.
    const told = await services.db.selectFrom('activities').select('type').where('agent_id', '=', agent.id).orderBy('id').execute();
    expect(told.map(({ type }) => type).filter((type) => /^(approval|grant)/.test(type))).toEqual([
      'approval_requested',
      'approval_decided',
      'grant_made',
      'grant_used',
    ]);
    expect((await open('make b')).status).toBe('pending');
  });

  it('decides what waits already as well, where that is asked for', async () => {
    const other = await newAgent();
    const states = [
      await open('make a'),
      await open('make a'),
      await open('make b'),
      await open('make a', { by: other }),
      await open('make a'),
    ];
    const [first] = states;
    if (!first) throw new Error('nothing waits');
    const statuses = async () => Promise.all(states.map(async ({ approvalId }) => (await services.approvals.get(approvalId)).status));
    const asked = await open('make c');
    await grantFor(asked);
    expect(await statuses()).toEqual(Array(5).fill('pending'));
    const grant = await grantFor(first, { includeWaiting: true, maxUses: 1 });
    expect(await statuses()).toEqual(['approved', 'approved', 'pending', 'pending', 'pending']);
    expect(await services.grants.get(grant.id)).toMatchObject({
      uses: 1,
      status: 'used_up',
      calls: [{ approvalId: states[1]?.approvalId }],
    });
  });

  it('ends with its time, its count and its revocation, each at once', async () => {
    const timed = await grantFor(await open('make a'));
    services.time.now += HOUR - 1;
    expect((await open('make a')).status).toBe('approved');
    services.time.now += 1;
    expect((await open('make a')).status).toBe('pending');
    expect((await services.grants.find(timed.id))?.status).toBe('expired');

    const counted = await grantFor(await open('make b'), { maxUses: 2 });
    expect([(await open('make b')).status, (await open('make b')).status, (await open('make b')).status]).toEqual([
      'approved',
      'approved',
      'pending',
    ]);
    expect((await services.grants.find(counted.id))?.status).toBe('used_up');

    const revoked = await grantFor(await open('make c'));
    await services.grants.revoke(ADMIN, revoked.id, null);
    expect((await open('make c')).status).toBe('pending');
    for (const status of ['expired', 'used_up', 'revoked', 'active'] as const)
      expect(
        (await services.grants.list({ status, agentId: agent.id, limit: 10 })).items.map((item) => item.status),
        status,
      ).toEqual(status === 'active' ? [] : [status]);
    expect((await services.grants.list({ status: 'all', agentId: agent.id, limit: 2 })).items).toHaveLength(2);
  });

  it('is used no more often than it may be by calls that race', async () => {
    const grant = await grantFor(await open('make a'), { maxUses: 10 });
    const states = await Promise.all(Array.from({ length: 40 }, () => open('make a')));
    expect(states.filter((state) => state.status === 'approved')).toHaveLength(10);
    expect(await services.grants.find(grant.id)).toMatchObject({ uses: 10, status: 'used_up' });
  });

  it('binds no call that asks after its revocation was answered, however they race', async () => {
    for (let round = 0; round < 10; round++) {
      const command = `make race-${round}`;
      const grant = await grantFor(await open(command));
      const before = Array.from({ length: 3 }, () => open(command));
      await services.grants.revoke(ADMIN, grant.id, null);
      const after = await Promise.all(Array.from({ length: 3 }, () => open(command)));
      expect(after.map((state) => state.status)).toEqual(['pending', 'pending', 'pending']);
      const { uses } = await services.grants.get(grant.id);
      expect((await Promise.all(before)).filter((state) => state.status === 'approved')).toHaveLength(uses);
    }
  });

  it('is for its agent, for whoever works on its task, or for every agent of its level', async () => {
    const other = await newAgent();
    const intern = await newAgent('intern');
    await grantFor(await open('make mine'));
    expect((await open('make mine', { by: other })).status).toBe('pending');

    const task = await services.tasks.create(ADMIN, { title: 't', type: 'ops', assigneeIds: [agent.id] });
    await grantFor(await open('make task', { taskId: task.id }), { scope: { kind: 'task', taskId: task.id } });
    expect((await open('make task', { taskId: task.id, by: other })).status).toBe('approved');
    expect((await open('make task', { by: other })).status).toBe('pending');

    await grantFor(await open('make all'), { scope: { kind: 'role', autonomyLevel: 'specialist' } });
    expect((await open('make all', { by: other })).status).toBe('approved');
    expect((await open('make all', { by: intern })).status).toBe('pending');
    await services.db.updateTable('agents').set({ workspace: '/elsewhere' }).where('id', '=', other.id).execute();
    expect((await open('make all', { by: other })).status).toBe('pending');
  });

  it('of a role needs an operator; nobody reaches beyond the call that was asked about', async () => {
    const approver = await person('approver');
    const asRole = { scope: { kind: 'role', autonomyLevel: 'specialist' } as const };
    const state = await open('make a');
    await expect(grantFor(state, { ...asRole, actor: approver })).rejects.toMatchObject({ code: 'GRANT_ROLE' });
    const other = await newAgent();
    await expect(grantFor(state, { scope: { kind: 'agent', agentId: other.id } })).rejects.toMatchObject({ code: 'GRANT_SCOPE' });
    await expect(grantFor(state, { scope: { kind: 'role', autonomyLevel: 'lead' } })).rejects.toMatchObject({ code: 'GRANT_SCOPE' });
    await expect(grantFor(state, { patternId: 'exact-of-something-else' })).rejects.toMatchObject({ code: 'PROPOSAL_CHANGED' });
    await expect(grantFor(state, { expiresInMs: 9 * HOUR })).rejects.toMatchObject({ code: 'ABOVE_CEILING' });
    await expect(grantFor(state, { maxUses: 101 })).rejects.toMatchObject({ code: 'ABOVE_CEILING' });
    // What was refused has decided nothing.
    expect((await services.approvals.get(state.approvalId)).status).toBe('pending');
    await grantFor(state, { actor: approver });
  });

  it('ends with the authority of the person who gave it', async () => {
    const approver = await person('approver');
    await grantFor(await open('make a'), { actor: approver });
    expect((await open('make a')).status).toBe('approved');
    await services.operators.update(ADMIN, approver.id, { role: 'viewer' });
    expect((await open('make a')).status).toBe('pending');
  });

  it('ends where the policy has become stricter, without anybody revoking it', async () => {
    const grant = await grantFor(await open('make a'));
    await services.holds.open(held('make a'));
    for (const stricter of [{ maxGrantMs: 0 }, { maxGrantUses: 1 }, { grantableTools: ['read_file'] }, { twoPeople: ['exec'] }]) {
      await policy(stricter);
      expect([stricter, (await open('make a')).status]).toEqual([stricter, 'pending']);
    }
    await policy({ maxGrantUses: 1 });
    expect(await services.grants.find(grant.id)).toMatchObject({ status: 'used_up', maxUses: 1 });
    await policy({});
    expect((await open('make a')).status).toBe('approved');
    services.time.now += 1_000;
    await policy({ maxGrantMs: 1_000 });
    expect((await open('make a')).status).toBe('pending');
    expect((await services.grants.find(grant.id))?.status).toBe('expired');
    await policy({});
  });

  it('covers neither a cap, nor a stopped agent, nor a call that it did not release the time before', async () => {
    await grantFor(await open('make a'));
    expect((await open('make a', { estimatedCost: 5_000_000 })).status).toBe('pending');
    const state = await open('make a');
    expect(state.status).toBe('approved');
    expect((await open('make a', { insufficient: state.approvalId })).status).toBe('pending');
    await services.agents.quarantine(ADMIN, agent.id, 'test');
    expect((await open('make a')).status).toBe('pending');
  });
});

describe('requests that are alike', () => {
  it('have one key: 63 of a real day, 45 of them one interpreter, are 6 at most', async () => {
    const commands = [
      ...Array.from({ length: 45 }, (_, i) => `python3 -c 'import json; print(json.load(open("data/${i}.json"))["total"])'`),
      ...Array.from({ length: 7 }, (_, i) => `sed -n '${i * 20},${i * 20 + 20}p' src/part-${i}.ts`),
      ...Array.from({ length: 5 }, (_, i) => `git show HEAD~${i}`),
    ];
    const fetches = Array.from({ length: 3 }, (_, i) => ({ url: `https://api.example.org/items/${i}` }));
    const writes = Array.from({ length: 3 }, (_, i) => ({ path: `src/generated/item-${i}.ts`, content: `export const item = ${i};` }));
    for (const command of commands) await open(command);
    for (const args of fetches) await open(args, { tool: 'web_fetch' });
    for (const args of writes) await open(args, { tool: 'write' });
    const { items } = await services.approvals.list({ status: 'pending', agentId: agent.id, limit: 100 });
    expect(items).toHaveLength(63);
    const sizes = new Map<string, number>();
    for (const { groupKey } of items) sizes.set(groupKey, (sizes.get(groupKey) ?? 0) + 1);
    expect([...sizes].toSorted(([, a], [, b]) => b - a)).toEqual([
      ['exec: python3 -c', 45],
      ['exec: sed -n', 7],
      ['exec: git show', 5],
      ['write: write ./src/generated/*', 3],
      ['web_fetch: GET https://api.example.org:443', 3],
    ]);
  });

  it('are decided in one request, and one that cannot be does not lose the others', async () => {
    const [one, red, decided, two] = [await open('make a'), await open('npm publish'), await open('make b'), await open('make c')];
    await services.approvals.decide(ADMIN, decided.approvalId, 'denied', {});
    const ids = [one.approvalId, red.approvalId, 'no-such-approval', decided.approvalId, two.approvalId];
    const { results } = await services.approvals.decideAll(ADMIN, ids, 'approved', undefined);
    expect(results.map(({ id, ok, approval, error }) => [id, ok, approval?.status, error?.code])).toEqual([
      [one.approvalId, true, 'approved', undefined],
      [red.approvalId, false, 'pending', 'NOTE_REQUIRED'],
      ['no-such-approval', false, undefined, 'NOT_FOUND'],
      [decided.approvalId, false, 'denied', 'DECIDED'],
      [two.approvalId, true, 'approved', undefined],
    ]);
  });
});
