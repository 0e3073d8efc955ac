/**
 * The OpenClaw gate (SPEC 3.1): HTTP in front of admission for everything that runs inside an OpenClaw gateway. It parses, settles
 * who speaks for whom, and translates what admission answers; it decides nothing.
 */
import { hash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type AgentPicture,
  type GateAnswer,
  GateCallSchema,
  GateOutcomeSchema,
  HeartbeatSchema,
  type RunCheckAnswer,
  RunCheckSchema,
  RunEndSchema,
  SpawnSchema,
  UnaskedSchema,
} from '../control/contract.ts';
import { decide, isBareWrapper, microsFromUsd, unwrapCall } from '../policies/index.ts';
import type { Admission, Gatekeeper } from './admission.ts';
import { BadRequest, parseJson, readBytes, readJson } from './body.ts';
import type { ProxyBounds } from './config.ts';
import { factsOf, scopeKeys, scopesOf } from './facts.ts';
import { attribute, authenticate, type Bearer, identify, OUT_OF_TOUCH, speaksFor } from './identity.ts';
import type { Journal } from './journal.ts';
import type { Ledger } from './ledger.ts';
import type { Peers } from './peers.ts';
import { recordedText } from './record.ts';
import type { CallRecord } from './register.ts';
import { leavingSignal, problem, refusalText, refuseEntry, respond } from './respond.ts';
import type { Picture, Snapshot } from './snapshot.ts';
import type { Spawns } from './spawns.ts';
import type { Telemetry } from './telemetry.ts';
import { canonicalTool } from './tool-names.ts';
import type { ToolResults } from './tool-results.ts';
import type { Traces } from './traces.ts';

const RETRY_AFTER_MS = 1_000;
const RUN_ERROR_MAX = 2_000;
const SPAWN_LABEL_MAX = 120;
const REPORTED_MAX = 10_000;

export interface HookDependencies {
  gate: Gatekeeper;
  snapshot: Snapshot;
  ledger: Ledger;
  journal: Journal;
  peers: Peers;
  spawns: Spawns;
  traces: Traces;
  results: ToolResults;
  telemetry: Telemetry;
  clock: () => number;
  bounds: ProxyBounds;
}

export type Hook = ReturnType<typeof createHook>;

