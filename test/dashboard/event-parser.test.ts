import { describe, expect, it } from 'vitest';
import { EventParser } from '../../dashboard/event-parser.ts';

const STREAM =
  'id: 7\nevent: change\ndata: {"topic":"agent"}\n\n: a comment\n\nevent: beat\ndata: {"at":1}\n\nevent: reset\ndata: {}\n\nid: 8\r\nevent: change\r\ndata: a\r\ndata: b\r\n\r\n';
const EVENTS = [
  { name: 'change', id: '7', data: '{"topic":"agent"}' },
  { name: 'beat', id: null, data: '{"at":1}' },
  { name: 'reset', id: null, data: '{}' },
  { name: 'change', id: '8', data: 'a\nb' },
];

describe('an event stream', () => {
  it('is read the same wherever it is cut', () => {
    for (let first = 0; first <= STREAM.length; first++) {
      for (let second = first; second <= STREAM.length; second += 3) {
        const parser = new EventParser();
        const events = [STREAM.slice(0, first), STREAM.slice(first, second), STREAM.slice(second)].flatMap((chunk) => parser.push(chunk));
        expect(events).toEqual(EVENTS);
      }
    }
  });

  it('keeps an unfinished event until its end arrives', () => {
    const parser = new EventParser();
    expect(parser.push('event: beat\ndata: {"at"')).toEqual([]);
    expect(parser.push(':1}\n')).toEqual([]);
    expect(parser.push('\n')).toEqual([{ name: 'beat', id: null, data: '{"at":1}' }]);
  });
});
