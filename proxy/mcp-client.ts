/**
 * The answer to an MCP client: one JSON document or a stream of events, whichever was begun. A stream is kept alive while nothing
 * happens, and a client that takes nothing for long is taken for gone.
 */
import type { ServerResponse } from 'node:http';
import type { JsonObject } from '../policies/index.ts';
import { eventText, KEEP_ALIVE } from './mcp-events.ts';

const STALL_MS = 60_000;

export class ClientAnswer {
  /** Fires when the client has left, or was cut. */
  readonly gone: AbortSignal;
  readonly #response: ServerResponse;
  readonly #acceptsEvents: boolean;
  readonly #keepAliveMs: number;
  readonly #leaving = new AbortController();
  #timer: NodeJS.Timeout | null = null;
  #isStream = false;
  #isOver = false;
  #sessionId: string | null = null;

  constructor(response: ServerResponse, accept: string | undefined, keepAliveMs: number) {
    this.#response = response;
    this.#acceptsEvents = accept === undefined || /text\/event-stream|\*\/\*/i.test(accept);
    this.#keepAliveMs = keepAliveMs;
    this.gone = this.#leaving.signal;
    response.on('close', () => {
      this.#stopTimer();
      if (!response.writableFinished) this.#leaving.abort();
    });
  }

  get isStream(): boolean {
    return this.#isStream;
  }

  get isOpen(): boolean {
    return !this.#isOver && !this.#response.destroyed && !this.gone.aborted;
  }

  /** The session that the head of the answer names. */
  nameSession(sealed: string): void {
    this.#sessionId = sealed;
  }

  /** Begins a stream, where the client takes one and nothing was begun yet. */
  begin(): void {
    if (this.#isStream || this.#isOver || !this.#acceptsEvents || this.#response.headersSent || !this.isOpen) return;
    this.#isStream = true;
    this.#response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
      ...this.#sessionHeader(),
    });
    this.#response.flushHeaders();
    this.#timer = setInterval(() => {
      if (this.isOpen) this.#response.write(KEEP_ALIVE);
    }, this.#keepAliveMs);
  }

  /** Passes an event on as it is. Waits while the client does not take more. */
  async write(raw: string): Promise<void> {
    if (!this.isOpen || this.#response.write(raw)) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(stall);
        this.#response.off('drain', done);
        this.gone.removeEventListener('abort', done);
        resolve();
      };
      const stall = setTimeout(() => this.cut(), STALL_MS);
      this.#response.on('drain', done);
      this.gone.addEventListener('abort', done);
    });
  }

  /** A message: the whole answer, or one more event of the stream. @param text one JSON text. @param status where no stream was begun. */
  message(text: string, status = 200): void {
    if (!this.isOpen) return;
    if (this.#isStream) {
      this.#response.write(eventText(text));
      return;
    }
    this.#whole(status, 'application/json', text);
  }

  /** A message of ours, and the end of the answer. */
  finish(message: JsonObject, status = 200): void {
    this.message(JSON.stringify(message), status);
    this.end();
  }

  /** An answer without a body. */
  empty(status: number): void {
    if (this.isOpen && !this.#isStream) this.#whole(status, null, '');
  }

  /** Ends a stream; what was not begun is answered without content. */
  end(): void {
    this.#stopTimer();
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#isStream) this.#response.end();
    else if (!this.#response.headersSent && !this.#response.destroyed) this.#response.writeHead(202, { 'content-length': 0 }).end();
  }

  /** Breaks the connection off. */
  cut(): void {
    this.#isOver = true;
    this.#stopTimer();
    this.#leaving.abort();
    this.#response.destroy();
  }

  #whole(status: number, type: string | null, text: string): void {
    this.#isOver = true;
    this.#response.writeHead(status, {
      ...(type !== null && { 'content-type': type }),
      'content-length': Buffer.byteLength(text),
      'cache-control': 'no-store',
      ...this.#sessionHeader(),
    });
    this.#response.end(text);
  }

  #sessionHeader(): Record<string, string> {
    return this.#sessionId === null ? {} : { 'mcp-session-id': this.#sessionId };
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}
