/** What a run has touched, and how often it failed, bears on its next call at the gate (SPEC 4.9, 4.1 loops). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codesOf, decide, gateOf, usePolicy } from '../support/calls.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.close());

const newGate = async () => gateOf(world, (await newAgent(world)).token);
type Gate = Awaited<ReturnType<typeof newGate>>;
const search = (gate: Gate, more: Record<string, unknown> = {}) => gate.call('web_search', { query: 'weather' }, more);
const readDb = (gate: Gate, more: Record<string, unknown> = {}) => gate.call('read_db', { query: 'select 1' }, more);
const writeTest = (gate: Gate, more: Record<string, unknown> = {}) =>
  gate.call('write', { path: 'output/sum.test.ts', content: 'x' }, more);

describe('a run', () => {
  it('that has taken in untrusted input and read private data sends nothing outside by itself', async () => {
    const gate = await newGate();
    expect((await search(gate)).status).toBe(200);
    expect((await search(gate)).status).toBe(200);
    expect((await readDb(gate)).status).toBe(200);
    const held = await search(gate);
    expect([held.status, codesOf(held)]).toEqual([202, ['SEQUENCE']]);
    expect((await gate.exec('ls docs')).status).toBe(200);
    // Another run of the same session has touched nothing.
    expect((await search(gate, { runId: 'another' })).status).toBe(200);
  });

  it('gets no label from a call that did not run', async () => {
    const gate = await newGate();
    const held = await gate.call('access_secrets', { name: 'x' });
    expect(held.status).toBe(202);
    await search(gate);
    expect((await search(gate)).status).toBe(200);
    await decide(world, held.body.approvalId, 'approve');
    expect((await gate.poll(held.body.id)).status).toBe(200);
    expect(codesOf(await search(gate))).toEqual(['SEQUENCE']);
  });

  it('keeps its labels over a crash, from calls that control never heard of too', async () => {
    const gate = await newGate();
    await search(gate);
    await readDb(gate);
    await writeTest(gate);
    await world.kill();
    await world.start();
    expect(codesOf(await search(gate))).toEqual(['SEQUENCE']);
    expect(codesOf(await gate.exec('npm test'))).toEqual(['SEQUENCE']);
    expect((await search(gate, { runId: 'another' })).status).toBe(200);
  });
});

describe('a session', () => {
  it('that wrote code does not start its runner by itself; a person may let it', async () => {
    const gate = await newGate();
    expect((await gate.exec('npm test')).status).toBe(200);
    expect((await writeTest(gate)).status).toBe(200);
    const held = await gate.exec('npm test', { runId: 'a later run' });
    expect([held.status, codesOf(held)]).toEqual([202, ['SEQUENCE']]);
    await decide(world, held.body.approvalId, 'approve');
    expect((await gate.poll(held.body.id)).status).toBe(200);
    expect((await gate.exec('npm test', { sessionKey: 'another session' })).status).toBe(200);
  });
});

describe('a tool that fails again and again with the same error', () => {
  const attempt = async (gate: Gate, number: number, more: Record<string, unknown> = {}) => {
    const answer = await gate.exec('npm run lint', more);
    if (answer.status !== 200) return codesOf(answer);
    await gate.end(answer.body.id, { status: 'failed', error: `cannot find the configuration (${number} ms)` });
    return 'ran';
  };

  it('is refused after as many retries as the policy allows, in this session only', async () => {
    const gate = await newGate();
    const attempts: unknown[] = [];
    for (let number = 0; number < 6; number++) attempts.push(await attempt(gate, number));
    // The first failure is no retry; three retries pass, the fourth ran and is above the limit for the next one.
    expect(attempts).toEqual(['ran', 'ran', 'ran', 'ran', 'ran', ['LOOP']]);
    expect(await attempt(gate, 6, { sessionKey: 'another' })).toBe('ran');
    expect((await gate.note()).status).toBe(200);
    // Nothing was carried out while it was refused, so a person's longer patience is what helps.
    await usePolicy(world, { loopDetection: { retryLimit: 10 } });
    expect(await attempt(gate, 7)).toBe('ran');
    await usePolicy(world, { loopDetection: { retryLimit: 3 } });
  });

  it('may be tried again after a success, and cancelling is no failure', async () => {
    const gate = await newGate();
    for (let number = 0; number < 4; number++) await attempt(gate, number);
    const { body } = await gate.exec('npm run lint');
    await gate.end(body.id);
    for (let number = 0; number < 5; number++) {
      const running = await gate.exec('npm run lint');
      expect(running.status).toBe(200);
      await gate.cancel(running.body.id);
    }
    expect(await attempt(gate, 5)).toBe('ran');
    const record = await until(
      () => world.api('GET', `/tool-calls/${body.id}`),
      (answer) => answer.body.status === 'success',
    );
    expect(record.status).toBe(200);
  });
});