/** The routes under /v1. */
export function createHook({
  gate,
  snapshot,
  ledger,
  journal,
  peers,
  spawns,
  traces,
  results,
  telemetry,
  clock,
  bounds,
}: HookDependencies) {
  /** Sub-agents' sessions that control was told of; the oldest are forgotten first. */
  const reported = new Set<string>();

  /** @returns false where the path is none of ours. */
  async function handle(request: IncomingMessage, response: ServerResponse, path: string, query: URLSearchParams): Promise<boolean> {
    const match =
      /^\/v1\/(?:(tool-calls)(?:\/([\w-]{1,64})(?:\/(outcome|cancel))?)?|(runs\/check)|(runs\/end)|(spawns)|(unasked)|(heartbeats))$/.exec(
        path,
      );
    if (!match) return false;
    const [, calls, id, action, runs, runEnd, spawn, unasked] = match;
    const expected = calls && id !== undefined && action === undefined ? 'GET' : 'POST';
    if (request.method !== expected) {
      response.setHeader('allow', expected);
      problem(response, 405, 'METHOD_NOT_ALLOWED', `${path} takes ${expected}.`);
      return true;
    }
    const picture = snapshot.current(clock());
    if (!picture) return refuseEntry(response, { status: 503, code: 'SNAPSHOT_STALE', detail: OUT_OF_TOUCH });
    const bearer = authenticate(request.headers.authorization, picture);
    if ('code' in bearer) return refuseEntry(response, bearer);
    const isCanary = bearer.kind === 'agent' && bearer.agent.canary !== undefined;
    if (isCanary && (!calls || id !== undefined))
      return refuseEntry(response, { status: 403, code: 'CANARY', detail: 'A canary can make a call, and nothing else.' });

    if (calls && id === undefined) await judge(request, response, bearer, picture);
    else if (calls && id !== undefined) await followUp(request, response, bearer, id, action, query);
    else if (runs) await checkRun(request, response, bearer, picture);
    else if (runEnd) await endRun(request, response, bearer, picture);
    else if (spawn) await noteSpawn(request, response, bearer, picture);
    else if (unasked) await noteUnasked(request, response, bearer, picture);
    else await heartbeat(request, response, bearer, picture);
    return true;
  }

  /** POST /v1/tool-calls */
  async function judge(request: IncomingMessage, response: ServerResponse, bearer: Bearer, picture: Picture): Promise<void> {
    const body = parse(GateCallSchema, await readJson(request, bounds.bodyMaxBytes));
    const sessionKey = body.sessionKey ?? '';
    const agent = await speakerOf(bearer, body.agentId, sessionKey, picture);
    if ('code' in agent) return void refuseEntry(response, agent);
    const attribution = attribute(agent, body.taskId, sessionKey, picture);
    if ('code' in attribution) return void refuseEntry(response, attribution);
    const given = { tool: body.tool, arguments: body.arguments, toolKind: body.toolKind ?? null, ...placeOf(agent, body) };
    if (bearer.kind === 'gateway' && isBareWrapper(given)) {
      // A wrapper is no call of its own: what it carries comes to the gate by itself (SPEC 3, Attribution).
      return respond(response, 200, { id: '', verdict: 'allow', risk: 'green', reasons: [] });
    }
    traces.note(body.traceId, { agentId: agent.id, runId: body.runId ?? null, sessionKey, taskId: attribution.taskId }, clock());
    const unwrapped = unwrapCall(given);
    const admission = await gate.admit({
      entry: 'openclaw',
      agent,
      gatewayId: bearer.kind === 'gateway' ? bearer.gateway.id : null,
      sessionKey,
      runId: body.runId ?? null,
      taskId: attribution.taskId,
      callId: body.callId ?? null,
      traceId: body.traceId ?? null,
      ...unwrapped,
      ...canonicalTool(unwrapped.tool, agent, picture),
      ungated: false,
      ...(bearer.kind === 'gateway' && { wire: results.nameOf(unwrapped.tool, unwrapped.arguments, body.callId ?? null) }),
    });
    telemetry.decided('openclaw', admission);
    answer(response, admission);
  }

  /** GET /v1/tool-calls/{id}, POST …/outcome, POST …/cancel */
  async function followUp(
    request: IncomingMessage,
    response: ServerResponse,
    bearer: Bearer,
    id: string,
    action: string | undefined,
    query: URLSearchParams,
  ): Promise<void> {
    let body: Buffer | null = null;
    let isOwnerAway = false;
    // What runs here is ours, whoever held it first.
    if (peers.isForeign(request, id) && !gate.runs(id)) {
      body = action === undefined ? null : await readBytes(request, bounds.bodyMaxBytes);
      const passed = await peers.passOn(request, response, id, body);
      if (passed === 'answered') return;
      isOwnerAway = passed === 'away';
    }
    let record: CallRecord | null;
    try {
      record = await gate.find(id);
    } catch {
      return problem(response, 503, 'SNAPSHOT_STALE', 'Control cannot be reached to look this call up. Try again shortly.');
    }
    // It may run there: who reports its outcome now and is told that there is no such call would not report it again.
    if (!record && isOwnerAway)
      return problem(response, 503, 'PROXY_AWAY', 'The proxy that has this call cannot be reached now. Send it again shortly.');
    // A foreign call looks like one that does not exist.
    if (!record || !speaksFor(bearer, record.agentId, record.gatewayId)) {
      return problem(response, 404, 'NOT_FOUND', `No call of yours has the id "${id}".`);
    }
    if (action === 'outcome') {
      const said = body === null ? await readJson(request, bounds.bodyMaxBytes) : parseJson(body);
      return settle(said, response, bearer, record);
    }
    if (action === 'cancel') {
      try {
        await gate.cancel(record, 'cancelled by the caller');
      } catch {
        return problem(response, 503, 'SNAPSHOT_STALE', 'The call could not be withdrawn: control cannot be reached. Try again shortly.');
      }
      return respond(response, 200, { id, state: record.state });
    }
    const gone = leavingSignal(response);
    answer(response, await gate.take(record, waitOf(query), gone));
  }

  async function settle(said: unknown, response: ServerResponse, bearer: Bearer, record: CallRecord): Promise<void> {
    const { status, output, error, durationMs, usage } = parse(GateOutcomeSchema, said);
    const text = output === undefined ? null : typeof output === 'string' ? output : JSON.stringify(output);
    const reported = usage?.costUsd === undefined ? null : microsOf(usage.costUsd);
    // An agent's own word does not make its call cheaper than the price that was reserved for it; its gateway's does.
    const costMicros = reported !== null && bearer.kind === 'agent' ? Math.max(reported, record.estimatedMicros) : reported;
    // The register lets go of it with the end of the call.
    const { call } = record;
    let ended: boolean;
    try {
      ended = await gate.complete(record, { status, output: text, error: error ?? null, durationMs, costMicros });
    } catch {
      return problem(response, 503, 'JOURNAL_UNAVAILABLE', 'The outcome could not be recorded. Send it again shortly.');
    }
    if (ended) {
      if (status === 'success') await reportDetour(record, call);
      return respond(response, 200, { id: record.id, state: 'ended' });
    }
    const why = record.state === 'held' ? 'This call is held; nothing ran, so it has no outcome.' : 'This call has ended already.';
    problem(response, 409, 'DUPLICATE', why, { id: record.id, state: record.state });
  }

  /** A tool of an MCP server of ours ran, and its call came another way than through us (SPEC 10). A later look sees the other proxies. */
  async function reportDetour({ agentId, gatewayId, joined }: CallRecord, call: CallRecord['call']): Promise<void> {
    if (gatewayId === null || joined !== false || call === null) return;
    const now = clock();
    const upstream = snapshot.current(now)?.upstream(call.tool.split('__', 1)[0] ?? '');
    if (upstream?.kind !== 'mcp' || !call.tool.startsWith(`${upstream.name}__`)) return;
    await journal.append({ type: 'detour', at: now, agentId, tool: call.tool, askedAt: call.at }, false).catch(() => {});
  }

  /** POST /v1/runs/check: may a run start? The same judgement as for a call that costs the least there is. */
  async function checkRun(request: IncomingMessage, response: ServerResponse, bearer: Bearer, picture: Picture): Promise<void> {
    const body = parse(RunCheckSchema, await readJson(request, bounds.bodyMaxBytes));
    const sessionKey = body.sessionKey ?? '';
    const agent = await speakerOf(bearer, body.agentId, sessionKey, picture);
    if ('code' in agent) return void refuseEntry(response, agent);
    const attribution = attribute(agent, body.taskId, sessionKey, picture);
    if ('code' in attribution) return void refuseEntry(response, attribution);
    const now = clock();
    const { taskId } = attribution;
    const runId = body.runId ?? null;
    traces.note(body.traceId, { agentId: agent.id, runId, sessionKey, taskId }, now);
    // Of a shared ledger the picture may be old, and a run that will be refused is better not begun.
    await ledger.look(scopeKeys(scopesOf({ agentId: agent.id, runId, taskId }, picture.policy, now)));
    const decision = judgeRun(agent, runId, taskId, picture, now);
    const allowed = decision.verdict === 'allow';
    const message = allowed ? 'This run may start.' : decision.reasons.map((reason) => reason.message).join(' ');
    if (runId !== null) {
      await journal
        .append({ type: 'run', at: now, runId, agentId: agent.id, sessionKey, taskId, allowed, message: allowed ? null : message }, false)
        .catch(() => {});
    }
    const answer: RunCheckAnswer = { allowed, reasons: allowed ? [] : [...decision.reasons], message };
    respond(response, 200, answer);
  }

  function judgeRun(agent: AgentPicture, runId: string | null, taskId: string | null, picture: Picture, now: number) {
    const call = { agentId: agent.id, runId, taskId };
    const scopes = scopesOf(call, picture.policy, now);
    const sources = {
      agent,
      call,
      arguments: {},
      scopes,
      spent: (scope: string) => ledger.spent(scope),
      settled: (scope: string) => ledger.settled(scope),
      picture,
      hold: null,
      concurrent: 0,
      callsLastMinute: 0,
      labels: [],
      sameErrorRetries: 0,
      now,
    };
    const facts = factsOf(sources, {});
    // The ceiling of tools is asked at each call; a run is no tool.
    const run = { ...facts, agent: { ...facts.agent, toolPermissions: null }, estimatedCost: 1 };
    return decide({ tool: 'model_call', arguments: {}, cwd: null, workspace: null, toolKind: null }, run, picture.policy);
  }

  /** POST /v1/runs/end: what came of a run. Said again, it changes nothing. */
  async function endRun(request: IncomingMessage, response: ServerResponse, bearer: Bearer, picture: Picture): Promise<void> {
    const body = parse(RunEndSchema, await readJson(request, bounds.bodyMaxBytes));
    const agent = identify(bearer, body.agentId, picture, body.sessionKey);
    if ('code' in agent) return void refuseEntry(response, agent);
    const { runId, status } = body;
    const message = recordedText(body.error ?? null, RUN_ERROR_MAX);
    try {
      await journal.append({ type: 'run_end', at: clock(), runId, agentId: agent.id, status, message }, false);
    } catch {
      return problem(response, 503, 'JOURNAL_UNAVAILABLE', 'The end of the run could not be recorded. Send it again shortly.');
    }
    respond(response, 200, { ok: true });
  }

  /** POST /v1/spawns: a sub-agent began or ended. Counts with a gateway token only: who starts agents by other means has no session to name. */
  async function noteSpawn(request: IncomingMessage, response: ServerResponse, bearer: Bearer, picture: Picture): Promise<void> {
    const body = parse(SpawnSchema, await readJson(request, bounds.bodyMaxBytes));
    if (bearer.kind !== 'gateway')
      return problem(response, 403, 'GATEWAY_TOKEN_REQUIRED', 'Sub-agents live in a gateway; report them with its gateway token.');
    const parent = identify(bearer, body.agentId, picture, body.sessionKey);
    if ('code' in parent) return void refuseEntry(response, parent);
    const { childSessionKey } = body;
    try {
      if (body.state === 'began') {
        const { currentTaskId } = parent;
        const task = body.sessionKey ? picture.taskOfSession(body.sessionKey) : undefined;
        const isIts = task?.assigneeIds.includes(parent.id) === true;
        await began(parent, childSessionKey, body, isIts && task ? task.id : currentTaskId);
      } else {
        const at = clock();
        await journal.append({ type: 'despawned', at, parentId: parent.id, sessionKey: childSessionKey }, false);
      }
    } catch {
      return problem(response, 503, 'JOURNAL_UNAVAILABLE', 'It could not be recorded. Send it again shortly.');
    }
    respond(response, 200, { ok: true });
  }

  /** POST /v1/unasked: a call of which there is no record, rightly. Only the gate itself can say so, and only its gateway's token is its. */
  async function noteUnasked(request: IncomingMessage, response: ServerResponse, bearer: Bearer, picture: Picture): Promise<void> {
    const body = parse(UnaskedSchema, await readJson(request, bounds.bodyMaxBytes));
    if (bearer.kind !== 'gateway')
      return problem(response, 403, 'GATEWAY_TOKEN_REQUIRED', 'Only the gate in a gateway can say this; send it with its gateway token.');
    const agent = identify(bearer, body.agentId, picture, body.sessionKey);
    if ('code' in agent) return void refuseEntry(response, agent);
    const call = results.nameOf(body.tool, null, body.callId);
    try {
      await journal.append({ type: 'unasked', at: clock(), agentId: agent.id, gatewayId: bearer.gateway.id, call, why: body.why }, false);
    } catch {
      return problem(response, 503, 'JOURNAL_UNAVAILABLE', 'It could not be recorded. Send it again shortly.');
    }
    respond(response, 200, { ok: true });
  }

  /** The agent that a request speaks for. A sub-agent whose start nobody reported is known from here on. */
  async function speakerOf(bearer: Bearer, named: string | undefined, sessionKey: string, picture: Picture) {
    const agent = identify(bearer, named, picture, sessionKey);
    if ('code' in agent || bearer.kind !== 'gateway' || !isUnknownChild(agent, sessionKey)) return agent;
    const attribution = attribute(agent, undefined, sessionKey, picture);
    await began(agent, sessionKey, {}, 'code' in attribution ? null : attribution.taskId);
    return identify(bearer, named, picture, sessionKey);
  }

  async function began(
    parent: AgentPicture,
    childSession: string,
    about: { label?: string | undefined; lasting?: boolean | undefined },
    taskId: string | null,
  ): Promise<void> {
    const key = `${parent.gatewayId} ${childSession}`;
    if (reported.has(key)) return;
    spawns.began(parent.id, childSession);
    const { id: parentId, gatewayId } = parent;
    const childId = idOfChild(gatewayId, childSession);
    const label = recordedText(about.label ?? null, SPAWN_LABEL_MAX);
    const lasting = about.lasting ?? false;
    const started = { parentId, childId, gatewayId, sessionKey: childSession, label, lasting, taskId };
    await journal.append({ type: 'spawned', at: clock(), ...started }, false);
    // After the record, so that control knows the sub-agent before it hears of its calls.
    snapshot.expect(childPicture(parent, childId, childSession, taskId), clock());
    reported.add(key);
    const oldest = reported.size > REPORTED_MAX ? reported.values().next().value : undefined;
    if (oldest !== undefined) reported.delete(oldest);
  }

  /** POST /v1/heartbeats: counts with a gateway token only (SPEC 10). */
  async function heartbeat(request: IncomingMessage, response: ServerResponse, bearer: Bearer, picture: Picture): Promise<void> {
    const body = parse(HeartbeatSchema, await readJson(request, bounds.bodyMaxBytes));
    if (bearer.kind !== 'gateway') {
      return problem(
        response,
        403,
        'GATEWAY_TOKEN_REQUIRED',
        'Heartbeats prove the plugin of a gateway; send them with its gateway token.',
      );
    }
    const { gateway } = bearer;
    const agents = (body.agents ?? []).flatMap((name) => picture.agentOfGateway(gateway.id, name)?.id ?? []);
    await journal
      .append({ type: 'heartbeat', at: clock(), gatewayId: gateway.id, pluginVersion: body.pluginVersion, agents }, false)
      .catch(() => {});
    respond(response, 200, { ok: true });
  }

  function waitOf(query: URLSearchParams): number {
    const asked = Number(query.get('waitMs') ?? 0);
    return Number.isFinite(asked) ? Math.min(Math.max(0, asked), bounds.pollMaxMs) : 0;
  }

  return { handle };
}

