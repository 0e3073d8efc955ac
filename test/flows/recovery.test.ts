import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Db } from '../../control/db/database.ts';
import { codesOf, decide, gateOf, usePolicy } from '../support/calls.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';

/** What a crash in the one moment that matters leaves behind is made here by hand, in the rows, while the product is down. */
let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.close());

async function whileDown(change: (db: Db) => Promise<unknown>): Promise<void> {
  await world.kill();
  const { db, close } = await world.openDatabase();
  await change(db);
  await close();
  await world.start();
}
const newCaller = async (fields: Record<string, unknown> = {}) => {
  const agent = await newAgent(world, fields);
  return { ...agent, gate: gateOf(world, agent.token) };
};

describe('after a restart', () => {
  it('a call that ran is over for good, also when it is long ago and its approval still names it', async () => {
    const { gate } = await newCaller();
    const calls = await Promise.all([gate.exec('make ran'), gate.exec('make refused')]);
    const [ran, refused] = calls;
    if (!ran || !refused) throw new Error('unreachable');
    for (const call of calls) {
      await decide(world, call.body.approvalId, 'approve');
      expect((await gate.poll(call.body.id)).status).toBe(200);
    }
    await gate.end(ran.body.id);
    await until(
      () => world.api('GET', `/tool-calls/${ran.body.id}`),
      (answer) => answer.body.status === 'success',
    );
    const anHourAgo = Date.now() - 2 * 60 * 60 * 1000;
    await whileDown(async (db) => {
      await db.updateTable('tool_calls').set({ created_at: anHourAgo }).execute();
      await db.updateTable('tool_calls').set({ status: 'blocked', verdict: 'deny' }).where('id', '=', refused.body.id).execute();
    });
    expect(codesOf(await gate.poll(ran.body.id))).toEqual(['DUPLICATE']);
    expect((await gate.end(ran.body.id)).status).toBe(409);
    expect((await gate.poll(refused.body.id)).status).toBe(403);
  });

  it('a call that runs with edited arguments still does', async () => {
    const { gate } = await newCaller();
    const held = await gate.call('send_email', { to: 'everybody@example.org', body: 'b' }, { callId: 'edited' });
    await decide(world, held.body.approvalId, 'approve', { arguments: { to: 'one@example.org', body: 'b' } });
    const edited = { to: 'one@example.org', body: 'b' };
    expect((await gate.poll(held.body.id)).body.arguments).toEqual(edited);
    await world.kill();
    await world.start();
    expect((await gate.poll(held.body.id)).body.arguments).toEqual(edited);
    const again = await gate.call('send_email', { to: 'everybody@example.org', body: 'b' }, { callId: 'edited' });
    expect([again.status, again.body.arguments]).toEqual([200, edited]);
  });

  it('a call that was killed between its record and its approval can be made again', async () => {
    const { gate } = await newCaller();
    const lost = await gate.exec('make lost', { callId: 'lost' });
    await whileDown(async (db) => {
      await db.deleteFrom('held_calls').where('id', '=', lost.body.id).execute();
      await db.deleteFrom('approvals').where('id', '=', lost.body.approvalId).execute();
      await db.updateTable('tool_calls').set({ approval_id: null }).where('id', '=', lost.body.id).execute();
    });
    const again = await gate.exec('make lost', { callId: 'lost' });
    expect(again.status).toBe(202);
    await decide(world, again.body.approvalId, 'approve');
    expect((await gate.poll(again.body.id)).status).toBe(200);
    // Nobody asks for it any more, and after a while its record says so.
    await whileDown(async (db) => {
      await db
        .updateTable('tool_calls')
        .set({ held_at: Date.now() - 120_000 })
        .where('id', '=', lost.body.id)
        .execute();
    });
    const record = await until(
      () => world.api('GET', `/tool-calls/${lost.body.id}`),
      (answer) => answer.body.status !== 'needs_approval',
    );
    expect(record.body).toMatchObject({ status: 'withdrawn', error: expect.stringContaining('before it had asked') });
  });

  it('a call that took its grant and was killed before its intent runs by it, or is held anew where a cap has run out', async () => {
    await usePolicy(world, {
      riskMap: { priced_red: 'red', priced: 'green' },
      tools: { priced_red: { priceUsd: 1 }, priced: { priceUsd: 1 } },
    });
    const { id, gate } = await newCaller({ budgets: { dailyCap: 2, perRunCap: 10 } });
    const [first, second] = [await gate.call('priced_red', { n: 1 }), await gate.call('priced_red', { n: 2 })];
    for (const held of [first, second]) await decide(world, held.body.approvalId, 'approve');
    const taken = (db: Db, call: typeof first) =>
      db
        .updateTable('approvals')
        .set({ redeemed_by: call.body.id, redeemed_at: Date.now() })
        .where('id', '=', call.body.approvalId)
        .execute();
    await whileDown((db) => Promise.all([taken(db, first), taken(db, second)]));
    expect((await gate.poll(first.body.id)).status).toBe(200);
    const paid = await gate.call('priced', {});
    expect(paid.status).toBe(200);
    for (const call of [first, paid]) await gate.end(call.body.id);
    const answer = await gate.poll(second.body.id);
    expect([answer.status, codesOf(answer)]).toEqual([403, expect.arrayContaining(['BUDGET_DAILY'])]);
    // With a cap that only holds, not denies, it is asked about anew, once.
    const other = await newCaller({ budgets: { dailyCap: 10, perRunCap: 1 } });
    const third = await other.gate.call('priced_red', {});
    await decide(world, third.body.approvalId, 'approve');
    await whileDown((db) => taken(db, third));
    expect((await other.gate.call('priced', {})).status).toBe(200);
    const anew = await other.gate.poll(third.body.id);
    expect([anew.status, codesOf(anew)]).toEqual([202, expect.arrayContaining(['BUDGET_RUN'])]);
    expect(anew.body.approvalId).not.toBe(third.body.approvalId);
    await decide(world, anew.body.approvalId, 'approve');
    expect((await other.gate.poll(third.body.id)).status).toBe(200);
    expect((await world.api('GET', `/agents/${id}`)).status).toBe(200);
  });
});

