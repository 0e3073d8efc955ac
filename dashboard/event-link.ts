/**
 * The one event stream of a browser, whichever of its tabs holds it. A browser has six connections to a host for all tabs together, and a
 * stream keeps one for itself: so one tab reads the stream (it holds a lock) and tells the others over a channel; when it goes, the next one
 * reads on where it was. Guarantees to its listener: after `opened(true)` nothing is missing between what came before and what comes next;
 * after `opened(false)` something may be, so that the lists must be read anew.
 */
import * as api from './api.ts';
import { EventParser, type StreamEvent } from './event-parser.ts';

/** The server beats every second; this much silence means that the connection is dead without knowing it. */
const SILENCE_MS = 6_000;
const SILENCE = 'Nothing was heard for 6 s.';
const RETRY_MS = [500, 1_000, 2_000, 4_000, 8_000] as const;

export interface LinkListener {
  /** The stream is up. @param resumed whether it goes on exactly behind the last event that was taken. */
  opened(resumed: boolean): void;
  take(event: StreamEvent): void;
  /** Something came, be it only a beat. */
  heard(): void;
  /** @param retryAt when it is tried again, epoch milliseconds. */
  lost(why: string, retryAt: number): void;
  /** Whether it has all that came before, so that a stream may go on from there. */
  isWhole(): boolean;
}

/** What tabs tell each other. `after`, `from`: the id of the event before; null = the stream starts somewhere. `to`: null = all. */
type Message =
  | { kind: 'opened'; from: string | null; to: string | null }
  | { kind: 'event'; event: StreamEvent; after: string | null }
  | { kind: 'lost'; why: string; retryAt: number }
  | { kind: 'hello'; tab: string }
  | { kind: 'retry' };

export interface EventLink {
  /** Tries again at once instead of waiting. */
  retryNow(): void;
  /** What was read with the help of this stream could not be: it is opened anew. */
  fail(why: string): void;
  stop(): void;
}

