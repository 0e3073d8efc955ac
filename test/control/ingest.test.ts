import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifyAudit } from '../../control/audit.ts';
import { createCalls } from '../../control/calls.ts';
import {
  type CallFacts,
  type HelloAnswer,
  type JournalEntry,
  type JournalEvent,
  MISDIRECTED,
  type Misdirected,
} from '../../control/contract.ts';
import { createLineProof } from '../../proxy/line-proof.ts';
import { ADMIN, CLUSTER_SECRET, factsOfCall, holdRequest, judged, type Services, startServices } from '../support/services.ts';

let services: Services;
let agentId: string;
beforeAll(async () => {
  services = await startServices();
  agentId = (await services.agents.create(ADMIN, { name: 'a' })).id;
});
afterAll(() => services.close());

const AT = Date.UTC(2026, 10, 22, 12);
let count = 0;
const newId = () => `call-${++count}`;
const intent = (id: string, fields: { estimatedCost?: number; at?: number; taskId?: string } = {}): JournalEvent => ({
  type: 'intent',
  at: fields.at ?? AT,
  call: factsOfCall({ id, agentId, at: fields.at ?? AT, taskId: fields.taskId ?? null }),
  judged: judged({ verdict: 'allow', risk: 'green', estimatedCost: fields.estimatedCost ?? 0 }),
  input: { text: 'x' },
  summary: 'x',
  approvalId: null,
});
const held = (id: string): JournalEvent => ({ ...intent(id), type: 'held', judged: judged() }) as JournalEvent;
const completed = (id: string, cost = 0, fields: { at?: number; output?: string } = {}): JournalEvent => ({
  type: 'completed',
  at: fields.at ?? AT + 1_000,
  id,
  status: 'success',
  output: fields.output ?? null,
  error: null,
  durationMs: 5,
  cost,
});
const entries = (from: number, events: readonly JournalEvent[]): JournalEntry[] =>
  events.map((event, index) => ({ seq: from + index, event }));
const rowOf = (id: string) => services.db.selectFrom('tool_calls').selectAll().where('id', '=', id).executeTakeFirst();
const spentOf = async (scope: string) =>
  (await services.db.selectFrom('spend').select('micros').where('scope', '=', scope).executeTakeFirst())?.micros ?? 0;

describe('a batch of the journal', () => {
  it('that comes twice, or overlaps the one before, counts once', async () => {
    const [one, two] = [newId(), newId()];
    const first = entries(1, [intent(one), completed(one, 70)]);
    expect(await services.ingest.ingest('twice', first)).toBe(2);
    expect(await services.ingest.ingest('twice', first)).toBe(2);
    expect(await services.ingest.ingest('twice', [...first, ...entries(3, [intent(two), completed(two, 30)])])).toBe(4);
    const runs = await services.db.selectFrom('runs').select(['cost', 'tool_call_count']).where('agent_id', '=', agentId).execute();
    expect(runs).toEqual([{ cost: 100, tool_call_count: 2 }]);
    expect(await spentOf(`run:${agentId}/r`)).toBe(100);
    expect(await verifyAudit(services.db)).toMatchObject({ ok: true });
  });

  it('that settles a call of a task which is handed in already brings the cost that its reviewer reads up to date', async () => {
    const work = { workPlan: 'p', deliverable: 'd', selfReview: 's' };
    const { id: taskId } = await services.tasks.create(ADMIN, { title: 't', type: 'ops', assigneeIds: [agentId], ...work });
    const human = { kind: 'human', id: 'admin', name: 'admin', role: 'admin', csrfToken: null } as const;
    const last = newId();
    await services.ingest.ingest('late', entries(1, [intent(last, { taskId })]));
    for (const to of ['assigned', 'in_progress', 'review'] as const) await services.tasks.move(human, ADMIN, taskId, { to });
    expect((await services.tasks.get(taskId)).costSummary).toMatch(/^\$0 spent, 1 calls/);
    await services.ingest.ingest('late', entries(2, [completed(last, 10_000)]));
    expect((await services.tasks.get(taskId)).costSummary).toMatch(/^\$0\.01 spent, 1 calls/);
  });

  it('with a failure that its caller caused counts no failure of the agent', async () => {
    const failed = (id: string): JournalEvent => ({ ...completed(id), status: 'failed', error: 'the client left' }) as JournalEvent;
    const [tool, caller] = [newId(), newId()];
    await services.ingest.ingest(
      'caller',
      entries(1, [intent(tool), failed(tool), intent(caller), { ...failed(caller), endedByCaller: true } as JournalEvent]),
    );
    expect((await services.agents.get(agentId)).errorStreak).toBe(1);
    expect(await rowOf(caller)).toMatchObject({ status: 'failed', ended_by_caller: true });
  });

  it('sent by two at once counts once', async () => {
    const id = newId();
    const before = await spentOf(`run:${agentId}/r`);
    const batch = entries(1, [intent(id), completed(id, 11)]);
    await Promise.all(Array.from({ length: 5 }, () => services.ingest.ingest('at-once', batch)));
    expect(await spentOf(`run:${agentId}/r`)).toBe(before + 11);
  });

  it('that fails leaves nothing of itself, and goes in whole the next time', async () => {
    const [good, bad] = [newId(), newId()];
    const broken = { ...completed(bad), status: null } as unknown as JournalEvent;
    const batch = (last: JournalEvent) => entries(1, [intent(good), completed(good, 5), intent(bad), last]);
    const before = await spentOf(`run:${agentId}/r`);
    await expect(services.ingest.ingest('whole', batch(broken))).rejects.toThrow();
    expect([await rowOf(good), await spentOf(`run:${agentId}/r`)]).toEqual([undefined, before]);
    expect(await services.ingest.ingest('whole', batch(completed(bad)))).toBe(4);
    expect([(await rowOf(good))?.status, await spentOf(`run:${agentId}/r`)]).toEqual(['success', before + 5]);
  });
});

