import { array, assert, constantFrom, option, property, record, string } from 'fast-check';
import { encodeChat } from 'gpt-tokenizer/model/gpt-4o-mini';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../policies/index.ts';
import { affordableTokens, costBoundOf, type ModelApi, readModelRequest, upperCost } from '../../policies/model-request.ts';
import { costOf, pricesOf } from '../../policies/prices.ts';
import { DEFAULT_POLICY } from './scene.ts';

const AT = Date.UTC(2026, 10, 22);
const read = (api: ModelApi, body: JsonObject) => readModelRequest(api, body, Buffer.byteLength(JSON.stringify(body)));
const taken = (api: ModelApi, body: JsonObject) => {
  const request = read(api, body);
  if ('why' in request) throw new Error(request.why);
  return request;
};
const pricesFor = (model: string, upstream = 'openai') => {
  const prices = pricesOf({ upstream, url: null, model, at: AT }, DEFAULT_POLICY);
  if (prices === null) throw new Error(`no price for ${model}`);
  return prices;
};
const chat = (more: JsonObject = {}): JsonObject => ({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Hi' }], ...more });
const messages = (more: JsonObject = {}): JsonObject => ({
  model: 'claude-haiku-4-5',
  max_tokens: 100,
  messages: [{ role: 'user', content: 'Hi' }],
  ...more,
});
const responses = (more: JsonObject = {}): JsonObject => ({ model: 'gpt-5-mini', input: 'Hi', ...more });

describe('the bound of the input', () => {
  it('is never below what the tokenizer counts, whatever the text', () => {
    const texts = string({ unit: 'binary', maxLength: 300 });
    const words = array(constantFrom('the ', 'def ', '    ', '\n\n', '🤷🏽‍♀️', 'ﷺ', '0000', '"', '\\', 'Donaudampf', '漢字', '\u200b'), {
      maxLength: 80,
    }).map((parts) => parts.join(''));
    const turns = record({
      role: constantFrom('user' as const, 'assistant' as const, 'system' as const),
      content: constantFrom(texts, words).chain((kind) => kind),
    });
    assert(
      property(array(turns, { maxLength: 12 }), (list) => {
        const counted = encodeChat(list, 'gpt-4o-mini').length;
        expect(taken('chat', chat({ messages: list })).inputTokens).toBeGreaterThanOrEqual(counted);
      }),
      { numRuns: 500 },
    );
  });

  it('counts an image that is in the request by what it can be made of, not by its length', () => {
    const url = `data:image/png;base64,${'A'.repeat(1_000_000)}`;
    const withImage = taken(
      'chat',
      chat({ model: 'gpt-4o', messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }] }),
    );
    expect(withImage.inputTokens).toBeLessThan(14_000);
    expect(withImage.needsContext).toBe(false);
    const tiny = taken(
      'chat',
      chat({ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,AA' } }] }] }),
    );
    expect(tiny.inputTokens).toBeGreaterThan(48_000);
  });

  it('takes the same words in a tool’s arguments for the text that they are', () => {
    const source = { type: 'base64', media_type: 'image/png', data: 'x'.repeat(50_000) };
    const asInput = messages({
      messages: [{ role: 'assistant', content: [{ type: 'tool_use', id: 't', name: 'draw', input: { type: 'image', source } }] }],
    });
    expect(taken('messages', asInput).inputTokens).toBeGreaterThan(50_000);
    const asResult = messages({
      messages: [{ role: 'user', content: [{ type: 'tool_result', tool_use_id: 't', content: [{ type: 'image', source }] }] }],
    });
    expect(taken('messages', asResult).inputTokens).toBeLessThan(15_000);
  });

  const remote: [string, ModelApi, JsonObject][] = [
    [
      'an image elsewhere',
      'chat',
      chat({ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://x.example/a.png' } }] }] }),
    ],
    ['a file', 'chat', chat({ messages: [{ role: 'user', content: [{ type: 'file', file: { file_id: 'f' } }] }] })],
    ['an earlier answer', 'responses', responses({ previous_response_id: 'r' })],
    ['a conversation', 'responses', responses({ conversation: 'c' })],
    ['a stored prompt', 'responses', responses({ prompt: { id: 'p' } })],
    ['a reference to an item', 'responses', responses({ input: [{ type: 'item_reference', id: 'i' }] })],
    [
      'an input file',
      'responses',
      responses({ input: [{ role: 'user', content: [{ type: 'input_file', file_url: 'https://x.example' }] }] }),
    ],
    ['a picture by its file id', 'responses', responses({ input: [{ role: 'user', content: [{ type: 'input_image', file_id: 'f' }] }] })],
    [
      'a PDF',
      'messages',
      messages({ messages: [{ role: 'user', content: [{ type: 'document', source: { type: 'base64', data: 'JVBE' } }] }] }),
    ],
    [
      'a document elsewhere',
      'messages',
      messages({ messages: [{ role: 'user', content: [{ type: 'document', source: { type: 'url', url: 'https://x.example' } }] }] }),
    ],
    [
      'an image by its file',
      'messages',
      messages({ messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'file', file_id: 'f' } }] }] }),
    ],
  ];
  for (const [what, api, body] of remote) {
    it(`of ${what} is the context limit, and unknown where that is`, () => {
      const request = taken(api, body);
      expect(request.needsContext).toBe(true);
      const prices = pricesFor(String(body.model), api === 'messages' ? 'anthropic' : 'openai');
      const bound = costBoundOf(request, prices);
      expect('inputTokens' in bound && bound.inputTokens).toBe(prices.contextTokens);
      expect(costBoundOf(request, { ...prices, contextTokens: null })).toMatchObject({ malformed: false });
    });
  }

  it('of text in a document is its length', () => {
    const part = { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'words' } };
    expect(taken('messages', messages({ messages: [{ role: 'user', content: [part] }] })).needsContext).toBe(false);
  });
});

