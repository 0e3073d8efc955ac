/**
 * What a model call used, read from the provider's answer as it goes by: OpenAI chat completions and responses, Anthropic messages, as
 * JSON and as a stream. Only what was said counts: a part that is missing is absent, which is not zero. What goes on to the client are
 * the bytes that came, event by event, apart from the usage that we asked for and it did not.
 */
import type { Json, JsonObject } from '../policies/index.ts';
import type { ModelApi } from '../policies/model-request.ts';
import type { Usage } from '../policies/prices.ts';
import { withoutMember } from './json-members.ts';

/** What an answer in one piece says. */
export interface AnswerReading {
  usage: Usage | null;
  /** Why it ended, in the provider's word. */
  finish: string | null;
}

/** Reads an answer in one piece. */
export function readAnswer(api: ModelApi, body: Json): AnswerReading {
  if (!isObject(body)) return { usage: null, finish: null };
  switch (api) {
    case 'chat': {
      const first = Array.isArray(body.choices) ? body.choices[0] : null;
      return { usage: chatUsage(body.usage), finish: isObject(first) ? textOf(first.finish_reason) : null };
    }
    case 'responses':
      return { usage: withSearches(responsesUsage(body.usage), body.output), finish: textOf(body.status) };
    case 'messages':
      return { usage: messagesUsage(body.usage), finish: textOf(body.stop_reason) };
  }
}

/** How a stream is ended by us: at the cap as if the limit had been reached, otherwise with an error of its protocol. */
export type Ending = { kind: 'limit' } | { kind: 'error'; code: string; message: string };

export interface MeterOptions {
  /** The usage was not asked for by the client: it is taken out of a stream of chat completions again. */
  stripUsage: boolean;
  /** Largest event, bytes. */
  eventMaxBytes: number;
  /** Asked about each event before it goes on; false ends the stream there, as if the limit had been reached. */
  mayGoOn: (meter: StreamMeter) => boolean;
}

/** Reads a stream as it goes by. Lines end with LF or CRLF, as those of every provider do. */
export function createMeter(api: ModelApi, options: MeterOptions): StreamMeter {
  switch (api) {
    case 'chat':
      return new ChatMeter(options);
    case 'responses':
      return new ResponsesMeter(options);
    case 'messages':
      return new MessagesMeter(options);
  }
}

/** An event larger than allowed. */
export class StreamTooLarge extends Error {}

export abstract class StreamMeter {
  /** What the provider has said up to here. */
  usage: Usage | null = null;
  /** Pieces of output. A provider sends none without a token in it, so there are at least as many tokens. */
  pieces = 0;
  /** Bytes of output that came after the usage was said last, or of all where it was not. A token is a byte at least. */
  unsaidBytes = 0;
  finish: string | null = null;
  /** An error that the provider reported within the stream. */
  error: string | null = null;
  /** The stream has come to its own end, or was ended by us. */
  isOver = false;
  isCut = false;
  protected readonly options: MeterOptions;
  #rest: Buffer = NOTHING;
  #searched = 0;

  constructor(options: MeterOptions) {
    this.options = options;
  }

  /** Takes in what came. @returns what goes on: whole events only. @throws StreamTooLarge */
  push(chunk: Buffer): Buffer {
    if (this.isCut) return NOTHING;
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const out: Buffer[] = [];
    for (let end = this.#endOfEvent(); end > 0 && !this.isCut; end = this.#endOfEvent()) {
      const raw = this.#rest.subarray(0, end);
      this.#rest = this.#rest.subarray(end);
      this.#searched = 0;
      const passed = this.#pass(raw);
      if (passed !== null) out.push(passed);
    }
    if (this.#rest.length > this.options.eventMaxBytes)
      throw new StreamTooLarge(`an event is larger than ${this.options.eventMaxBytes} bytes`);
    const [first] = out;
    return first !== undefined && out.length === 1 ? first : Buffer.concat(out);
  }

  /** What is left where the provider ended in the middle of an event. */
  rest(): Buffer {
    return this.isCut ? NOTHING : this.#rest;
  }

  /** The events that end the stream for the client now. */
  end(ending: Ending): Buffer {
    this.isOver = true;
    this.isCut = true;
    return Buffer.from(this.ending(ending));
  }

  /** Reads the data of an event. */
  protected abstract observe(data: JsonObject): void;
  protected abstract ending(ending: Ending): string;

  /** @returns the event as it goes on; null where it does not. */
  protected rewrite(raw: Buffer, _text: string, _data: JsonObject): Buffer | null {
    return raw;
  }

  protected said(usage: Usage | null): void {
    if (usage === null) return;
    this.usage = usage;
    this.unsaidBytes = 0;
  }

  protected produced(...texts: (Json | undefined)[]): void {
    let bytes = 0;
    for (const text of texts) if (typeof text === 'string') bytes += Buffer.byteLength(text);
    if (bytes === 0) return;
    this.pieces++;
    this.unsaidBytes += bytes;
  }

  #pass(raw: Buffer): Buffer | null {
    const text = raw.toString('utf8');
    const data = dataOf(text);
    if (data === null) return raw;
    if (data === '[DONE]') {
      this.isOver = true;
      return raw;
    }
    const value = parsed(data);
    if (!isObject(value)) return raw;
    this.observe(value);
    if (!this.options.mayGoOn(this)) return this.end({ kind: 'limit' });
    return this.rewrite(raw, text, value);
  }