describe('a call’s record', () => {
  it('never goes back: not by a late event of another proxy, not by a second outcome', async () => {
    const id = newId();
    await services.ingest.ingest('p1', entries(1, [intent(id), completed(id, 40, { output: 'first' })]));
    await services.ingest.ingest('p2', entries(1, [held(id), intent(id), completed(id, 99, { output: 'second' })]));
    expect(await rowOf(id)).toMatchObject({ status: 'success', output: 'first', cost: 40 });
  });

  it('takes the judgement that let it run: its reasons, its estimate, its facts', async () => {
    const id = newId();
    await services.holds.open(holdRequest(factsOfCall({ id, agentId })));
    await services.ingest.ingest('judged', entries(1, [held(id), intent(id, { estimatedCost: 500 })]));
    expect(await rowOf(id)).toMatchObject({ status: 'running', verdict: 'allow', estimated_cost: 500, held_at: AT, started_at: AT });
  });

  it('of a model call says who was asked, what was used, and how that was priced', async () => {
    const id = newId();
    const model = { provider: 'openai', name: 'gpt-4o-mini' };
    const call: CallFacts = { ...factsOfCall({ id, agentId, at: AT, taskId: null }), entry: 'model', tool: 'model_call', model };
    const asked = { ...intent(id, { estimatedCost: 900 }), call } as JournalEvent;
    const meter = { usage: { inputTokens: 20, outputTokens: 0 }, isEstimated: false, priceEntry: 'policy: gpt-*' };
    const runs = () =>
      services.db.selectFrom('runs').select(['cost', 'tool_call_count']).where('agent_id', '=', agentId).executeTakeFirst();
    const before = await runs();
    const ended = { ...completed(id, 70), meter } as JournalEvent;
    await services.ingest.ingest('model', entries(1, [asked, ended]));
    expect(await createCalls({ db: services.db }).find(id)).toMatchObject({
      cost: 0.00007,
      modelCall: { provider: 'openai', model: 'gpt-4o-mini', usage: meter.usage, isEstimated: false, priceEntry: 'policy: gpt-*' },
    });
    // A turn of the model costs the run, and is no use of a tool.
    expect(await runs()).toEqual({ cost: (before?.cost ?? 0) + 70, tool_call_count: before?.tool_call_count });
    const entry = await services.db.selectFrom('ledger_entries').selectAll().where('call_id', '=', id).executeTakeFirst();
    expect(entry).toMatchObject({ entry: 'model', provider: 'openai', model: 'gpt-4o-mini', cost: 70 });
  });

  it('of a model call that was held says the same, whether its hold or its journal comes first', async () => {
    const model = { provider: 'openai', name: 'gpt-4o-mini' };
    for (const isHoldFirst of [true, false]) {
      const id = newId();
      const call: CallFacts = { ...factsOfCall({ id, agentId, at: AT, taskId: null }), entry: 'model', tool: 'model_call', model };
      const events = [held(id), intent(id), completed(id, 70)].map(
        (event) => ('call' in event ? { ...event, call } : event) as JournalEvent,
      );
      if (isHoldFirst) await services.holds.open(holdRequest(call));
      await services.ingest.ingest(`model-held-${isHoldFirst}`, entries(1, events));
      if (!isHoldFirst) await services.holds.open(holdRequest(call));
      expect(await createCalls({ db: services.db }).find(id)).toMatchObject({
        status: 'success',
        modelCall: { provider: 'openai', model: 'gpt-4o-mini' },
      });
      const entry = await services.db.selectFrom('ledger_entries').selectAll().where('call_id', '=', id).executeTakeFirst();
      expect(entry).toMatchObject({ provider: 'openai', model: 'gpt-4o-mini' });
    }
  });

  it('counts its cost on the day on which it began, which is the day it was reserved under', async () => {
    const id = newId();
    const late = Date.UTC(2026, 10, 22, 23, 59, 59);
    const [first, second] = [await spentOf('fleet-day:2026-11-22'), await spentOf('fleet-day:2026-11-23')];
    await services.ingest.ingest('midnight', entries(1, [intent(id, { at: late }), completed(id, 25, { at: late + 5_000 })]));
    expect([await spentOf('fleet-day:2026-11-22'), await spentOf('fleet-day:2026-11-23')]).toEqual([first + 25, second]);
  });
});

