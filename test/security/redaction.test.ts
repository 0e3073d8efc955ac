/**
 * Credentials that come in by every way appear nowhere: not in the database or the journal (every byte of the data folder), the log, events,
 * exports, reports, search, metrics, or what channels are told. Each way in has a canary of its own, so that a leak names its way.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type EchoUpstream, startEchoUpstream } from '../http/echo-upstream.ts';
import { type CountingServer, startCountingServer } from '../mcp/counting-server.ts';
import { connect, newUpstream } from '../mcp/gate.ts';
import { decide, gateOf, usePolicy } from '../support/calls.ts';
import { watch } from '../support/events.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';

const METRICS = 'metrics-token-of-the-redaction-test';
let world: World;
let rest: EchoUpstream;
let mcp: CountingServer;
const told: string[] = [];
const hook = createServer(async (request, response) => {
  for await (const chunk of request) told.push(String(chunk));
  response.end();
});
beforeAll(async () => {
  [rest, mcp] = [await startEchoUpstream(), await startCountingServer()];
  await once(hook.listen(0, '127.0.0.1'), 'listening');
  world = await startWorld({ MC_METRICS_TOKEN: METRICS, MC_LOG_LEVEL: 'debug' });
});
afterAll(async () => {
  await world.close();
  await rest.close();
  await mcp.close();
  hook.close();
});

/** A credential by its looks, and the way that it came in by. */
const canaries = new Map<string, string>();
function canary(way: string): string {
  const secret = `ghp_${randomBytes(18).toString('hex')}`;
  canaries.set(secret, way);
  return secret;
}