describe('what cannot be bounded is refused', () => {
  const unbounded: [string, ModelApi, JsonObject][] = [
    ['a search without a limit', 'responses', responses({ tools: [{ type: 'web_search' }] })],
    ['a file search without a limit', 'responses', responses({ tools: [{ type: 'file_search', vector_store_ids: ['v'] }] })],
    [
      'code that the provider runs',
      'responses',
      responses({ tools: [{ type: 'code_interpreter', container: { type: 'auto' } }], max_tool_calls: 1 }),
    ],
    ['images that the provider makes', 'responses', responses({ tools: [{ type: 'image_generation' }], max_tool_calls: 1 })],
    [
      'MCP servers that the provider calls',
      'responses',
      responses({ tools: [{ type: 'mcp', server_url: 'https://x.example' }], max_tool_calls: 1 }),
    ],
    ['an answer in the background', 'responses', responses({ background: true })],
    ['a dearer service tier', 'chat', chat({ service_tier: 'priority' })],
    ['a search that comes with the answer', 'chat', chat({ web_search_options: {} })],
    ['a model that searches by itself', 'chat', chat({ model: 'gpt-4o-search-preview' })],
    ['a model that researches', 'responses', responses({ model: 'o3-deep-research' })],
    ['a search without a limit', 'messages', messages({ tools: [{ type: 'web_search_20250305', name: 'web_search' }] })],
    ['code that the provider runs', 'messages', messages({ tools: [{ type: 'code_execution_20250825', name: 'code_execution' }] })],
    ['MCP servers that the provider calls', 'messages', messages({ mcp_servers: [{ type: 'url', url: 'https://x.example' }] })],
    ['a container', 'messages', messages({ container: 'c' })],
    ['a faster, dearer way', 'messages', messages({ speed: 'fast' })],
    ['a place with a price of its own', 'messages', messages({ inference_geo: 'us' })],
  ];
  for (const [what, api, body] of unbounded) {
    it(`${what} (${api})`, () => expect(read(api, body)).toMatchObject({ malformed: false }));
  }

  it('but tools that the client runs, empty lists and the usual tier are not', () => {
    taken(
      'responses',
      responses({
        tools: [
          { type: 'function', name: 'f' },
          { type: 'custom', name: 'c' },
        ],
        service_tier: 'auto',
      }),
    );
    taken(
      'messages',
      messages({
        tools: [
          { name: 'f', input_schema: {} },
          { type: 'bash_20250124', name: 'bash' },
        ],
        mcp_servers: [],
      }),
    );
    taken('chat', chat({ tools: [{ type: 'function', function: { name: 'f' } }], service_tier: 'flex' }));
  });

  it('and a search with a limit counts each reading of the whole context, and each search', () => {
    const request = taken('messages', messages({ tools: [{ type: 'web_search_20250305', name: 'web_search', max_uses: 3 }] }));
    expect(request).toMatchObject({ rounds: 4, webSearches: 3, needsContext: true });
    const bound = costBoundOf(request, pricesFor('claude-haiku-4-5', 'anthropic'));
    // 4 × 200,000 tokens at 1 USD per million, and three searches at a cent.
    expect('fixedMicros' in bound && bound.fixedMicros).toBe(800_000 + 30_000);
  });
});

