/**
 * Golden streams: what providers send, chunk by chunk, and what each of them has said of usage up to there. Made after the documented
 * events of the three interfaces and the habits of servers that speak them; every text in them is ours.
 */
import type { ModelApi } from '../../policies/model-request.ts';
import type { Usage } from '../../policies/prices.ts';

export interface Chunk {
  text: string;
  /** All that the provider has said when this has come; absent = nothing new. */
  says?: Usage;
  /** It carries output. */
  isOutput?: true;
}

export interface Golden {
  name: string;
  api: ModelApi;
  chunks: readonly Chunk[];
  /** Members of the request besides model, input, limit and stream. */
  request?: object;
  /** How the provider ends it; `error` = it reports an error in the stream. */
  ends: 'whole' | 'break' | 'error';
}

interface Special {
  request?: object;
  ends?: Golden['ends'];
}
type Parts = readonly (Chunk | string)[];
const golden =
  (api: ModelApi) =>
  (name: string, parts: Parts, special: Special = {}): Golden => ({
    name,
    api,
    chunks: parts.map((part) => (typeof part === 'string' ? { text: part } : part)),
    ends: 'whole',
    ...special,
  });
const json = (value: unknown) => JSON.stringify(value);
const says = (text: string, usage: Usage): Chunk => ({ text, says: usage });
const out = (text: string): Chunk => ({ text, isOutput: true });
const crlf = (parts: Parts): Chunk[] =>
  parts
    .map((part) => (typeof part === 'string' ? { text: part } : part))
    .map((chunk) => ({ ...chunk, text: chunk.text.replaceAll('\n', '\r\n') }));

/* ---------------------------------------------------------------- chat completions */

const head = { id: 'chatcmpl-7', object: 'chat.completion.chunk', created: 1_700_000_000, model: 'test-model', system_fingerprint: 'fp_1' };
const data = (value: unknown) => `data: ${json(value)}\n\n`;
const chunk = (delta: object, finish: string | null = null, index = 0, more: object = {}) =>
  data({ ...head, choices: [{ index, delta, logprobs: null, finish_reason: finish }], ...more });
const role = chunk({ role: 'assistant', content: '', refusal: null });
const word = (content: string, index = 0, more: object = {}) => out(chunk({ content }, null, index, more));
const stop = (finish = 'stop') => chunk({}, finish);
const total = (input: number, output: number, more: object = {}) => ({
  prompt_tokens: input,
  completion_tokens: output,
  total_tokens: input + output,
  ...more,
});
const bill = (usage: object, said: Usage) => says(data({ ...head, choices: [], usage }), said);
const DONE = 'data: [DONE]\n\n';
const tool = (index: number, name: string | null, args: string) =>
  out(
    chunk({
      tool_calls: [{ index, ...(name && { id: `call_${index}`, type: 'function' }), function: { ...(name && { name }), arguments: args } }],
    }),
  );
const nulled = (content: string) => word(content, 0, { usage: null });
const plainBill = bill(total(20, 3), { inputTokens: 20, outputTokens: 3 });

