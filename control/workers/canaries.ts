/**
 * Sends canaries on the ways in on which nothing came for a day (SPEC 10): signed, for one agent and one way, always refused, free. What a
 * proxy records of them shows in the coverage map that a call there would have been judged. The way inside OpenClaw is not among them: nobody
 * but OpenClaw can send a call through its hooks.
 */
import { createHmac, randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { request } from 'undici';
import type { Alerts } from '../alerts.ts';
import { CANARY_MS, CANARY_PREFIX, CANARY_TOOL, type CanaryClaim, type Coverage, OWN_SERVER } from '../contract.ts';
import type { Db } from '../db/database.ts';
import type { Worker } from './loop.ts';

interface Dependencies {
  db: Db;
  clock: () => number;
  alerts: Alerts;
  coverage: { read: () => Promise<Coverage> };
  /** Proxies that are here now, and where. */
  proxies: () => readonly { url: string; egressUrl: string | null }[];
  clusterSecret: string;
  published: () => void;
}

type Entry = CanaryClaim['entry'];
type Place = { url: string; egressUrl: string | null };

/** A way in is proven anew after half a day. */
const AGAIN_MS = 12 * 60 * 60 * 1000;
/** Of one pass; the rest is the next one's. */
const SENT_MAX = 40;
const ANSWER_MAX_MS = 3_000;

export function canaries({ db, clock, alerts, coverage, proxies, clusterSecret, published }: Dependencies): Worker {
  let turn = 0;

  async function tick(): Promise<void> {
    const places = proxies();
    if (places.length === 0) return;
    const rows = await db.selectFrom('upstreams').select(['name', 'kind']).where('removed_at', 'is', null).orderBy('name').execute();
    const upstreamOf = (kind: 'http' | 'model') => rows.find((row) => row.kind === kind)?.name ?? null;
    let sent = 0;
    for (const { agentId, gate, points } of (await coverage.read()).agents) {
      for (const { entry, state, provenAt } of points) {
        if (state === 'proven' || state === 'bypassed' || (entry === 'openclaw' && gate === 'openclaw')) continue;
        if (provenAt !== null && clock() - provenAt < AGAIN_MS) continue;
        const place = places[turn++ % places.length];
        if (place === undefined || sent >= SENT_MAX) return;
        const way = wayOf(entry, place, upstreamOf);
        if (way === null) continue;
        sent++;
        // What does not answer is not proven: the map goes on saying so.
        const status = await way(tokenOf({ agentId, entry, nonce: randomUUID(), expiresAt: clock() + CANARY_MS })).catch(() => null);
        if (status === 200 && entry !== 'model' && entry !== 'mcp') await tell(agentId, entry);
      }
    }
  }

  function tokenOf(claim: CanaryClaim): string {
    const text = Buffer.from(JSON.stringify(claim)).toString('base64url');
    return `${CANARY_PREFIX}${text}.${createHmac('sha256', clusterSecret).update(`canary\n${text}`).digest('base64url')}`;
  }

  async function tell(agentId: string, entry: Entry): Promise<void> {
    const message = `A canary was let through on the way "${entry}", which must refuse it always: calls may run there unjudged.`;
    await db
      .transaction()
      .execute((tx) =>
        alerts.raise(tx, { type: 'security_violation', severity: 'critical', agentId, subject: `canary:${entry}`, message }),
      );
    published();
  }

  // Reading the map looks through a day of calls.
  return { name: 'canaries', everyMs: 10 * 60_000, tick };
}

/** How a canary is sent on a way in, and what status answers it; null where the way does not exist here. */
function wayOf(
  entry: Entry,
  { url, egressUrl }: Place,
  upstreamOf: (kind: 'http' | 'model') => string | null,
): ((token: string) => Promise<number>) | null {
  const name = entry === 'http' || entry === 'model' ? upstreamOf(entry) : null;
  switch (entry) {
    case 'openclaw':
      return (token) => post(new URL('/v1/tool-calls', url), token, { tool: CANARY_TOOL, arguments: {} });
    case 'mcp': {
      const call = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: CANARY_TOOL, arguments: {} } };
      return (token) => post(new URL(`/mcp/${OWN_SERVER}`, url), token, call);
    }
    case 'http':
      return name === null ? null : (token) => post(new URL(`/http/${name}/${CANARY_TOOL}`, url), token, {});
    case 'model': {
      const body = { model: CANARY_TOOL, max_tokens: 16, messages: [{ role: 'user', content: 'canary' }] };
      return name === null ? null : (token) => post(new URL(`/model/${name}/v1/chat/completions`, url), token, body);
    }
    case 'egress':
      return egressUrl === null ? null : (token) => tunnel(new URL(egressUrl), token);
  }
}

async function post(url: URL, token: string, body: unknown): Promise<number> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
  const answer = await request(url, { method: 'POST', headers, body: JSON.stringify(body), signal: AbortSignal.timeout(ANSWER_MAX_MS) });
  await answer.body.dump();
  return answer.statusCode;
}

/** Asks for a tunnel to a name that nobody can have. */
function tunnel({ hostname, port }: URL, token: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), timeout: ANSWER_MAX_MS });
    socket.on('timeout', () => socket.destroy(new Error('no answer')));
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('closed without an answer')));
    socket.on('connect', () =>
      socket.write(`CONNECT canary.invalid:443 HTTP/1.1\r\nhost: canary.invalid:443\r\nproxy-authorization: Bearer ${token}\r\n\r\n`),
    );
    socket.once('data', (bytes) => {
      resolve(Number(/^HTTP\/1\.1 (\d{3})/.exec(bytes.toString('latin1'))?.[1] ?? 0));
      socket.destroy();
    });
  });
}
