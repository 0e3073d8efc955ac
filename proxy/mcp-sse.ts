/** The old HTTP+SSE transport (2024-11-05), as a client: one stream that the server writes to, and an address that it says to post to. */
import type { Dispatcher } from 'undici';
import type { Upstream } from '../control/contract.ts';
import { EventSplitter } from './mcp-events.ts';
import type { Channel } from './mcp-exchange.ts';

type Ask = (options: Dispatcher.RequestOptions & { origin: string }) => Promise<Dispatcher.ResponseData>;

const ENDPOINT_MS = 10_000;

/** Whether a stream begins as one of this transport does: with the event `endpoint`. Bounded in time by the request's signal. */
export async function startsSse(answer: Dispatcher.ResponseData): Promise<boolean> {
  if (!/^text\/event-stream\b/i.test(String(answer.headers['content-type'] ?? ''))) return false;
  const splitter = new EventSplitter(64 * 1024);
  try {
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      const [first] = splitter.push(chunk).filter((event) => event.data !== null);
      if (first) return first.event === 'endpoint';
    }
  } catch {
    // Cut, too long or too late: then it is none.
  }
  return false;
}

/** Opens a session with a server of the old transport. @throws Error where it does not say where to post. */
export async function openSseChannel(url: URL, ask: Ask, limits: Upstream['limits']): Promise<Channel> {
  const closing = new AbortController();
  const answer = await ask({
    method: 'GET',
    origin: url.origin,
    path: url.pathname + url.search,
    headers: { accept: 'text/event-stream' },
    signal: closing.signal,
    bodyTimeout: 0,
  });
  if (answer.statusCode !== 200) {
    closing.abort();
    throw new Error(`HTTP ${answer.statusCode} to its event stream`);
  }
  const endpoint = Promise.withResolvers<URL>();
  endpoint.promise.catch(() => {});
  const channel: Channel = {
    onMessage: () => {},
    onClose: () => {},
    send: async (text) => {
      const to = await endpoint.promise;
      const posted = await ask({
        method: 'POST',
        origin: to.origin,
        path: to.pathname + to.search,
        headers: { 'content-type': 'application/json' },
        body: text,
        signal: closing.signal,
      });
      await posted.body.dump();
      if (posted.statusCode >= 300) throw new Error(`HTTP ${posted.statusCode} to a message`);
    },
    close: () => closing.abort(),
  };
  const timer = setTimeout(() => endpoint.reject(new Error('it did not say where to post')), ENDPOINT_MS);

  void (async () => {
    let why = 'its event stream ended';
    try {
      const splitter = new EventSplitter(limits.responseMaxBytes);
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        for (const event of splitter.push(chunk)) {
          if (event.data === null) continue;
          if (event.event === 'endpoint') {
            const to = new URL(event.data, url);
            // Elsewhere than the stream came from it gets neither messages nor the secret.
            if (to.origin === url.origin) endpoint.resolve(to);
            else throw new Error('it names another host to post to');
          } else channel.onMessage(event.data);
        }
      }
    } catch (error) {
      why = error instanceof Error ? error.message : String(error);
    }
    closing.abort();
    endpoint.reject(new Error(why));
    channel.onClose(why);
  })();

  try {
    await endpoint.promise;
  } finally {
    clearTimeout(timer);
  }
  return channel;
}