const chat = golden('chat');
const CHAT: readonly Golden[] = [
  chat('plain text', [role, word('Hel'), word('lo'), word('!'), stop(), plainBill, DONE]),
  chat('usage null until the end', [
    role,
    nulled('Hel'),
    nulled('lo'),
    data({ ...head, choices: [{ index: 0, delta: {}, finish_reason: 'stop' }], usage: null }),
    plainBill,
    DONE,
  ]),
  chat('cached input', [
    role,
    word('Hi'),
    stop(),
    bill(total(1_500, 1, { prompt_tokens_details: { cached_tokens: 1_024, audio_tokens: 0 } }), {
      inputTokens: 1_500,
      cacheReadTokens: 1_024,
      inputAudioTokens: 0,
      outputTokens: 1,
    }),
    DONE,
  ]),
  chat('cached input, read and written', [
    role,
    word('Hi'),
    stop(),
    bill(total(900, 1, { prompt_tokens_details: { cached_tokens: 100, cache_write_tokens: 512 } }), {
      inputTokens: 900,
      cacheReadTokens: 100,
      cacheWriteTokens: 512,
      outputTokens: 1,
    }),
    DONE,
  ]),
  chat('hidden reasoning', [
    role,
    word('42'),
    stop(),
    bill(total(30, 210, { completion_tokens_details: { reasoning_tokens: 200, audio_tokens: 0 } }), {
      inputTokens: 30,
      outputTokens: 210,
      reasoningTokens: 200,
      outputAudioTokens: 0,
    }),
    DONE,
  ]),
  chat('reasoning that is left out of the completion', [
    role,
    word('42'),
    stop(),
    bill(
      { ...total(30, 10), total_tokens: 240, completion_tokens_details: { reasoning_tokens: 200 } },
      { inputTokens: 30, outputTokens: 210, reasoningTokens: 200 },
    ),
    DONE,
  ]),
  chat('reasoning that is shown', [
    role,
    out(chunk({ reasoning_content: 'Let me ' })),
    out(chunk({ reasoning_content: 'think.' })),
    word('42'),
    stop(),
    bill(total(30, 6, { prompt_cache_hit_tokens: 16, prompt_cache_miss_tokens: 14 }), {
      inputTokens: 30,
      cacheReadTokens: 16,
      outputTokens: 6,
    }),
    DONE,
  ]),
  chat('a tool', [
    role,
    tool(0, 'weather', ''),
    tool(0, null, '{"ci'),
    tool(0, null, 'ty":"Ulm"}'),
    stop('tool_calls'),
    bill(total(80, 17), { inputTokens: 80, outputTokens: 17 }),
    DONE,
  ]),
  chat('two tools at once', [
    role,
    tool(0, 'a', '{}'),
    tool(1, 'b', '{"x":'),
    tool(1, null, '1}'),
    stop('tool_calls'),
    bill(total(81, 20), { inputTokens: 81, outputTokens: 20 }),
    DONE,
  ]),
  chat('a tool that is no function', [
    role,
    out(chunk({ tool_calls: [{ index: 0, id: 'c', type: 'custom', custom: { name: 'sh', input: 'ls' } }] })),
    stop('tool_calls'),
    bill(total(8, 4), { inputTokens: 8, outputTokens: 4 }),
    DONE,
  ]),
  chat('a function of old', [
    role,
    out(chunk({ function_call: { name: 'f', arguments: '{' } })),
    out(chunk({ function_call: { arguments: '}' } })),
    stop('function_call'),
    bill(total(8, 5), { inputTokens: 8, outputTokens: 5 }),
    DONE,
  ]),
  chat('a refusal', [
    chunk({ role: 'assistant', refusal: '' }),
    out(chunk({ refusal: 'I can’t' })),
    out(chunk({ refusal: ' help.' })),
    stop(),
    bill(total(12, 5), { inputTokens: 12, outputTokens: 5 }),
    DONE,
  ]),
  chat('cut by a filter', [role, word('Once'), stop('content_filter'), bill(total(12, 1), { inputTokens: 12, outputTokens: 1 }), DONE]),
  chat('cut at the limit', [
    role,
    word('Once'),
    word(' upon'),
    stop('length'),
    bill(total(12, 2), { inputTokens: 12, outputTokens: 2 }),
    DONE,
  ]),
  chat(
    'two choices',
    [
      role,
      word('A'),
      word('B', 1),
      word('a'),
      chunk({}, 'stop', 0),
      word('b', 1),
      chunk({}, 'stop', 1),
      bill(total(9, 4), { inputTokens: 9, outputTokens: 4 }),
      DONE,
    ],
    { request: { n: 2 } },
  ),
  chat('letters of many bytes', [
    role,
    word('Grüße '),
    word('👩🏽‍💻'),
    word('漢字'),
    out(chunk({ content: '\u2028' }).replace('\u2028', '\\u2028')),
    stop(),
    bill(total(9, 12), { inputTokens: 9, outputTokens: 12 }),
    DONE,
  ]),
  chat('lines that end as on Windows', crlf([role, word('Hel'), word('lo'), stop(), plainBill, DONE])),
  chat('comments between', [
    ': OPENROUTER PROCESSING\n\n',
    role,
    ': ping\n\n',
    word('Hel'),
    ': ping\n\n',
    word('lo'),
    stop(),
    bill(total(20, 3, { cost: 0.00095 }), { inputTokens: 20, outputTokens: 3 }),
    DONE,
  ]),
  chat('a first chunk of filter results', [
    data({ ...head, choices: [], prompt_filter_results: [{ prompt_index: 0 }] }),
    role,
    word('Hi'),
    stop(),
    plainBill,
    DONE,
  ]),
  chat('usage beside the last choice', [
    role,
    word('Hi'),
    says(chunk({}, 'stop', 0, { usage: total(20, 3) }), { inputTokens: 20, outputTokens: 3 }),
    DONE,
  ]),
  chat('usage in every chunk', [
    role,
    { ...word('A', 0, { usage: total(20, 1) }), says: { inputTokens: 20, outputTokens: 1 } },
    { ...word('B', 0, { usage: total(20, 2) }), says: { inputTokens: 20, outputTokens: 2 } },
    says(chunk({}, 'stop', 0, { usage: total(20, 3) }), { inputTokens: 20, outputTokens: 3 }),
    DONE,
  ]),
  chat('no usage', [role, word('Hel'), word('lo'), stop(), DONE]),
  chat('usage of zero', [role, word('Hi'), stop(), bill(total(0, 0), { inputTokens: 0, outputTokens: 0 }), DONE]),
  chat('usage with empty details', [
    role,
    word('Hi'),
    stop(),
    bill(total(20, 3, { prompt_tokens_details: null, completion_tokens_details: {} }), { inputTokens: 20, outputTokens: 3 }),
    DONE,
  ]),
  chat('half a usage', [role, word('Hi'), stop(), bill({ prompt_tokens: 20 }, { inputTokens: 20 }), DONE]),
  chat('usage that is none', [
    role,
    word('Hi'),
    stop(),
    data({ ...head, choices: [], usage: { prompt_tokens: -1, completion_tokens: 'many' } }),
    DONE,
  ]),
  chat(
    'an error in the middle',
    [role, word('Hel'), data({ error: { message: 'The server had an error', type: 'server_error', code: null } })],
    { ends: 'error' },
  ),
  chat('a line that breaks in the middle', [role, word('Hel'), 'data: {"id":"chatcmpl-7","cho'], { ends: 'break' }),
  chat('nothing but its end', [DONE]),
  chat('no end', [role, word('Hi'), stop(), plainBill]),
  chat(
    'no space after the colon',
    [role, word('Hi'), stop(), plainBill]
      .map((part) => ({ ...(typeof part === 'string' ? { text: part } : part) }))
      .map((part) => ({ ...part, text: part.text.replace('data: ', 'data:') })),
  ),
  chat('a chunk on several lines', [
    role,
    out(`data: {"id":"chatcmpl-7","choices":[{"index":0,\ndata: "delta":{"content":"Hi"},"finish_reason":null}]}\n\n`),
    stop(),
    plainBill,
    DONE,
  ]),
  chat('sound', [
    role,
    out(chunk({ audio: { id: 'a', data: 'UklGRg==' } })),
    out(chunk({ audio: { transcript: 'Hi' } })),
    stop(),
    bill(total(9, 30, { completion_tokens_details: { audio_tokens: 25 } }), { inputTokens: 9, outputTokens: 30, outputAudioTokens: 25 }),
    DONE,
  ]),
];