  /** Behind the blank line that ends the next event; 0 where it is not whole yet. */
  #endOfEvent(): number {
    const bytes = this.#rest;
    for (let at = bytes.indexOf(LF, this.#searched); at >= 0; at = bytes.indexOf(LF, at + 1)) {
      const next = bytes[at + 1] === CR ? at + 2 : at + 1;
      if (bytes[next] === LF) return next + 1;
      // An event that begins with a blank line is one of nothing.
      if (at === 0 || (at === 1 && bytes[0] === CR)) return at + 1;
    }
    this.#searched = Math.max(0, bytes.length - 3);
    return 0;
  }
}

/* ---------------------------------------------------------------- chat completions */

class ChatMeter extends StreamMeter {
  #head: JsonObject = {};
  /** By index, whether it has ended. */
  readonly #choices = new Map<number, boolean>();

  protected observe(data: JsonObject): void {
    if (data.error !== undefined && data.error !== null) this.error = errorText(data.error);
    if (typeof data.id === 'string') this.#head = { id: data.id, created: data.created ?? 0, model: data.model ?? '' };
    for (const choice of Array.isArray(data.choices) ? data.choices : []) if (isObject(choice)) this.#choice(choice);
    this.said(chatUsage(data.usage));
  }

  #choice(choice: JsonObject): void {
    const index = typeof choice.index === 'number' ? choice.index : 0;
    const finish = textOf(choice.finish_reason);
    this.#choices.set(index, finish !== null || this.#choices.get(index) === true);
    if (finish !== null) this.finish = finish;
    if (!isObject(choice.delta)) return;
    const { content, refusal, reasoning, reasoning_content: thought, tool_calls: tools, function_call: called, audio } = choice.delta;
    const calls = Array.isArray(tools) ? tools.flatMap((tool) => (isObject(tool) ? [tool.function, tool.custom] : [])) : [];
    const parts = [...calls, called].filter(isObject).flatMap(({ name, arguments: args, input }) => [name, args, input]);
    const sound = isObject(audio) ? [audio.transcript, audio.data] : [];
    this.produced(content, refusal, reasoning ?? thought, ...parts, ...sound);
  }

  /** Without `include_usage` no chunk has a member "usage", and the one that has nothing else does not exist. */
  protected override rewrite(raw: Buffer, text: string, data: JsonObject): Buffer | null {
    if (!this.options.stripUsage || data.usage === undefined) return raw;
    if (data.usage !== null && Array.isArray(data.choices) && data.choices.length === 0) return null;
    const json = dataOf(text);
    if (json === null || !text.includes(json)) return raw;
    return Buffer.from(text.replace(json, () => withoutMember(json, 'usage')));
  }

  protected ending(ending: Ending): string {
    if (ending.kind === 'error') return event(null, { error: openAiError(ending) }) + DONE;
    const indexes = this.#choices.size === 0 ? [0] : [...this.#choices].flatMap(([index, isEnded]) => (isEnded ? [] : [index]));
    const choices = indexes.map((index) => ({ index, delta: {}, logprobs: null, finish_reason: 'length' }));
    return event(null, { object: 'chat.completion.chunk', ...this.#head, choices }) + DONE;
  }
}

const DONE = 'data: [DONE]\n\n';

function chatUsage(given: Json | undefined): Usage | null {
  if (!isObject(given)) return null;
  const { prompt_tokens_details: input, completion_tokens_details: output } = given;
  const inputTokens = countOf(given.prompt_tokens);
  const completion = countOf(given.completion_tokens);
  const total = countOf(given.total_tokens);
  // Some providers leave reasoning out of the completion and count it in the total only.
  const hidden = total !== undefined && inputTokens !== undefined ? total - inputTokens : undefined;
  return usageWith({
    inputTokens,
    cacheReadTokens: countIn(input, 'cached_tokens') ?? countOf(given.prompt_cache_hit_tokens),
    cacheWriteTokens: countIn(input, 'cache_write_tokens'),
    inputAudioTokens: countIn(input, 'audio_tokens'),
    outputTokens: completion !== undefined && hidden !== undefined && hidden > completion ? hidden : completion,
    reasoningTokens: countIn(output, 'reasoning_tokens'),
    outputAudioTokens: countIn(output, 'audio_tokens'),
  });
}

/* ---------------------------------------------------------------- responses */

class ResponsesMeter extends StreamMeter {
  #response: JsonObject | null = null;
  #sequence = -1;
  #items: Json[] = [];

  protected observe(data: JsonObject): void {
    if (typeof data.sequence_number === 'number') this.#sequence = data.sequence_number;
    switch (data.type) {
      case 'error':
        this.error = errorText(data);
        this.isOver = true;
        return;
      case 'response.output_item.done':
        if (isObject(data.item)) this.#items.push(data.item);
        return;
      case 'response.completed':
      case 'response.incomplete':
      case 'response.failed':
        this.isOver = true;
        break;
      default:
        break;
    }
    if (isObject(data.response)) this.#answer(data.response);
    else if (typeof data.type === 'string' && data.type.endsWith('.delta')) this.produced(data.delta);
  }

  #answer(response: JsonObject): void {
    this.#response = response;
    if (this.isOver) this.finish = textOf(response.status);
    if (isObject(response.error)) this.error = errorText(response.error);
    this.said(withSearches(responsesUsage(response.usage), response.output));
  }

  protected ending(ending: Ending): string {
    const sequence_number = this.#sequence + 1;
    if (ending.kind === 'error' || this.#response === null) {
      const { code, message } = ending.kind === 'error' ? ending : LIMIT_ERROR;
      return event('error', { type: 'error', code, message, param: null, sequence_number });
    }
    const details = { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } };
    const response = { ...this.#response, ...details, output: this.#items };
    return event('response.incomplete', { type: 'response.incomplete', response, sequence_number });
  }
}

