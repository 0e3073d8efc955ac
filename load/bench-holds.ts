/**
 * `npm run bench:holds`: the promise of held calls, measured (SPEC 12). First undisturbed: from a person's decision to the request that leaves
 * for the upstream. Then a thousand held calls with other arguments each, while processes (proxies, controls, workers) are killed with -9 at
 * random: the upstream counts what arrives. A call whose proxy was killed in the moment of sending may not have arrived; it is never sent
 * again by itself and its record says "unknown", which is neither lost nor twice. Exits with 1 where a promise is missed. `--holds N`,
 * `--undisturbed N` and `--seed N` for other sizes and another course.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { cpus, loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Agent, request } from 'undici';
import { demand, type Installation, type Line, measureInstallation, newAgents, percentile, printLines, usePolicy } from './installation.ts';

const { values: options } = parseArgs({
  options: {
    holds: { type: 'string', default: '1000' },
    undisturbed: { type: 'string', default: '200' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
});
const HOLDS = Number(options.holds);
const UNDISTURBED = Number(options.undisturbed);
const AGENTS = 20;
const SENT_MS = 100;
/** A process is killed about this often, and started again at once. */
const KILL_EVERY_MS = 1_500;
const DECIDERS = 4;
const WAIT_MAX_MS = 20 * 60 * 1000;
const AGAIN_MS = 250;

/** What the upstream heard of one call. */
interface Arrival {
  at: number;
  arguments: string;
}

const random = randomFrom(Number(options.seed));
const agent = new Agent({ connections: 2_048, pipelining: 1, headersTimeout: 300_000, bodyTimeout: 300_000 });
const arrivals = new Map<number, Arrival[]>();
const upstream = await startUpstream();
await measureInstallation({ proxies: 2 }, measure, async () => {
  await agent.destroy();
  upstream.close();
});

async function measure(running: Installation): Promise<boolean> {
  await usePolicy(running, { limits: { errorStreak: 10_000 } });
  const routes = [{ method: 'POST', path: '/do', tool: 'act', risk: 'red' }];
  const limits = { concurrency: 2_000 };
  demand(
    await running.api('POST', '/upstreams', { name: 'site', kind: 'http', url: upstream.url, allowPrivate: true, routes, limits }),
    201,
  );
  const agents = await newAgents(running, AGENTS);
  const undisturbed = await measureUndisturbed(running, agents);
  const { kills, heldAnew, unknown, lost, twice, changed, undecided } = await measureKills(running, agents);
  const machine = `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores, load average ${loadavg()[0]?.toFixed(1)}, Node ${process.versions.node}; 2 proxies, 2 controls, workers; seed ${options.seed}, ${kills} processes killed`;
  const p99 = percentile(undisturbed, 0.99);
  const none = (promise: string, count: number): Line => ({ promise, target: '0', measured: `${count} of ${HOLDS}`, kept: count === 0 });
  return printLines(
    [
      {
        promise: 'decision to request at the upstream, undisturbed',
        target: `p99 ≤ ${SENT_MS} ms`,
        measured: `p50 ${Math.round(percentile(undisturbed, 0.5))} ms, p99 ${Math.round(p99)} ms (${undisturbed.length} holds)`,
        kept: p99 <= SENT_MS,
      },
      {
        ...none('holds lost under kill -9', lost),
        measured: `${lost} of ${HOLDS} (${unknown} on record as unknown, ${heldAnew} held anew because their proxy was killed before they ran)`,
      },
      none('holds run twice', twice),
      none('holds run with other arguments', changed),
      none('holds run without a decision', undecided),
    ],
    machine,
  );
}

