import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { JournalEvent } from '../../control/contract.ts';
import { Journal, JournalUnavailable, type Ship } from '../../proxy/journal.ts';

/** What the disk does instead of its work; null = its work. */
const disk = vi.hoisted(() => ({ write: null as null | 'half' | 'nothing', sync: null as null | 'fail' }));
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  const full = () => Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  return {
    ...fs,
    writeSync: (fd: number, bytes: Buffer, offset: number) => {
      if (disk.write === 'nothing') throw full();
      if (disk.write === 'half') {
        disk.write = 'nothing';
        return fs.writeSync(fd, bytes, offset, Math.ceil((bytes.length - offset) / 2));
      }
      return fs.writeSync(fd, bytes, offset);
    },
    fdatasync: (fd: number, done: (error: Error | null) => void) =>
      disk.sync === 'fail' ? setImmediate(() => done(new Error('EIO: i/o error, fdatasync'))) : fs.fdatasync(fd, done),
  };
});

const LIMITS = { maxBytes: 1_000_000, segmentBytes: 1_000_000 };
let folder: string;
const open: Journal[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mc-journal-'));
  Object.assign(disk, { write: null, sync: null });
});
afterEach(async () => {
  Object.assign(disk, { write: null, sync: null });
  await Promise.all(open.splice(0).map((journal) => journal.close(0)));
  rmSync(folder, { recursive: true, force: true });
});

function openJournal(cursor = 0, limits = LIMITS): Journal {
  const journal = new Journal(folder, limits);
  journal.recover(cursor);
  open.push(journal);
  return journal;
}
const event = (id: string): JournalEvent => ({ type: 'withdrawn', at: 1, id, reason: 'r' });
const files = () =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.ndjson'))
    .toSorted();
const lines = () => files().flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n').filter(Boolean));
const idsIn = (texts: readonly string[]) => texts.map((text) => JSON.parse(text).event.id as string);

/** Control, as far as the journal knows it: takes what follows its cursor, once. */
function control() {
  const state = { cursor: 0, taken: [] as string[], batches: 0, away: false };
  const ship: Ship = async (batch) => {
    if (state.away) throw new Error('away');
    state.batches++;
    for (const entry of batch.toString().trimEnd().split('\n')) {
      const { seq, event: given } = JSON.parse(entry) as { seq: number; event: { id: string } };
      if (seq <= state.cursor) continue;
      state.taken.push(given.id);
      state.cursor = seq;
    }
    return state.cursor;
  };
  return { state, ship };
}

describe('an event', () => {
  it('is in the file, whole, when append resolves, durable or not', async () => {
    const journal = openJournal();
    for (const durable of [false, true]) {
      await journal.append(event(`e-${durable}`), durable);
      expect(idsIn(lines())).toContain(`e-${durable}`);
    }
  });

  it('keeps its place among many at once, and reaches control in order, once', async () => {
    const journal = openJournal();
    const { state, ship } = control();
    journal.start(ship);
    const ids = Array.from({ length: 1_200 }, (_, index) => `e${index}`);
    await Promise.all(ids.map((id, index) => journal.append(event(id), index % 3 === 0)));
    await journal.settled(5_000);
    expect(state.taken).toEqual(ids);
    expect(journal.depth).toBe(0);
    // Shipped in batches, not one by one.
    expect(state.batches).toBeLessThan(20);
  });

  it('stays until control has it, and its file goes with the last of it', async () => {
    const journal = openJournal(0, { maxBytes: 1_000_000, segmentBytes: 200 });
    const { state, ship } = control();
    state.away = true;
    journal.start(ship);
    for (let index = 0; index < 20; index++) await journal.append(event(`e${index}`), false);
    expect(files().length).toBeGreaterThan(3);
    expect(journal.depth).toBe(20);
    state.away = false;
    await journal.settled(5_000);
    expect(files()).toHaveLength(1);
    expect(state.taken).toHaveLength(20);
  });
});

describe('a journal that an earlier process left', () => {
  it('goes on after what control has, ships the rest, and never counts twice', async () => {
    const first = openJournal();
    const { state, ship } = control();
    for (const id of ['a', 'b', 'c']) await first.append(event(id), true);
    // Control took two and the answer was lost; then the process was killed: nothing is closed in order.
    await ship(Buffer.from(`${lines().slice(0, 2).join('\n')}\n`));
    const second = openJournal(state.cursor);
    expect(second.proxyId).toBe(first.proxyId);
    await second.append(event('d'), true);
    second.start(ship);
    await second.settled(5_000);
    expect(state.taken).toEqual(['a', 'b', 'c', 'd']);
    // A control that had forgotten would get everything that is still there again, under the same numbers.
    const third = openJournal(state.cursor);
    await third.append(event('e'), true);
    expect(lines().map((line) => JSON.parse(line).seq)).toEqual([5]);
  });

  it('with its last line cut short loses that line only, and continues cleanly after it', async () => {
    const first = openJournal();
    for (const id of ['a', 'b']) await first.append(event(id), true);
    const [name = ''] = files();
    appendFileSync(join(folder, name), '{"seq":3,"event":{"type":"withdrawn","at":1,"id":"to');
    const second = openJournal(0);
    await second.append(event('c'), true);
    expect(idsIn(lines())).toEqual(['a', 'b', 'c']);
    const { state, ship } = control();
    second.start(ship);
    await second.settled(5_000);
    expect(state.taken).toEqual(['a', 'b', 'c']);
  });

  it('with a damaged line in the middle is not held up by it', async () => {
    const first = openJournal();
    for (const id of ['a', 'b', 'c']) await first.append(event(id), true);
    const [name = ''] = files();
    const content = readFileSync(join(folder, name), 'utf8').split('\n');
    content[1] = `${content[1]?.slice(0, 20)}\0\0\0\0\0`;
    writeFileSync(join(folder, name), content.join('\n'));
    const second = new Journal(folder, LIMITS);
    expect(second.recover(0)).toBe(1);
    open.push(second);
    const { state, ship } = control();
    second.start(ship);
    await second.settled(5_000);
    expect(state.taken).toEqual(['a', 'c']);
  });

  it('with an empty name gets a new one', () => {
    writeFileSync(join(folder, 'proxy-id'), '');
    expect(openJournal().proxyId).toMatch(/^proxy-/);
  });
});

