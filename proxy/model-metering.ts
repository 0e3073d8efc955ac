/**
 * An answer of a provider on its way to the client, and what is made of it in the end: what it cost, by the provider's word or by an
 * estimate that says so; and where it is ended because the budget does not pay for more.
 */
import type { GateReason, ModelMeter, UpstreamPicture } from '../control/contract.ts';
import type { Json, Micros } from '../policies/index.ts';
import type { CostBound, ModelRequest } from '../policies/model-request.ts';
import { costOf, isComplete, type ModelPrices, PRICE_TABLE, roundUp, type Usage } from '../policies/prices.ts';
import type { Gatekeeper } from './admission.ts';
import type { Filter, ForwardFailure, Relayed } from './forward.ts';
import type { CallRecord } from './register.ts';
import { refusalText } from './respond.ts';
import { createMeter, type Ending, readAnswer, type StreamMeter, StreamTooLarge } from './usage.ts';

/** What a metered request is priced by. */
export interface Metering {
  request: ModelRequest;
  prices: ModelPrices;
  bound: CostBound;
  /** The output limit that was reserved. */
  granted: number;
}

/** Whether a request gets a limit because it has none; output that costs nothing needs none. */
export function isLimitAdded({ limits }: ModelRequest, { outputRate }: CostBound): boolean {
  return limits.length === 0 && outputRate > 0n;
}

export type Settlement = Pick<Parameters<Gatekeeper['complete']>[1], 'status' | 'error' | 'costMicros' | 'meter'> & {
  output?: string | null;
};

/** An answer on its way to the client, and what is made of it in the end. */
export interface Answer extends Filter {
  outcome: (result: Relayed | ForwardFailure, stop: GateReason | null) => Settlement;
}

/** Passes an answer on as it is; of an error, without our key in it. */
export class PlainAnswer implements Answer {
  readonly isDone: boolean = false;
  readonly #record: CallRecord;
  readonly #secret: string | null;
  readonly #pieces: Pieces;
  #isError = false;

  constructor(record: CallRecord, upstream: UpstreamPicture) {
    this.#record = record;
    this.#secret = upstream.secret;
    this.#pieces = new Pieces(upstream.limits.responseMaxBytes);
  }

