/**
 * What a request to a model can cost at most, read from its body before anything is sent: which model, how much input at the most, how
 * much output at the most, and what of it the proxy may lower. What cannot be bounded says so, and is refused (SPEC 5).
 *
 * The bound of text is its length in UTF-8 bytes: a token of any tokenizer stands for at least one byte, and the JSON around the
 * texts is longer than what a provider puts in its place (role markers, a tool's signature). Media count by what a provider makes
 * of them at most, what is kept at the provider by the context limit.
 */
import type { Json, JsonObject, Micros } from './model.ts';
import { dearestInputCost, dearestOutputRate, type ModelPrices, PICOS_PER_MICRO, roundUp, searchCost } from './prices.ts';

/** The three interfaces that are metered. */
export const MODEL_APIS = ['chat', 'responses', 'messages'] as const;
export type ModelApi = (typeof MODEL_APIS)[number];

export interface ModelRequest {
  api: ModelApi;
  model: string;
  stream: boolean;
  /** Whether the stream is asked to end with its usage (chat completions only; the others always do). */
  includesUsage: boolean;
  /** The members of the body that limit the output, with what they say; empty where there is none. */
  limits: readonly { member: string; tokens: number }[];
  /** Output tokens of one choice at most, as the request says; null = it does not. */
  outputTokens: number | null;
  /** With a lower limit the request would be refused, or could not say anything. */
  leastOutputTokens: number;
  /** Independent answers to the same input. */
  choices: number;
  /** Output beyond the limit that may be charged: a rejected prediction. */
  extraOutputTokens: number;
  /** Input tokens at most; without those that only the context limit bounds. */
  inputTokens: number;
  /** Something of the input is not in the request: then its bound is the context limit. */
  needsContext: boolean;
  /** How often the provider may read the whole input again by itself (searches, compaction), the first time included. */
  rounds: number;
  webSearches: number;
  fileSearches: number;
  cacheWrites: 'none' | 'short' | 'long';
  /** Audio goes in, comes out. */
  audioInput: boolean;
  audioOutput: boolean;
  /** For the record: how many messages and tools. */
  messages: number;
  tools: number;
}

/** Why a request is not taken. `malformed`: it is not a request of this interface. */
export interface Unbounded {
  malformed: boolean;
  why: string;
}

/**
 * Reads a request.
 * @param bytes length of the body in UTF-8. @returns what it can cost at most, or why that cannot be said.
 */
export function readModelRequest(api: ModelApi, body: JsonObject, bytes: number): ModelRequest | Unbounded {
  const { model, stream } = body;
  if (typeof model !== 'string' || model === '' || model.length > 200) return malformed('"model" must be a name');
  if (stream !== undefined && stream !== null && typeof stream !== 'boolean') return malformed('"stream" must be true or false');
  const list = body[api === 'responses' ? 'input' : 'messages'];
  if (api !== 'responses' && !Array.isArray(list)) return malformed('"messages" must be a list');

  const limits: { member: string; tokens: number }[] = [];
  for (const member of LIMIT_MEMBERS[api]) {
    const tokens = body[member];
    if (tokens === undefined || tokens === null) continue;
    if (!isCount(tokens) || tokens === 0) return malformed(`"${member}" must be a whole number above 0`);
    limits.push({ member, tokens });
  }
  const choices = api === 'chat' && body.n !== undefined && body.n !== null ? body.n : 1;
  if (!isCount(choices) || choices < 1 || choices > 1_000) return malformed('"n" must be a whole number from 1 to 1000');

  const unpriced = findUnpriced(api, model, body);
  if (unpriced !== null) return { malformed: false, why: unpriced };
  const tools = readTools(api, body);
  if ('why' in tools) return { malformed: false, why: tools.why };
  const found = readParts(api, body, model);
  return {
    api,
    model,
    stream: stream === true,
    includesUsage: api !== 'chat' || (isObject(body.stream_options) && body.stream_options.include_usage === true),
    limits,
    outputTokens: limits.length === 0 ? null : Math.max(...limits.map(({ tokens }) => tokens)),
    leastOutputTokens: leastOutputOf(api, body),
    choices,
    extraOutputTokens: api === 'chat' && body.prediction ? bytes : 0,
    inputTokens: Math.max(0, bytes - found.mediaChars) + found.mediaTokens + OVERHEAD_TOKENS + tools.overheadTokens,
    needsContext: found.needsContext || tools.rounds > 1 || readsStoredContext(api, body),
    rounds: tools.rounds + compactions(api, body),
    webSearches: tools.webSearches,
    fileSearches: tools.fileSearches,
    // OpenAI's caches fill themselves; Anthropic's are written where the request says so.
    cacheWrites: api === 'messages' ? cacheWritesIn(body, 0) : 'short',
    audioInput: found.audio,
    audioOutput: api === 'chat' && (body.audio !== undefined || (Array.isArray(body.modalities) && body.modalities.includes('audio'))),
    messages: Array.isArray(list) ? list.length : list === undefined ? 0 : 1,
    tools: Array.isArray(body.tools) ? body.tools.length : 0,
  };
}

