/**
 * The traffic of the chaos campaign and its books: agents who call tools through every door, an upstream and a model that count what
 * arrives, a person who decides and writes. Each call has a number, which is its session and is in its arguments; what was asked, answered
 * and carried out is noted by that number. Nothing is judged here: chaos-topology.ts compares the books with what the product says.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { ADMIN_TOKEN } from '../test/support/world.ts';
import type { Installation } from './installation.ts';

/** What an agent wants to do once. `look`: green; `buy`: green and priced; `act`: red; `order`: red and priced; `chat`: a model; `make`: by the gate. */
export type Kind = 'look' | 'buy' | 'act' | 'order' | 'chat' | 'make';

export interface Attempt {
  proxy: number;
  sentAt: number;
  endedAt: number;
  status: number;
}

export interface Call {
  n: number;
  kind: Kind;
  agent: number;
  runId: string;
  body: string;
  attempts: Attempt[];
  /** At the upstream, or at the agent that was told to go on: when, and with what. */
  arrivals: { at: number; body: string }[];
  /** Of `make`: the ids under which it was carried out. */
  ran: Set<string>;
  /** Of `make`: what was answered to its outcome, each time it was told. */
  outcomes: number[];
  isSettled: boolean;
}

export interface Decision {
  id: string;
  n: number;
  verdict: 'approve' | 'deny';
  /** It was answered with 200. */
  isAcknowledged: boolean;
}

export interface Books {
  calls: Map<number, Call>;
  decisions: Map<string, Decision>;
  /** Tasks whose making was acknowledged, by id. */
  tasks: Map<string, string>;
  problems: string[];
}

export interface AgentKey {
  id: string;
  token: string;
}

export const PRICE_USD = 0.01;
export const HELD: ReadonlySet<Kind> = new Set(['act', 'order', 'make']);
export const PRICED: ReadonlySet<Kind> = new Set(['buy', 'order']);
const ANSWER_MAX_MS = 6_000;
const AGAIN_MS = 120;
const CALLERS = 8;

/** Who sends: connections of their own, and an end to every wait. */
export const line = new Agent({ connections: 256, pipelining: 1, connectTimeout: 2_000 });

export interface Said<T = Record<string, unknown>> {
  status: number;
  body: T;
}

/** Asks the API as the administrator. @throws where nothing came back in time. */
export async function askApi<T = Record<string, unknown>>(url: string, method: string, path: string, body?: unknown): Promise<Said<T>> {
  return send<T>(`${url}/api${path}`, method, ADMIN_TOKEN, {}, body === undefined ? null : JSON.stringify(body));
}

/** Asks one control after the other until one answers for good. */
export async function askAny<T = Record<string, unknown>>(
  { controls }: Installation,
  method: string,
  path: string,
  body?: unknown,
): Promise<Said<T>> {
  for (let tried = 0; ; tried++) {
    const url = controls[tried % controls.length]?.url ?? '';
    const said = await askApi<T>(url, method, path, body).catch(() => null);
    if (said && said.status < 500) return said;
    if (tried > 60) throw new Error(`no control answered ${method} ${path}: ${JSON.stringify(said)}`);
    await sleep(AGAIN_MS);
  }
}