  head(status: number, headers: string[]): string[] {
    this.#isError = status >= 400 && this.#secret !== null;
    return [...(this.#isError ? without(headers, 'content-length') : headers), 'x-mc-call', this.#record.id];
  }

  chunk(bytes: Buffer): Buffer {
    if (!this.#isError) return bytes;
    this.#pieces.add(bytes);
    return NOTHING;
  }

  end(): Buffer {
    if (!this.#isError) return NOTHING;
    const bytes = this.#pieces.whole();
    const isQuoted = this.#secret !== null && bytes.includes(this.#secret);
    return isQuoted ? Buffer.from(bytes.toString('utf8').replaceAll(this.#secret ?? '', '…')) : bytes;
  }

  last(): null {
    return null;
  }

  outcome(result: Relayed | ForwardFailure, stop: GateReason | null): Settlement {
    return { ...statusOf(result, stop), costMicros: 0 };
  }
}

/** Meters an answer: in one piece, or event by event, and ends it at the cap. */
export class MeteredAnswer implements Answer {
  readonly #metering: Metering;
  readonly #record: CallRecord;
  readonly #upstream: UpstreamPicture;
  readonly #gate: Gatekeeper;
  readonly #plain: PlainAnswer;
  #mode: 'none' | 'error' | 'json' | 'stream' | 'opaque' = 'none';
  #meter: StreamMeter | null = null;
  readonly #body: Pieces;
  #stop: GateReason | null = null;

  constructor(metering: Metering, record: CallRecord, upstream: UpstreamPicture, gate: Gatekeeper) {
    this.#metering = metering;
    this.#record = record;
    this.#upstream = upstream;
    this.#gate = gate;
    this.#plain = new PlainAnswer(record, upstream);
    this.#body = new Pieces(upstream.limits.responseMaxBytes);
  }

  get isDone(): boolean {
    return this.#meter?.isCut === true;
  }

  head(status: number, headers: string[]): string[] {
    const type = headerOf(headers, 'content-type') ?? '';
    const encoding = headerOf(headers, 'content-encoding') ?? 'identity';
    const kept = this.#plain.head(status, headers);
    const { request, bound, granted } = this.#metering;
    const isLowered = request.outputTokens === null ? isLimitAdded(request, bound) : granted < request.outputTokens;
    if (isLowered) kept.push('x-mc-output-limit', String(granted));
    if (status < 200 || status >= 300) this.#mode = 'error';
    else if (encoding !== 'identity') this.#mode = 'opaque';
    else if (/^text\/event-stream\b/i.test(type)) this.#mode = 'stream';
    else this.#mode = 'json';
    if (this.#mode !== 'stream') return kept;
    const { api, includesUsage } = request;
    const eventMaxBytes = this.#upstream.limits.responseMaxBytes;
    this.#meter = createMeter(api, { stripUsage: !includesUsage, eventMaxBytes, mayGoOn: (meter) => this.#isPaidFor(meter) });
    return without(kept, 'content-length');
  }

  chunk(bytes: Buffer): Buffer {
    switch (this.#mode) {
      case 'stream':
        return this.#meter?.push(bytes) ?? NOTHING;
      case 'json':
        this.#body.add(bytes);
        return bytes;
      case 'error':
        return this.#plain.chunk(bytes);
      case 'opaque':
      case 'none':
        return bytes;
    }
  }

  end(): Buffer {
    return this.#mode === 'stream' ? (this.#meter?.rest() ?? NOTHING) : this.#mode === 'error' ? this.#plain.end() : NOTHING;
  }

  /** Ended from outside: by a stop. What is no stream cannot be ended properly in the middle. */
  last(): Buffer | null {
    if (this.#meter === null) return null;
    const stop = this.#gate.mayContinue(this.#record);
    const ending: Ending = { kind: 'error', code: stop?.code ?? 'ESTOP', message: refusalText(stop === null ? [] : [stop]) };
    this.#stop = stop;
    return this.#meter.end(ending);
  }

  /**
   * Whether what has come is still within what was reserved. A provider keeps to the limit; one that does not has sent more pieces than
   * tokens were asked for, or says itself that it charges more than the budget has left.
   */
  #isPaidFor({ pieces, usage }: StreamMeter): boolean {
    const { request, bound, prices, granted } = this.#metering;
    const most = granted * request.choices * request.rounds + request.extraOutputTokens;
    if (bound.outputRate > 0n && pieces > most) return false;
    if (usage === null) return true;
    const over = costOf(usage, prices) - this.#record.estimatedMicros;
    if (over <= 0) return true;
    const left = this.#gate.left(this.#record);
    return left === null || over <= left;
  }

  outcome(result: Relayed | ForwardFailure, stop: GateReason | null): Settlement {
    const { api } = this.#metering.request;
    const status = statusOf(result, stop ?? this.#stop);
    // Nothing was asked of the provider, or it refused: neither is charged.
    const isFree = (result.outcome === 'failed' && !result.mayHaveRun) || this.#mode === 'error';
    if (isFree) return { ...status, costMicros: 0, meter: this.#meterOf(null, false) };
    const meter = this.#meter;
    if (meter === null) {
      const body = this.#body.whole();
      const { usage, finish } = this.#mode === 'json' ? readAnswer(api, parsed(body)) : { usage: null, finish: null };
      const unsaid = usage !== null && isComplete(usage) ? 0 : this.#mode === 'opaque' ? Number.MAX_SAFE_INTEGER : body.length;
      return { ...status, output: finish, ...this.#bill(usage, unsaid) };
    }
    const error = status.error ?? meter.error;
    const output = meter.isCut && stop === null && this.#stop === null ? 'cut at the budget' : meter.finish;
    return {
      ...status,
      ...(error !== null && { status: 'failed' as const, error }),
      output,
      ...this.#bill(meter.usage, meter.unsaidBytes),
    };
  }

  /**
   * The cost: usage times price where the provider said all of it; else an estimate, not below what was delivered and not above what was
   * reserved. What the provider did say is never counted lower, not even beyond the reservation.
   */
  #bill(usage: Usage | null, unsaidBytes: number): { costMicros: Micros; meter: ModelMeter } {
    const { prices, bound } = this.#metering;
    const said = usage === null ? 0 : costOf(usage, prices);
    if (usage !== null && isComplete(usage) && unsaidBytes === 0) return { costMicros: said, meter: this.#meterOf(usage, false) };
    const reserved = this.#record.estimatedMicros;
    const delivered = Math.min(unsaidBytes, MOST_TOKENS);
    const input = usage?.inputTokens === undefined ? bound.fixedMicros : said;
    const estimate = input + roundUp(bound.tokenRate * BigInt(delivered));
    return { costMicros: Math.max(said, Math.min(estimate, reserved)), meter: this.#meterOf(usage, true) };
  }

  #meterOf(usage: Usage | null, isEstimated: boolean): ModelMeter {
    const { prices } = this.#metering;
    const priceEntry = prices.source === 'policy' ? `policy: ${prices.entry}` : `${PRICE_TABLE}: ${prices.entry}`;
    return { usage, isEstimated, priceEntry };
  }
}

const NOTHING = Buffer.alloc(0);
/** More output than any answer has; keeps an estimate countable. */
const MOST_TOKENS = 100_000_000;

function statusOf(result: Relayed | ForwardFailure, stop: GateReason | null): Pick<Settlement, 'status' | 'error'> {
  if (stop !== null) return { status: 'failed', error: `ended by Mission Control: ${stop.message}` };
  if (result.outcome === 'relayed') {
    return result.status < 400 ? { status: 'success', error: null } : { status: 'failed', error: `HTTP ${result.status}` };
  }
  return { status: result.mayHaveRun && !result.answered ? 'unknown' : 'failed', error: result.message };
}

/** Pieces of a body that is looked at as a whole; bounded. */
class Pieces {
  readonly #maxBytes: number;
  readonly #pieces: Buffer[] = [];
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** @throws StreamTooLarge */
  add(piece: Buffer): void {
    this.#bytes += piece.length;
    if (this.#bytes > this.#maxBytes) throw new StreamTooLarge(`the answer is larger than ${this.#maxBytes} bytes`);
    this.#pieces.push(piece);
  }

  whole(): Buffer {
    return Buffer.concat(this.#pieces);
  }
}

function parsed(bytes: Buffer): Json {
  try {
    return JSON.parse(bytes.toString('utf8')) as Json;
  } catch {
    return null;
  }
}

function headerOf(headers: readonly string[], name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) if (headers[i]?.toLowerCase() === name) return headers[i + 1];
  return undefined;
}

function without(headers: readonly string[], name: string): string[] {
  return headers.filter((_, i) => headers[i - (i % 2)]?.toLowerCase() !== name);
}
