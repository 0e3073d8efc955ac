/**
 * HTTP requests to addresses that somebody has named (a server's documents about whom to ask for a token, a channel's settings). They go
 * only where the upstream's or channel's own rules allow, follow no redirect by themselves, and are bounded in size and time.
 */
import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { Agent } from 'undici';
import { isSpecialAddress } from '../policies/index.ts';

export interface Outbound {
  /** Like `fetch`; fails with a TypeError where the address is not allowed or cannot be reached, as `fetch` does. */
  fetch: (url: string | URL, init?: RequestInit) => Promise<Response>;
  close: () => Promise<void>;
}

interface Bounds {
  /** Everything together may take this long; null = open until it is closed. */
  errandMs: number | null;
  requestMs: number;
  bodyMaxBytes: number;
  requestsMax: number;
}

const CONNECT_MS = 10_000;
const ERRAND: Omit<Bounds, 'errandMs'> = { requestMs: 10_000, bodyMaxBytes: 256 * 1024, requestsMax: 20 };
const SERVICE: Omit<Bounds, 'requestMs'> = { errandMs: null, bodyMaxBytes: 2 * 1024 * 1024, requestsMax: Number.POSITIVE_INFINITY };

/**
 * A way out for one errand. @param allowPrivate whether private addresses, and plain http, are meant (the upstream's own setting).
 * @param errandMs how long everything together may take.
 */
export function openOutbound(allowPrivate: boolean, errandMs: number): Outbound {
  return open(allowPrivate, { ...ERRAND, errandMs });
}

/** A way out to a service that is used again and again, until it is closed. @param requestMs how long one request may take. */
export function openService(allowPrivate: boolean, requestMs: number): Outbound {
  return open(allowPrivate, { ...SERVICE, requestMs });
}

function open(allowPrivate: boolean, { errandMs, requestMs, bodyMaxBytes, requestsMax }: Bounds): Outbound {
  const agent = new Agent({
    pipelining: 1,
    allowH2: false,
    keepAliveTimeout: 1_000,
    maxHeaderSize: 32 * 1024,
    connect: { timeout: CONNECT_MS, ...(!allowPrivate && { lookup: publicAddresses }) },
  });
  const errand = errandMs === null ? [] : [AbortSignal.timeout(errandMs)];
  let requests = 0;
  return {
    async fetch(url, init = {}) {
      const target = new URL(url);
      const refusal = refusalOf(target, allowPrivate);
      if (refusal !== null) throw new TypeError(refusal);
      if (++requests > requestsMax) throw new TypeError(`more than ${requestsMax} requests were needed, which is too many`);
      try {
        const answer = await agent.request({
          origin: target.origin,
          path: target.pathname + target.search,
          method: (init.method ?? 'GET') as 'GET' | 'POST',
          headers: Object.fromEntries(new Headers(init.headers)),
          body: init.body === undefined || init.body === null ? null : String(init.body),
          headersTimeout: requestMs,
          bodyTimeout: requestMs,
          signal: AbortSignal.any([...errand, ...(init.signal ? [init.signal] : []), AbortSignal.timeout(requestMs)]),
        });
        const headers = new Headers();
        for (const [name, value] of Object.entries(answer.headers)) {
          for (const one of [value ?? []].flat()) headers.append(name, one);
        }
        const body = await read(answer.body, bodyMaxBytes);
        return new Response([204, 205, 304].includes(answer.statusCode) ? null : body, { status: answer.statusCode, headers });
      } catch (error) {
        if (error instanceof TypeError) throw error;
        throw new TypeError(`${target.host} cannot be asked: ${error instanceof Error ? error.message : error}`, { cause: error });
      }
    },
    close: () => agent.destroy(),
  };
}

function refusalOf(target: URL, allowPrivate: boolean): string | null {
  if (target.username || target.password) return `${target.host} was named with a credential in its address`;
  if (target.protocol !== 'https:' && !(allowPrivate && target.protocol === 'http:')) return `${target.origin} is not https`;
  const host = target.hostname.replace(/^\[|\]$/g, '');
  if (!allowPrivate && isIP(host) !== 0 && isSpecialAddress(host)) return `${host} is a private address`;
  return null;
}

/** The address that was looked at is the address that is dialled (SPEC 4.6). */
function publicAddresses(name: string, options: object, done: (error: Error | null, addresses: LookupAddress[]) => void): void {
  lookup(name, { ...options, all: true }).then(
    (addresses) => {
      const special = addresses.find(({ address }) => isSpecialAddress(address));
      if (special) done(new Error(`${name} leads to the private address ${special.address}`), []);
      else done(null, addresses);
    },
    (error: Error) => done(error, []),
  );
}

async function read(body: AsyncIterable<Buffer>, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > maxBytes) throw new Error(`its answer is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