describe('the line to a proxy', () => {
  const proof = createLineProof(CLUSTER_SECRET);
  let to = '';
  const ask = async (path: string, init: { method?: string; body?: string; headers?: Record<string, string> } = {}): Promise<Response> => {
    const { authorization } = proof.ask(init.method ?? 'GET', path, init.body ?? null, to);
    const headers = { authorization, 'content-type': 'application/json', ...init.headers };
    const answer = await services.line.routes().request(path, { ...init, headers });
    if (answer.status !== MISDIRECTED) return answer;
    ({ id: to } = (await answer.json()) as Misdirected);
    return ask(path, init);
  };
  const hello = async () => (await (await ask('/hello', { method: 'POST', body: JSON.stringify({ proxyId: 'p' }) })).json()) as HelloAnswer;

  it('is open to who knows the cluster secret', async () => {
    const ofAnother = createLineProof('another-cluster-secret').ask('POST', '/hello', '{}', to).authorization;
    for (const authorization of ['', 'Bearer', 'MC-Line', 'MC-Line 1.2.3', `Bearer ${CLUSTER_SECRET}`, ofAnother]) {
      for (const [method, path] of [
        ['POST', '/hello'],
        ['GET', '/stream'],
        ['POST', '/journal'],
        ['POST', '/holds'],
        ['GET', '/holds/x'],
        ['POST', '/approvals/x/redeem'],
        ['POST', '/stops/x'],
      ] as const) {
        const answer = await ask(path, { method, headers: { authorization }, ...(method === 'POST' && { body: '{}' }) });
        expect(answer.status, `${method} ${path} "${authorization}"`).toBe(401);
      }
    }
  });

  it('tells a proxy that starts of every open call, however many newer ones have ended', async () => {
    const [running, waiting] = [newId(), newId()];
    await services.ingest.ingest('open', entries(1, [intent(running, { at: AT - 3 * 60 * 60 * 1000, estimatedCost: 900 })]));
    await services.holds.open(holdRequest(factsOfCall({ id: waiting, agentId, at: AT - 2 * 60 * 60 * 1000 })));
    for (let batch = 0; batch < 41; batch++) {
      const ids = Array.from({ length: 500 }, newId);
      await services.ingest.ingest(
        `busy-${batch}`,
        entries(
          1,
          ids.map((id) => ({ ...intent(id), type: 'denied' }) as JournalEvent),
        ),
      );
    }
    const { calls } = await hello();
    expect(calls.length).toBe(20_000);
    expect(calls.find((call) => call.id === running)).toMatchObject({ state: 'running', estimatedCost: 900 });
    expect(calls.find((call) => call.id === waiting)).toMatchObject({ state: 'held' });
  });

  it('gives a running call back the arguments that its approver wrote', async () => {
    const id = newId();
    const { approvalId } = await services.holds.open(holdRequest(factsOfCall({ id, agentId })));
    await services.approvals.decide(ADMIN, approvalId, 'approved', { arguments: { command: 'make something else' } });
    await services.holds.redeem(approvalId, id);
    await services.ingest.ingest('edited', entries(1, [{ ...intent(id), approvalId } as JournalEvent]));
    const { calls } = await hello();
    expect(calls.find((call) => call.id === id)).toMatchObject({ state: 'running', editedArguments: { command: 'make something else' } });
  });

  it('that cannot be opened is not kept', async () => {
    const { db } = services;
    const answer = await ask('/stream?proxyId=unlucky', { headers: {} });
    await answer.body?.cancel();
    expect(services.line.liveProxies()).toEqual([]);
    // Taken away from under the picture: the table that it begins with.
    await sql`alter table system_state rename to elsewhere`.execute(db);
    const failing = await ask('/stream?proxyId=unlucky');
    await expect(failing.text()).rejects.toThrow();
    await sql`alter table elsewhere rename to system_state`.execute(db);
    expect(services.line.liveProxies()).toEqual([]);
  });
});

describe('whoever watches', () => {
  it('is told of a task that has cost something, and of none that has not', async () => {
    const { id } = await services.tasks.create(ADMIN, { title: 'priced', type: 'ops' });
    const told = async () =>
      (await services.db.selectFrom('outbox').select('id').where('topic', '=', 'task').where('entity_id', '=', id).execute()).length;
    const before = await told();
    const [free, priced] = [newId(), newId()];
    await services.ingest.ingest('told', entries(1, [intent(free, { taskId: id }), completed(free)]));
    expect(await told()).toBe(before);
    await services.ingest.ingest('told', entries(3, [intent(priced, { taskId: id }), completed(priced, 70)]));
    expect(await told()).toBe(before + 1);
  });
});