/** The id of a sub-agent, from its session: every proxy that hears of it comes to the same. */
function idOfChild(gatewayId: string | null, sessionKey: string): string {
  const digest = hash('sha256', `sub-agent\u0000${gatewayId}\u0000${sessionKey}`);
  // Version 8: an id that is made of something.
  return `${digest.slice(0, 8)}-${digest.slice(8, 12)}-8${digest.slice(13, 16)}-a${digest.slice(17, 20)}-${digest.slice(20, 32)}`;
}

/** What control will register: the parent's level, tools and place, a line and caps of its own. */
function childPicture(parent: AgentPicture, id: string, childSession: string, taskId: string | null): AgentPicture {
  return {
    ...parent,
    id,
    name: `${parent.name}/sub-agent`,
    status: 'active',
    depth: parent.depth + 1,
    children: 0,
    parentId: parent.id,
    childSession,
    currentTaskId: taskId,
    externalId: null,
    dailyCap: null,
    perRunCap: null,
    raises: {},
    tokenHashes: [],
  };
}

/** A session that OpenClaw made for a sub-agent, and no sub-agent of ours: its start was not reported, and this call is the first sign. */
function isUnknownChild(agent: AgentPicture, sessionKey: string): boolean {
  return agent.childSession !== sessionKey && /^agent:[^:]+:subagent:[^:]+$/.test(sessionKey);
}

