/** Which results of tools a request to a model brings back, and what they answer. */
import { describe, expect, test } from 'vitest';
import { ToolResults, wireIdOf } from '../../proxy/tool-results.ts';

const KEY = Buffer.alloc(32, 7).toString('base64url');
const results = () => new ToolResults(KEY);
const ids = (found: { id: string | null }[]) => found.map(({ id }) => id);

const chatCall = (id: string, name: string, args: unknown) => ({
  id,
  type: 'function',
  function: { name, arguments: JSON.stringify(args) },
});
const asks = (...calls: object[]) => ({ role: 'assistant', content: null, tool_calls: calls });
const told = (id: string, content = 'ok') => ({ role: 'tool', tool_call_id: id, content });
const user = (content: string) => ({ role: 'user', content });
const chat = (...messages: object[]) => ({ model: 'm', messages: messages as never });

describe('results in a request', () => {
  test('are named as the gate names the call, on all three interfaces', () => {
    const one = results();
    const args = { command: 'ls', timeout: 5 };
    const asked = one.nameOf('exec', { timeout: 5, command: 'ls' }, 'call_1');
    expect(one.fresh('a', 'chat', chat(user('go'), asks(chatCall('call_1', 'exec', args)), told('call_1')))).toEqual([asked]);
    const input = [
      { role: 'user', content: 'go' },
      { type: 'function_call', call_id: 'call_1', name: 'exec', arguments: JSON.stringify(args) },
      { type: 'function_call_output', call_id: 'call_1', output: 'ok' },
    ];
    expect(one.fresh('b', 'responses', { model: 'm', input: input as never })).toEqual([asked]);
    const messages = [
      user('go'),
      {
        role: 'assistant',
        content: [
          { type: 'text', text: 'x' },
          { type: 'tool_use', id: 'call_1', name: 'exec', input: args },
        ],
      },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'call_1', content: 'ok' }] },
    ];
    expect(one.fresh('c', 'messages', { model: 'm', messages: messages as never })).toEqual([asked]);
    expect(one.nameOf('exec', { command: 'ls -l' }, 'call_1').print).not.toBe(asked.print);
    expect(new ToolResults(Buffer.alloc(32, 8).toString('base64url')).nameOf('exec', args, 'call_1').print).not.toBe(asked.print);
  });

  test('are found before what OpenClaw says by itself, and not before a word of anybody', () => {
    const own = '<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>\n"Active exec sessions: none"\n<<<END_OPENCLAW_INTERNAL_CONTEXT>>>';
    const said = [user('go'), asks(chatCall('c1', 'exec', {})), told('c1')];
    const part = (text: string) => ({ type: 'text', text });
    const find = (...more: object[]) => ids(results().fresh('a', 'chat', chat(...said, ...more)));
    expect(find({ role: 'user', content: [part(own)] })).toEqual(['c1']);
    expect(find(user(` ${own}\n`), user(own))).toEqual(['c1']);
    expect(find({ role: 'user', content: [part(own), part('and now?')] })).toEqual([]);
    expect(find(user(`${own} and now?`))).toEqual([]);
    expect(find(user(`${own} and now? ${own}`))).toEqual([]);
    expect(find(user('and now?'), user(own))).toEqual([]);
    expect(find({ role: 'assistant', content: own })).toEqual([]);
    const use = { type: 'tool_use', id: 't1', name: 'exec', input: {} };
    const answer = { type: 'tool_result', tool_use_id: 't1', content: 'ok' };
    const messages = [user('go'), { role: 'assistant', content: [use] }, { role: 'user', content: [answer, part(own)] }];
    expect(ids(results().fresh('a', 'messages', { model: 'm', messages: messages as never }))).toEqual(['t1']);
  });

  test('are looked at once, however often the history comes again', () => {
    const one = results();
    const first = [user('go'), asks(chatCall('c1', 'exec', {}), chatCall('c2', 'read', {})), told('c1'), told('c2')];
    expect(ids(one.fresh('a', 'chat', chat(...first))).toSorted()).toEqual(['c1', 'c2']);
    expect(one.fresh('a', 'chat', chat(...first))).toEqual([]);
    const second = [...first, asks(chatCall('c3', 'exec', {})), told('c3')];
    expect(ids(one.fresh('a', 'chat', chat(...second)))).toEqual(['c3']);
    expect(ids(one.fresh('b', 'chat', chat(...second)))).toEqual(['c3']);
  });

  test('of an id that the provider gives out again are looked at again', () => {
    const one = results();
    const first = [user('go'), asks(chatCall('call_0', 'exec', { command: 'a' })), told('call_0')];
    expect(one.fresh('a', 'chat', chat(...first))).toHaveLength(1);
    const [again] = one.fresh('a', 'chat', chat(...first, asks(chatCall('call_0', 'exec', { command: 'b' })), told('call_0')));
    expect(again).toEqual(one.nameOf('exec', { command: 'b' }, 'call_0'));
  });

  test('of earlier turns, and those after which somebody speaks, are not looked at', () => {
    const one = results();
    const history = [user('go'), asks(chatCall('c1', 'exec', {})), told('c1')];
    expect(one.fresh('a', 'chat', chat(...history, user('and now?')))).toEqual([]);
    expect(one.fresh('a', 'chat', chat(...history, { role: 'assistant', content: 'done' }))).toEqual([]);
    const mixed = [
      { type: 'tool_result', tool_use_id: 'c1', content: 'ok' },
      { type: 'text', text: 'stop that' },
    ];
    expect(one.fresh('a', 'messages', { model: 'm', messages: [{ role: 'user', content: mixed }] as never })).toEqual([]);
    expect(one.fresh('a', 'responses', { model: 'm', input: 'just text' })).toEqual([]);
  });

  test('of a deferred call are named by the call inside, and looking tools up is no call', () => {
    const one = results();
    const wrapped = chatCall('c1', 'tool_call', { id: 'files__write', args: { path: 'a' } });
    const request = chat(
      asks(wrapped, chatCall('c2', 'tool_search', { q: 'x' }), chatCall('c3', 'tool_describe', {})),
      told('c1'),
      told('c2'),
      told('c3'),
    );
    expect(one.fresh('a', 'chat', request)).toEqual([one.nameOf('files__write', { path: 'a' }, 'c1')]);
  });

  test('whose call does not stand in the request, or is not readable, are known by their id', () => {
    const one = results();
    expect(
      one.fresh('a', 'responses', { model: 'm', input: [{ type: 'function_call_output', call_id: 'c9', output: '' }] as never }),
    ).toEqual([{ id: 'c9', print: null, tool: '' }]);
    const broken = { id: 'c8', type: 'function', function: { name: 'exec', arguments: '{"command":' } };
    expect(one.fresh('a', 'chat', chat(asks(broken), told('c8')))).toEqual([{ id: 'c8', print: null, tool: 'exec' }]);
    expect(one.fresh('a', 'chat', { model: 'm', messages: [null, 3, 'x', { role: 'tool' }] as never })).toEqual([]);
  });
});

test.each([
  ['call_ab-1', 'callab1'],
  ['call_ab|fc_123', 'callab'],
  ['tool_search_code:call_ab:files__write:2', 'callab'],
  ['tool_search_code:functions.tool_call:0:files__write:1', 'functionstoolcall0'],
  [`toolu_${'x'.repeat(60)}`, `toolu${'x'.repeat(31)}`],
])('the id %s is the same on both sides as %s', (given, expected) => {
  expect(wireIdOf(given)).toBe(expected);
});
