import { describe, expect, it } from 'vitest';
import { noteAsked } from '../../dashboard/answer-age.ts';
import { Collection } from '../../dashboard/store.ts';

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
