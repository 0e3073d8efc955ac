import { afterAll, beforeAll, expect, it } from 'vitest';
import type { JournalEvent } from '../../control/contract.ts';
import type { Worker } from '../../control/workers/loop.ts';
import { sessionWatch } from '../../control/workers/session-watch.ts';
import { FakeOpenClaw } from '../openclaw/fake-openclaw.ts';
import { ADMIN, factsOfCall, judged, type Services, startServices } from '../support/services.ts';
import { until } from '../support/world.ts';

const SECOND = 1_000;
const HUMAN = { kind: 'human', id: 'admin', name: 'admin', role: 'admin', csrfToken: null } as const;

let services: Services;
let openclaw: FakeOpenClaw;
let gatewayId: string;
let watch: Worker;
let seq = 0;
beforeAll(async () => {
  services = await startServices();
  openclaw = await FakeOpenClaw.start();
  openclaw.reply = () => ({ payload: { agents: [] } });
  gatewayId = (await services.gateways.register(ADMIN, { name: 'rig', url: openclaw.url, token: openclaw.token })).id;
  watch = sessionWatch({ ...services.base, agents: services.agents, gateways: services.gateways });
  await followed(true);
});
afterAll(async () => {
  await services.gateways.stop();
  await openclaw.stop();
  await services.close();
});

const followed = (follows: boolean) =>
  until(
    () => services.gateways.get(gatewayId),
    ({ link }) => link.followsSessions === follows,
  );
const newAgent = (externalId: string) => services.agents.create(ADMIN, { name: externalId, gate: 'openclaw', gatewayId, externalId });
async function run(agentId: string, runId: string, sessionKey: string): Promise<void> {
  const at = services.time.now;
  const call = factsOfCall({ id: runId, agentId, runId, sessionKey, at });
  const event: JournalEvent = {
    type: 'intent',
    at,
    call,
    judged: judged({ verdict: 'allow' }),
    input: {},
    summary: 'ls',
    approvalId: null,
  };
  await services.ingest.ingest('p', [{ seq: ++seq, event }]);
}
const statesOf = async (agentId: string) =>
  Object.fromEntries(
    (await services.db.selectFrom('runs').selectAll().where('agent_id', '=', agentId).execute()).map((row) => [
      row.run_id,
      row.error_message ?? row.status,
    ]),
  );
/** What the gateway says has arrived once a request that was sent after it is answered. */
async function say(...changes: Record<string, unknown>[]): Promise<void> {
  for (const change of changes) openclaw.change(change);
  await services.gateways.roster(gatewayId);
}
async function pass(seconds: number): Promise<void> {
  services.time.now += seconds * SECOND;
  await watch.tick();
}

it('ends a run that OpenClaw ends and its plugin does not, and no other', async () => {
  const { id } = await newAgent('ada');
  const session = 'agent:ada:main';
  for (const name of ['done', 'broken', 'other', 'said']) await run(id, name, session);
  await say(
    { sessionKey: session, agentId: 'ada', phase: 'start', runId: 'other' },
    { sessionKey: session, agentId: 'ada', phase: 'end', runId: 'internal', clientRunId: 'done' },
    { sessionKey: session, agentId: 'ada', phase: 'error', runId: 'broken' },
    { sessionKey: session, agentId: 'ada', phase: 'end', runId: 'said' },
    { sessionKey: 'agent:bob:main', agentId: 'bob', phase: 'end', runId: 'other' },
  );
  await pass(4);
  expect(await statesOf(id)).toEqual({ done: 'running', broken: 'running', other: 'running', said: 'running' });
  // The plugin knows more, and has a moment to say it.
  const at = services.time.now;
  const event: JournalEvent = { type: 'run_end', at, runId: 'said', agentId: id, status: 'failed', message: 'out of context' };
  await services.ingest.ingest('p', [{ seq: ++seq, event }]);
  await pass(2);
  expect(await statesOf(id)).toEqual({ done: 'success', broken: 'OpenClaw reports an error', other: 'running', said: 'out of context' });
  await say({ sessionKey: session, agentId: 'ada', reason: 'delete' });
  await pass(6);
  expect((await statesOf(id)).other).toBe('its session was removed in OpenClaw');
});

it('takes what happens in a session for a sign of life of its agent', async () => {
  const [one, two] = [await newAgent('eve'), await newAgent('fay')];
  await say({ sessionKey: 'agent:eve:main', agentId: 'eve', phase: 'model' }, { sessionKey: 'agent:eve:main' }, { phase: 'end' }, {});
  await pass(6);
  expect((await services.agents.get(one.id)).lastHeartbeat).toBe(services.time.now);
  expect((await services.agents.get(two.id)).lastHeartbeat).toBeNull();
});

it('ends what had ended while the link was down, in sessions of tasks', async () => {
  const { id } = await newAgent('gus');
  const tasks = await Promise.all(
    ['over', 'on'].map((title) => services.tasks.create(ADMIN, { title, type: 'ops', assigneeIds: [id], workPlan: 'p' })),
  );
  for (const task of tasks) await services.tasks.move(HUMAN, ADMIN, task.id, { to: 'assigned' });
  const [over = '', on = ''] = await Promise.all(tasks.map(async (task) => (await services.tasks.get(task.id)).sessionKey ?? ''));
  await run(id, 'over', over);
  await run(id, 'on', on);
  await run(id, 'elsewhere', 'agent:gus:main');
  services.time.now += 60 * SECOND;
  await openclaw.stop();
  await followed(false);
  openclaw.active = [on];
  await openclaw.start();
  await followed(true);
  await run(id, 'young', over);
  await pass(6);
  expect(await statesOf(id)).toEqual({
    over: 'it ended while OpenClaw was not heard',
    ...{ on: 'running', elsewhere: 'running', young: 'running' },
  });
});
