import { describe, expect, it } from 'vitest';
import { noteAsked } from '../../dashboard/answer-age.ts';
import { Collection, Recent } from '../../dashboard/store.ts';

interface Thing {
  id: string;
  state: string;
}
const answered = (thing: Thing, at: number) => {
  noteAsked(thing, at);
  return thing;
};

describe('what the dashboard knows of an object', () => {
  it('is what the stream told last, whatever an answer says that was asked for before', () => {
    const things = new Collection<Thing>();
    const before = performance.now() - 1;
    things.hear('a', { id: 'a', state: 'connected' });
    things.set(answered({ id: 'a', state: 'connecting' }, before));
    expect(things.get('a')?.state).toBe('connected');
  });

  it('is what an answer says that was asked for after it', () => {
    const things = new Collection<Thing>();
    things.hear('a', { id: 'a', state: 'paused' });
    things.set(answered({ id: 'a', state: 'active' }, performance.now() + 1));
    expect(things.get('a')?.state).toBe('active');
    things.hear('a', { id: 'a', state: 'stopped' });
    expect(things.get('a')?.state).toBe('stopped');
  });

  it('is nothing where it is gone, and comes back with no late answer', () => {
    const things = new Collection<Thing>();
    const before = performance.now() - 1;
    things.set({ id: 'a', state: 'new' });
    things.hear('a', null);
    things.set(answered({ id: 'a', state: 'new' }, before));
    expect(things.get('a')).toBeUndefined();
  });

  it('is what somebody here has just changed, before the server answers', () => {
    const things = new Collection<Thing>();
    things.hear('a', { id: 'a', state: 'assigned' });
    things.set({ id: 'a', state: 'in_progress' });
    expect(things.get('a')?.state).toBe('in_progress');
  });
});

describe('the window onto an endless list', () => {
  interface Entry {
    id: string;
    createdAt: number;
  }
  const entry = (n: number, createdAt = n): Entry => ({ id: String(n), createdAt });
  const open = () => new Recent<Entry>({ narrow: 10, wide: 40, beforeAgain: (_, kept) => kept.id });
  const ids = (list: Recent<Entry>) => list.all().map(({ id }) => Number(id));
  /** Entries 1 to 100 as a server pages them. */
  const page = (before: string | null, size = 10) =>
    Array.from({ length: 100 }, (_, i) => entry(100 - i))
      .filter(({ id }) => before === null || Number(id) < Number(before))
      .slice(0, size);

  it('stays small while entries only come in, and goes on where it let go', () => {
    const list = open();
    list.replace(page(null), true);
    for (let n = 101; n <= 200; n++) list.hear(entry(n));
    expect(ids(list).length).toBeLessThanOrEqual(11);
    expect(ids(list)[0]).toBe(200);
    expect(list.before).toBe(String(ids(list).at(-1)));
  });

  it('keeps what somebody reads until they are back at the top, and never skips an entry', () => {
    const list = open();
    list.replace(page(null), true);
    while (list.before !== null) {
      const older = page(list.before);
      list.append(older, older.at(-1)?.id !== '1');
    }
    expect(ids(list)).toEqual(Array.from({ length: 40 }, (_, i) => 100 - i));
    list.narrow();
    expect(ids(list).length).toBe(10);
    list.append(page(list.before), true);
    expect(ids(list)).toEqual(Array.from({ length: 20 }, (_, i) => 100 - i));
  });

  it('never splits entries of one moment, whose order only the server knows', () => {
    const list = open();
    list.replace([], false);
    for (let n = 1; n <= 8; n++) list.hear(entry(n, 5));
    for (let n = 9; n <= 12; n++) list.hear(entry(n));
    expect(ids(list)).toEqual(expect.not.arrayContaining([1, 2, 3, 4, 5, 6, 7, 8]));
    expect(list.before).toBe('9');
  });

  it('is at its end when everything is here', () => {
    const list = open();
    list.replace(page(null, 5), false);
    expect(list.before).toBeNull();
  });
});
