/**
 * What of MCP is judged, and how a held request is waited for: tools/call, resources/read and prompts/get of a client, sampling and
 * elicitation of a server. It asks admission and decides nothing itself; what is not judged passes through untouched.
 */
import { type AgentPicture, OWN_SERVER } from '../control/contract.ts';
import type { JsonObject } from '../policies/index.ts';
import type { Admission, CallRequest, Gatekeeper } from './admission.ts';
import type { ProxyBounds } from './config.ts';
import type { Journal } from './journal.ts';
import type { Context } from './mcp-context.ts';
import { eventText } from './mcp-events.ts';
import { errorMessage, metaOf, RPC, refusedResult, resultMessage } from './mcp-message.ts';
import type { OpenRequest, OpenRequests, Request } from './mcp-requests.ts';
import { type RoundState, type StateSealer, subjectOf } from './mcp-state.ts';
import { pause } from './pause.ts';
import type { CallRecord } from './register.ts';
import { refusalText } from './respond.ts';
import type { SilentGates } from './silent-gates.ts';
import type { Telemetry } from './telemetry.ts';
import { toolOf } from './tool-names.ts';

const UNGATED_EVERY_MS = 10_000;
const ROUND_TTL_MS = 24 * 60 * 60 * 1000;
const PAUSE_MS = 500;

interface Dependencies {
  gate: Gatekeeper;
  journal: Journal;
  telemetry: Telemetry;
  clock: () => number;
  bounds: ProxyBounds;
  sealer: StateSealer;
  requests: OpenRequests;
  silent: SilentGates;
}

export type Judgement = ReturnType<typeof createJudgement>;
type Judged = Pick<CallRequest, 'tool' | 'arguments' | 'upstream' | 'definition'>;