/** Keeps the stream open until stopped. @param owner tabs of the same owner share one. */
export function openEventLink(owner: string, listener: LinkListener): EventLink {
  const stopped = new AbortController();
  const name = `mc-events-${owner}`;
  // Locks are there where the page is secure (https, or this machine); elsewhere every tab reads for itself.
  const locks = 'locks' in navigator && 'BroadcastChannel' in window ? navigator.locks : null;
  const channel = locks && new BroadcastChannel(name);
  const tell = (message: Message) => channel?.postMessage(message);
  const tab = `${Date.now()}-${Math.random()}`;

  let lastEventId: string | null = null;
  let role: { retry(): void; fail(why: string): void; take(message: Message): void; end(): void } = follow();
  channel?.addEventListener('message', ({ data }: MessageEvent<Message>) => role.take(data));
  tell({ kind: 'hello', tab });

  const leading = async () => {
    role.end();
    const leader = lead();
    role = leader;
    await leader.done;
  };
  if (locks) locks.request(name, { signal: stopped.signal }, leading).catch(() => {});
  else void leading();

  const retryNow = () => role.retry();
  addEventListener('online', retryNow);
  addEventListener('visibilitychange', retryNow);

  /** Listens to the tab that reads. */
  function follow(): typeof role {
    let isOpen = false;
    let silence: ReturnType<typeof setTimeout> | undefined;
    let again: ReturnType<typeof setTimeout> | undefined;
    const retry = () => tell({ kind: 'retry' });
    const lost = (why: string, retryAt: number) => {
      isOpen = false;
      listener.lost(why, retryAt);
      clearTimeout(again);
      // The tab that reads may lie in the background, where its own timers are slow.
      again = setTimeout(retry, Math.max(0, retryAt - Date.now()));
    };
    const watch = () => {
      clearTimeout(silence);
      silence = setTimeout(() => lost(SILENCE, Date.now() + SILENCE_MS), SILENCE_MS);
    };
    const open = (from: string | null) => {
      const resumed = from !== null && from === lastEventId && listener.isWhole();
      if (isOpen && resumed) return;
      isOpen = true;
      clearTimeout(again);
      lastEventId = from;
      listener.opened(resumed);
    };
    if (channel) watch();
    return {
      retry,
      fail(why) {
        // The stream is not at fault: others read it. This tab begins anew on it.
        lastEventId = null;
        lost(why, Date.now() + RETRY_MS[1]);
        clearTimeout(again);
        again = setTimeout(() => tell({ kind: 'hello', tab }), RETRY_MS[1]);
      },
      take(message) {
        if (
          message.kind === 'hello' ||
          message.kind === 'retry' ||
          (message.kind === 'opened' && message.to !== null && message.to !== tab)
        )
          return;
        watch();
        if (message.kind === 'lost') return lost(message.why, message.retryAt);
        listener.heard();
        if (message.kind === 'opened') return open(message.from);
        if (!isOpen || message.after !== lastEventId) open(message.after === lastEventId ? message.after : null);
        lastEventId = message.event.id ?? message.after;
        listener.take(message.event);
      },
      end() {
        clearTimeout(silence);
        clearTimeout(again);
      },
    };
  }

  /** Reads the stream, and tells the others. */
  function lead(): typeof role & { done: Promise<void> } {
    let connection: Connection | null = null;
    let wake = () => {};
    const done = (async () => {
      let failures = 0;
      while (!stopped.signal.aborted) {
        const from = listener.isWhole() ? lastEventId : null;
        let opened = false;
        connection = new Connection(from, stopped.signal);
        const why = await connection.run((event) => {
          if (!opened) {
            opened = true;
            lastEventId = from;
            tell({ kind: 'opened', from, to: null });
            listener.opened(from !== null);
          }
          listener.heard();
          if (event === null) return;
          tell({ kind: 'event', event, after: lastEventId });
          lastEventId = event.id ?? lastEventId;
          listener.take(event);
        });
        if (stopped.signal.aborted) return;
        failures = opened ? 0 : failures + 1;
        const delay = RETRY_MS[Math.min(failures, RETRY_MS.length - 1)] ?? 0;
        const retryAt = Date.now() + delay;
        connection = null;
        tell({ kind: 'lost', why, retryAt });
        listener.lost(why, retryAt);
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, delay);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    })();
    const retry = () => {
      wake();
      connection?.checkSilence();
    };
    return {
      done,
      retry,
      fail: (why) => connection?.fail(why),
      take(message) {
        if (message.kind === 'retry') retry();
        if (message.kind === 'hello' && connection?.isOpen) tell({ kind: 'opened', from: lastEventId, to: message.tab });
      },
      end() {
        wake();
      },
    };
  }

  return {
    retryNow,
    fail: (why) => role.fail(why),
    stop() {
      removeEventListener('online', retryNow);
      removeEventListener('visibilitychange', retryNow);
      stopped.abort();
      role.end();
      channel?.close();
    },
  };
}

/** One stream from its opening to its end. */
class Connection {
  isOpen = false;
  readonly #from: string | null;
  readonly #aborted = new AbortController();
  #failure = 'The connection was closed.';
  #heardAt = performance.now();

  constructor(from: string | null, stopped: AbortSignal) {
    this.#from = from;
    stopped.addEventListener('abort', () => this.#aborted.abort(), { signal: this.#aborted.signal });
  }

  /** @param take gets every event, and null once when the stream is up. @returns why it ended. */
  async run(take: (event: StreamEvent | null) => void): Promise<string> {
    let watchdog: ReturnType<typeof setTimeout> | undefined;
    const heard = () => {
      this.#heardAt = performance.now();
      clearTimeout(watchdog);
      watchdog = setTimeout(() => this.fail(SILENCE), SILENCE_MS);
    };
    try {
      heard();
      const body = await api.openEvents(this.#from, this.#aborted.signal);
      const parser = new EventParser();
      const decoder = new TextDecoder();
      const reader = body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        heard();
        if (!this.isOpen) {
          this.isOpen = true;
          take(null);
        }
        for (const event of parser.push(decoder.decode(value, { stream: true }))) take(event);
      }
    } catch (error) {
      if (!this.#aborted.signal.aborted) this.#failure = error instanceof Error ? error.message : String(error);
    } finally {
      clearTimeout(watchdog);
      this.#aborted.abort();
    }
    return this.#failure;
  }

  /** For a page in the background, whose own watchdog comes late. */
  checkSilence(): void {
    if (performance.now() - this.#heardAt >= SILENCE_MS) this.fail(SILENCE);
  }

  fail(why: string): void {
    this.#failure = why;
    this.#aborted.abort();
  }
}