/* ---------------------------------------------------------------- responses */

let sequence = 0;
const named = (type: string, fields: object) => `event: ${type}\ndata: ${json({ type, sequence_number: sequence++, ...fields })}\n\n`;
const answer = (status: string, more: object = {}) => ({
  id: 'resp_7',
  object: 'response',
  created_at: 1_700_000_000,
  model: 'test-model',
  status,
  output: [],
  usage: null,
  ...more,
});
const begun = () => [
  named('response.created', { response: answer('in_progress') }),
  named('response.in_progress', { response: answer('in_progress') }),
];
const item = (type: string, more: object = {}) => ({ id: `${type}_7`, type, status: 'completed', ...more });
const added = (index: number, value: object) => named('response.output_item.added', { output_index: index, item: value });
const finished = (index: number, value: object) => named('response.output_item.done', { output_index: index, item: value });
const delta = (kind: string, text: string) => out(named(`response.${kind}.delta`, { item_id: 'x', output_index: 0, delta: text }));
const spent = (input: number, output: number, cached = 0, reasoning = 0) => ({
  input_tokens: input,
  input_tokens_details: { cached_tokens: cached },
  output_tokens: output,
  output_tokens_details: { reasoning_tokens: reasoning },
  total_tokens: input + output,
});
const said = (input: number, output: number, cached = 0, reasoning = 0): Usage => ({
  inputTokens: input,
  cacheReadTokens: cached,
  outputTokens: output,
  reasoningTokens: reasoning,
});
const over = (kind: string, usage: object | null, more: object = {}) =>
  named(`response.${kind}`, { response: answer(kind, { usage, ...more }) });
