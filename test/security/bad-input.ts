/**
 * The bad-input campaign: many generated requests (bad-requests.ts) to every listener of a running product. It finds what must never be: an answer
 * of 5xx, none at all, two to one request, a trace or a secret in one, a credential that travels on, an end of the process, something kept open.
 */
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { usePolicy } from '../support/calls.ts';
import { sendBytes } from '../support/wire.ts';
import { ADMIN_TOKEN, newAgent, until, type World } from '../support/world.ts';
import { type BadRequestBytes, badRequest, type Targets } from './bad-requests.ts';

export interface BadInputReport {
  sent: number;
  /** Answers by their status; "none" where the connection was closed without one. */
  statuses: Record<string, number>;
  /** What must not be, each with the number of its request. Empty is good. */
  findings: string[];
  /** Resident memory of the product in MiB, before and after. */
  memoryMiB: [before: number, after: number];
  /** Connections that the product had open, before and after. */
  connections: [before: number, after: number];
}

interface Options {
  requests: number;
  /** Decides every request. */
  seed: number;
  /** Number of the first one: a single finding is sent again with `first: n, requests: 1`. */
  first?: number;
  onProgress?: (sent: number) => void;
}

const UPSTREAM_SECRET = 'planted-upstream-secret-7d1f';
const AT_ONCE = 8;
/** No answer by then is none. */
const WAIT_MS = 60_000;
/** A stream, or a request that lacks its end, is not waited for: what came by then is looked at. */
const STREAM_MS = 400;
const FINDINGS_MAX = 50;
/** The database's own cache and the heap take their room early on; after tens of thousands of requests it is no more than this. */
const GROWTH_MAX_MIB = 400;

/** Sends the campaign to a world of one process. */
export async function runBadInput(world: World, { requests, seed, first = 0, onProgress }: Options): Promise<BadInputReport> {
  const upstream = await startUpstream();
  const targets = await prepare(world, upstream.url);
  const secrets = [
    ADMIN_TOKEN,
    UPSTREAM_SECRET,
    targets.tokens.agent,
    targets.tokens.gateway,
    readFileSync(`${world.keyDir}/cli-token`, 'utf8').trim(),
  ];
  const report: BadInputReport = { sent: 0, statuses: {}, findings: [], memoryMiB: [0, 0], connections: [0, 0] };
  const pid = world.pid();
  const note = (finding: string) => {
    if (report.findings.length < FINDINGS_MAX) report.findings.push(finding);
  };
  const send = async (index: number) => {
    const request = badRequest(seed, index, targets);
    const url = { control: world.controlUrl, proxy: world.gateUrl, egress: world.egressUrl }[request.listener];
    const answer = await sendBytes(url, [request.bytes], { waitMs: request.mayStayOpen || request.isBroken ? STREAM_MS : WAIT_MS });
    report.sent++;
    for (const fault of faultsOf(request, answer, secrets)) note(`#${index} ${request.listener}: ${request.name}: ${fault}`);
    const final = answer.statuses.filter((status) => status >= 200);
    const key = String(final[0] ?? 'none');
    report.statuses[key] = (report.statuses[key] ?? 0) + 1;
    if (report.sent % 500 === 0) onProgress?.(report.sent);
  };
  let next = first;
  const end = first + requests;
  const lane = async (until: number) => {
    while (next < until) await send(next++);
  };
  const lanes = (until: number) => Promise.all(Array.from({ length: AT_ONCE }, () => lane(until)));
  // What is made once (pools, compiled code, caches) is made by the first tenth.
  await lanes(first + Math.ceil(requests / 10));
  report.memoryMiB[0] = memoryOf(pid);
  report.connections[0] = connectionsOf(pid);
  await lanes(end);
  // Idle connections to it end with it; what is open after that is open for no reason.
  await upstream.close();
  report.connections[1] = await until(
    () => connectionsOf(pid),
    (count) => count <= report.connections[0] + AT_ONCE,
    60_000,
  ).catch(() => connectionsOf(pid));
  report.memoryMiB[1] = memoryOf(pid);
  if (world.pid() !== pid) note('the process ended');
  if (report.memoryMiB[1] - report.memoryMiB[0] > GROWTH_MAX_MIB) note(`memory grew from ${report.memoryMiB.join(' to ')} MiB`);
  if (report.connections[1] > report.connections[0] + AT_ONCE)
    note(`${report.connections[1]} connections are open, ${report.connections[0]} were`);
  for (const text of upstream.seen) if (/mc[agol]_/.test(text)) note(`a credential of ours went to an upstream: ${text.slice(0, 200)}`);
  const errors = world
    .log()
    .split('\n')
    .filter((line) => /"level":(50|60)/.test(line));
  for (const line of errors.slice(0, 10)) note(`the log has an error: ${line.slice(0, 500)}`);
  return report;
}

