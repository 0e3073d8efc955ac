import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { appendAudit, verifyAudit } from '../../control/audit.ts';
import { ADMIN, type Services, startServices } from '../support/services.ts';

let services: Services;
beforeAll(async () => {
  services = await startServices();
});
afterAll(() => services.close());

const ROWS = 20;
/** A chain of its own for every test: the rows before it are taken away with their head. */
beforeEach(async () => {
  const { db } = services;
  await db.deleteFrom('audit_log').execute();
  await db
    .updateTable('audit_head')
    .set({ seq: 0, hash: '0'.repeat(64) })
    .execute();
  for (let from = 1; from <= ROWS; from += 5) await append(5, from);
});

function append(count: number, from: number): Promise<void> {
  return services.db.transaction().execute((tx) =>
    appendAudit(
      tx,
      Array.from({ length: count }, (_, index) => ({
        at: from + index,
        actor: ADMIN,
        action: 'test.happened',
        subjectType: 'thing',
        subjectId: `thing-${from + index}`,
        details: { number: from + index, text: 'a\u0000b\ud800', nested: { z: 1, a: [0.1, 1e21, -0, null] } },
      })),
    ),
  );
}
const verify = () => verifyAudit(services.db);
const run = (statement: string) => sql.raw(statement).execute(services.db);

describe('an audit chain', () => {
  it('that nobody touched verifies, with odd text and numbers in it', async () => {
    expect(await verify()).toMatchObject({ ok: true, rows: ROWS, head: expect.stringMatching(/^[0-9a-f]{64}$/) });
  });

  it('verifies while rows are being added', async () => {
    let done = false;
    const adding = (async () => {
      for (let from = ROWS + 1; from < ROWS + 200; from += 5) await append(5, from);
      done = true;
    })();
    while (!done) expect(await verify()).toMatchObject({ ok: true });
    await adding;
  });

  for (const [what, statement, seq] of [
    ['an edited time', `update audit_log set at = 999 where seq = 7`, 7],
    ['an edited actor', `update audit_log set actor_id = 'somebody' where seq = 7`, 7],
    ['an actor made a person', `update audit_log set actor_type = 'agent' where seq = 7`, 7],
    ['an edited action', `update audit_log set action = 'nothing.happened' where seq = 7`, 7],
    ['an edited subject', `update audit_log set subject_id = null where seq = 7`, 7],
    ['edited details', `update audit_log set details = '{"number": 8}' where seq = 7`, 7],
    ['details edited with their hash', `update audit_log set details = '{}', details_hash = '${'a'.repeat(64)}' where seq = 7`, 7],
    ['an edited hash', `update audit_log set hash = '${'a'.repeat(64)}' where seq = 7`, 7],
    ['an edited link', `update audit_log set prev_hash = '${'a'.repeat(64)}' where seq = 7`, 7],
    ['a row taken out', `delete from audit_log where seq = 7`, 7],
    ['the first row taken out', `delete from audit_log where seq = 1`, 1],
    ['the last row taken out', `delete from audit_log where seq = ${ROWS}`, ROWS],
    ['all rows taken out', `delete from audit_log`, 1],
    ['the last rows cut off with the head set back', `delete from audit_log where seq > 15; update audit_head set seq = 15`, 15],
    [
      'a row put in behind the end',
      `insert into audit_log select ${ROWS + 1}, at, actor_type, actor_id, action, subject_type, subject_id, details, details_hash, prev_hash, hash from audit_log where seq = 3`,
      ROWS + 1,
    ],
    ['the head replaced', `update audit_head set hash = '${'a'.repeat(64)}'`, ROWS],
  ] as const) {
    it(`with ${what} says at which row`, async () => {
      for (const part of statement.split('; ')) await run(part);
      expect(await verify()).toMatchObject({ ok: false, seq, why: expect.any(String) });
    });
  }

  it('with two rows exchanged says at which of them it begins', async () => {
    await run(`update audit_log set seq = -7 where seq = 7`);
    await run(`update audit_log set seq = 7 where seq = 8`);
    await run(`update audit_log set seq = 8 where seq = -7`);
    expect(await verify()).toMatchObject({ ok: false, seq: 7 });
  });

  it('with a row put in between, the others moved up, says where', async () => {
    await run(`update audit_log set seq = seq + 1000 where seq > 7`);
    await run(`update audit_log set seq = seq - 999 where seq > 1000`);
    await run(
      `insert into audit_log select 8, at, actor_type, actor_id, action, subject_type, subject_id, details, details_hash, prev_hash, hash from audit_log where seq = 7`,
    );
    await run(`update audit_head set seq = seq + 1`);
    expect(await verify()).toMatchObject({ ok: false, seq: 8 });
  });
});