const text = item('message', { role: 'assistant', content: [{ type: 'output_text', text: 'Hello', annotations: [] }] });
const searched = {
  model: 'test-search',
  tools: [{ type: 'web_search' }, { type: 'file_search', vector_store_ids: ['v'] }],
  max_tool_calls: 3,
};

const responses = golden('responses');
const RESPONSES: readonly Golden[] = [
  responses('plain text', [
    ...begun(),
    added(0, text),
    delta('output_text', 'Hel'),
    delta('output_text', 'lo'),
    finished(0, text),
    says(over('completed', spent(20, 3)), said(20, 3)),
  ]),
  responses('cached input and reasoning', [
    ...begun(),
    delta('output_text', '42'),
    says(over('completed', spent(1_500, 230, 1_024, 200)), said(1_500, 230, 1_024, 200)),
  ]),
  responses('a summary of its reasoning', [
    ...begun(),
    delta('reasoning_summary_text', 'Thinking'),
    delta('output_text', '42'),
    says(over('completed', spent(30, 80, 0, 64)), said(30, 80, 0, 64)),
  ]),
  responses('a function', [
    ...begun(),
    added(0, item('function_call', { name: 'f', arguments: '' })),
    delta('function_call_arguments', '{"a"'),
    delta('function_call_arguments', ':1}'),
    finished(0, item('function_call', { name: 'f', arguments: '{"a":1}' })),
    says(over('completed', spent(40, 12)), said(40, 12)),
  ]),
  responses('a tool of its own', [...begun(), delta('custom_tool_call_input', 'ls'), says(over('completed', spent(40, 6)), said(40, 6))]),
  responses('two items', [
    ...begun(),
    delta('output_text', 'A'),
    finished(0, text),
    delta('output_text', 'B'),
    finished(1, text),
    says(over('completed', spent(40, 9), { output: [text, text] }), said(40, 9)),
  ]),
  responses('a refusal', [...begun(), delta('refusal', 'I can’t'), says(over('completed', spent(11, 4)), said(11, 4))]),
  responses('cut at the limit', [
    ...begun(),
    delta('output_text', 'Once'),
    says(over('incomplete', spent(11, 16), { incomplete_details: { reason: 'max_output_tokens' } }), said(11, 16)),
  ]),
  responses('cut before anything is said of usage', [...begun(), delta('output_text', 'Once'), over('incomplete', null)]),
  responses(
    'a failure with its usage',
    [
      ...begun(),
      delta('output_text', 'On'),
      says(over('failed', spent(11, 1), { error: { code: 'server_error', message: 'It broke' } }), said(11, 1)),
    ],
    { ends: 'error' },
  ),
  responses('a failure without', [...begun(), over('failed', null, { error: { code: 'rate_limit_exceeded', message: 'Slow down' } })], {
    ends: 'error',
  }),
  responses(
    'an error event',
    [...begun(), delta('output_text', 'On'), named('error', { code: 'server_error', message: 'It broke', param: null })],
    { ends: 'error' },
  ),
  responses(
    'a line that breaks in the middle',
    [...begun(), delta('output_text', 'On'), 'event: response.output_text.delta\ndata: {"type":"resp'],
    { ends: 'break' },
  ),
  responses(
    'searches, counted by their items',
    [
      ...begun(),
      finished(0, item('web_search_call')),
      finished(1, item('file_search_call')),
      delta('output_text', 'Found'),
      says(
        over('completed', spent(900, 5), { output: [item('web_search_call'), item('web_search_call'), item('file_search_call'), text] }),
        { ...said(900, 5), webSearches: 2, fileSearches: 1 },
      ),
    ],
    { request: searched },
  ),
  responses('usage of zero', [...begun(), delta('output_text', 'Hi'), says(over('completed', spent(0, 0)), said(0, 0))]),
  responses('usage without details', [
    ...begun(),
    delta('output_text', 'Hi'),
    says(over('completed', { input_tokens: 4, output_tokens: 2 }), { inputTokens: 4, outputTokens: 2 }),
  ]),
  responses('no usage', [...begun(), delta('output_text', 'Hi'), over('completed', null)]),
  responses(
    'lines that end as on Windows',
    crlf([...begun(), delta('output_text', 'Hi'), says(over('completed', spent(4, 2)), said(4, 2))]),
  ),
  responses('noise that hides lengths', [
    ...begun(),
    out(named('response.output_text.delta', { delta: 'Hi', obfuscation: 'xYz1' })),
    says(over('completed', spent(4, 2)), said(4, 2)),
  ]),
];

