import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifyReceipt } from '../../control/stop-receipt.ts';
import { codesOf, decide, gateOf } from '../support/calls.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';

interface Receipt {
  id: string;
  stoppedAt: number;
  reason: string;
  blockedTasks: number;
  proxies: { acknowledgedAt: number | null; lastAdmittedAt: number | null; withdrawnCalls: number }[];
  agents: { id: string; silentAfterMs: number | null; lastAdmittedAt: number | null; withdrawnCalls: number }[];
}

/** How many proxies there are in the world that is tested. */
const PROXIES = process.env.TEST_WORLD === 'topology' ? 2 : 1;

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.close());

const newCaller = async () => {
  const agent = await newAgent(world);
  return { ...agent, gate: gateOf(world, agent.token) };
};
const press = (reason: string) => world.api<Receipt>('POST', '/emergency/stop', { reason });
const resume = () => world.api('POST', '/emergency/resume', { note: 'looked into it' });
const restartAll = async () => {
  const { body } = await world.api<{ items: { id: string; status: string }[] }>('GET', '/agents?limit=500');
  for (const agent of body.items) if (agent.status === 'paused') await world.api('POST', `/agents/${agent.id}/restart`, {});
};

describe('the emergency stop', () => {
  it('stops what is held and what comes, says when each agent went silent, and outlives kill -9', async () => {
    const [waiting, working, idle] = [await newCaller(), await newCaller(), await newCaller()];
    const task = await world.api<{ id: string }>('POST', '/tasks', { title: 't', type: 'ops', assigneeIds: [working.id] });
    const held = await Promise.all(Array.from({ length: 20 }, (_, index) => waiting.gate.exec(`make part-${index}`)));
    const running = await Promise.all(Array.from({ length: 5 }, () => working.gate.exec('ls docs')));
    const polls = held.map((answer) => waiting.gate.poll(answer.body.id, 30_000));

    const receipt = (await press('it runs away')).body;
    expect(receipt).toMatchObject({ reason: 'it runs away', stoppedBy: 'admin', blockedTasks: 1 });
    expect(receipt.proxies).toHaveLength(PROXIES);
    expect(receipt.proxies.reduce((sum, proxy) => sum + proxy.withdrawnCalls, 0)).toBe(20);
    for (const proxy of receipt.proxies) expect((proxy.acknowledgedAt ?? Number.NaN) - receipt.stoppedAt).toBeLessThan(1_000);
    const admitted = receipt.proxies.flatMap(({ lastAdmittedAt }) => lastAdmittedAt ?? []);
    expect(Math.max(...admitted)).toBeLessThanOrEqual(receipt.stoppedAt + 250);
    const of = (id: string) => receipt.agents.find((agent) => agent.id === id);
    expect(of(waiting.id)).toMatchObject({ withdrawnCalls: 20, lastAdmittedAt: null });
    expect(of(working.id)).toMatchObject({ withdrawnCalls: 0, lastAdmittedAt: expect.any(Number) });
    expect(of(idle.id)).toMatchObject({ withdrawnCalls: 0, lastAdmittedAt: null });

    for (const answer of await Promise.all(polls)) expect([answer.status, codesOf(answer)[0]]).toEqual([403, 'ESTOP']);
    for (const { gate } of [waiting, working, idle]) expect(codesOf(await gate.note())).toContain('ESTOP');
    expect((await press('again')).body).toEqual(receipt);
    // What ran when it was pressed still reports, and nothing that was held can be approved.
    for (const answer of running) expect((await working.gate.end(answer.body.id)).status).toBe(200);
    expect(await decide(world, held[0]?.body.approvalId ?? '', 'approve')).toMatchObject({ status: 409 });
    expect((await world.api('GET', `/tasks/${task.body.id}`)).body).toMatchObject({ status: 'blocked' });

    const { body: proof } = await world.api<{ receipt: Receipt; publicKeyPem: string }>('GET', '/emergency/receipt');
    expect(verifyReceipt(JSON.stringify(proof), proof.publicKeyPem)).toEqual(receipt);
    expect(of(working.id)?.silentAfterMs).toBe(Math.max(0, (of(working.id)?.lastAdmittedAt ?? 0) - receipt.stoppedAt));

    await world.kill();
    await world.start();
    expect((await world.api('GET', '/emergency')).body).toMatchObject({ estop: true, stopReason: 'it runs away', receipt });
    expect(codesOf(await idle.gate.note())).toContain('ESTOP');
    expect((await idle.gate.exec('make x')).status).toBe(403);
    expect((await world.gate<{ allowed: boolean }>('POST', '/v1/runs/check', {}, idle.token)).body.allowed).toBe(false);

    const operator = await world.api<{ token: string }>('POST', '/operators', { name: 'on call', role: 'operator' });
    expect((await world.api('POST', '/emergency/resume', { note: 'x' }, operator.body.token)).status).toBe(403);
    for (const body of [{}, { note: '' }, { note: 7 }]) expect((await world.api('POST', '/emergency/resume', body)).status).toBe(400);
    expect((await resume()).body).toMatchObject({ estop: false });
    expect(existsSync(join(world.dataDir, 'stop.json'))).toBe(false);
    expect(codesOf(await idle.gate.note())).toEqual(['AGENT_PAUSED']);
    await world.api('POST', `/agents/${idle.id}/restart`, {});
    expect((await idle.gate.note()).status).toBe(200);
    await restartAll();
    const audit = await world.api<{ items: object[] }>('GET', '/audit?action=emergency.stopped');
    expect(audit.body.items).toHaveLength(1);
  });

  it('pressed by many at once is one stop with one receipt', async () => {
    const { gate } = await newCaller();
    await gate.exec('make x');
    const answers = await Promise.all(Array.from({ length: 6 }, (_, index) => press(`press ${index}`)));
    expect(new Set(answers.map((answer) => JSON.stringify(answer.body))).size).toBe(1);
    expect(answers[0]?.body.proxies).toHaveLength(PROXIES);
    for (const proxy of answers[0]?.body.proxies ?? []) expect(proxy.acknowledgedAt).toEqual(expect.any(Number));
    expect((await world.api('GET', '/emergency')).body.receipt).toEqual(answers[0]?.body);
    await resume();
    await restartAll();
  });

  it('lets nothing through that is sent after it was answered, however many are on their way', async () => {
    const { gate } = await newCaller();
    const answers: { at: number; status: number }[] = [];
    let stoppedAt = Number.POSITIVE_INFINITY;
    const sending = Promise.all(
      Array.from({ length: 12 }, async () => {
        while (Date.now() < stoppedAt + 300) {
          const at = Date.now();
          answers.push({ at, status: (await gate.exec('ls docs')).status });
        }
      }),
    );
    await until(
      () => answers.length,
      (count) => count > 30,
    );
    const receipt = (await press('now')).body;
    stoppedAt = Date.now();
    await sending;
    const after = answers.filter((answer) => answer.at >= stoppedAt);
    expect(after.length).toBeGreaterThan(0);
    expect(after.filter((answer) => answer.status === 200)).toEqual([]);
    // At least one of them has let something run: that is what was measured.
    const admitted = receipt.proxies.flatMap((proxy) => (proxy.lastAdmittedAt === null ? [] : [proxy.lastAdmittedAt]));
    expect(admitted.length).toBeGreaterThan(0);
    for (const at of admitted) expect(at - receipt.stoppedAt).toBeLessThanOrEqual(250);
    await resume();
    await restartAll();
  });

  it('that reached only its file before a crash is made good at the next start; a damaged file means stopped', async () => {
    const { gate } = await newCaller();
    const held = await gate.exec('make y');
    const file = join(world.dataDir, 'stop.json');
    for (const content of [JSON.stringify({ stopId: 'from-the-file', at: Date.now(), by: 'on call', reason: 'fire' }), '{"stopId":"tor']) {
      await world.kill();
      writeFileSync(file, content);
      await world.start();
      const state = (await world.api('GET', '/emergency')).body;
      expect(state.estop, content).toBe(true);
      expect(codesOf(await gate.note())).toContain('ESTOP');
      expect((await world.api('GET', `/approvals/${held.body.approvalId}`)).body.status).toBe('withdrawn');
      await resume();
      await restartAll();
      expect((await gate.note()).status).toBe(200);
    }
  });
});
