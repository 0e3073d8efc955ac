import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { isAnswering, openDatabase } from '../../control/db/database.ts';
import { blankDatabase } from '../support/blank-database.ts';
import { startWorld, until } from '../support/world.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mc-database-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('is said to answer while it does, and no longer', async () => {
  const { db, close } = await openDatabase(folder);
  expect(await isAnswering(db, 10_000)).toBe(true);
  const busy = sql`select pg_sleep(1)`.execute(db);
  expect(await isAnswering(db, 50)).toBe(false);
  await busy;
  expect(await isAnswering(db, 10_000)).toBe(true);
  await close();
  expect(await isAnswering(db, 10_000)).toBe(false);
});

it('that is damaged is said to be so, with where its cure is written, and its folder is free again', async () => {
  const data = join(folder, 'damaged');
  await blankDatabase(data);
  writeFileSync(join(data, 'pg', 'global', 'pg_control'), randomBytes(8192));
  for (let i = 0; i < 2; i++) await expect(openDatabase(data)).rejects.toThrow(/cannot be opened: it is damaged, .* docs\/playbooks\.md/);
});

it('is refused while another process has it, and taken over from one that was killed, though nobody has collected that one', async () => {
  const data = join(folder, 'taken');
  mkdirSync(data);
  const statOf = (pid: number) => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  };
  // The shell becomes a sleep that never asks for its child.
  const parent = spawn('sh', ['-c', 'sleep 60 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const [said] = (await once(parent.stdout, 'data')) as [Buffer];
  const pid = Number(said.toString());
  try {
    writeFileSync(join(data, 'mc.lock'), `${pid} ${statOf(pid)[19]}`);
    await expect(openDatabase(data)).rejects.toThrow(`is in use by process ${pid}`);
    process.kill(pid, 'SIGKILL');
    await until(
      async () => statOf(pid)[0],
      (state) => state === 'Z',
    );
    const { db, close } = await openDatabase(data);
    expect(await isAnswering(db, 10_000)).toBe(true);
    await close();
  } finally {
    parent.kill('SIGKILL');
  }
});

it('is what control asks before it says that it is ready', async () => {
  const world = await startWorld();
  try {
    const answer = await fetch(`${world.controlUrl}/readyz`);
    expect([answer.status, await answer.text()]).toEqual([200, 'ready']);
  } finally {
    await world.close();
  }
});
