/**
 * What a model call costs: the price of a model at a moment, and usage times price in whole micro-dollars. Prices come from the price
 * table that is installed with us (genai-prices, never fetched), or from the policy, which goes first. Nothing is ever guessed low: an
 * unknown reseller is charged the dearest price that is known for the model, an unknown model nothing less than the worst price known.
 *
 * Arithmetic is exact: a price is a whole number of pico-dollars per unit, a cost is rounded up once, at the end. Not exported from
 * `index.ts`, because the table is half a megabyte that a browser has no use for.
 */
import { calcPrice, findProvider, type ModelPrice, type Provider } from '@pydantic/genai-prices';
import type { Micros } from './model.ts';
import type { Policy, PolicyDocument } from './policy.ts';
import { matchesStars } from './tools.ts';

/** Where the prices of this release come from. */
export const PRICE_TABLE = 'genai-prices 0.1.8';

/**
 * What a provider said that a call used. A part that was not said is absent, which is not zero. Input tokens include the cached ones
 * and the audio, output tokens include reasoning and audio.
 */
export interface Usage {
  inputTokens?: number;
  cacheReadTokens?: number;
  cacheWriteTokens?: number;
  /** Of the cache writes, those that are kept for an hour. */
  cacheWriteLongTokens?: number;
  inputAudioTokens?: number;
  outputTokens?: number;
  reasoningTokens?: number;
  outputAudioTokens?: number;
  /** Searches that the provider ran by itself. */
  webSearches?: number;
  fileSearches?: number;
}

/** A price in pico-dollars per unit; `above` as many input tokens in the request another one applies to all of its units. */
interface Rate {
  base: bigint;
  tiers: readonly { above: number; rate: bigint }[];
}

interface Rates {
  input: Rate;
  cacheRead: Rate;
  cacheWrite: Rate;
  cacheWriteLong: Rate;
  inputAudio: Rate;
  output: Rate;
  reasoning: Rate;
  outputAudio: Rate;
  /** Per search; null = not known. */
  webSearch: Rate | null;
  fileSearch: Rate | null;
  /** Per request. */
  request: Rate;
}

/** The prices of one model at one moment. */
export interface ModelPrices {
  /** `policy`: an operator wrote it; `table`: the price table knows it; `worst`: nobody does, and the dearest known price stands in. */
  source: 'policy' | 'table' | 'worst';
  /** The entry: a pattern of the policy, or provider and model of the table. */
  entry: string;
  /** Tokens that one request can hold at most; null = not known. */
  contextTokens: number | null;
  /** Tokens that one answer can have at most; null = not known. */
  outputTokens: number | null;
  rates: Rates;
}

export interface PriceQuestion {
  /** Name of the upstream, and its address: the one or the other may tell which provider it is. */
  upstream: string;
  url: string | null;
  model: string;
  /** Epoch milliseconds: prices change by day, and some by hour. */
  at: number;
}

/** Providers whose entries of the table count where nobody knows which provider an upstream is. */
const KNOWN_PROVIDERS = [
  'openai',
  'anthropic',
  'google',
  'azure',
  'aws',
  'mistral',
  'groq',
  'deepseek',
  'x-ai',
  'cohere',
  'fireworks',
  'together',
  'perplexity',
  'cerebras',
  'openrouter',
];

const MODEL_MAX_CHARS = 200;
/** Prices by the hour turn at half hours; five minutes divide every such boundary. */
const MEMO_MS = 300_000;
const MEMO_MAX = 2_000;
const memo = new Map<string, ModelPrices | null>();
const worstMemo = new Map<string, ModelPrices>();

/**
 * The prices of a model, by the policy's own entries, else the table, else as the policy says of unknown ones.
 * @returns null where the price is not known and the policy does not take the worst: such a call must be refused.
 */
export function pricesOf(question: PriceQuestion, policy: Policy): ModelPrices | null {
  const { prices, unknownPrice } = policy.document.model;
  const own = policyEntry(question, prices);
  if (own !== null) return own;
  const known = question.model.length <= MODEL_MAX_CHARS ? remembered(question) : null;
  return known ?? (unknownPrice === 'worst' ? worstPrices(providerOf(question)) : null);
}

/**
 * What this usage costs, exactly, rounded up to a micro-dollar. Parts that were not said count as none; {@link isComplete} tells
 * whether that is the whole bill.
 */