/* ---------------------------------------------------------------- messages */

const event = (type: string, fields: object = {}) => `event: ${type}\ndata: ${json({ type, ...fields })}\n\n`;
const start = (usage: object, usageSaid: Usage) =>
  says(
    event('message_start', {
      message: {
        id: 'msg_7',
        type: 'message',
        role: 'assistant',
        model: 'test-claude',
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage,
      },
    }),
    usageSaid,
  );
const plainStart = start(
  { input_tokens: 25, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 1 },
  { inputTokens: 25, cacheReadTokens: 0, cacheWriteTokens: 0, outputTokens: 1 },
);
const open = (index: number, block: object) => event('content_block_start', { index, content_block: block });
const textBlock = open(0, { type: 'text', text: '' });
const piece = (index: number, value: object) => event('content_block_delta', { index, delta: value });
const spoken = (words: string, index = 0) => out(piece(index, { type: 'text_delta', text: words }));
const typed = (part: string, index = 1) =>
  part === ''
    ? piece(index, { type: 'input_json_delta', partial_json: '' })
    : out(piece(index, { type: 'input_json_delta', partial_json: part }));
const closed = (index = 0) => event('content_block_stop', { index });
const ended = (reason: string, usage: object, usageSaid: Usage) =>
  says(event('message_delta', { delta: { stop_reason: reason, stop_sequence: null }, usage }), usageSaid);
const plainEnd = (reason = 'end_turn', output = 7) =>
  ended(reason, { output_tokens: output }, { inputTokens: 25, cacheReadTokens: 0, cacheWriteTokens: 0, outputTokens: output });
const quit = event('message_stop');
const toolBlock = (index: number) => out(open(index, { type: 'tool_use', id: `toolu_${index}`, name: 'weather', input: {} }));

