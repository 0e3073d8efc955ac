/** Processes of two versions beside each other: what is taken, what is refused by name, and that nothing is lost by a refusal. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type JournalEntry,
  JSON_LINES,
  LINE_VERSION,
  LINE_VERSION_HEADER,
  MISDIRECTED,
  type Misdirected,
  OTHER_VERSION,
} from '../../control/contract.ts';
import { openDatabase } from '../../control/db/database.ts';
import { createLineProof } from '../../proxy/line-proof.ts';
import { blankDatabase } from '../support/blank-database.ts';
import { ADMIN, CLUSTER_SECRET, type Services, startServices } from '../support/services.ts';

/** What a proxy of line version 1 has shipped, as it is in its journal. */
const RECORDED = readFileSync(new URL('./journal-of-line-1.ndjson', import.meta.url), 'utf8');

let services: Services;
beforeAll(async () => {
  services = await startServices();
});
afterAll(() => services.close());

const proof = createLineProof(CLUSTER_SECRET);
let to = '';
async function say(path: string, text: string, version: number | null, type = 'application/json') {
  const { authorization } = proof.ask('POST', path, text, to);
  const headers = { authorization, 'content-type': type, ...(version !== null && { [LINE_VERSION_HEADER]: String(version) }) };
  const answer = await services.line.routes().request(path, { method: 'POST', headers, body: text });
  if (answer.status !== MISDIRECTED) return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  ({ id: to } = (await answer.json()) as Misdirected);
  return say(path, text, version, type);
}
const hello = (version: number | null) => say('/hello', JSON.stringify({ proxyId: 'proxy-11111111' }), version);
const ship = (lines: string, proxyId = 'proxy-11111111') => say(`/journal?proxyId=${proxyId}&depth=1`, lines, LINE_VERSION, JSON_LINES);

describe('the line', () => {
  it('is taken in its own version and the one before, which says none', async () => {
    for (const version of [LINE_VERSION, LINE_VERSION - 1, null]) expect((await hello(version)).status).toBe(200);
  });

  it('is refused in any other one by a sentence that names both', async () => {
    for (const version of [LINE_VERSION + 1, LINE_VERSION - 2]) {
      const { status, body } = await hello(version);
      expect({ status, code: body.code }).toEqual({ status: OTHER_VERSION, code: 'LINE_VERSION' });
      expect(body.detail).toContain(`speaks version ${LINE_VERSION} of the line`);
      expect(body.detail).toContain(`the proxy speaks ${version}.`);
    }
  });

  it('takes what a proxy of version 1 has recorded', async () => {
    const entries = RECORDED.trim()
      .split('\n')
      .map((text) => JSON.parse(text) as JournalEntry);
    const { id: agentId } = await services.agents.create(ADMIN, { name: 'a' });
    expect(await ship(RECORDED.replaceAll('AGENT', agentId))).toEqual({ status: 200, body: { acknowledged: entries.at(-1)?.seq } });
    const rows = await services.db.selectFrom('tool_calls').select(['tool', 'status', 'verdict']).orderBy('tool').execute();
    expect(rows).toEqual([
      { tool: 'exec', status: 'blocked', verdict: 'deny' },
      { tool: 'post_comment', status: 'success', verdict: 'allow' },
    ]);
  });

  it('takes none of a batch with an event that it does not know, and all of it once it does', async () => {
    const known = JSON.stringify({ seq: 1, event: { type: 'connection', at: 1, id: 'x', phase: 'opened', door: 'egress', by: ADMIN } });
    const strange = JSON.stringify({ seq: 2, event: { type: 'teleported', at: 1 } });
    const refused = await ship(`${known}\n${strange}\n`, 'proxy-22222222');
    expect(refused).toMatchObject({ status: OTHER_VERSION, body: { code: 'UNKNOWN_EVENT' } });
    expect(refused.body.detail).toContain('"teleported"');
    expect((await say('/hello', JSON.stringify({ proxyId: 'proxy-22222222' }), LINE_VERSION)).body.cursor).toBe(0);
    expect(await ship(`${known}\n`, 'proxy-22222222')).toEqual({ status: 200, body: { acknowledged: 1 } });
  });
});

describe('a database that a later version has brought further', () => {
  it('is refused by the name of what is not known, and left as it is', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mc-later-'));
    try {
      await blankDatabase(folder);
      const first = await openDatabase(folder);
      await sql`insert into kysely_migration (name, timestamp) values ('999-later', ${new Date().toISOString()})`.execute(first.db);
      await first.close();
      for (let tried = 0; tried < 2; tried++)
        await expect(openDatabase(folder)).rejects.toThrow(
          /later version of Mission Control \(999-later is not known here\).*restore a backup/,
        );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