/** Members that limit the output. */
const LIMIT_MEMBERS: Readonly<Record<ModelApi, readonly string[]>> = Object.freeze({
  chat: ['max_completion_tokens', 'max_tokens'],
  responses: ['max_output_tokens'],
  messages: ['max_tokens'],
});

/**
 * The member that limits the output of a request that has none. OpenAI's newer models refuse `max_tokens`, most other servers know
 * nothing else.
 */
export function limitMemberFor(api: ModelApi, model: string, isOpenAi: boolean): string {
  switch (api) {
    case 'chat':
      return isOpenAi || /^(?:o\d|gpt-[5-9]|chatgpt-)/.test(model) ? 'max_completion_tokens' : 'max_tokens';
    case 'responses':
      return 'max_output_tokens';
    case 'messages':
      return 'max_tokens';
  }
}

/** The responses interface takes no limit below 16; thinking takes its own budget out of the limit. */
const LEAST_OUTPUT_TOKENS = 16;

function leastOutputOf(api: ModelApi, body: JsonObject): number {
  const budget = api === 'messages' && isObject(body.thinking) ? body.thinking.budget_tokens : undefined;
  return Math.max(LEAST_OUTPUT_TOKENS, isCount(budget) ? budget + 1 : 0);
}

/** What a request costs at most, as a function of its output limit. */
export interface CostBound {
  /** Everything besides the output, micro-dollars. */
  fixedMicros: Micros;
  /** One token of the output limit, pico-dollars, all choices counted. */
  outputRate: bigint;
  /** One token of output, pico-dollars. */
  tokenRate: bigint;
  /** Input tokens at most. */
  inputTokens: number;
}

/** @returns the bound at these prices, or why there is none. */
export function costBoundOf(request: ModelRequest, prices: ModelPrices): CostBound | Unbounded {
  const { needsContext, rounds, choices, webSearches, fileSearches } = request;
  if (needsContext && prices.contextTokens === null)
    return { malformed: false, why: `part of the input is not in the request, and how much ${request.model} can hold is not known` };
  const once = needsContext ? Math.max(request.inputTokens, prices.contextTokens ?? 0) : request.inputTokens;
  const inputTokens = once * rounds;
  const web = searchCost('web', webSearches, prices);
  const file = searchCost('file', fileSearches, prices);
  if (web === null || file === null) return { malformed: false, why: `what a search of ${request.model} costs is not known` };
  const each = dearestOutputRate(inputTokens, request.audioOutput, prices);
  const input = dearestInputCost(inputTokens, { cacheWrites: request.cacheWrites, audio: request.audioInput }, prices);
  return {
    fixedMicros: input + web + file + roundUp(each * BigInt(request.extraOutputTokens)),
    outputRate: each * BigInt(choices * rounds),
    tokenRate: each,
    inputTokens,
  };
}

/** What a request with this output limit costs at most. */
export function upperCost({ fixedMicros, outputRate }: CostBound, outputTokens: number): Micros {
  return fixedMicros + roundUp(outputRate * BigInt(outputTokens));
}

/** The largest output limit that an amount pays for; negative where it does not pay for the rest. */
export function affordableTokens({ fixedMicros, outputRate }: CostBound, micros: Micros): number {
  if (micros < fixedMicros) return -1;
  if (outputRate === 0n) return Number.MAX_SAFE_INTEGER;
  return Number((BigInt(micros - fixedMicros) * PICOS_PER_MICRO) / outputRate);
}

/** What a provider puts around the messages by itself (an empty system prompt, the marker of the answer). */
const OVERHEAD_TOKENS = 512;
/** Anthropic's own tools bring instructions that are not in the request; the longest known takes about 1,100 tokens. */
const PROVIDER_TOOL_TOKENS = 3_000;