const messages = golden('messages');
const MESSAGES: readonly Golden[] = [
  messages('plain text', [plainStart, textBlock, event('ping'), spoken('Hel'), spoken('lo'), closed(), plainEnd(), quit]),
  messages('input read from the cache', [
    start(
      { input_tokens: 5, cache_read_input_tokens: 2_000, cache_creation_input_tokens: 0, output_tokens: 2 },
      { inputTokens: 2_005, cacheReadTokens: 2_000, cacheWriteTokens: 0, outputTokens: 2 },
    ),
    textBlock,
    spoken('Hi'),
    closed(),
    ended('end_turn', { output_tokens: 9 }, { inputTokens: 2_005, cacheReadTokens: 2_000, cacheWriteTokens: 0, outputTokens: 9 }),
    quit,
  ]),
  messages('input written to the cache, short and long', [
    start(
      {
        input_tokens: 5,
        cache_read_input_tokens: 0,
        cache_creation_input_tokens: 600,
        cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 500 },
        output_tokens: 1,
      },
      { inputTokens: 605, cacheReadTokens: 0, cacheWriteTokens: 600, cacheWriteLongTokens: 500, outputTokens: 1 },
    ),
    textBlock,
    spoken('Hi'),
    closed(),
    ended(
      'end_turn',
      { output_tokens: 4 },
      { inputTokens: 605, cacheReadTokens: 0, cacheWriteTokens: 600, cacheWriteLongTokens: 500, outputTokens: 4 },
    ),
    quit,
  ]),
  messages('a tool', [
    plainStart,
    textBlock,
    spoken('Let me see.'),
    closed(),
    toolBlock(1),
    typed(''),
    typed('{"ci'),
    typed('ty":"Ulm"}'),
    closed(1),
    plainEnd('tool_use', 60),
    quit,
  ]),
  messages('two tools', [
    plainStart,
    toolBlock(0),
    typed('{}', 0),
    closed(0),
    toolBlock(1),
    typed('{}'),
    closed(1),
    plainEnd('tool_use', 80),
    quit,
  ]),
  messages('thinking', [
    plainStart,
    open(0, { type: 'thinking', thinking: '', signature: '' }),
    out(piece(0, { type: 'thinking_delta', thinking: 'Hmm' })),
    piece(0, { type: 'signature_delta', signature: 'EqQB' }),
    closed(),
    open(1, { type: 'text', text: '' }),
    spoken('42', 1),
    closed(1),
    plainEnd('end_turn', 90),
    quit,
  ]),
  messages('thinking that is not shown', [
    plainStart,
    open(0, { type: 'redacted_thinking', data: 'EmwK' }),
    closed(),
    open(1, { type: 'text', text: '' }),
    spoken('42', 1),
    closed(1),
    plainEnd('end_turn', 200),
    quit,
  ]),
  messages(
    'a search of the provider',
    [
      plainStart,
      open(0, { type: 'server_tool_use', id: 's', input: {} }),
      typed('{"query":"x"}', 0),
      closed(),
      open(1, { type: 'web_search_tool_result', tool_use_id: 's', content: [] }),
      closed(1),
      open(2, { type: 'text', text: '' }),
      spoken('Found', 2),
      closed(2),
      ended(
        'end_turn',
        { input_tokens: 4_025, output_tokens: 50, server_tool_use: { web_search_requests: 1 } },
        { inputTokens: 4_025, cacheReadTokens: 0, cacheWriteTokens: 0, outputTokens: 50, webSearches: 1 },
      ),
      quit,
    ],
    {
      request: { model: 'test-search', tools: [{ type: 'web_search_20250305', name: 'web_search', max_uses: 2 }] },
    },
  ),
  messages('a turn that is paused', [plainStart, textBlock, spoken('Wait'), closed(), plainEnd('pause_turn'), quit]),
  messages('a refusal', [plainStart, textBlock, spoken('No'), closed(), plainEnd('refusal', 3), quit]),
  messages('cut at the limit', [plainStart, textBlock, spoken('Once'), closed(), plainEnd('max_tokens', 16), quit]),
  messages('a stop sequence', [plainStart, textBlock, spoken('1 2'), closed(), plainEnd('stop_sequence', 4), quit]),
  messages('nothing said', [plainStart, plainEnd('end_turn', 1), quit]),
  messages('usage of zero', [
    start({ input_tokens: 0, output_tokens: 0 }, { inputTokens: 0, outputTokens: 0 }),
    textBlock,
    spoken('Hi'),
    closed(),
    ended('end_turn', { output_tokens: 0 }, { inputTokens: 0, outputTokens: 0 }),
    quit,
  ]),
  messages('usage whole at the end', [
    start({ input_tokens: 25, output_tokens: 1 }, { inputTokens: 25, outputTokens: 1 }),
    textBlock,
    spoken('Hi'),
    closed(),
    ended(
      'end_turn',
      { input_tokens: 30, cache_read_input_tokens: 10, output_tokens: 9 },
      { inputTokens: 40, cacheReadTokens: 10, outputTokens: 9 },
    ),
    quit,
  ]),
  messages('usage with nothing in some members', [
    start(
      { input_tokens: 25, cache_creation_input_tokens: null, cache_read_input_tokens: null, output_tokens: 1 },
      { inputTokens: 25, outputTokens: 1 },
    ),
    textBlock,
    spoken('Hi'),
    closed(),
    ended('end_turn', { output_tokens: 9, cache_read_input_tokens: null }, { inputTokens: 25, outputTokens: 9 }),
    quit,
  ]),
  messages('a context that was shortened on the way', [
    plainStart,
    textBlock,
    spoken('Hi'),
    closed(),
    ended(
      'end_turn',
      {
        input_tokens: 100,
        output_tokens: 9,
        iterations: [
          { type: 'compaction', input_tokens: 9_000, output_tokens: 300 },
          { type: 'message', input_tokens: 100, output_tokens: 9 },
        ],
      },
      { inputTokens: 9_100, cacheReadTokens: 0, cacheWriteTokens: 0, outputTokens: 309 },
    ),
    quit,
  ]),
  messages('no usage at the end', [
    plainStart,
    textBlock,
    spoken('Hi'),
    closed(),
    event('message_delta', { delta: { stop_reason: 'end_turn' } }),
    quit,
  ]),
  messages('no usage at all', [
    event('message_start', { message: { id: 'msg_7', type: 'message', role: 'assistant', content: [] } }),
    textBlock,
    spoken('Hi'),
    closed(),
    event('message_delta', { delta: { stop_reason: 'end_turn' } }),
    quit,
  ]),
  messages(
    'an error in the middle',
    [plainStart, textBlock, spoken('Hel'), event('error', { error: { type: 'overloaded_error', message: 'Overloaded' } })],
    { ends: 'error' },
  ),
  messages(
    'a line that breaks in the middle',
    [plainStart, textBlock, spoken('Hel'), 'event: content_block_delta\ndata: {"type":"content_'],
    { ends: 'break' },
  ),
  messages('lines that end as on Windows', crlf([plainStart, textBlock, spoken('Hi'), closed(), plainEnd(), quit])),
];

/** Every golden stream. */
export const GOLDEN: readonly Golden[] = [...CHAT, ...RESPONSES, ...MESSAGES];

/** What the provider has said when `count` chunks have come, and whether output came that this does not cover. */
export function saidBy({ chunks }: Golden, count: number): { usage: Usage | null; isExact: boolean } {
  let usage: Usage | null = null;
  let isCovered = true;
  for (const part of chunks.slice(0, count)) {
    if (part.says !== undefined) {
      usage = part.says;
      isCovered = true;
    } else if (part.isOutput === true) isCovered = false;
  }
  return { usage, isExact: usage?.inputTokens !== undefined && usage.outputTokens !== undefined && isCovered };
}