describe('a journal that cannot take an event refuses it', () => {
  it('when it is full, until control has taken some', async () => {
    const journal = openJournal(0, { maxBytes: 300, segmentBytes: 1_000_000 });
    const accepted: string[] = [];
    for (let index = 0; index < 20; index++) {
      await journal.append(event(`e${index}`), true).then(
        () => accepted.push(`e${index}`),
        (error) => expect(error).toBeInstanceOf(JournalUnavailable),
      );
    }
    expect(accepted.length).toBeGreaterThan(2);
    expect(accepted.length).toBeLessThan(10);
    expect(journal.trouble).toContain('full');
    expect(idsIn(lines())).toEqual(accepted);
    const { state, ship } = control();
    journal.start(ship);
    await journal.settled(5_000);
    expect(state.taken).toEqual(accepted);
    expect(journal.trouble).toBe(null);
    await journal.append(event('after'), true);
  });

  it('when the disk is full: no half line stays, no number is lost, and it goes on when there is room', async () => {
    const journal = openJournal();
    await journal.append(event('a'), true);
    for (const how of ['half', 'nothing'] as const) {
      disk.write = how;
      await expect(journal.append(event('lost'), true)).rejects.toThrow(JournalUnavailable);
      expect(idsIn(lines())).toEqual(['a']);
    }
    disk.write = null;
    await journal.append(event('b'), true);
    expect(lines().map((line) => JSON.parse(line).seq)).toEqual([1, 2]);
    expect(idsIn(lines())).toEqual(['a', 'b']);
  });

  it('and says so, once, and again when there is room, also where nobody tries', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const said: (string | null)[] = [];
      const journal = new Journal(folder, LIMITS, (trouble) => said.push(trouble));
      journal.recover(0);
      open.push(journal);
      await journal.append(event('a'), true);
      disk.write = 'nothing';
      for (let attempt = 0; attempt < 3; attempt++) await expect(journal.append(event('lost'), true)).rejects.toThrow(JournalUnavailable);
      expect(journal.trouble).toContain('ENOSPC');
      expect(said).toEqual([expect.stringContaining('ENOSPC')]);
      vi.advanceTimersByTime(3_000);
      expect(journal.trouble).toContain('ENOSPC');
      disk.write = null;
      vi.advanceTimersByTime(1_000);
      expect(journal.trouble).toBe(null);
      expect(said).toEqual([expect.stringContaining('ENOSPC'), null]);
      await journal.append(event('b'), true);
      expect(lines().map((line) => JSON.parse(line).seq)).toEqual([1, 2]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('when a sync fails, for good: what a later sync says is worth nothing', async () => {
    const journal = openJournal();
    await journal.append(event('a'), true);
    disk.sync = 'fail';
    const waiting = [journal.append(event('b'), true), journal.append(event('c'), true)];
    for (const result of await Promise.allSettled(waiting)) expect(result.status).toBe('rejected');
    disk.sync = null;
    await expect(journal.append(event('d'), false)).rejects.toThrow(JournalUnavailable);
    expect(journal.trouble).toContain('synced');
    // A new process may try again, with what is in the file.
    const next = openJournal(0);
    await next.append(event('e'), true);
    expect(idsIn(lines())).toEqual(['a', 'b', 'c', 'e']);
  });

  it('after it was closed; what was appended just before is written', async () => {
    const journal = openJournal();
    const appended = journal.append(event('a'), true);
    const closing = journal.close(0);
    await appended;
    await closing;
    expect(idsIn(lines())).toEqual(['a']);
    await expect(journal.append(event('b'), false)).rejects.toThrow(JournalUnavailable);
  });
});

describe('waiting for control', () => {
  it('goes on while control takes something, and ends when it takes nothing', async () => {
    const journal = openJournal();
    const { ship } = control();
    for (let index = 0; index < 1_500; index++) journal.append(event(`e${index}`), false).catch(() => {});
    await journal.append(event('last'), false);
    vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] });
    try {
      // Each batch takes longer than half the patience; all of them together take much longer than it.
      journal.start(async (batch) => {
        await new Promise((resolve) => setTimeout(resolve, 150));
        return ship(batch);
      });
      const begun = Date.now();
      let took = 0;
      const settled = journal.settled(250).then(() => {
        took = Date.now() - begun;
      });
      await vi.advanceTimersByTimeAsync(2_000);
      await settled;
      expect(took).toBeGreaterThan(500);
    } finally {
      vi.useRealTimers();
    }
    const stuck = openJournal(9_999);
    await stuck.append(event('x'), false);
    stuck.start(() => Promise.reject(new Error('away')));
    await expect(stuck.settled(50)).rejects.toThrow(JournalUnavailable);
  });
});
