/**
 * What the signed-in person may do here, and if not, the sentence that stands beside the disabled control. A mirror for the eye only:
 * the server decides, and its refusal is shown as well.
 */
import type { Agent, Role } from '../control/contract.ts';
import type { AgentStatus } from '../policies/model.ts';
import type { AgentAction } from './api.ts';
import { staleReason } from './freshness.ts';
import { session, system } from './store.ts';
import { ROLE_WORDS } from './words.ts';

const RANK: Record<Role, number> = { viewer: 0, approver: 1, operator: 2, admin: 3 };

export type Intent =
  | 'decide approvals'
  | 'control agents'
  | 'create agents'
  | 'edit budgets'
  | 'resolve alerts'
  | 'pause the squad'
  | 'stop'
  | 'resume'
  | 'manage tokens'
  | 'manage upstreams'
  | 'accept tools'
  | 'run tasks'
  | 'close tasks'
  | 'change the policy'
  | 'replay'
  | 'comment'
  | 'manage people'
  | 'manage gateways'
  | 'manage channels'
  | 'retry notifications'
  | 'run drills';

const NEEDS: Record<Intent, Role> = {
  'decide approvals': 'approver',
  'control agents': 'operator',
  'create agents': 'operator',
  'edit budgets': 'operator',
  'resolve alerts': 'operator',
  'pause the squad': 'operator',
  stop: 'operator',
  resume: 'admin',
  'manage tokens': 'admin',
  'manage upstreams': 'admin',
  'accept tools': 'operator',
  'run tasks': 'operator',
  'close tasks': 'approver',
  'change the policy': 'admin',
  replay: 'operator',
  comment: 'approver',
  'manage people': 'admin',
  'manage gateways': 'admin',
  'manage channels': 'admin',
  'retry notifications': 'operator',
  'run drills': 'operator',
};

/** Whether the role of the signed-in person is enough, whatever the state of the connection; a deputy decides approvals as who is away could. */
export function hasRole(intent: Intent): boolean {
  const operator = session.get()?.operator;
  if (operator === undefined) return false;
  return RANK[operator.role] >= RANK[NEEDS[intent]] || (intent === 'decide approvals' && operator.isDeputy === true);
}

/** Why this cannot be done now, or null. A stop is never refused for old data: it is worth trying with any. */
export function reasonAgainst(intent: Intent): string | null {
  const role = session.get()?.operator.role;
  if (role === undefined) return 'You are not signed in.';
  if (!hasRole(intent))
    return `Needs the ${ROLE_WORDS[NEEDS[intent]]} role; you are ${role === 'viewer' ? 'a' : 'an'} ${ROLE_WORDS[role]}.`;
  return intent === 'stop' ? null : staleReason();
}

/** From which status each action leads somewhere (SPEC 7), and the sentence when it does not. */
const ACTIONS: Record<AgentAction, { from: readonly AgentStatus[]; otherwise: Partial<Record<AgentStatus, string>> }> = {
  pause: {
    from: ['active', 'drained'],
    otherwise: {
      paused: 'Already paused.',
      quarantined: 'Quarantine already refuses every call.',
      stopped: 'A stopped agent makes no calls.',
    },
  },
  drain: {
    from: ['active'],
    otherwise: {
      paused: 'Paused already refuses every call.',
      drained: 'Already draining.',
      quarantined: 'Quarantine already refuses every call.',
      stopped: 'A stopped agent makes no calls.',
    },
  },
  quarantine: {
    from: ['active', 'paused', 'drained'],
    otherwise: { quarantined: 'Already quarantined.', stopped: 'A stopped agent makes no calls.' },
  },
  restart: {
    from: ['paused', 'drained', 'quarantined', 'stopped'],
    otherwise: { active: 'Works once the agent is paused, drained, quarantined or stopped.' },
  },
};

/** Why this action cannot be taken on this agent now, or null. */
export function reasonAgainstAction(action: AgentAction, agent: Agent): string | null {
  const against = reasonAgainst('control agents');
  if (against !== null) return against;
  const { from, otherwise } = ACTIONS[action];
  const squadPaused = action === 'restart' && system.get()?.squadPaused === true;
  if (!from.includes(agent.status) && !squadPaused) return otherwise[agent.status] ?? `Not from ${agent.status}.`;
  return action === 'restart' && system.get()?.estop ? 'The emergency stop is active; an administrator resumes first.' : null;
}
