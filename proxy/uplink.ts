/**
 * The line to control: authenticated requests, and the stream of pictures that proves that control is reachable. Reconnects by
 * itself; everything it cannot do rejects, and the caller refuses. Of several controls one is followed until its stream breaks, then the
 * next; a request that does not reach the one goes to the others, because whatever is asked may be asked twice.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { errors, Pool } from 'undici';
import {
  type GatewayPass,
  type HeldCall,
  type HelloAnswer,
  type HoldRequest,
  type HoldState,
  JSON_LINES,
  type LedgerBound,
  type LedgerJoin,
  type LedgerSeed,
  LINE_PROOF_HEADER,
  LINE_VERSION,
  LINE_VERSION_HEADER,
  MISDIRECTED,
  type Misdirected,
  OTHER_VERSION,
  type RedeemedTicket,
  type ShadowReport,
  type StopAcknowledgement,
  type StopOrder,
  type StreamMessage,
  type ToolListing,
  type UpstreamHealth,
} from '../control/contract.ts';
import { createLineProof, type LineProof } from './line-proof.ts';

/** Control did not answer, or not as agreed. */
class ControlUnavailable extends Error {
  readonly code = 'CONTROL_UNAVAILABLE';
}

/** Said of whoever answers without knowing the cluster secret, or refuses ours. */
const UNPROVEN = 'what answers there does not prove that it knows the cluster secret';
const SPOKEN = { [LINE_VERSION_HEADER]: String(LINE_VERSION) };
const RECONNECT_MS = 200;
/** A control that answers under another name so many times in a row is several behind one address. */
const RENAMED_MAX = 3;
/** A stream line is a whole picture at most: agents, gateways and 20,000 tasks. */
const LINE_MAX_CHARS = 64 * 1024 * 1024;
/** The stream beats every second; silent for this long, it is dead even if the socket is not. */
const STREAM_SILENT_MS = 5_000;

/** The last that a slow control is waited for at a start. */
const HELLO_MAX_MS = 40_000;

/** How something is asked, where it is not as usual. */
interface Asking {
  mustProve?: boolean;
  type?: string;
  timeoutMs?: number;
}

interface UplinkOptions {
  /** Base URL of control, or of each. */
  controlUrl: string | readonly string[];
  clusterSecret: string;
  timeoutMs: number;
}

export class Uplink {
  readonly #urls: readonly string[];
  readonly #pools: readonly Pool[];
  /** What each control calls itself since its start, as far as it has said so. */
  readonly #names: string[];
  /** Index of the control that is followed. */
  #followed: number;
  readonly #proof: LineProof;
  readonly #timeoutMs: number;
  readonly #closing = new AbortController();

  constructor({ controlUrl, clusterSecret, timeoutMs }: UplinkOptions) {
    this.#urls = [controlUrl].flat();
    this.#pools = this.#urls.map((url) => new Pool(url, { connections: 32, pipelining: 1, keepAliveTimeout: 30_000 }));
    this.#names = this.#urls.map(() => '');
    // Proxies spread over the controls by themselves.
    this.#followed = Math.floor(Math.random() * this.#urls.length);
    this.#proof = createLineProof(clusterSecret);
    this.#timeoutMs = timeoutMs;
  }

  /** Base URL of the control that is followed. */
  get controlUrl(): string {
    return this.#urls[this.#followed] ?? '';
  }