export function costOf(usage: Usage, { rates }: ModelPrices): Micros {
  const { cacheReadTokens = 0, cacheWriteTokens = 0, cacheWriteLongTokens = 0, inputAudioTokens = 0 } = usage;
  // A provider that says more cached tokens than tokens is taken at its dearer word.
  const input = Math.max(usage.inputTokens ?? 0, cacheReadTokens + cacheWriteTokens);
  const fresh = input - cacheReadTokens - cacheWriteTokens;
  const freshAudio = Math.min(inputAudioTokens, fresh);
  const writeLong = Math.min(cacheWriteLongTokens, cacheWriteTokens);
  const output = Math.max(usage.outputTokens ?? 0, usage.reasoningTokens ?? 0, usage.outputAudioTokens ?? 0);
  const outputAudio = usage.outputAudioTokens ?? 0;
  const reasoning = Math.min(usage.reasoningTokens ?? 0, output - outputAudio);
  const parts: [Rate | null, number][] = [
    [rates.input, fresh - freshAudio],
    [rates.inputAudio, freshAudio],
    [rates.cacheRead, cacheReadTokens],
    [rates.cacheWrite, cacheWriteTokens - writeLong],
    [rates.cacheWriteLong, writeLong],
    [rates.output, output - outputAudio - reasoning],
    [rates.reasoning, reasoning],
    [rates.outputAudio, outputAudio],
    [rates.webSearch ?? DEAREST_SEARCH, usage.webSearches ?? 0],
    [rates.fileSearch ?? DEAREST_SEARCH, usage.fileSearches ?? 0],
    [rates.request, 1],
  ];
  let picos = 0n;
  for (const [rate, count] of parts) if (rate !== null && count > 0) picos += rateAt(rate, input) * BigInt(Math.ceil(count));
  return roundUp(picos);
}

/** Whether a usage says enough to be a bill: what went in and what came out. */
export function isComplete({ inputTokens, outputTokens }: Usage): boolean {
  return inputTokens !== undefined && outputTokens !== undefined;
}

/** What may happen to the input of a request, for its dearest price. */
export interface InputKinds {
  cacheWrites: 'none' | 'short' | 'long';
  audio: boolean;
}

/** Upper bound, in micro-dollars, of `tokens` of input of these kinds, with the price of the request itself. */
export function dearestInputCost(tokens: number, kinds: InputKinds, { rates }: ModelPrices): Micros {
  const candidates = [rates.input, rates.cacheRead];
  if (kinds.cacheWrites !== 'none') candidates.push(rates.cacheWrite);
  if (kinds.cacheWrites === 'long') candidates.push(rates.cacheWriteLong);
  if (kinds.audio) candidates.push(rates.inputAudio);
  return roundUp(dearestOf(candidates, tokens) * BigInt(tokens) + rateAt(rates.request, tokens));
}

/**
 * Upper bound of one output token, in pico-dollars. @param inputTokens upper bound of the request's input, which decides the tier.
 */
export function dearestOutputRate(inputTokens: number, audio: boolean, { rates }: ModelPrices): bigint {
  return dearestOf(audio ? [rates.output, rates.reasoning, rates.outputAudio] : [rates.output, rates.reasoning], inputTokens);
}

/** What a search costs, or null where that is not known. */
export function searchCost(kind: 'web' | 'file', searches: number, { rates }: ModelPrices): Micros | null {
  if (searches === 0) return 0;
  const rate = kind === 'web' ? rates.webSearch : rates.fileSearch;
  return rate === null ? null : roundUp(rate.base * BigInt(searches));
}

/** Pico-dollars to micro-dollars, never down. @throws RangeError beyond what a number holds exactly. */
export function roundUp(picos: bigint): Micros {
  const micros = Number((picos + PICOS_PER_MICRO - 1n) / PICOS_PER_MICRO);
  if (!Number.isSafeInteger(micros)) throw new RangeError('a cost is too large to be counted');
  return micros;
}

export const PICOS_PER_MICRO = 1_000_000n;

/* ---------------------------------------------------------------- where prices come from */

type Overrides = PolicyDocument['model']['prices'];