function responsesUsage(given: Json | undefined): Usage | null {
  if (!isObject(given)) return null;
  const { input_tokens_details: input, output_tokens_details: output } = given;
  return usageWith({
    inputTokens: countOf(given.input_tokens),
    cacheReadTokens: countIn(input, 'cached_tokens'),
    cacheWriteTokens: countIn(input, 'cache_write_tokens'),
    inputAudioTokens: undefined,
    outputTokens: countOf(given.output_tokens),
    reasoningTokens: countIn(output, 'reasoning_tokens'),
    outputAudioTokens: undefined,
  });
}

/** Searches are no tokens: the items of the answer tell how many there were. */
function withSearches(usage: Usage | null, output: Json | undefined): Usage | null {
  if (usage === null || !Array.isArray(output)) return usage;
  const count = (type: string) => output.filter((item) => isObject(item) && item.type === type).length;
  const webSearches = count('web_search_call');
  const fileSearches = count('file_search_call');
  return { ...usage, ...(webSearches > 0 && { webSearches }), ...(fileSearches > 0 && { fileSearches }) };
}

/* ---------------------------------------------------------------- messages */

class MessagesMeter extends StreamMeter {
  /** What was said so far, member by member: a later event repeats only what changed. */
  #given: JsonObject = {};
  #isStarted = false;
  #openBlock: number | null = null;

  protected observe(data: JsonObject): void {
    switch (data.type) {
      case 'message_start':
        this.#isStarted = true;
        if (isObject(data.message)) this.#saidOf(data.message.usage);
        return;
      case 'content_block_start':
        this.#openBlock = typeof data.index === 'number' ? data.index : 0;
        if (isObject(data.content_block)) this.#block(data.content_block);
        return;
      case 'content_block_delta':
        if (isObject(data.delta)) this.#delta(data.delta);
        return;
      case 'content_block_stop':
        this.#openBlock = null;
        return;
      case 'message_delta':
        if (isObject(data.delta)) this.finish = textOf(data.delta.stop_reason) ?? this.finish;
        this.#saidOf(data.usage);
        return;
      case 'message_stop':
        this.isOver = true;
        return;
      case 'error':
        this.error = errorText(data.error);
        this.isOver = true;
        return;
      default:
        return;
    }
  }

