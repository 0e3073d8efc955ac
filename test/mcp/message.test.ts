import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareDefinitions, definitionOf, definitionText } from '../../policies/index.ts';
import { EventSplitter, EventTooLarge } from '../../proxy/mcp-events.ts';
import { BadMessage, readClientMessage } from '../../proxy/mcp-message.ts';
import { StateSealer } from '../../proxy/mcp-state.ts';

const call = (args: string) => Buffer.from(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":${args}}}`);

describe('a message', () => {
  it('of any arguments is read as it was written', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 4 })), fc.boolean(), (args, pretty) => {
        const text = JSON.stringify(args, null, pretty ? 2 : undefined);
        // Whole numbers beyond what a double holds are refused; no other value is.
        if (!/\d{16,}/.test(text))
          expect(readClientMessage(call(text))).toMatchObject({ kind: 'request', params: { arguments: JSON.parse(text) } });
      }),
    );
  });

  it.each([
    '{"a":1,"a":2}',
    '{"a":{"b":1,"\\u0062":2}}',
    '[{"x":1},{"y":1,"y":1}]',
    '{"n":9007199254740993}',
    '{"n":12345678901234567890}',
  ])('that two readers could read differently is refused: %s', (args) => {
    expect(() => readClientMessage(call(args))).toThrow(BadMessage);
  });

  it.each(['1', 'null', '"x"', 'true', '[]', '[{}]'])('that calls a tool with arguments that are no object is refused: %s', (args) => {
    expect(() => readClientMessage(call(args))).toThrow(expect.objectContaining({ code: -32602, id: 1 }));
  });

  it.each([
    '{"a:b":1}',
    '{"a":"x:y\\":z"}',
    '{"n":9007199254740991}',
    '{"n":0.1234567890123456789}',
    '{"s":"9007199254740993"}',
    '{"__proto__":1}',
  ])('that cannot be mistaken is taken: %s', (args) => {
    expect(readClientMessage(call(args))).toMatchObject({ kind: 'request' });
  });
});

describe('a stream of events', () => {
  it('is cut into the same events wherever its bytes are cut', () => {
    const text = ': hello\n\nid: 1\nevent: message\ndata: {"a":"ü😀"}\n\ndata: one\r\ndata: two\r\n\r\ndata:\n\n';
    const bytes = Buffer.from(text);
    const whole = new EventSplitter(1000).push(bytes);
    expect(whole.map(({ data, id, event }) => [data, id, event])).toEqual([
      [null, null, null],
      ['{"a":"ü😀"}', '1', 'message'],
      ['one\ntwo', null, null],
      ['', null, null],
    ]);
    expect(whole.map(({ raw }) => raw).join('')).toBe(text);
    for (let cut = 0; cut <= bytes.length; cut++) {
      const splitter = new EventSplitter(1000);
      expect([...splitter.push(bytes.subarray(0, cut)), ...splitter.push(bytes.subarray(cut))], `cut at ${cut}`).toEqual(whole);
    }
  });

  it('is bounded by its largest event', () => {
    const splitter = new EventSplitter(100);
    expect(() => splitter.push(Buffer.from(`data: ${'x'.repeat(200)}`))).toThrow(EventTooLarge);
  });
});

describe('a definition', () => {
  const tool = {
    name: 't',
    description: 'one',
    inputSchema: { type: 'object', properties: { a: { type: 'string' } } },
    icons: [{ src: 'x' }],
  };

  it('has one version, however its keys are ordered, and another one for each part and source that differs', () => {
    const text = (given: object, source = 's') => definitionText(definitionOf(given, source) ?? {});
    expect(text({ inputSchema: { properties: { a: { type: 'string' } }, type: 'object' }, description: 'one', name: 't' })).toBe(
      text(tool),
    );
    for (const other of [
      { ...tool, description: 'two' },
      { ...tool, annotations: { readOnlyHint: true } },
      { ...tool, inputSchema: { type: 'object' } },
    ])
      expect(text(other)).not.toBe(text(tool));
    expect(text(tool, 'elsewhere')).not.toBe(text(tool));
  });

  it('is compared part by part', () => {
    const changed = { ...tool, inputSchema: { type: 'object', properties: { b: { type: 'number' } } } };
    expect(compareDefinitions(definitionOf(tool, 's'), definitionOf(changed, 's'))).toEqual([
      { path: 'inputSchema.properties.a.type', before: 'string', after: null },
      { path: 'inputSchema.properties.b.type', before: null, after: 'number' },
    ]);
  });
});

describe('what clients keep for us', () => {
  const sealer = new StateSealer(Buffer.alloc(32, 7).toString('base64url'));
  const session = { agentId: 'a', upstream: 'u', sid: 's', nonce: 'n' };

  it('opens for the same agent and server only, and not after a change', () => {
    const sealed = sealer.sealSession(session);
    expect(sealer.openSession(sealed, 'a', 'u')).toEqual(session);
    expect(sealer.openSession(sealed, 'b', 'u')).toBeNull();
    expect(sealer.openSession(sealed, 'a', 'v')).toBeNull();
    for (let i = 0; i < sealed.length; i += 7) {
      const tampered = sealed.slice(0, i) + (sealed[i] === 'A' ? 'B' : 'A') + sealed.slice(i + 1);
      expect(sealer.openSession(tampered, 'a', 'u'), `at ${i}`).toBeNull();
    }
    expect(new StateSealer(Buffer.alloc(32, 8).toString('base64url')).openSession(sealed, 'a', 'u')).toBeNull();
  });

  it('is not mistaken for another kind, and ends', () => {
    const round = { agentId: 'a', upstream: 'u', method: 'm', subject: 's', callId: 'c', state: null, responses: null, expiresAt: 100 };
    const sealed = sealer.sealRound(round);
    expect(sealer.openRound(sealed, 'a', 'u', 99)).toEqual(round);
    expect(sealer.openRound(sealed, 'a', 'u', 100)).toBeNull();
    expect(sealer.openRound(`mc1.${sealer.sealSession(session)}`, 'a', 'u', 0)).toBeNull();
  });
});