/** The policy's entry for a model: "upstream/model" before "model", exact names before patterns, long patterns before short ones. */
function policyEntry({ upstream, model }: PriceQuestion, prices: Overrides): ModelPrices | null {
  let best: { pattern: string; rank: number } | null = null;
  for (const pattern of Object.keys(prices)) {
    const isNamed = pattern.includes('/') && matchesStars(pattern, `${upstream}/${model}`);
    if (!isNamed && !matchesStars(pattern, model)) continue;
    const rank = (isNamed ? 2_000 : 0) + (pattern.includes('*') ? 0 : 1_000) + pattern.replaceAll('*', '').length;
    if (best === null || rank > best.rank) best = { pattern, rank };
  }
  const entry = best === null ? undefined : prices[best.pattern];
  if (best === null || entry === undefined) return null;
  const perMillion = (usd: number | undefined, fallback: Rate): Rate => (usd === undefined ? fallback : flat(picosOf(usd, 1)));
  const input = flat(picosOf(entry.input, 1));
  const output = flat(picosOf(entry.output, 1));
  const cacheWrite = perMillion(entry.cacheWrite, input);
  return {
    source: 'policy',
    entry: best.pattern,
    contextTokens: entry.contextTokens ?? null,
    outputTokens: entry.outputTokens ?? null,
    rates: {
      input,
      cacheRead: perMillion(entry.cacheRead, input),
      cacheWrite,
      cacheWriteLong: perMillion(entry.cacheWriteLong, cacheWrite),
      inputAudio: perMillion(entry.inputAudio, input),
      output,
      reasoning: output,
      outputAudio: perMillion(entry.outputAudio, output),
      webSearch: entry.webSearch === undefined ? null : flat(picosOf(entry.webSearch, 1_000_000)),
      fileSearch: entry.fileSearch === undefined ? null : flat(picosOf(entry.fileSearch, 1_000_000)),
      request: entry.request === undefined ? FREE : flat(picosOf(entry.request, 1_000_000)),
    },
  };
}

function remembered(question: PriceQuestion): ModelPrices | null {
  const provider = providerOf(question);
  const key = `${provider?.id ?? ''}\u0000${question.model}\u0000${Math.floor(question.at / MEMO_MS)}`;
  const known = memo.get(key);
  if (known !== undefined) return known;
  const found = provider === null ? dearestEntry(question) : tableEntry(provider.id, question);
  if (memo.size >= MEMO_MAX) memo.clear();
  memo.set(key, found);
  return found;
}

/** The id under which the table knows the provider that an upstream is; null = it could be anybody. */
export function providerIdOf(upstream: string, url: string | null): string | null {
  return providerOf({ upstream, url })?.id ?? null;
}

/** Which provider an upstream is: by its address, else by its name ("openai", "openai-batch"); null = it could be anybody. */
function providerOf({ upstream, url }: Pick<PriceQuestion, 'upstream' | 'url'>): Provider | null {
  return (url === null ? undefined : findProvider({ providerApiUrl: url })) ?? findProvider({ providerId: upstream }) ?? null;
}

function tableEntry(providerId: string, { model, at }: PriceQuestion): ModelPrices | null {
  let found: ReturnType<typeof calcPrice>;
  try {
    found = calcPrice({}, model, { providerId, timestamp: new Date(at) });
  } catch {
    return null; // an entry that the table's own arithmetic refuses prices nothing
  }
  if (!found) return null;
  const rates = ratesOf(found.model_price);
  const contextTokens = found.model.context_window ?? null;
  return rates === null
    ? null
    : { source: 'table', entry: `${found.provider.id}/${found.model.id}`, contextTokens, outputTokens: null, rates };
}

/** The dearest of all entries for a model of this name, part by part. */
function dearestEntry(question: PriceQuestion): ModelPrices | null {
  const found = KNOWN_PROVIDERS.flatMap((id) => tableEntry(id, question) ?? []);
  const [first] = found;
  if (first === undefined) return null;
  return { ...first, contextTokens: largest(found.map((prices) => prices.contextTokens)), rates: dearestRates(found) };
}

/** The dearest price of every part among all models that a provider (or anybody) offers. */
function worstPrices(provider: Provider | null): ModelPrices {
  // Of all conditional prices the dearest counts, so that the moment does not matter.
  const key = provider?.id ?? '';
  const known = worstMemo.get(key);
  if (known) return known;
  const providers = provider === null ? KNOWN_PROVIDERS.flatMap((id) => findProvider({ providerId: id }) ?? []) : [provider];
  const found = providers.flatMap(({ models }) =>
    models.flatMap(({ prices }) =>
      (Array.isArray(prices) ? prices.map((conditional) => conditional.prices) : [prices]).flatMap((price) => ratesOf(price) ?? []),
    ),
  );
  const rates = dearestRates(found.map((each) => ({ rates: each })));
  const worst: ModelPrices = {
    source: 'worst',
    entry: `dearest of ${provider?.id ?? 'all providers'}`,
    contextTokens: null,
    outputTokens: null,
    rates,
  };
  worstMemo.set(key, worst);
  return worst;
}