/** One after the other: milliseconds from the decision being sent to the request arriving. */
async function measureUndisturbed(running: Installation, agents: readonly { id: string; token: string }[]): Promise<number[]> {
  const times: number[] = [];
  for (let index = 0; index < UNDISTURBED; index++) {
    const n = -1 - index;
    const { token } = agents[index % agents.length] ?? { token: '' };
    const answer = sendUntilTaken(running, n, token, index);
    const early = answer.then((status) => {
      if (!arrivals.has(n)) throw new Error(`a call that must be held was answered ${status}`);
    });
    early.catch(() => {}); // told below
    const [approval] = await Promise.race([
      pendingUntil(running, (items) => items.some(({ n: held }) => held === n)),
      early.then(() => Promise.reject(new Error('a call ran that nobody had approved'))),
    ]);
    const decidedAt = Date.now();
    demand(await running.api('POST', `/approvals/${approval?.id}/approve`, { note: 'measured' }, running.controls[index % 2]), 200);
    if ((await answer) !== 200) throw new Error(`an approved call was answered ${await answer}`);
    times.push((arrivals.get(n)?.[0]?.at ?? Number.NaN) - decidedAt);
  }
  return times;
}

async function measureKills(running: Installation, agents: readonly { id: string; token: string }[]) {
  /** The approval that was given last for each call. */
  const approved = new Map<number, string>();
  let heldAnew = 0;
  const done = new Set<number>();
  let isOver = false;
  let kills = 0;
  const deadline = performance.now() + WAIT_MAX_MS;

  /** Asks again with the same request until it was answered for good, as an agent does whose connection broke. */
  const callers = Array.from({ length: HOLDS }, async (_, n) => {
    const { token } = agents[n % agents.length] ?? { token: '' };
    for (let tried = 0; !done.has(n) && !isOver; tried++) {
      const status = await send(running, n, token, n + tried).catch(() => 0);
      // Sent: whether it arrived, the upstream knows. A second approval for the same call is never given.
      if (status === 200 || (approved.has(n) && arrivals.has(n))) done.add(n);
      else await sleep(AGAIN_MS);
    }
  });

  const deciding = Array.from({ length: DECIDERS }, async (_, decider) => {
    while (done.size < HOLDS && performance.now() < deadline) {
      const items = await pending(running, decider % 2).catch(() => []);
      for (const { id, n } of items.filter((item) => item.n % DECIDERS === decider)) {
        const earlier = approved.get(n);
        const before = earlier === undefined || earlier === id ? 'nothing ran' : await whatRan(running, earlier, n);
        if (before === 'not known yet') continue;
        // What may have run is never let run again; what did not, because its proxy was killed before it recorded that, is held anew.
        const verdict = before === 'nothing ran' ? 'approve' : 'deny';
        if (verdict === 'approve') approved.set(n, id);
        if (verdict === 'approve' && earlier !== undefined && earlier !== id) heldAnew++;
        // The same decision again where the answer was lost; another one on the same approval is refused.
        for (let tried = 0; tried < 100; tried++) {
          const control = running.controls[(decider + tried) % 2];
          const answer = await running.api('POST', `/approvals/${id}/${verdict}`, { note: 'measured' }, control).catch(() => null);
          if (answer && answer.status < 500) break;
          await sleep(AGAIN_MS);
        }
        if (verdict === 'deny') done.add(n);
      }
      await sleep(100);
    }
    isOver = true;
  });

  const killing = (async () => {
    const processes = [...running.proxies, ...running.controls, ...running.workers];
    while (!isOver) {
      const victim = processes[Math.floor(random() * processes.length)];
      if (!victim) return;
      await victim.end('SIGKILL');
      kills++;
      await victim.start();
      process.stderr.write(`${kills} killed (${victim.name}), ${done.size} of ${HOLDS} done\n`);
      await sleep(KILL_EVERY_MS * (0.5 + random()));
    }
  })();
  await Promise.all([...deciding, killing]);
  await Promise.all(callers);

  const of = (n: number) => arrivals.get(n) ?? [];
  const all = Array.from({ length: HOLDS }, (_, n) => n);
  const missing = all.filter((n) => of(n).length === 0);
  const unknown = await onRecordAsUnknown(running, missing);
  return {
    kills,
    heldAnew,
    unknown: unknown.size,
    lost: missing.filter((n) => !unknown.has(n)).length,
    twice: all.filter((n) => of(n).length > 1).length,
    changed: all.filter((n) => of(n).some((arrival) => arrival.arguments !== bodyOf(n))).length,
    undecided: all.filter((n) => of(n).length > 0 && !approved.has(n)).length,
  };
}