  #block({ name, text, thinking }: JsonObject): void {
    this.produced(name, text, thinking);
  }

  #delta({ text, partial_json: json, thinking }: JsonObject): void {
    this.produced(text, json, thinking);
  }

  #saidOf(usage: Json | undefined): void {
    if (!isObject(usage)) return;
    for (const [name, value] of Object.entries(usage)) if (value !== null) this.#given[name] = value;
    this.said(messagesUsage(this.#given));
  }

  protected ending(ending: Ending): string {
    if (ending.kind === 'error' || !this.#isStarted) {
      const { message } = ending.kind === 'error' ? ending : LIMIT_ERROR;
      return event('error', { type: 'error', error: { type: 'api_error', message } });
    }
    const stop = this.#openBlock === null ? '' : event('content_block_stop', { type: 'content_block_stop', index: this.#openBlock });
    const usage = { output_tokens: Math.max(this.pieces, this.usage?.outputTokens ?? 0) };
    const delta = { stop_reason: 'max_tokens', stop_sequence: null };
    return `${stop}${event('message_delta', { type: 'message_delta', delta, usage })}${event('message_stop', { type: 'message_stop' })}`;
  }
}

/** Input tokens come without the cached ones; where the context was shortened on the way, the rounds tell what is charged. */
function messagesUsage(given: Json | undefined): Usage | null {
  if (!isObject(given)) return null;
  const rounds = Array.isArray(given.iterations) ? given.iterations.filter(isObject) : [];
  const sum = (name: string): number | undefined => {
    const counts = rounds.flatMap((round) => countOf(round[name]) ?? []);
    return counts.length === 0 ? countOf(given[name]) : counts.reduce((total, count) => total + count, 0);
  };
  const fresh = sum('input_tokens');
  const cacheReadTokens = sum('cache_read_input_tokens');
  const cacheWriteTokens = sum('cache_creation_input_tokens');
  return usageWith({
    inputTokens: fresh === undefined ? undefined : fresh + (cacheReadTokens ?? 0) + (cacheWriteTokens ?? 0),
    cacheReadTokens,
    cacheWriteTokens,
    cacheWriteLongTokens: countIn(given.cache_creation, 'ephemeral_1h_input_tokens'),
    outputTokens: sum('output_tokens'),
    webSearches: countIn(given.server_tool_use, 'web_search_requests'),
  });
}

/* ---------------------------------------------------------------- parts */

const LF = 0x0a;
const CR = 0x0d;
const NOTHING = Buffer.alloc(0);
const LIMIT_ERROR = { code: 'BUDGET_RUN', message: 'The answer was cut at the budget before it began.' };

/** Parts that were said; null where none was. */
function usageWith(parts: { [Part in keyof Usage]: number | undefined }): Usage | null {
  const said = Object.entries(parts).filter(([, count]) => count !== undefined);
  return said.length === 0 ? null : (Object.fromEntries(said) as Usage);
}

function countOf(value: Json | undefined): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

function countIn(value: Json | undefined, name: string): number | undefined {
  return isObject(value) ? countOf(value[name]) : undefined;
}

/** The joined data lines of an event; null where it has none. */
function dataOf(text: string): string | null {
  if (!text.includes('data')) return null;
  let data: string | null = null;
  for (const line of text.split('\n')) {
    if (!line.startsWith('data')) continue;
    const value = line.startsWith('data: ') ? line.slice(6) : line.startsWith('data:') ? line.slice(5) : null;
    if (value === null) continue;
    const plain = value.endsWith('\r') ? value.slice(0, -1) : value;
    data = data === null ? plain : `${data}\n${plain}`;
  }
  return data;
}

function parsed(data: string): Json {
  try {
    return JSON.parse(data) as Json;
  } catch {
    return null;
  }
}

function event(name: string | null, data: unknown): string {
  return `${name === null ? '' : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`;
}

/** An error in OpenAI's shape. */
export function openAiError({ code, message }: { code: string; message: string }) {
  return { message, type: 'invalid_request_error', param: null, code };
}

function errorText(error: Json | undefined): string {
  if (typeof error === 'string') return error;
  return isObject(error) && typeof error.message === 'string' ? error.message : 'the provider reported an error';
}

function textOf(value: Json | undefined): string | null {
  return typeof value === 'string' ? value : null;
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