/** The parts of a price as the table has it; null where it is no price of text. A part that it leaves out costs what the whole costs. */
function ratesOf(price: ModelPrice): Rates | null {
  const token = (key: string, fallback: Rate): Rate => (price[key] === undefined ? fallback : tableRate(price[key], 1));
  const each = (key: string): Rate | null => (price[key] === undefined ? null : tableRate(price[key], 1_000));
  if (price.input_mtok === undefined || price.output_mtok === undefined) return null;
  const input = tableRate(price.input_mtok, 1);
  const output = tableRate(price.output_mtok, 1);
  const cacheWrite = token('cache_write_mtok', input);
  return {
    input,
    cacheRead: token('cache_read_mtok', input),
    cacheWrite,
    cacheWriteLong: token('cache_write_1h_mtok', cacheWrite),
    inputAudio: token('input_audio_mtok', input),
    output,
    reasoning: token('output_reasoning_mtok', output),
    outputAudio: token('output_audio_mtok', output),
    webSearch: each('web_searches_kcount'),
    fileSearch: each('storage_searches_kcount'),
    request: each('requests_kcount') ?? FREE,
  };
}

function tableRate(value: NonNullable<ModelPrice[string]>, perUnit: number): Rate {
  if (typeof value === 'number') return flat(picosOf(value, perUnit));
  const tiers = value.tiers.map(({ start, price }) => ({ above: start, rate: picosOf(price, perUnit) }));
  return { base: picosOf(value.base, perUnit), tiers: tiers.sort((a, b) => a.above - b.above) };
}

/**
 * USD per million units (or per thousand, with `factor` 1,000; per unit, with 1,000,000) in pico-dollars per unit, never down. The
 * noise of a binary fraction below a millionth of a pico-dollar is dropped.
 */
function picosOf(usd: number, factor: number): bigint {
  const picos = usd * factor * 1_000_000;
  const near = Math.round(picos);
  return BigInt(Math.abs(picos - near) <= Math.max(1e-6, near * 2 ** -50) ? near : Math.ceil(picos));
}

function flat(rate: bigint): Rate {
  return { base: rate, tiers: NO_TIERS };
}
const NO_TIERS: Rate['tiers'] = Object.freeze([]);
const FREE: Rate = Object.freeze({ base: 0n, tiers: NO_TIERS });
/** A search that was made though its price is not known; nothing in the table is dearer than 14 USD per thousand. */
const DEAREST_SEARCH = flat(picosOf(35, 1_000));

/** The tier is decided by the input of the whole request (as the table's own arithmetic does). */
function rateAt({ base, tiers }: Rate, inputTokens: number): bigint {
  let rate = base;
  for (const tier of tiers) if (inputTokens > tier.above) rate = tier.rate;
  return rate;
}

/** The dearest that can apply to a request of at most this input: a tier below may be dearer than the one it falls into. */
function dearestOf(rates: readonly Rate[], inputTokens: number): bigint {
  let dearest = 0n;
  for (const { base, tiers } of rates) {
    if (base > dearest) dearest = base;
    for (const tier of tiers) if (inputTokens > tier.above && tier.rate > dearest) dearest = tier.rate;
  }
  return dearest;
}

function dearestRates(found: readonly { rates: Rates }[]): Rates {
  const dearest = (part: keyof Rates): Rate | null => {
    const rates = found.flatMap((prices) => prices.rates[part] ?? []);
    const bounds = [...new Set(rates.flatMap(({ tiers }) => tiers.map(({ above }) => above)))].sort((a, b) => a - b);
    if (rates.length === 0) return null;
    const base = rates.reduce((most, rate) => (rate.base > most ? rate.base : most), 0n);
    return { base, tiers: bounds.map((above) => ({ above, rate: dearestOf(rates, above + 1) })) };
  };
  const must = (part: keyof Rates) => dearest(part) ?? FREE;
  return {
    input: must('input'),
    cacheRead: must('cacheRead'),
    cacheWrite: must('cacheWrite'),
    cacheWriteLong: must('cacheWriteLong'),
    inputAudio: must('inputAudio'),
    output: must('output'),
    reasoning: must('reasoning'),
    outputAudio: must('outputAudio'),
    webSearch: dearest('webSearch'),
    fileSearch: dearest('fileSearch'),
    request: must('request'),
  };
}

function largest(values: readonly (number | null)[]): number | null {
  let most: number | null = null;
  for (const value of values) if (value !== null && value > (most ?? 0)) most = value;
  return most;
}