async function send<T>(
  url: string,
  method: string,
  token: string,
  headers: Record<string, string>,
  body: string | null,
  maxMs = ANSWER_MAX_MS,
): Promise<Said<T>> {
  const answer = await request(url, {
    method: method as 'POST',
    dispatcher: line,
    headers: { ...headers, authorization: `Bearer ${token}`, ...(body !== null && { 'content-type': 'application/json' }) },
    body,
    signal: AbortSignal.timeout(maxMs),
  });
  const text = await answer.body.text();
  return { status: answer.statusCode, body: jsonOf(text) as T };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export interface Upstream {
  url: string;
  /** Called at the moment a call arrives, before it is answered. */
  onArrival: (call: Call) => void;
  close: () => void;
}

/** The tools and the model behind the proxies. */
export async function startUpstream(books: Books): Promise<Upstream> {
  const upstream: Upstream = { url: '', onArrival: () => {}, close: () => {} };
  const server = createServer((incoming, response) => {
    let text = '';
    incoming.on('data', (chunk) => {
      text += chunk;
    });
    incoming.on('end', () => {
      const n = Number(/"call (\d+)/.exec(text)?.[1]);
      const call = books.calls.get(n);
      if (!call) {
        books.problems.push(`something arrived that nobody sent: ${text.slice(0, 200)}`);
        return void response.end('{}');
      }
      call.arrivals.push({ at: Date.now(), body: text });
      upstream.onArrival(call);
      response.setHeader('content-type', 'application/json');
      response.end(call.kind === 'chat' ? COMPLETION : '{"done":true}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  upstream.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  upstream.close = () => server.close().closeAllConnections();
  return upstream;
}

const COMPLETION = JSON.stringify({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model: 'test-model',
  choices: [{ index: 0, message: { role: 'assistant', content: 'yes' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 20, completion_tokens: 5, total_tokens: 25 },
});

interface Round {
  running: Installation;
  books: Books;
  agents: readonly AgentKey[];
  round: number;
  random: () => number;
}

/** Lets the agents call, and a person decide, until `isOver`. */
export async function traffic({ running, books, agents, round, random }: Round, isOver: () => boolean): Promise<void> {
  await Promise.all([...Array.from({ length: CALLERS }, () => caller()), decider(), writer()]);

  async function caller(): Promise<void> {
    while (!isOver()) {
      await drive(newCall());
      await sleep(10 + random() * 60);
    }
  }

  function newCall(): Call {
    const n = books.calls.size + 1;
    const share = random();
    const kind = share < 0.2 ? 'look' : share < 0.4 ? 'buy' : share < 0.6 ? 'act' : share < 0.75 ? 'order' : share < 0.85 ? 'chat' : 'make';
    const agent = n % agents.length;
    const said = `call ${n} of ${round}`;
    const body =
      kind === 'chat'
        ? { model: 'test-model', max_tokens: 20, messages: [{ role: 'user', content: said }] }
        : kind === 'make'
          ? {
              tool: 'exec',
              arguments: { command: `make part-${n}` },
              callId: `call-${n}`,
              sessionKey: `c-${n}`,
              runId: runOf(round, agent),
            }
          : { said };
    const call: Call = {
      ...{ n, kind, agent, runId: runOf(round, agent), body: JSON.stringify(body) },
      ...{ attempts: [], arrivals: [], ran: new Set<string>(), outcomes: [], isSettled: false },
    };
    books.calls.set(n, call);
    return call;
  }

  async function drive(call: Call): Promise<void> {
    const first = Math.floor(random() * running.proxies.length);
    if (!HELD.has(call.kind)) return void (await attempt(call, first));
    // Asked again, and by a third of the callers at two proxies at once, as an agent does whose connection broke.
    const isHasty = random() < 0.33;
    for (let tried = 0; !isOver(); tried++) {
      const results = await Promise.all([attempt(call, first + tried), ...(isHasty ? [attempt(call, first + tried + 1)] : [])]);
      if (results.includes(200) || isDenied(call)) return;
      await sleep(AGAIN_MS);
    }
  }

  function isDenied({ n }: Call): boolean {
    return n % DENIED_EVERY === 0 && [...books.decisions.values()].some((decision) => decision.n === n && decision.isAcknowledged);
  }

  async function attempt(call: Call, which: number): Promise<number> {
    const proxy = which % running.proxies.length;
    const made: Attempt = { proxy, sentAt: Date.now(), endedAt: Number.POSITIVE_INFINITY, status: 0 };
    call.attempts.push(made);
    const base = running.proxies[proxy]?.url ?? '';
    const token = agents[call.agent]?.token ?? '';
    const headers = { 'x-mc-run': call.runId, 'x-mc-session': HELD.has(call.kind) ? sessionOf(round, call.agent) : `c-${call.n}` };
    try {
      const { status, body } = await send<{ id?: string; verdict?: string }>(
        `${base}${PATHS[call.kind]}`,
        'POST',
        token,
        headers,
        call.body,
      );
      made.status = status;
      if (call.kind === 'make') return await atGate(call, base, token, status, body);
      return status;
    } catch {
      return 0; // it is not known whether it ran
    } finally {
      made.endedAt = Date.now();
    }
  }

  /** A gate's call: waited for, carried out once it is allowed, and its outcome told. */
  async function atGate(call: Call, base: string, token: string, status: number, body: { id?: string }): Promise<number> {
    let said = status;
    if (status === 202 && body.id !== undefined)
      said = (await send(`${base}/v1/tool-calls/${body.id}?waitMs=1500`, 'GET', token, {}, null)).status;
    if (said === 200 && body.id !== undefined) {
      carryOut(call, body.id);
      await settle(call, base, token);
    }
    return said;
  }

  async function decider(): Promise<void> {
    while (!isOver()) {
      await decideAll(running, books, random() < 0.5 ? 0 : 1).catch(() => {});
      await sleep(80);
    }
  }

  /** A person who writes tasks down. */
  async function writer(): Promise<void> {
    for (let index = 0; !isOver(); index++) {
      const title = `task ${index} of ${round}`;
      const url = running.controls[index % running.controls.length]?.url ?? '';
      const made = await askApi<{ id: string }>(url, 'POST', '/tasks', { title, type: 'engineering' }).catch(() => null);
      if (made?.status === 201) books.tasks.set(made.body.id, title);
      await sleep(250);
    }
  }
}

function sessionOf(round: number, agent: number): string {
  return `shared-${round}-${agent}`;
}

/** The number of the call that says this. */
export function saidNumber(text: string): number {
  return Number(/call (\d+)|part-(\d+)/.exec(text)?.slice(1).find(Boolean));
}

function runOf(round: number, agent: number): string {
  return `run-${round}-${agent}`;
}

const PATHS: Record<Kind, string> = {
  look: '/http/site/look',
  act: '/http/site/act',
  buy: '/http/shop/buy',
  order: '/http/shop/order',
  chat: '/model/brain/v1/chat/completions',
  make: '/v1/tool-calls',
};

/** An agent that was told to go on does so, once for each id. */
function carryOut(call: Call, id: string): void {
  if (call.ran.has(id)) return;
  call.ran.add(id);
  call.arrivals.push({ at: Date.now(), body: call.body });
}

async function settle(call: Call, base: string, token: string): Promise<void> {
  const outcome = JSON.stringify({ status: 'success', durationMs: 1, output: `made ${call.n}` });
  for (const id of call.ran) {
    const { status } = await send(`${base}/v1/tool-calls/${id}/outcome`, 'POST', token, {}, outcome);
    call.outcomes.push(status);
    // 409: an outcome was recorded whose answer was lost.
    if (status === 200 || status === 409) call.isSettled = true;
  }
}

/** Every so manieth call is denied, and as many are left alone. */
const DENIED_EVERY = 6;

interface Pending {
  id: string;
  reasons: { code: string }[];
  arguments: { body?: { said?: string }; command?: string } | null;
}

/**
 * Decides what waits, by the number of the call. One approval is given for each call: whatever asks a second time, because it is not known
 * whether it ran, or asks for more money, is denied.
 * @param left also what would be left alone is denied.
 */
export async function decideAll(running: Installation, books: Books, which: number, left = false): Promise<number> {
  const url = running.controls[which]?.url ?? '';
  const { status, body } = await askApi<{ items: Pending[] }>(url, 'GET', '/approvals?status=pending&limit=200');
  if (status !== 200) throw new Error(`control answered ${status}`);
  await Promise.all(
    body.items.map(async ({ id, reasons, arguments: args }) => {
      const n = Number(
        /call (\d+)|part-(\d+)/
          .exec(args?.body?.said ?? args?.command ?? '')
          ?.slice(1)
          .find(Boolean),
      );
      if (!left && n % DENIED_EVERY === 1) return;
      const isFirst = ![...books.decisions.values()].some(
        (decision) => decision.n === n && decision.id !== id && decision.verdict === 'approve',
      );
      const forMoney = reasons.some(({ code }) => code.startsWith('BUDGET_'));
      const verdict = isFirst && !forMoney && !left && n % DENIED_EVERY !== 0 ? 'approve' : 'deny';
      const decision = books.decisions.get(id) ?? { id, n, verdict, isAcknowledged: false };
      books.decisions.set(id, decision);
      const answer = await askApi(url, 'POST', `/approvals/${id}/${decision.verdict}`, { note: 'chaos' });
      if (answer.status === 200) decision.isAcknowledged = true;
    }),
  );
  return body.items.length;
}

/** After the trouble: every agent comes back for what it had at the gate, and tells what came of it. */
export async function takeUp({ running, books, agents }: Round, calls: readonly Call[]): Promise<void> {
  await Promise.all(
    calls
      .filter(({ kind, isSettled }) => kind === 'make' && !isSettled)
      .map(async (call) => {
        const token = agents[call.agent]?.token ?? '';
        for (let tried = 0; tried < 60; tried++) {
          const base = running.proxies[tried % running.proxies.length]?.url ?? '';
          const done = await takeUpOnce(call, base, token).catch(() => false);
          if (done) return;
          await sleep(AGAIN_MS);
        }
        books.problems.push(`call ${call.n}: nobody would say what became of it`);
      }),
  );
}

/** @returns whether there is nothing more to do. */
async function takeUpOnce(call: Call, base: string, token: string): Promise<boolean> {
  if (call.ran.size > 0) {
    await settle(call, base, token);
    return call.isSettled;
  }
  const asked = await send<{ id?: string }>(`${base}/v1/tool-calls`, 'POST', token, {}, call.body);
  if (asked.status === 200 && asked.body.id !== undefined) {
    carryOut(call, asked.body.id);
    await settle(call, base, token);
    return call.isSettled;
  }
  // Held: it waits for nobody any more. Denied, or known to have run: over.
  return asked.status === 202 || asked.status === 403 || asked.status === 409;
}