/** The workspace comes from the registration; a call may narrow it to a folder inside, never widen it (SPEC 3, Identity). */
function placeOf(agent: AgentPicture, body: { cwd?: string | undefined; workspace?: string | undefined }) {
  const registered = agent.workspace;
  const isInside = registered !== null && body.workspace !== undefined && isUnder(body.workspace, registered);
  return { cwd: body.cwd ?? null, workspace: isInside && body.workspace !== undefined ? body.workspace : registered };
}

function isUnder(path: string, root: string): boolean {
  const parts = path.split('/');
  return (path === root || path.startsWith(root.endsWith('/') ? root : `${root}/`)) && !parts.includes('..') && !parts.includes('.');
}

function microsOf(usd: number): number {
  try {
    return microsFromUsd(usd);
  } catch {
    // Providers report more digits than a micro-dollar has: rounded up, so that nothing is ever counted low.
    return Math.ceil(usd * 1_000_000);
  }
}

function answer(response: ServerResponse, admission: Admission): void {
  const [status, body] = answerOf(admission);
  respond(response, status, body);
}

function answerOf(admission: Admission): [status: number, body: GateAnswer] {
  const { id, risk } = admission;
  const reasons = [...admission.reasons];
  switch (admission.verdict) {
    case 'allow': {
      const { arguments: edited } = admission;
      return [200, { id, verdict: 'allow', risk, reasons, ...(edited !== null && { arguments: edited }) }];
    }
    case 'hold': {
      const { approval, waiting } = admission;
      const message = waiting
        ? `Held: approval ${approval.number} waits for a person. Nothing ran yet.`
        : `Approval ${approval.number} is pending and nothing ran. Do not retry and do not work around it: end your turn, you will be told when a person has decided.`;
      const numbers = { approvalId: approval.id, approvalNumber: approval.number, retryAfterMs: RETRY_AFTER_MS };
      return [202, { id, verdict: 'hold', risk, ...numbers, reasons, waiting, message }];
    }
    case 'deny': {
      const status = { policy: 403, canary: 403, duplicate: 409, unavailable: 503 }[admission.kind];
      return [status, { id, verdict: 'deny', risk, reasons, message: refusalText(reasons) }];
    }
  }
}

function parse<T>(
  schema: {
    safeParse: (
      value: unknown,
    ) => { success: true; data: T } | { success: false; error: { issues: readonly { path: readonly PropertyKey[]; message: string }[] } };
  },
  value: unknown,
): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new BadRequest(400, 'MALFORMED', `${issue?.path.map(String).join('.') || 'the body'}: ${issue?.message ?? 'is not as expected'}`);
}
