/** Backup, restore and graduation as a person does them: with the command line, on a product that runs. */
import { execFile } from 'node:child_process';
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serverPlace } from '../../control/db/copies.ts';
import { gateOf } from '../support/calls.ts';
import { CHILD_ENV } from '../support/child-env.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';
import { ADMIN_TOKEN, newAgent, type OneProcess, startProcess } from '../support/world.ts';

let world: OneProcess;
let postgres: PostgresServer;
beforeAll(async () => {
  [world, postgres] = await Promise.all([startProcess(['cli.ts', 'start'], {}), startPostgres()]);
});
afterAll(async () => {
  await world?.close();
  await postgres?.close();
});

function run(...args: string[]): Promise<{ code: number; out: string; errors: string }> {
  return new Promise((resolve) => {
    const env = { ...CHILD_ENV, MC_DATA_DIR: world.dataDir, MC_ADMIN_TOKEN: ADMIN_TOKEN, MC_CONTROL_URL: world.controlUrl };
    execFile(process.execPath, ['cli.ts', ...args], { cwd: join(import.meta.dirname, '..', '..'), env }, (error, out, errors) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, errors });
    });
  });
}

interface Manifest {
  about: { auditHead: { seq: number; hash: string } };
  parts: { name: string; rows: number; sha256: string }[];
}

describe('the commands', () => {
  it('back up what runs, bring it back where everything is gone, and move it to a server', async () => {
    const agent = await newAgent(world);
    const gate = gateOf(world, agent.token);
    const held = await gate.exec('make kept');
    const file = join(world.dataDir, '..', 'all.backup');
    const backup = await run('backup', file, '--json');
    expect([backup.code, backup.errors]).toEqual([0, '']);
    const manifest = JSON.parse(backup.out) as Manifest;
    expect((await run('backup', file)).code).toBe(1);
    // What comes after it is not in it.
    await newAgent(world);

    await world.kill();
    expect((await run('restore', file)).errors).toContain('is not empty');
    renameSync(world.dataDir, `${world.dataDir}.lost`);
    const damaged = `${file}.damaged`;
    writeFileSync(damaged, 'nothing');
    expect((await run('restore', damaged)).code).toBe(1);
    expect(existsSync(world.dataDir)).toBe(false);
    const restored = await run('restore', file);
    expect([restored.code, restored.out]).toEqual([0, expect.stringContaining(`audit chain ${manifest.about.auditHead.seq} entries`)]);

    await world.start();
    expect((await world.api<{ items: unknown[] }>('GET', '/agents')).body.items).toHaveLength(1);
    expect((await world.api('GET', '/audit/verify')).body).toMatchObject({ ok: true });
    await world.api('POST', `/approvals/${held.body.approvalId}/approve`, { note: 'fine' });
    expect(await gate.poll(held.body.id, 10_000)).toMatchObject({ status: 200, body: { verdict: 'allow' } });

    const url = await postgres.createDatabase();
    expect((await run('graduate', '--to', url)).errors).toContain('is in use by process');
    expect(await world.stop()).toBe(0);
    const moved = await run('graduate', '--to', url, '--json');
    expect([moved.code, moved.errors]).toEqual([0, '']);
    const { auditHead, parts } = JSON.parse(moved.out) as Manifest['about'] & Pick<Manifest, 'parts'>;
    const server = await serverPlace(url);
    expect(await server.db.selectFrom('audit_head').select(['seq', 'hash']).executeTakeFirst()).toEqual(auditHead);
    for (const name of ['agents', 'approvals', 'tool_calls', 'spend', 'audit_log']) {
      const { rows } = await sql<{ count: number }>`select count(*)::int as count from ${sql.table(name)}`.execute(server.db);
      expect([name, rows[0]?.count]).toEqual([name, parts.find((part) => part.name === `table/${name}`)?.rows]);
    }
    await server.close();
  }, 120_000);
});