/** What is wrong with an answer. */
function faultsOf(request: BadRequestBytes, answer: Awaited<ReturnType<typeof sendBytes>>, secrets: readonly string[]): string[] {
  const faults: string[] = [];
  const { text } = answer;
  const final = answer.statuses.filter((status) => status >= 200);
  const [status] = final;
  const shown = text.slice(0, 300).replaceAll(/\s+/g, ' ');
  // A host that may be reached and is not there is the one thing that is not ours.
  if (status !== undefined && status >= 500 && !/HOST_UNREACHABLE/.test(text)) faults.push(`answered ${status}: ${shown}`);
  if (final.length > 1) faults.push(`answered ${final.length} times: ${shown}`);
  if (!answer.closed && !request.mayStayOpen && !request.isBroken) faults.push(`no end after ${WAIT_MS} ms: ${shown}`);
  if (status === undefined && answer.closed && !request.isBroken) faults.push('closed without an answer');
  const isPage = /^content-type: (text\/(html|css|javascript)|image|font)/im.test(text);
  if (!isPage && TRACE.test(text)) faults.push(`says something of our inside: ${TRACE.exec(text)?.[0]}: ${shown}`);
  for (const secret of secrets) if (text.includes(secret)) faults.push(`carries a secret: ${shown}`);
  return faults;
}

const TRACE =
  /(?:\n|\\n)\s+at \S|node:internal|file:\/\/\/(?!etc)|node_modules|\.ts:\d|"stack"|ECONNREFUSED|EACCES|syntax error at or near|invalid input syntax|PGlite|kysely/i;

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];

/** Agents, upstreams of each kind, a task and a call: what the requests name. */
async function prepare(world: World, upstreamUrl: string): Promise<Targets> {
  // What is held is answered soon: nobody decides here.
  await usePolicy(world, { holds: { inlineMs: 1_000 } });
  const agent = await newAgent(world);
  const made = async <T>(path: string, body: object) => {
    const answer = await world.api<T & { id: string; token: string }>('POST', path, body);
    if (answer.status !== 201) throw new Error(`${path}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  const mark = Math.random().toString(36).slice(2, 8);
  const names = { http: `bad-http-${mark}`, mcp: `bad-mcp-${mark}`, model: `bad-model-${mark}` };
  for (const [kind, name] of Object.entries(names)) {
    const routes = kind === 'http' ? METHODS.map((method) => ({ method, path: '/**', tool: 'do_thing', risk: 'green' })) : undefined;
    await made('/upstreams', {
      name,
      kind,
      url: `${upstreamUrl}/v1`,
      secret: UPSTREAM_SECRET,
      allowPrivate: true,
      ...(routes && { routes }),
    });
  }
  const gateway = await made('/gateways', { name: `bad-gateway-${mark}` });
  const task = await made('/tasks', { title: 'A task', type: 'docs', assigneeIds: [agent.id] });
  const held = await world.gate<{ id: string; approvalId: string }>(
    'POST',
    '/v1/tool-calls',
    { tool: 'send_email', arguments: { to: 'a@example.org' } },
    agent.token,
  );
  const policies = await world.api<{ items: { id: string }[] }>('GET', '/policies');
  const { paths, components } = (
    await world.api<{ paths: Targets['paths']; components: { schemas: Targets['schemas'] } }>('GET', '/openapi.json')
  ).body;
  return {
    paths,
    schemas: components.schemas,
    tokens: { admin: ADMIN_TOKEN, agent: agent.token, gateway: gateway.token },
    ids: [task.id, held.body.id, held.body.approvalId, policies.body.items[0]?.id ?? 'nobody', '00000000-0000-4000-8000-000000000000'],
    upstreams: names,
  };
}

/** Answers everything with the same JSON, and keeps the heads that it saw. */
async function startUpstream(): Promise<{ url: string; seen: string[]; close: () => Promise<void> }> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.rawHeaders.join(' ')}`);
    request.resume();
    request.on('end', () => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(
        JSON.stringify({
          id: 'x',
          object: 'chat.completion',
          choices: [],
          usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
        }),
      );
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function memoryOf(pid: number): number {
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024);
}

function connectionsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).filter((name) => linkOf(`/proc/${pid}/fd/${name}`).startsWith('socket:')).length;
}

/** Where a link leads; one that is gone by now leads nowhere. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
