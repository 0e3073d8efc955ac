import { describe, expect, it } from 'vitest';
import { createMeter, type StreamMeter } from '../../proxy/usage.ts';
import { GOLDEN, type Golden, saidBy } from '../model/streams.ts';

const meterOf = ({ api }: Golden, options: { stripUsage?: boolean; mayGoOn?: (meter: StreamMeter) => boolean } = {}) =>
  createMeter(api, { stripUsage: false, eventMaxBytes: 100_000, mayGoOn: () => true, ...options });
const textOf = (golden: Golden, count = golden.chunks.length) =>
  golden.chunks
    .slice(0, count)
    .map(({ text }) => text)
    .join('');

describe(`${GOLDEN.length} golden streams`, () => {
  it('are at least 60, of all three interfaces, each under its own name', () => {
    expect(GOLDEN.length).toBeGreaterThanOrEqual(60);
    expect(new Set(GOLDEN.map(({ api, name }) => `${api} ${name}`)).size).toBe(GOLDEN.length);
  });

  for (const golden of GOLDEN) {
    it(`${golden.api}: ${golden.name}`, () => {
      // Whatever the pieces in which it comes, the same is read, and every byte goes on.
      const bytes = Buffer.from(textOf(golden));
      const whole = saidBy(golden, golden.chunks.length);
      for (const size of [1, 2, 3, 7, 64, bytes.length]) {
        const meter = meterOf(golden);
        const passed: Buffer[] = [];
        for (let at = 0; at < bytes.length; at += size) passed.push(meter.push(bytes.subarray(at, at + size)));
        expect(meter.usage).toEqual(whole.usage);
        expect(Buffer.concat([...passed, meter.rest()]).equals(bytes)).toBe(true);
        expect(meter.unsaidBytes === 0 || !whole.isExact).toBe(true);
        expect(meter.error !== null).toBe(golden.ends === 'error');
      }
      // After every chunk exactly that is known which was said up to there.
      const meter = meterOf(golden);
      golden.chunks.forEach(({ text }, index) => {
        meter.push(Buffer.from(text));
        const { usage, isExact } = saidBy(golden, index + 1);
        expect(meter.usage, `after chunk ${index}`).toEqual(usage);
        if (usage?.outputTokens !== undefined && usage.inputTokens !== undefined)
          expect(meter.unsaidBytes === 0, `after chunk ${index}`).toBe(isExact);
      });
    });
  }

  for (const golden of GOLDEN.filter(({ api }) => api === 'chat')) {
    it(`chat without the usage that the client did not ask for: ${golden.name}`, () => {
      const meter = meterOf(golden, { stripUsage: true });
      const passed = Buffer.concat(golden.chunks.map(({ text }) => meter.push(Buffer.from(text)))).toString('utf8');
      expect(meter.usage).toEqual(saidBy(golden, golden.chunks.length).usage);
      const multiLine = golden.name === 'a chunk on several lines';
      if (!multiLine) expect(passed).not.toContain('"usage"');
      // Nothing else is missing: put back, it is the same stream.
      const events = (text: string) => text.split(/\r?\n\r?\n/).filter((part) => part.startsWith('data:') && !part.includes('[DONE]'));
      const stripped = events(textOf(golden)).flatMap((part): (string | Record<string, unknown>)[] => {
        const value = parse(part);
        if (value === null || !('usage' in value)) return [part];
        const { usage, ...rest } = value;
        return usage !== null && Array.isArray(rest.choices) && rest.choices.length === 0 ? [] : [rest];
      });
      const kept = events(passed).map((part, index) => (typeof stripped[index] === 'string' ? part : parse(part)));
      if (golden.ends !== 'break') expect(kept).toEqual(stripped);
    });
  }
});

function parse(part: string): Record<string, unknown> | null {
  try {
    return JSON.parse(part.replaceAll(/^data: ?/gm, '')) as Record<string, unknown>;
  } catch {
    return null;
  }
}

describe('a stream that is ended by us', () => {
  const limitOf = (pieces: number) => (meter: StreamMeter) => meter.pieces <= pieces;
  const cut = (name: string, api: Golden['api'], pieces: number) => {
    const golden = GOLDEN.find((each) => each.api === api && each.name === name);
    if (!golden) throw new Error(name);
    const meter = meterOf(golden, { mayGoOn: limitOf(pieces) });
    const passed = golden.chunks.map(({ text }) => meter.push(Buffer.from(text)).toString('utf8')).join('');
    expect(meter.isCut).toBe(true);
    return passed;
  };

  it('ends a chat completion with a finish reason for every choice that is open', () => {
    const passed = cut('two choices', 'chat', 3);
    expect(passed).toContain('"delta":{"content":"a"}');
    expect(passed).not.toContain('"delta":{"content":"b"}');
    const last = passed.split('\n\n').at(-3) ?? '';
    expect(parse(last)).toMatchObject({
      id: 'chatcmpl-7',
      object: 'chat.completion.chunk',
      choices: [{ index: 1, delta: {}, finish_reason: 'length' }],
    });
    expect(passed.endsWith('data: [DONE]\n\n')).toBe(true);
  });

  it('closes the block of a message that is open, and says that the limit was reached', () => {
    const passed = cut('thinking', 'messages', 0);
    expect(
      passed
        .split('\n\n')
        .filter((part) => part !== '')
        .slice(-3),
    ).toEqual([
      'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}',
      'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null},"usage":{"output_tokens":1}}',
      'event: message_stop\ndata: {"type":"message_stop"}',
    ]);
  });

  it('ends a response as incomplete, numbered on', () => {
    const passed = cut('two items', 'responses', 1);
    const last = passed.trimEnd().split('\n\n').at(-1) ?? '';
    const body = JSON.parse(last.slice(last.indexOf('data: ') + 6)) as Record<string, unknown>;
    expect(body).toMatchObject({
      type: 'response.incomplete',
      response: { id: 'resp_7', status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' }, output: [{ type: 'message' }] },
    });
    const before = [...passed.matchAll(/"sequence_number":(\d+)/g)].map(([, number]) => Number(number));
    expect(before.at(-1)).toBe((before.at(-2) ?? 0) + 2); // the delta that was cut off had the number between
  });

  it('says an error in the words of its protocol where it was stopped', () => {
    for (const golden of GOLDEN.filter(({ name }) => name === 'plain text')) {
      const meter = meterOf(golden);
      meter.push(Buffer.from(textOf(golden, 4)));
      const ending = meter.end({ kind: 'error', code: 'ESTOP', message: 'Stopped.' }).toString('utf8');
      expect(ending).toContain('Stopped.');
      expect(ending).toContain(golden.api === 'chat' ? 'data: {"error":' : 'event: error\n');
      expect(meter.push(Buffer.from('data: {}\n\n'))).toHaveLength(0);
    }
  });

  it('that has an event without an end is not kept for ever', () => {
    const golden = GOLDEN[0];
    if (!golden) throw new Error('no stream');
    const meter = createMeter(golden.api, { stripUsage: false, eventMaxBytes: 1_000, mayGoOn: () => true });
    expect(() => meter.push(Buffer.from(`data: ${'x'.repeat(2_000)}`))).toThrow(/larger than 1000/);
  });
});
