/**
 * The other proxies. A call belongs to the proxy that it came to first: that one holds its money, its place and its wait. What is asked
 * about it later may come to any proxy and is passed on to its owner, with the caller's own credential; where the owner cannot be reached,
 * whoever was asked takes up what control knows of the call.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { Agent } from 'undici';
import { leavingSignal, problem } from './respond.ts';
import type { Uplink } from './uplink.ts';

/** Set on what was passed on: it is answered where it arrives, whoever's call it is. */
const PASSED_ON = 'x-mc-passed-on';
const HOP_BY_HOP: ReadonlySet<string> = new Set(['connection', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade']);
/** Made anew for the way to the other one. */
const REMADE: ReadonlySet<string> = new Set(['host', 'content-length', 'expect']);
const NOT_SENT: ReadonlySet<string> = new Set(['ECONNREFUSED', 'UND_ERR_CONNECT_TIMEOUT', 'EHOSTUNREACH', 'ENOTFOUND']);
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
  /**
   * Passes a request within a session on to the proxy that the session began at, and its answer back as it comes.
   * @param session begins with the name of its proxy, as the id of a call does. @returns false where it is ours to answer: nothing was answered yet.
   */
  passOnSession: (request: IncomingMessage, response: ServerResponse, session: string, body: Buffer | null) => Promise<boolean>;
  /** Whether a request about this call, or in this session, may have to be passed on. */
  isForeign: (request: IncomingMessage, callId: string) => boolean;
  close: () => Promise<void>;
}

/** Of a proxy that is alone. */
export function noPeers(): Peers {
  return {
    callId: randomUUID,
    passOn: async () => 'ours',
    passOnSession: async () => false,
    isForeign: () => false,
    close: async () => {},
  };
}

/** @param proxyId of this proxy, "proxy-" and eight characters that begin the ids of its calls. */
export function createPeers(proxyId: string, uplink: Pick<Uplink, 'addressOf'>, clock: () => number): Peers {
  const own = tagOf(proxyId);
  const agent = new Agent({ connect: { timeout: CONNECT_MS }, headersTimeout: ANSWER_MS, bodyTimeout: ANSWER_MS, connections: 64 });
  // A held call is answered when a person has decided, and a stream that only listens has no end: the client's own patience counts.
  const streams = new Agent({ connect: { timeout: CONNECT_MS }, headersTimeout: 0, bodyTimeout: 0 });
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
      const gone = leavingSignal(response);
      if (await passOnTo(url, request, response, body, gone)) return 'answered';
      // It may have come back at another address since that was looked up.
      known.delete(tag);
      const now = await addressOf(tag);
      if (now === null || now === url) return 'away';
      return (await passOnTo(now, request, response, body, gone)) ? 'answered' : 'away';
    },
    passOnSession: async (request, response, session, body) => {
      const tag = ownerOf(session);
      const url = tag === null ? null : await addressOf(tag);
      if (tag === null || url === null) return false;
      const gone = leavingSignal(response);
      let answer: Awaited<ReturnType<Agent['request']>>;
      try {
        answer = await streams.request({
          origin: new URL(url).origin,
          path: request.url ?? '/',
          method: (request.method ?? 'GET') as 'GET',
          headers: passedHeaders(request),
          body,
          signal: gone,
        });
      } catch (error) {
        if (gone.aborted) return true;
        known.delete(tag);
        // Where it cannot have arrived, whoever was asked does what it can.
        if (NOT_SENT.has((error as NodeJS.ErrnoException).code ?? '')) return false;
        problem(response, 502, 'PROXY_AWAY', 'The proxy that has this session broke off. It may have run.');
        return true;
      }
      const headers = Object.entries(answer.headers).filter(([name, value]) => value !== undefined && !HOP_BY_HOP.has(name));
      response.writeHead(answer.statusCode, Object.fromEntries(headers));
      // A stream may say nothing for long: its client must know that it is there.
      response.flushHeaders();
      await pipeline(answer.body, response).catch(() => {});
      return true;
    },
    close: async () => {
      await Promise.all([agent.destroy(), streams.destroy()]);
    },
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

/** What the client said, without what is between it and us. */
function passedHeaders({ headers }: IncomingMessage): Record<string, string | string[]> {
  const passed = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined || HOP_BY_HOP.has(name) || REMADE.has(name) ? [] : [[name, value] as const],
  );
  return { ...Object.fromEntries(passed), [PASSED_ON]: '1' };
}

function tagOf(proxyId: string): string {
  return proxyId.replace(/^proxy-/, '');
}
