import { describe, expect, it } from 'vitest';
import { Labels } from '../../proxy/labels.ts';

const DAY = 24 * 60 * 60 * 1000;
const call = (runId: string | null, sessionKey = 's', agentId = 'a') => ({ agentId, sessionKey, runId });

describe('labels', () => {
  it('of what was taken in and read stand for the run, of code for the session', () => {
    const labels = new Labels();
    labels.add(call('r1'), ['untrusted', 'private', 'code'], 1);
    expect(labels.of(call('r1'), 2)).toEqual(['untrusted', 'private', 'code']);
    expect(labels.of(call('r2'), 2)).toEqual(['code']);
    expect(labels.of(call('r2', 'other'), 2)).toEqual([]);
    expect(labels.of(call('r1', 's', 'b'), 2)).toEqual([]);
  });

  it('stand for the session where there is no run, and for the agent where there is neither', () => {
    const labels = new Labels();
    labels.add(call(null), ['untrusted'], 1);
    expect([labels.of(call(null), 2), labels.of(call(null, 'other'), 2)]).toEqual([['untrusted'], []]);
    labels.add(call(null, ''), ['private', 'code'], 1);
    expect([labels.of(call(null, ''), 2), labels.of(call('r', ''), 2), labels.of(call(null, 's'), 2)]).toEqual([
      ['private', 'code'],
      ['code'],
      ['untrusted'],
    ]);
  });

  it('are forgotten after a day of silence, not before, and a call breaks the silence', () => {
    const labels = new Labels();
    labels.add(call('r'), ['private'], 0);
    expect(labels.of(call('r'), DAY)).toEqual(['private']);
    expect(labels.of(call('r'), 2 * DAY)).toEqual(['private']);
    expect(labels.of(call('r'), 3 * DAY + 1)).toEqual([]);
  });

  it('are taken up as control kept them', () => {
    const labels = new Labels();
    labels.load([
      { agentId: 'a', scope: 'run:a/r', label: 'private', at: 5 },
      { agentId: 'a', scope: 'session:a/s', label: 'code', at: 4 },
    ]);
    expect(labels.of(call('r'), 6)).toEqual(['private', 'code']);
  });

  it('of an agent that names a run for every call push out its own oldest, nobody else’s', () => {
    const labels = new Labels();
    labels.add(call('mine', 's', 'b'), ['private'], 0);
    labels.add(call('kept'), ['private'], 0);
    for (let run = 0; run < 5_000; run++) {
      labels.add(call(`r${run}`), ['untrusted'], 1);
      labels.of(call('kept'), 1);
    }
    expect(labels.of(call('mine', 's', 'b'), 2)).toEqual(['private']);
    expect(labels.of(call('kept'), 2)).toEqual(['private']);
    expect([labels.of(call('r0'), 2), labels.of(call('r4999'), 2)]).toEqual([[], ['untrusted']]);
  });
});