describe('a request that was killed under its Idempotency-Key', () => {
  it('is said to have been interrupted, and is not done a second time', async () => {
    const named = (name: string, key: string) =>
      fetch(`${world.controlUrl}/api/agents`, {
        method: 'POST',
        headers: { authorization: 'Bearer test-admin-token-0123456789', 'content-type': 'application/json', 'idempotency-key': key },
        body: JSON.stringify({ name }),
      });
    expect((await named('twice', 'k')).status).toBe(201);
    // As a kill between the claim of the key and its answer leaves it.
    await whileDown((db) =>
      db
        .updateTable('idempotency')
        .set({ status: null, response: null, created_at: Date.now() - 11 * 60_000 })
        .execute(),
    );
    const again = await named('twice', 'k');
    expect([again.status, ((await again.json()) as { code: string }).code]).toEqual([409, 'OUTCOME_UNKNOWN']);
  });
});

describe('a row of failures', () => {
  it('goes on after a kill: the fifth try with the same error is refused', async () => {
    const agent = await newAgent(world);
    const gate = gateOf(world, agent.token);
    const fail = async () => {
      const { body } = await gate.note('try');
      await gate.end(body.id, { status: 'failed', error: `no space left after ${Math.random()} s` });
      return body.verdict;
    };
    expect([await fail(), await fail()]).toEqual(['allow', 'allow']);
    await world.kill();
    await world.start();
    expect([await fail(), await fail()]).toEqual(['allow', 'allow']);
    expect([await fail(), codesOf(await gate.note('try'))]).toEqual(['allow', ['LOOP']]);
  });
});

describe('credentials that a call carries', () => {
  it('are nowhere on the disk in clear: not in the journal, not in the database, whatever became of the call', async () => {
    const secrets = [
      'ghp_8rT2kQv5Zx0LmN7bW3cYpD9sHfJ1aGe4uVtR',
      'sk-ant-api03-Zk3vQ9xT7mL2pR8wY4bN6cJ1hF5gD0sAeUoIiZk3vQ9xT7mL2pR8wY4bN6cJ1hF5gD0sAeUoIi-xT7mL2AA',
    ];
    const { gate } = await newCaller();
    const [token, key] = secrets;
    const calls = [
      await gate.exec(`curl -H "Authorization: Bearer ${token}" https://x.example/`),
      await gate.exec(`sudo echo ${token}`),
      await gate.exec(`cat '${token}'`),
      await gate.call('web_fetch', { url: `https://u:${token}@x.example/?key=${key}` }),
      await gate.call('read', { path: `/workspace/${token}.txt` }),
      await gate.call('unknown_tool', { [String(token)]: key, nested: { deep: [`a ${key} b`] } }),
      await gate.call('send_email', { to: 'a@example.org', body: `${token}` }),
      await gate.note(`${key}`),
    ];
    for (const call of calls) {
      if (call.status === 202) await decide(world, call.body.approvalId, 'approve', { note: `use ${token}` });
      await gate.poll(call.body.id);
      await gate.end(call.body.id, { output: `it printed ${token}`, error: `${key}` });
    }
    await gate.cancel((await gate.exec(`make ${token}`)).body.id);
    await world.stop();
    const found = secrets.flatMap((secret) =>
      spawnSync('grep', ['-rlaF', secret, ...world.places], { encoding: 'utf8' })
        .stdout.split('\n')
        .filter(Boolean),
    );
    await world.start();
    expect(found).toEqual([]);
  });
});