  /**
   * What a proxy is told at its start. A control that takes long is waited for, each time twice as long: on a machine that has just come up, or
   * with much to record, a start that gives up helps nobody. @throws ControlUnavailable at once where it does not answer at all.
   */
  async hello(proxyId: string): Promise<HelloAnswer> {
    for (let timeoutMs = this.#timeoutMs; ; timeoutMs *= 2) {
      try {
        const { statusCode, text } = await this.#ask('POST', '/hello', JSON.stringify({ proxyId }), { timeoutMs });
        return readAnswer('POST', '/hello', statusCode, text);
      } catch (error) {
        if (!isSlow(error) || timeoutMs >= HELLO_MAX_MS || this.#closing.signal.aborted) throw error;
      }
    }
  }

  /** Says where this proxy is reached, for what must not wait for the line. */
  announce(proxyId: string, url: string, egressUrl: string | null): Promise<unknown> {
    return this.#post('/members', { proxyId, url, egressUrl });
  }

  /** Where another proxy is reached; null where control knows none by that id. */
  async addressOf(proxyId: string): Promise<string | null> {
    return (await this.#send<{ url: string } | null>('GET', `/members/${encodeURIComponent(proxyId)}`, null))?.url ?? null;
  }

  /** The proxies that are there now, this one among them; none where control is of the version before, which does not say. */
  async proxies(): Promise<readonly { id: string; url: string }[]> {
    return (await this.#send<{ proxies: { id: string; url: string }[] } | null>('GET', '/members', null))?.proxies ?? [];
  }

  /** Passes on a stop that was heard past the line, so that the control we follow holds it too. */
  async passOn(order: StopOrder): Promise<void> {
    // Sealed, and its answer says nothing: nobody has to prove anything.
    await this.#ask('POST', '/stop', JSON.stringify(order), { mustProve: false });
  }

  /** Ships journal lines, which are JSON already, one on each line. @param depth how many wait, these among them. @returns the last sequence number recorded. */
  async ship(proxyId: string, lines: Buffer, depth: number): Promise<number> {
    const path = `/journal?proxyId=${encodeURIComponent(proxyId)}&depth=${depth}`;
    const { acknowledged } = await this.#send<{ acknowledged: number }>('POST', path, lines, JSON_LINES);
    return acknowledged;
  }

  openHold(request: HoldRequest): Promise<HoldState> {
    return this.#post('/holds', request);
  }

  /** A held call in full; null where control knows none by that id. */
  async held(callId: string): Promise<HeldCall | null> {
    return this.#send<HeldCall | null>('GET', `/holds/${encodeURIComponent(callId)}`, null);
  }

  defer(callId: string): Promise<HoldState> {
    return this.#post(`/holds/${encodeURIComponent(callId)}/defer`, {});
  }

  withdraw(callId: string, reason: string): Promise<HoldState> {
    return this.#post(`/holds/${encodeURIComponent(callId)}/withdraw`, { reason });
  }

  redeem(approvalId: string, callId: string): Promise<{ granted: boolean; state: HoldState }> {
    return this.#post(`/approvals/${encodeURIComponent(approvalId)}/redeem`, { callId });
  }

  /** Reports what a server lists; answered when its tools are judged by the pins that this leaves. */
  sawTools(upstreamId: string, listing: ToolListing): Promise<unknown> {
    return this.#post(`/upstreams/${encodeURIComponent(upstreamId)}/tools`, listing);
  }

  /** Exchanges a ticket of the gateway pass-through, once; null where it opens nothing. */
  redeemTicket(ticket: string): Promise<RedeemedTicket | null> {
    return this.#post('/gateway-passes/redeem', { ticket });
  }

  /** What a cookie of the gateway pass-through opens now; null = nothing. */
  checkPass(hash: string): Promise<GatewayPass | null> {
    return this.#post('/gateway-passes/check', { hash });
  }

  foundUpstream(upstreamId: string, health: UpstreamHealth): Promise<unknown> {
    return this.#post(`/upstreams/${encodeURIComponent(upstreamId)}/health`, health);
  }

  /** Says that everything up to `revision` is in force here; of several only the last is said. */
  confirmApplied(proxyId: string, revision: number): void {
    this.#confirm = revision;
    if (this.#confirming) return;
    this.#confirming = true;
    const said = revision;
    this.#post('/applied', { proxyId, revision })
      .catch(() => {}) // control waits a bounded time for this and goes on
      .finally(() => {
        this.#confirming = false;
        if (this.#confirm > said) this.confirmApplied(proxyId, this.#confirm);
      });
  }
  #confirm = 0;
  #confirming = false;

  /** Says what a draft that runs as a shadow has judged otherwise. */
  reportShadow(shadowId: string, processId: string, report: ShadowReport): Promise<unknown> {
    return this.#post(`/shadows/${encodeURIComponent(shadowId)}/${encodeURIComponent(processId)}`, report);
  }

  /** Takes part in the shared counters. */
  joinLedger(request: LedgerJoin): Promise<{ epoch: string }> {
    return this.#post('/ledger/join', request);
  }

  /** Has scopes brought into the shared counters from the record. */
  seedLedger(request: LedgerSeed): Promise<unknown> {
    return this.#post('/ledger/seed', request);
  }

  boundLedger(request: LedgerBound): Promise<unknown> {
    return this.#post('/ledger/bound', request);
  }

  acknowledgeStop(stopId: string, answer: StopAcknowledgement): Promise<unknown> {
    return this.#post(`/stops/${encodeURIComponent(stopId)}`, answer);
  }

  /**
   * Follows the stream until close(): every message goes to `onMessage`; `onLost` is called when it breaks, before the next try.
   */
  async follow(proxyId: string, onMessage: (message: StreamMessage) => void, onLost: (error: unknown) => void): Promise<void> {
    while (!this.#closing.signal.aborted) {
      try {
        await this.#followOnce(proxyId, onMessage);
        throw new ControlUnavailable('control ended the stream');
      } catch (error) {
        if (this.#closing.signal.aborted) return;
        this.#followed = (this.#followed + 1) % this.#urls.length;
        onLost(error);
      }
      await sleep(RECONNECT_MS, undefined, { signal: this.#closing.signal }).catch(() => {});
    }
  }

  async #followOnce(proxyId: string, onMessage: (message: StreamMessage) => void): Promise<void> {
    const path = `/internal/v1/stream?proxyId=${encodeURIComponent(proxyId)}`;
    const { nonce, statusCode, body } = await this.#openStream(path);
    if (statusCode !== 200) {
      await body.dump();
      throw new ControlUnavailable(`control answered ${statusCode} to the stream`);
    }
    body.setEncoding('utf8');
    let rest = '';
    let read = 0;
    for await (const chunk of body as AsyncIterable<string>) {
      rest += chunk;
      if (rest.length > LINE_MAX_CHARS) throw new ControlUnavailable('control sent a line without an end');
      let end = rest.indexOf('\n');
      while (end >= 0) {
        const text = this.#proof.messageOf(nonce, read++, rest.slice(0, end));
        if (text === null) throw new ControlUnavailable(UNPROVEN);
        onMessage(JSON.parse(text) as StreamMessage);
        rest = rest.slice(end + 1);
        end = rest.indexOf('\n');
      }
    }
  }

  async #openStream(path: string) {
    const index = this.#followed;
    for (let tried = 0; ; tried++) {
      const { authorization, nonce } = this.#proof.ask('GET', path, null, this.#names[index] ?? '');
      const { statusCode, headers, body } = await this.#pool(index).request({
        method: 'GET',
        path,
        headers: { authorization, ...SPOKEN },
        headersTimeout: this.#timeoutMs,
        bodyTimeout: STREAM_SILENT_MS,
        signal: this.#closing.signal,
      });
      if (statusCode !== MISDIRECTED || tried === RENAMED_MAX) return { nonce, statusCode, body };
      const text = await body.text();
      if (!this.#proof.isAnswer(nonce, statusCode, text, String(headers[LINE_PROOF_HEADER] ?? ''))) throw new ControlUnavailable(UNPROVEN);
      this.#learn(index, text);
    }
  }

  /** A control says what it calls itself. */
  #learn(index: number, text: string): void {
    this.#names[index] = (JSON.parse(text) as Misdirected).id;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#pools.map((pool) => pool.destroy()));
  }

  #post<T>(path: string, body: unknown): Promise<T> {
    return this.#send<T>('POST', path, JSON.stringify(body));
  }

  async #send<T>(method: 'GET' | 'POST', path: string, body: string | Buffer | null, type = 'application/json'): Promise<T> {
    const { statusCode, text } = await this.#ask(method, path, body, { type });
    return readAnswer(method, path, statusCode, text);
  }

  async #ask(
    method: 'GET' | 'POST',
    path: string,
    body: string | Buffer | null,
    how: Asking,
  ): Promise<{ statusCode: number; text: string }> {
    const first = this.#followed;
    for (let tried = 0; ; tried++) {
      try {
        return await this.#askOne((first + tried) % this.#pools.length, method, `/internal/v1${path}`, body, how);
      } catch (error) {
        if (tried + 1 < this.#pools.length && !this.#closing.signal.aborted) continue;
        throw new ControlUnavailable(`control cannot be reached: ${error instanceof Error ? error.message : error}`, { cause: error });
      }
    }
  }

  async #askOne(
    index: number,
    method: 'GET' | 'POST',
    path: string,
    body: string | Buffer | null,
    { mustProve = true, type = 'application/json', timeoutMs = this.#timeoutMs }: Asking,
  ): Promise<{ statusCode: number; text: string }> {
    for (let tried = 0; ; tried++) {
      const { authorization, nonce } = this.#proof.ask(method, path, body, this.#names[index] ?? '');
      const response = await this.#pool(index).request({
        method,
        path,
        headers: { authorization, ...SPOKEN, ...(body !== null && { 'content-type': type }) },
        body,
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
      });
      const text = await response.body.text();
      const given = String(response.headers[LINE_PROOF_HEADER] ?? '');
      if (mustProve && !this.#proof.isAnswer(nonce, response.statusCode, text, given))
        throw new Error(`${UNPROVEN} (HTTP ${response.statusCode})`);
      // It was started anew, or is asked for the first time: nothing was done, and it has said who it is.
      if (response.statusCode !== MISDIRECTED || tried === RENAMED_MAX) return { statusCode: response.statusCode, text };
      this.#learn(index, text);
    }
  }

  #pool(index = this.#followed): Pool {
    const pool = this.#pools[index];
    if (!pool) throw new ControlUnavailable('no control is named');
    return pool;
  }
}

/** @throws ControlUnavailable where control says that it could not do it. */
function readAnswer<T>(method: 'GET' | 'POST', path: string, statusCode: number, text: string): T {
  if (statusCode === 404 && method === 'GET') return null as T;
  if (statusCode === OTHER_VERSION)
    throw new ControlUnavailable(`control answered ${statusCode}: ${(JSON.parse(text) as { detail: string }).detail}`);
  if (statusCode !== 200) throw new ControlUnavailable(`control answered ${statusCode} to ${method} ${path}`);
  return JSON.parse(text) as T;
}

/** It was reached, and did not answer in time. */
function isSlow(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : null;
  return cause instanceof errors.HeadersTimeoutError || cause instanceof errors.BodyTimeoutError;
}
