/** The gate in a few words, for one credential. */
import type { Answer, ReachableWorld, World } from './world.ts';

export interface GateBody {
  id: string;
  verdict: string;
  risk: string;
  approvalId: string;
  waiting?: boolean;
  reasons: { code: string; message: string; policyPath: string }[];
  arguments?: Record<string, unknown>;
  message?: string;
  /** Of a problem document. */
  code?: string;
  detail?: string;
}
type Fields = Record<string, unknown>;

/** Speaks to the gate with one token; a call has session "s", run "r" and a call id of its own unless `more` says otherwise. */
export function gateOf(world: World, token: string | null) {
  const call = (tool: string, args: Fields, more: Fields = {}): Promise<Answer<GateBody>> =>
    world.gate<GateBody>(
      'POST',
      '/v1/tool-calls',
      { tool, arguments: args, callId: crypto.randomUUID(), sessionKey: 's', runId: 'r', ...more },
      token,
    );
  return {
    call,
    /** A shell command. */
    exec: (command: string, more: Fields = {}) => call('exec', { command }, more),
    /** A green call. */
    note: (text = 'hello', more: Fields = {}) => call('post_comment', { text }, more),
    poll: (id: string, waitMs = 0) => world.gate<GateBody>('GET', `/v1/tool-calls/${id}?waitMs=${waitMs}`, undefined, token),
    end: (id: string, more: Fields = {}) =>
      world.gate<GateBody>('POST', `/v1/tool-calls/${id}/outcome`, { status: 'success', durationMs: 1, ...more }, token),
    cancel: (id: string) => world.gate<GateBody>('POST', `/v1/tool-calls/${id}/cancel`, {}, token),
  };
}

/** Reason codes of an answer, in order. */
export function codesOf(answer: Answer<GateBody>): string[] {
  return (answer.body.reasons ?? []).map((reason) => reason.code);
}

/** Approves or denies as the administrator. */
export function decide(world: World, approvalId: string, verdict: 'approve' | 'deny', body: Fields = {}) {
  return world.api<Fields & { status: string }>('POST', `/approvals/${approvalId}/${verdict}`, { note: 'looked at it', ...body });
}

/** Makes a patch of the active policy the active policy. */
export async function usePolicy(world: ReachableWorld, patch: Fields): Promise<void> {
  const made = await world.api<{ id: string }>('POST', '/policies', { patch, note: 'for a test' });
  if (made.status !== 201) throw new Error(`policy refused: ${JSON.stringify(made.body)}`);
  const active = await activatePolicy(world, made.body.id);
  if (active.status !== 200) throw new Error(`policy not activated: ${JSON.stringify(active.body)}`);
}

/** Activates a version; where red calls would be let run, that is confirmed with their number. */
export async function activatePolicy(world: ReachableWorld, id: string, body: Fields = { note: 'for a test' }): Promise<Answer<Fields>> {
  const path = `/policies/${id}/activate`;
  const answer = await world.api<Fields & { code?: string; redFlips?: { count: number } }>('POST', path, body);
  if (answer.body.code !== 'RED_FLIPS') return answer;
  return world.api('POST', path, { ...body, confirmRedFlips: answer.body.redFlips?.count });
}
