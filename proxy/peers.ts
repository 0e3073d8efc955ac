/**
 * The other proxies. A call belongs to the proxy that it came to first: that one holds its money, its place and its wait. What is asked
 * about it later may come to any proxy and is passed on to its owner, with the caller's own credential; where the owner cannot be reached,
 * whoever was asked takes up what control knows of the call.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Agent } from 'undici';
import type { Uplink } from './uplink.ts';

/** Set on what was passed on: it is answered where it arrives, whoever's call it is. */
const PASSED_ON = 'x-mc-passed-on';
const CONNECT_MS = 1_000;
/** Longer than the longest wait of a poll. */
const ANSWER_MS = 45_000;
/** Where a proxy is may change with its restart. */
const KNOWN_MS = 10_000;

export interface Peers {
  /** An id for a new call, by which every proxy knows whose it is. */
  callId: () => string;
  /**
   * Passes a request about a call on to the proxy that owns the call.
   * @param body as it came; null = none. @returns what is left to do: `ours`, it is ours to answer; `away`, the same, and its owner is a proxy
   * that cannot be reached now.
   */
  passOn: (
    request: IncomingMessage,
    response: ServerResponse,
    callId: string,
    body: Buffer | null,
  ) => Promise<'answered' | 'away' | 'ours'>;
  /** Whether a request about this call may have to be passed on. */
  isForeign: (request: IncomingMessage, callId: string) => boolean;
  close: () => Promise<void>;
}

/** Of a proxy that is alone. */
export function noPeers(): Peers {
  return { callId: randomUUID, passOn: async () => 'ours', isForeign: () => false, close: async () => {} };
}

/** @param proxyId of this proxy, "proxy-" and eight characters that begin the ids of its calls. */
export function createPeers(proxyId: string, uplink: Pick<Uplink, 'addressOf'>, clock: () => number): Peers {
  const own = tagOf(proxyId);
  const agent = new Agent({ connect: { timeout: CONNECT_MS }, headersTimeout: ANSWER_MS, bodyTimeout: ANSWER_MS, connections: 64 });
  const known = new Map<string, { url: string; at: number }>();

  async function addressOf(tag: string): Promise<string | null> {
    const before = known.get(tag);
    if (before && clock() - before.at < KNOWN_MS) return before.url;
    const url = await uplink.addressOf(`proxy-${tag}`).catch(() => before?.url ?? null);
    if (url !== null) known.set(tag, { url, at: clock() });
    return url;
  }

  function ownerOf(callId: string): string | null {
    const tag = /^([0-9a-f]{8})-[0-9a-f]{8}-/.exec(callId)?.[1];
    return tag === undefined || tag === own ? null : tag;
  }

  return {
    callId: () => `${own}-${randomUUID()}`,
    isForeign: (request, callId) => request.headers[PASSED_ON] === undefined && ownerOf(callId) !== null,
    passOn: async (request, response, callId, body) => {
      const tag = ownerOf(callId);
      if (tag === null) return 'ours';
      const url = await addressOf(tag);
      if (url === null) return 'ours';
      const gone = new AbortController();
      response.on('close', () => gone.abort());
      if (await passOnTo(url, request, response, body, gone.signal)) return 'answered';
      // It may have come back at another address since that was looked up.
      known.delete(tag);
      const now = await addressOf(tag);
      if (now === null || now === url) return 'away';
      return (await passOnTo(now, request, response, body, gone.signal)) ? 'answered' : 'away';
    },
    close: () => agent.destroy(),
  };

  /** @returns false where nothing was answered. */
  async function passOnTo(
    url: string,
    request: IncomingMessage,
    response: ServerResponse,
    body: Buffer | null,
    gone: AbortSignal,
  ): Promise<boolean> {
    try {
      const answer = await agent.request({
        origin: new URL(url).origin,
        path: request.url ?? '/',
        method: request.method === 'POST' ? 'POST' : 'GET',
        headers: {
          authorization: request.headers.authorization ?? '',
          [PASSED_ON]: '1',
          ...(body !== null && { 'content-type': 'application/json' }),
        },
        body,
        signal: gone,
      });
      const text = Buffer.from(await answer.body.arrayBuffer());
      response.writeHead(answer.statusCode, {
        'content-type': String(answer.headers['content-type'] ?? 'application/json'),
        'content-length': text.length,
        'cache-control': 'no-store',
      });
      response.end(text);
      return true;
    } catch {
      // Its caller is gone, or its owner is: the one needs no answer, the other leaves it to us.
      return gone.aborted;
    }
  }
}

function tagOf(proxyId: string): string {
  return proxyId.replace(/^proxy-/, '');
}
