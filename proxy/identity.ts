/**
 * Credential to agent. A call speaks for one agent: an agent token for its own, a gateway token for any agent of its gateway,
 * which it must name. The session, run and task come from the body, but only what belongs to that agent counts.
 */
import { hash } from 'node:crypto';
import { type AgentPicture, CANARY_PREFIX, type GatewayPicture } from '../control/contract.ts';
import type { Picture } from './snapshot.ts';

/** Who is at the door; `gateway` is set where an OpenClaw gateway speaks. */
export type Bearer = { kind: 'agent'; agent: AgentPicture } | { kind: 'gateway'; gateway: GatewayPicture };

/** What everybody is told while there is no picture that is fresh enough to judge by. */
export const OUT_OF_TOUCH = 'Mission Control has lost touch with its control process and cannot judge. Nothing ran; try again shortly.';

export interface IdentityRefusal {
  status: 401 | 403;
  code: string;
  detail: string;
}

/** The bearer of a request, or why it is refused. @param authorization the header as it came. */
export function authenticate(authorization: string | undefined, picture: Picture): Bearer | IdentityRefusal {
  const token = authorization === undefined ? null : (/^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? null);
  if (token === null) {
    return { status: 401, code: 'UNAUTHENTICATED', detail: 'Send "Authorization: Bearer <agent token or gateway token>".' };
  }
  const digest = hash('sha256', token);
  const agent = token.startsWith(CANARY_PREFIX) ? picture.agentByCanary(token) : picture.agentByToken(digest);
  if (agent) return { kind: 'agent', agent };
  const gateway = picture.gatewayByToken(digest);
  if (gateway) return { kind: 'gateway', gateway };
  return { status: 401, code: 'UNAUTHENTICATED', detail: 'This token opens nothing here: it is wrong or was revoked.' };
}

/** The agent that a request comes from, at doors that serve agents only. @param served what is served, as in "MCP is". */
export function authenticateAgent(authorization: string | undefined, picture: Picture, served: string): AgentPicture | IdentityRefusal {
  const bearer = authenticate(authorization, picture);
  if ('code' in bearer) return bearer;
  if (bearer.kind === 'agent') return bearer.agent;
  return { status: 403, code: 'AGENT_TOKEN_REQUIRED', detail: `${served} for agents: send the token of one agent.` };
}

/** The agent that a request speaks for. @param sessionKey tells sub-agents apart. @param named `agentId` of the body: OpenClaw's name of the agent, or our id. */
export function identify(bearer: Bearer, named: string | undefined, picture: Picture, sessionKey?: string): AgentPicture | IdentityRefusal {
  // A sub-agent has no name in OpenClaw: its session says who it is.
  const child = bearer.kind === 'gateway' && sessionKey ? picture.childOf(bearer.gateway.id, sessionKey) : undefined;
  if (child) return child;
  if (bearer.kind === 'agent') {
    const { agent } = bearer;
    if (named === undefined || named === agent.id || named === agent.externalId || named === agent.name) return agent;
    return { status: 403, code: 'FOREIGN_AGENT', detail: `This token belongs to ${agent.name} and cannot speak for another agent.` };
  }
  if (named === undefined)
    return { status: 403, code: 'AGENT_REQUIRED', detail: 'A gateway token must say in "agentId" which agent calls.' };
  const agent = picture.agentOfGateway(bearer.gateway.id, named);
  if (agent) return agent;
  return {
    status: 403,
    code: 'UNKNOWN_AGENT',
    detail: `The gateway ${bearer.gateway.name} has no agent "${named.slice(0, 100)}" in Mission Control. Register it: npm run -s mc -- openclaw connect`,
  };
}

/** The agent at the top of a sub-agent's line: the one whose credential and MCP entries it uses. */
export function rootOf(agentId: string, picture: Picture): string {
  let id = agentId;
  // Bounded by the depth that a policy can allow; a circle in what control sends must not hang a proxy.
  for (let level = 0; level < 16; level++) {
    const { parentId } = picture.agent(id) ?? {};
    if (!parentId) break;
    id = parentId;
  }
  return id;
}

/** True where the bearer may see or settle this agent's calls. */
export function speaksFor(bearer: Bearer, agentId: string, gatewayId: string | null): boolean {
  return bearer.kind === 'agent' ? bearer.agent.id === agentId : bearer.gateway.id === gatewayId;
}

/** The task that a call belongs to: the one it names, its session's, or the agent's current one (SPEC 3, Attribution). */
export function attribute(
  agent: AgentPicture,
  named: string | undefined,
  sessionKey: string,
  picture: Picture,
): { taskId: string | null } | IdentityRefusal {
  if (named !== undefined) {
    const task = picture.task(named);
    if (!task?.assigneeIds.includes(agent.id)) {
      return { status: 403, code: 'FOREIGN_TASK', detail: `${agent.name} has no task with the id "${named.slice(0, 100)}".` };
    }
    return { taskId: task.id };
  }
  const ofSession = sessionKey === '' ? undefined : picture.taskOfSession(sessionKey);
  if (ofSession?.assigneeIds.includes(agent.id)) return { taskId: ofSession.id };
  return { taskId: agent.currentTaskId };
}