it('appear nowhere', async () => {
  const events = await watch(world, { authorization: 'Bearer test-admin-token-0123456789' });
  const port = (hook.address() as AddressInfo).port;
  await post('/channels', { kind: 'webhook', name: 'hook', destination: `http://127.0.0.1:${port}/`, allowPrivate: true });
  const agent = await newAgent(world, { autonomyLevel: 'lead' });
  const gate = gateOf(world, agent.token);

  // The gate: allowed, denied and held calls, their answers and errors, runs and sub-agents.
  // A credential in the arguments holds a call; it runs once a person has approved it.
  const ran = await gate.note(`a note with ${canary('gate: arguments of an approved call')}`);
  await decide(world, ran.body.approvalId, 'approve');
  expect((await gate.poll(ran.body.id, 5_000)).body.verdict).toBe('allow');
  await gate.end(ran.body.id, { output: `said ${canary('gate: output')}` });
  const failed = await gate.note('another');
  await gate.end(failed.body.id, { status: 'failed', error: `could not use ${canary('gate: error')}` });
  await gate.exec(`rm -rf / --token ${canary('gate: arguments of a denied call')}`);
  const held = await gate.call('send_email', { to: 'a@b.example', text: canary('gate: arguments of a held call') });
  await decide(world, held.body.approvalId, 'approve', { note: `as ${canary('approval: note')} says` });
  const denied = await gate.call('send_email', { to: 'c@d.example', text: canary('gate: arguments of another held call') });
  await decide(world, denied.body.approvalId, 'deny', { note: canary('approval: note of a denial') });
  await world.gate(
    'POST',
    '/v1/runs/end',
    { sessionKey: 's', runId: 'r', status: 'failed', error: canary('gate: error of a run') },
    agent.token,
  );

  // HTTP tools, MCP, models, the way out.
  const name = `rest-${randomBytes(4).toString('hex')}`;
  const routes = [{ method: 'POST', path: '/items', tool: 'add_item', risk: 'green' }];
  await post('/upstreams', { name, kind: 'http', url: `${rest.url}/v1`, secret: canary('upstream: secret'), allowPrivate: true, routes });
  await usePolicy(world, { riskMap: { [`${name}__add_item`]: 'green' } });
  await approved(
    fetch(`${world.gateUrl}/http/${name}/items?key=${canary('http: query')}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${agent.token}`, 'content-type': 'application/json', 'x-api-key': canary('http: header') },
      body: JSON.stringify({ text: canary('http: body') }),
    }),
  );
  const server = await newUpstream(world, { url: mcp.url });
  const { client } = await connect(world, server.name, agent.token);
  await client.listTools();
  await approved(client.callTool({ name: 'read', arguments: { text: canary('mcp: arguments') } }));
  await client.close();
  await post('/upstreams', { name: 'model', kind: 'model', url: `${rest.url}/v1`, secret: canary('model: key'), allowPrivate: true });
  await fetch(`${world.gateUrl}/model/model/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${agent.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-4o', max_tokens: 5, messages: [{ role: 'user', content: canary('model: message') }] }),
  });
  await throughEgress(`${rest.url}/?token=${canary('egress: query')}`, agent.token);

  // What people and agents write.
  const task = await post('/tasks', {
    ...{ title: `Use ${canary('task: title')}`, description: canary('task: description'), type: 'docs', assigneeIds: [agent.id] },
    ...{ workPlan: canary('task: plan'), deliverable: canary('task: deliverable'), metadata: { key: canary('task: metadata') } },
  });
  await world.api('PATCH', `/tasks/${task.id}`, {
    description: canary('task: changed description'),
    selfReview: canary('task: self-review'),
  });
  await post(`/tasks/${task.id}/transition`, { to: 'assigned', reason: canary('task: reason of a move') });
  await post('/messages', { taskId: task.id, content: `look at ${canary('message')}` });
  await post(`/agents/${agent.id}/pause`, { reason: canary('agent: reason of a pause') });
  await post('/policies', { patch: { riskMap: { something: 'red' } }, note: canary('policy: note') });
  await post('/approvals', { kind: 'task', taskId: task.id, summary: canary('approval: summary'), reason: canary('approval: reason') });
  await post('/session', { token: canary('sign-in: token') });
  await post('/emergency/stop', { reason: canary('stop: reason') });
  await post('/emergency/resume', { note: canary('resume: note') });

  // Everything has arrived: the last thing that is told has been.
  await until(
    () => told.join(''),
    (text) => text.includes('"resume"'),
  );
  const pages: string[] = [];
  for (const path of [
    ...[
      '/tasks',
      '/agents',
      '/messages?limit=500',
      '/tool-calls',
      '/runs',
      '/approvals',
      '/activities',
      '/alerts',
      '/audit',
      '/documents',
      '/policies',
    ],
    ...[
      '/notifications',
      '/channels',
      '/upstreams',
      '/emergency',
      '/overview',
      '/operators',
      '/incidents?agent=',
      '/coverage',
      '/search?q=ghp',
    ],
    ...[
      `/tasks/${task.id}/timeline`,
      `/agents/${agent.id}/timeline`,
      '/audit/export?format=csv',
      '/audit/export?format=ndjson',
      '/spend/export',
    ],
    ...[`/incidents?agent=${agent.id}&format=markdown`, `/incidents?task=${task.id}`],
  ]) {
    pages.push(await (await fetch(`${world.controlUrl}/api${path}`, { headers: ADMIN })).text());
  }
  pages.push(await (await fetch(`${world.gateUrl}/metrics`, { headers: { authorization: `Bearer ${METRICS}` } })).text());
  events.close();
  await world.stop();
  const places: Record<string, Buffer> = {
    'an answer of the API': Buffer.from(pages.join('\n')),
    events: Buffer.from(JSON.stringify(events.events)),
    'the log': Buffer.from(world.log()),
    'what channels were told': Buffer.from(told.join('\n')),
    ...Object.fromEntries(filesIn(world.dataDir).map((file) => [`the file ${file.slice(world.dataDir.length + 1)}`, readFileSync(file)])),
  };
  // The scan sees what is there: what the upstreams were really sent, and a word that every place has.
  expect(JSON.stringify(rest.seen)).toContain([...canaries].find(([, way]) => way === 'http: body')?.[0]);
  expect(Object.values(places).filter((bytes) => bytes.includes(agent.id)).length).toBeGreaterThan(5);
  const leaks = [...canaries].flatMap(([secret, way]) =>
    Object.entries(places).flatMap(([place, bytes]) =>
      bytes.includes(secret) ? [`${way} → ${place.replace(/base\/\d+\/.*|pg_wal\/.*/, 'database')}`] : [],
    ),
  );
  expect([...new Set(leaks)].sort()).toEqual([]);
}, 60_000);

const ADMIN = { authorization: 'Bearer test-admin-token-0123456789' };

/** Waits for a call, and approves what it is held for meanwhile. */
async function approved(call: Promise<unknown>): Promise<void> {
  let isDone = false;
  const ended = call.finally(() => {
    isDone = true;
  });
  ended.catch(() => {});
  await until(
    async () => {
      const { body } = await world.api<{ items: { id: string }[] }>('GET', '/approvals?status=pending');
      for (const { id } of body.items) await decide(world, id, 'approve');
      return isDone;
    },
    (done) => done,
  );
  await ended;
}

async function post(path: string, body: object): Promise<{ id: string }> {
  const answer = await world.api<{ id: string; detail?: string }>('POST', path, body);
  if (answer.status >= 400 && path !== '/session') throw new Error(`${path}: ${answer.status} ${answer.body.detail}`);
  return answer.body;
}

async function throughEgress(url: string, token: string): Promise<void> {
  const { hostname, port } = new URL(world.egressUrl);
  const request = httpRequest({ hostname, port, path: url, headers: { 'proxy-authorization': `Bearer ${token}` } });
  request.end();
  const [response] = await once(request, 'response');
  response.resume();
  await once(response, 'end');
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((file) => statSync(file).isFile());
}