/** What the record says of the calls that an approval was for. */
async function whatRan({ api }: Installation, approvalId: string, n: number): Promise<'nothing ran' | 'may have run' | 'not known yet'> {
  if (arrivals.has(n)) return 'may have run';
  const answer = await api<{ items: { status: string }[] }>('GET', `/tool-calls?approvalId=${approvalId}`).catch(() => null);
  if (answer?.status !== 200) return 'not known yet';
  const statuses = answer.body.items.map(({ status }) => status);
  if (statuses.includes('running')) return 'not known yet';
  return statuses.some((status) => ['unknown', 'success', 'failed'].includes(status)) ? 'may have run' : 'nothing ran';
}

/** Which of these have a call whose proxy ended in the moment of sending. */
async function onRecordAsUnknown({ api }: Installation, missing: readonly number[]): Promise<Set<number>> {
  const found = new Set<number>();
  if (missing.length === 0) return found;
  let cursor = '';
  do {
    const page = demand(
      await api<{ items: { input: { body?: { n?: number } } }[]; nextCursor: string | null }>(
        'GET',
        `/tool-calls?status=unknown&limit=500${cursor}`,
      ),
      200,
    );
    for (const { input } of page.items) if (missing.includes(input.body?.n ?? Number.NaN)) found.add(input.body?.n ?? 0);
    cursor = page.nextCursor === null ? '' : `&cursor=${encodeURIComponent(page.nextCursor)}`;
  } while (cursor !== '');
  return found;
}

function bodyOf(n: number): string {
  return JSON.stringify({ n, text: `part ${n} of ${HOLDS}` });
}

/** @returns the status; rejects where the connection broke. */
async function send({ proxies }: Installation, n: number, token: string, which: number): Promise<number> {
  const { statusCode, body } = await request(`${proxies[which % proxies.length]?.url}/http/site/do`, {
    method: 'POST',
    dispatcher: agent,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: bodyOf(n),
  });
  await body.dump();
  return statusCode;
}

/** A proxy that cannot judge at the moment says so; then it is asked again. */
async function sendUntilTaken(running: Installation, n: number, token: string, which: number): Promise<number> {
  for (;;) {
    const status = await send(running, n, token, which);
    if (status !== 503 || arrivals.has(n)) return status;
    await sleep(AGAIN_MS);
  }
}

interface Waiting {
  id: string;
  n: number;
}

async function pending({ api, controls }: Installation, which: number): Promise<Waiting[]> {
  const { items } = demand(
    await api<{ items: { id: string; arguments: { body?: { n?: number } } | null }[] }>(
      'GET',
      '/approvals?status=pending&limit=500',
      undefined,
      controls[which],
    ),
    200,
  );
  return items.flatMap(({ id, arguments: args }) => (args?.body?.n === undefined ? [] : [{ id, n: args.body.n }]));
}

async function pendingUntil(running: Installation, isIt: (items: readonly Waiting[]) => boolean): Promise<Waiting[]> {
  for (const deadline = performance.now() + WAIT_MAX_MS; performance.now() < deadline; await sleep(10)) {
    const items = await pending(running, 0);
    if (isIt(items)) return items;
  }
  throw new Error('a held call did not show among the approvals');
}

async function startUpstream(): Promise<{ url: string; close: () => void }> {
  const server = createServer((incoming, response) => {
    const at = Date.now();
    let text = '';
    incoming.on('data', (chunk) => {
      text += chunk;
    });
    incoming.on('end', () => {
      const { n } = JSON.parse(text) as { n: number };
      arrivals.set(n, [...(arrivals.get(n) ?? []), { at, arguments: text }]);
      response.end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close().closeAllConnections() };
}

/** The same numbers for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