/**
 * One image at most. OpenAI: 8 tiles of a model that takes 5,667 a tile, or 10,000 patches at the dearest factor; Anthropic: 4,784.
 */
const TILED_MINI_IMAGE_TOKENS = 48_200;
const IMAGE_TOKENS = 12_500;
const DEPTH_MAX = 64;

interface Found {
  mediaTokens: number;
  /** Characters of the body that are media and not text. */
  mediaChars: number;
  needsContext: boolean;
  audio: boolean;
}

/**
 * Looks through the parts of the messages for what does not count by its length. Only where a provider takes it for media: the same
 * words inside a tool's arguments are text, however long.
 */
function readParts(api: ModelApi, body: JsonObject, model: string): Found {
  const found: Found = { mediaTokens: 0, mediaChars: 0, needsContext: false, audio: false };
  const list = body[api === 'responses' ? 'input' : 'messages'];
  if (!Array.isArray(list)) return found;
  for (const item of list) {
    if (!isObject(item)) continue;
    if (item.type === 'item_reference') found.needsContext = true;
    for (const part of partsOf(item.content)) readPart(part, found, model);
    // What a tool of the responses interface gave back: parts, or one screenshot.
    if (api === 'responses') for (const part of partsOf(item.output)) readPart(part, found, model);
  }
  return found;
}

function partsOf(content: Json | undefined): JsonObject[] {
  if (Array.isArray(content)) return content.filter(isObject);
  return isObject(content) ? [content] : [];
}

function readPart(part: JsonObject, found: Found, model: string): void {
  switch (part.type) {
    case 'image_url':
      image(isObject(part.image_url) ? part.image_url.url : part.image_url, found, model);
      return;
    case 'input_image':
    case 'computer_screenshot':
      image(part.image_url, found, model);
      return;
    case 'image':
      if (isObject(part.source) && part.source.type === 'base64') inlineImage(part.source.data, found, model);
      else found.needsContext = true;
      return;
    case 'document':
      // Pages of a PDF are read as text and as images; only plain text counts by its length.
      if (!isObject(part.source) || (part.source.type !== 'text' && part.source.type !== 'content')) found.needsContext = true;
      else for (const inner of partsOf(part.source.content)) readPart(inner, found, model);
      return;
    case 'tool_result':
      for (const inner of partsOf(part.content)) readPart(inner, found, model);
      return;
    case 'input_audio':
      // Ten tokens a second; no codec says a second in fewer bytes than that.
      found.audio = true;
      return;
    case 'file':
    case 'input_file':
    case 'container_upload':
    case 'audio_url':
    case 'video_url':
    case 'input_video':
    case 'video':
      found.needsContext = true;
      return;
    default:
      return;
  }
}

/** Whether and for how long the request has the provider keep its input; wherever it stands, since it only makes the bound dearer. */
function cacheWritesIn(value: Json, depth: number): 'none' | 'short' | 'long' {
  if (typeof value !== 'object' || value === null || depth > DEPTH_MAX) return 'none';
  let writes: 'none' | 'short' | 'long' = 'none';
  if (!Array.isArray(value) && isObject(value.cache_control)) {
    if (value.cache_control.ttl === '1h') return 'long';
    writes = 'short';
  }
  for (const part of Array.isArray(value) ? value : Object.values(value)) {
    const inner = cacheWritesIn(part, depth + 1);
    if (inner === 'long') return 'long';
    if (inner === 'short') writes = 'short';
  }
  return writes;
}

/** An image by its address: inside the request, or somewhere else and so of unknown size. */
function image(url: Json | undefined, found: Found, model: string): void {
  if (typeof url === 'string' && url.startsWith('data:')) inlineImage(url, found, model);
  else found.needsContext = true;
}

function inlineImage(data: Json | undefined, found: Found, model: string): void {
  if (typeof data !== 'string') return;
  found.mediaChars += data.length;
  found.mediaTokens += /4o-mini/i.test(model) ? TILED_MINI_IMAGE_TOKENS : IMAGE_TOKENS;
}

/** Input that is kept at the provider and comes on top of what the request carries. */
function readsStoredContext(api: ModelApi, body: JsonObject): boolean {
  if (api !== 'responses') return false;
  const names = ['previous_response_id', 'conversation', 'prompt'];
  return names.some((name) => body[name] !== undefined && body[name] !== null);
}