describe('what is not a request', () => {
  const broken: [string, ModelApi, JsonObject][] = [
    ['no model', 'chat', { messages: [] }],
    ['a model that is no name', 'chat', chat({ model: 7 })],
    ['no messages', 'chat', { model: 'gpt-4o' }],
    ['a stream that is no truth', 'chat', chat({ stream: 'yes' })],
    ['a limit below one', 'chat', chat({ max_tokens: 0 })],
    ['a limit that is no number', 'messages', messages({ max_tokens: '100' })],
    ['a fraction of a choice', 'chat', chat({ n: 1.5 })],
    ['too many choices', 'chat', chat({ n: 100_000 })],
  ];
  for (const [what, api, body] of broken) it(what, () => expect(read(api, body)).toMatchObject({ malformed: true }));
});

describe('the bound of the cost', () => {
  const limit = (request: ReturnType<typeof taken>) => request.outputTokens;

  it('knows the members that limit the output, and takes the larger of two', () => {
    expect(limit(taken('chat', chat()))).toBeNull();
    expect(limit(taken('chat', chat({ max_tokens: 5 })))).toBe(5);
    expect(limit(taken('chat', chat({ max_tokens: 5, max_completion_tokens: 9 })))).toBe(9);
    expect(limit(taken('responses', responses({ max_output_tokens: 7 })))).toBe(7);
    expect(limit(taken('messages', messages()))).toBe(100);
  });

  it('holds for every usage within the limits, choices and reasoning included', () => {
    const cases = record({
      n: option(constantFrom(1, 2, 5), { nil: 1 }),
      limit: constantFrom(1, 16, 1_000, 64_000),
      text: string({ unit: 'binary', maxLength: 2_000 }),
      model: constantFrom('gpt-4o-mini', 'gpt-5.4', 'gpt-6-sol', 'o3'),
    });
    assert(
      property(cases, ({ n, limit: tokens, text, model }) => {
        const request = taken('chat', chat({ model, n, max_completion_tokens: tokens, messages: [{ role: 'user', content: text }] }));
        const prices = pricesFor(model);
        const bound = costBoundOf(request, prices);
        if ('why' in bound) throw new Error(bound.why);
        const worst = {
          inputTokens: request.inputTokens,
          cacheWriteTokens: request.inputTokens,
          outputTokens: tokens * n,
          reasoningTokens: tokens * n,
        };
        expect(upperCost(bound, tokens)).toBeGreaterThanOrEqual(costOf(worst, prices));
      }),
      { numRuns: 500 },
    );
  });

  it('turned round says how much output an amount pays for, and not one token more', () => {
    const bound = costBoundOf(taken('messages', messages()), pricesFor('claude-haiku-4-5', 'anthropic'));
    if ('why' in bound) throw new Error(bound.why);
    for (const amount of [bound.fixedMicros, bound.fixedMicros + 4, bound.fixedMicros + 5, 1_000_000, 123_457]) {
      const tokens = affordableTokens(bound, amount);
      expect(upperCost(bound, tokens)).toBeLessThanOrEqual(amount);
      expect(upperCost(bound, tokens + 1)).toBeGreaterThan(amount);
    }
    expect(affordableTokens(bound, bound.fixedMicros - 1)).toBe(-1);
  });

  it('is dearer where the request has its input kept', () => {
    const block = (ttl?: string) => [{ type: 'text', text: 'x'.repeat(10_000), cache_control: { type: 'ephemeral', ...(ttl && { ttl }) } }];
    const fixed = (body: JsonObject) => {
      const bound = costBoundOf(taken('messages', body), pricesFor('claude-haiku-4-5', 'anthropic'));
      return 'fixedMicros' in bound ? bound.fixedMicros / bound.inputTokens : Number.NaN;
    };
    expect(fixed(messages({ system: 'x'.repeat(10_000) }))).toBeCloseTo(1, 2);
    expect(fixed(messages({ system: block() }))).toBeCloseTo(1.25, 2);
    expect(fixed(messages({ system: block('1h') }))).toBeCloseTo(2, 2);
  });
});