export function createJudgement({
  gate,
  journal,
  telemetry,
  clock,
  bounds,
  sealer,
  silent,
  requests: { settle, finishRecord },
}: Dependencies) {
  const alerted = new Map<string, number>();

  /** Everything that must be so before a request goes on. @returns the bytes that go; null where it was answered here. */
  async function clear(request: OpenRequest, bytes: Buffer): Promise<Buffer | null> {
    const { context, message, client } = request;
    const judged = judgedOf(context, message);
    if (judged === null) return bytes;
    const { requestState } = message.params;
    let round: RoundState | null = null;
    if (typeof requestState === 'string' && sealer.isRound(requestState)) {
      round = sealer.openRound(requestState, context.agent.id, context.upstream.name, clock());
      if (round === null || round.method !== message.method || round.subject !== subjectOf(message.method, message.params)) {
        client.finish(
          errorMessage(
            message.id,
            RPC.invalidParams,
            'This requestState is not one for this request, or is too old. Ask again without it.',
          ),
          400,
        );
        return null;
      }
    }
    const admission = await admit(request, judged, round);
    if (admission === null) return null;
    if (admission.verdict !== 'allow') {
      answerRefused(request, admission);
      return null;
    }
    if (admission.arguments === null && round === null) return bytes;
    const params: JsonObject = { ...message.params };
    if (admission.arguments !== null) params.arguments = admission.arguments;
    if (round !== null) {
      delete params.requestState;
      if (round.state !== null) params.requestState = round.state;
      if (params.inputResponses === undefined && round.responses !== null) params.inputResponses = round.responses;
    }
    return Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: message.id, method: message.method, params }));
  }

  /** Admission of a client's request, with the wait where it is held. @returns null where the caller is gone or was answered. */
  async function admit(request: OpenRequest, judged: Judged, round: RoundState | null): Promise<Admission | null> {
    const { context, message } = request;
    const { agent } = context;
    if (round !== null) {
      const record = (await gate.find(round.callId).catch(() => null)) ?? (await gate.findElsewhere(round.callId));
      if (record !== null && (record.state === 'running' || record.state === 'held')) {
        request.record = record;
        request.isJoined = record.gatewayId !== null;
        if (record.state === 'held') return wait(request, record, { verdict: 'hold', waiting: true } as Admission);
        const stop = gate.mayContinue(record);
        if (stop === null) return { verdict: 'allow', id: record.id, risk: record.risk, reasons: [], arguments: record.editedArguments };
        settle(request, { status: 'unknown', error: stop.message });
        return { verdict: 'deny', id: record.id, risk: record.risk, reasons: [stop], kind: 'policy' };
      }
    }
    const joined = message.method === 'tools/call' ? await gate.join(agent.id, judged.tool, judged.arguments) : null;
    if (joined !== null) {
      request.record = joined;
      request.isJoined = true;
      return { verdict: 'allow', id: joined.id, risk: joined.risk, reasons: [], arguments: null };
    }
    const ungated = isUngated(context, message.method);
    // A call of a tool should have been asked about a moment ago; anything else only needs a gate that is alive.
    if (ungated && message.method === 'tools/call') reportUngated(agent, judged.tool);
    else if (ungated) silent.note(agent, judged.tool);
    const admission = await gate.admit(requestOf(context, judged, ungated));
    telemetry.decided('mcp', admission);
    if (admission.verdict === 'deny') return admission;
    const record = await gate.find(admission.id).catch(() => null);
    request.record = record;
    if (admission.verdict === 'allow' || record === null) return admission;
    return wait(request, record, admission);
  }

  function requestOf(context: Context, judged: Judged, ungated: boolean): CallRequest {
    const { agent, attribution } = context;
    return {
      entry: context.upstream.id === OWN_SERVER ? 'mission-control' : 'mcp',
      agent,
      gatewayId: null,
      ...attribution,
      callId: null,
      ...judged,
      toolKind: null,
      cwd: null,
      workspace: agent.workspace,
      ungated,
    };
  }

  /**
   * Holds a request open until a person has decided, the inline wait is over, or the caller ends it.
   * @returns null where nobody waits any more, or the client was asked to come back (stateless era).
   */
  async function wait(request: OpenRequest, record: CallRecord, first: Admission): Promise<Admission | null> {
    const { client, context } = request;
    const roundEnd = clock() + bounds.mcpRoundMs;
    const stopProgress = showProgress(request, record);
    let admission = first;
    try {
      // Of the stateless era the answer may have to be another than a stream's last event: it begins only when it is known.
      if (context.era === 'legacy') client.begin();
      while (admission.verdict === 'hold' && admission.waiting) {
        if (request.isCancelled || !client.isOpen) return null;
        const before = clock();
        if (context.era === 'modern' && before >= roundEnd) {
          askAgain(request, record, null, null);
          return null;
        }
        const waitMs = context.era === 'modern' ? Math.max(1, roundEnd - before) : bounds.pollMaxMs;
        admission = await gate.take(record, Math.min(waitMs, bounds.pollMaxMs), AbortSignal.any([client.gone, request.abort.signal]));
        // Control away: the hold stays, and is looked at again shortly.
        if (admission.verdict === 'hold' && admission.waiting && clock() - before < PAUSE_MS) await pause(PAUSE_MS, request.abort.signal);
      }
    } finally {
      stopProgress();
    }
    return request.isCancelled ? null : admission;
  }

  /** Progress while a person is asked, where the client said how to tell it. Tiny steps: the server's own count comes after them. */
  function showProgress(request: OpenRequest, record: CallRecord): () => void {
    const { client, message, context } = request;
    const { progressToken } = metaOf(message.params);
    if ((typeof progressToken !== 'string' && typeof progressToken !== 'number') || context.era === 'modern') return () => {};
    let step = 0;
    const show = () => {
      if (!client.isStream || !client.isOpen) return;
      step++;
      const text = `Waiting for approval ${record.approval?.number ?? ''} by a person; nothing has run.`;
      const params = { progressToken, progress: step / 1_000_000, message: text };
      void client.write(eventText(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/progress', params })));
    };
    const first = setImmediate(show);
    const timer = setInterval(show, bounds.mcpProgressMs);
    return () => {
      clearImmediate(first);
      clearInterval(timer);
    };
  }

  /** `input_required` of the stateless era: the client makes the request again, with the state that it is given here. */
  function askAgain(request: OpenRequest, record: CallRecord, state: string | null, result: JsonObject | null): void {
    const { context, message, client } = request;
    client.finish({ jsonrpc: '2.0', id: message.id, result: roundResult(context, message, record.id, state, result) });
  }

  /** An `input_required` whose repeat belongs to this call, whatever the server's own state is. */
  function roundResult(context: Context, message: Request, callId: string, state: string | null, result: JsonObject | null): JsonObject {
    const requestState = sealer.sealRound({
      agentId: context.agent.id,
      upstream: context.upstream.name,
      method: message.method,
      subject: subjectOf(message.method, message.params),
      callId,
      state,
      responses: result === null ? (message.params.inputResponses ?? null) : null,
      expiresAt: clock() + ROUND_TTL_MS,
    });
    return { resultType: 'input_required', ...result, requestState };
  }

  function answerRefused({ context, message, client, record }: OpenRequest, admission: Exclude<Admission, { verdict: 'allow' }>): void {
    const { era } = context;
    const isTool = message.method === 'tools/call';
    if (admission.verdict === 'hold') {
      const number = admission.approval.number;
      const how =
        context.agent.gatewayId === null ? 'repeat exactly this call after it was approved' : 'you will be told when a person has decided';
      const text = `Approval ${number} is pending and nothing ran. Do not retry and do not work around it: end your turn, ${how}; it then runs once.`;
      const result = refusedResult('APPROVAL_PENDING', text, { 'mission-control/approval': admission.approval.id });
      if (isTool) client.finish(resultMessage(message.id, result, era));
      else client.finish(errorMessage(message.id, RPC.unavailable, text, { code: 'APPROVAL_PENDING', approvalId: admission.approval.id }));
      return;
    }
    const code = admission.reasons[0]?.code ?? 'DENIED';
    const text = refusalText(admission.reasons);
    const more = record === null ? {} : { 'mission-control/call': record.id };
    if (isTool) client.finish(resultMessage(message.id, refusedResult(code, text, more), era));
    else client.finish(errorMessage(message.id, RPC.unavailable, text, { code }));
  }

  /** Admits what a server asks of a client. @returns why not, or null. */
  async function admitInput(
    context: Context,
    method: string,
    params: JsonObject,
    gone: AbortSignal,
    onRecord: (record: CallRecord) => void = (record) => finishRecord(record, { status: 'success' }, 0),
  ): Promise<string | null> {
    const judged = judgedInput(context, method, params);
    if (judged === null) return null;
    let admission = await gate.admit(requestOf(context, judged, isUngated(context, judged.tool)));
    telemetry.decided('mcp', admission);
    const record = await gate.find(admission.id).catch(() => null);
    while (admission.verdict === 'hold' && admission.waiting && record !== null && !gone.aborted) {
      const before = clock();
      admission = await gate.take(record, bounds.pollMaxMs, gone);
      if (clock() - before < PAUSE_MS) await pause(PAUSE_MS, gone);
    }
    if (admission.verdict === 'allow' && record !== null) {
      onRecord(record);
      return null;
    }
    if (admission.verdict === 'hold') return `Approval ${admission.approval.number} is pending; nothing was asked.`;
    return refusalText(admission.reasons);
  }

  /** A call of a gated agent that its gate was not asked about, or of one whose gate has fallen silent (SPEC 3.4). */
  function isUngated({ agent, picture }: Context, method: string): boolean {
    if (agent.gate !== 'openclaw') return false;
    return method === 'tools/call' || !picture.isGateLive(agent, clock());
  }

  function reportUngated(agent: AgentPicture, tool: string): void {
    const now = clock();
    if (now - (alerted.get(agent.id) ?? 0) < UNGATED_EVERY_MS) return;
    alerted.set(agent.id, now);
    void journal.append({ type: 'ungated', at: now, agentId: agent.id, gatewayId: agent.gatewayId, tool }, false).catch(() => {});
  }

  return { clear, admitInput, roundResult };
}

/** What is judged about a client's request; null where nothing is: it is relayed. */
function judgedOf({ upstream }: Context, { method, params }: Request): Judged | null {
  const base = { upstream: upstream.name, definition: null };
  switch (method) {
    case 'tools/call': {
      const { name, arguments: args } = params;
      return { ...toolOf(upstream, typeof name === 'string' ? name : ''), arguments: args === undefined ? {} : (args as JsonObject) };
    }
    case 'resources/read':
      return { ...base, tool: 'mcp_resource', arguments: { server: upstream.name, uri: params.uri ?? null } };
    case 'prompts/get':
      return {
        ...base,
        tool: 'mcp_prompt',
        arguments: { server: upstream.name, name: params.name ?? null, arguments: params.arguments ?? {} },
      };
    default:
      return null;
  }
}

/** What is judged about a request that a server makes of a client. */
function judgedInput({ upstream }: Context, method: string, params: JsonObject): Judged | null {
  const { _meta, ...about } = params;
  const base = { upstream: upstream.name, definition: null, arguments: { server: upstream.name, ...about } };
  if (method === 'sampling/createMessage') return { ...base, tool: 'mcp_sampling' };
  return method === 'elicitation/create' ? { ...base, tool: 'mcp_elicitation' } : null;
}