/** What changes prices in a way that no table says, or spends where nobody counts; null = nothing. */
function findUnpriced(api: ModelApi, model: string, body: JsonObject): string | null {
  if (/deep-research|search-(preview|api)/i.test(model)) return `${model} searches by itself as often as it likes`;
  const tier = body.service_tier;
  if (api === 'messages') {
    if (body.speed !== undefined && body.speed !== 'standard') return 'a "speed" other than standard has a price of its own';
    if (body.inference_geo !== undefined && body.inference_geo !== null && body.inference_geo !== 'global')
      return 'an "inference_geo" has a price of its own';
    if (isFilled(body.mcp_servers)) return 'MCP servers that the provider calls by itself are not bounded, and no gate sees their calls';
    if (body.container !== undefined && body.container !== null) return 'a container of the provider is charged by time';
    return null;
  }
  if (tier !== undefined && tier !== null && tier !== 'default' && tier !== 'auto' && tier !== 'flex')
    return `the service tier ${JSON.stringify(tier).slice(0, 40)} has a price of its own`;
  if (body.background === true) return 'an answer in the background goes on where nobody meters it';
  if (body.web_search_options !== undefined && body.web_search_options !== null) return 'a search of the provider brings input of any size';
  return null;
}

interface ToolBounds {
  rounds: number;
  webSearches: number;
  fileSearches: number;
  overheadTokens: number;
}

/** What tools that the provider runs by itself can add. A tool that the client runs costs nothing before its result is sent. */
function readTools(api: ModelApi, body: JsonObject): ToolBounds | { why: string } {
  const bounds: ToolBounds = { rounds: 1, webSearches: 0, fileSearches: 0, overheadTokens: 0 };
  const tools = body.tools ?? [];
  if (!Array.isArray(tools) || api === 'chat') return bounds;
  const cap = api === 'responses' && isCount(body.max_tool_calls) ? body.max_tool_calls : null;
  for (const tool of tools) {
    const type = isObject(tool) ? tool.type : undefined;
    if (api === 'messages') {
      if (type === undefined || type === null || type === 'custom' || !isObject(tool)) continue;
      if (typeof type !== 'string') return { why: 'a tool has no type that can be read' };
      bounds.overheadTokens += PROVIDER_TOOL_TOKENS;
      if (/^(bash|text_editor|computer|memory|tool_search_tool)_/.test(type)) continue;
      const uses = isCount(tool.max_uses) ? tool.max_uses : null;
      if (!/^web_(search|fetch)_/.test(type)) return { why: `what the provider's own tool ${type.slice(0, 60)} costs is not bounded` };
      if (uses === null) return { why: `the provider's own tool ${type.slice(0, 60)} has no "max_uses"` };
      bounds.rounds += uses;
      if (type.startsWith('web_search_')) bounds.webSearches += uses;
      continue;
    }
    if (typeof type !== 'string') return { why: 'a tool has no type that can be read' };
    if (CLIENT_TOOLS.has(type)) continue;
    const isWeb = /^web_search(_|$)/.test(type);
    if (!isWeb && type !== 'file_search') return { why: `what the provider's own tool ${type.slice(0, 60)} costs is not bounded` };
    if (cap === null) return { why: `the provider's own tool ${type.slice(0, 60)} is used without "max_tool_calls"` };
    if (isWeb) bounds.webSearches = cap;
    else bounds.fileSearches = cap;
    bounds.rounds = 1 + cap;
  }
  return bounds;
}

/** Tools of the responses interface that the client runs. */
const CLIENT_TOOLS: ReadonlySet<string> = new Set([
  'function',
  'custom',
  'namespace',
  'local_shell',
  'apply_patch',
  'computer',
  'computer_use',
  'computer_use_preview',
  'tool_search',
]);

/** A provider that shortens the context by itself reads it once more for that. */
function compactions(api: ModelApi, body: JsonObject): number {
  const { context_management: management } = body;
  if (api === 'responses') return isFilled(management) ? 1 : 0;
  if (api !== 'messages' || !isObject(management) || !Array.isArray(management.edits)) return 0;
  return management.edits.filter((edit) => isObject(edit) && typeof edit.type === 'string' && edit.type.startsWith('compact')).length;
}

function malformed(why: string): Unbounded {
  return { malformed: true, why };
}

function isFilled(value: Json | undefined): boolean {
  return value !== undefined && value !== null && !(Array.isArray(value) && value.length === 0);
}

function isCount(value: Json | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= 100_000_000;
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
