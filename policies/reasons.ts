/**
 * What each reason code means to a person and to a model, in one sentence, and what may follow from it. The closed list is in `model.ts`;
 * the documentation, the dashboard and the answers to agents all take their wording from here.
 */
import type { ReasonCode } from './model.ts';

export interface ReasonMeaning {
  /** What it says about the call. */
  meaning: string;
  /** What it does: `allow` and `hold` and `deny` as verdicts; `hold or deny` depends on what was found. */
  effect: 'allow' | 'hold' | 'deny' | 'hold or deny';
  /** Whether an approval that fits the call can release it. */
  release: 'approval' | 'approval with allowance' | 'no';
}

const allow = (meaning: string): ReasonMeaning => ({ meaning, effect: 'allow', release: 'no' });
const hold = (meaning: string): ReasonMeaning => ({ meaning, effect: 'hold', release: 'approval' });
const deny = (meaning: string): ReasonMeaning => ({ meaning, effect: 'deny', release: 'no' });

/** One entry for every code of the closed list. */
export const REASON_MEANINGS: Readonly<Record<ReasonCode, ReasonMeaning>> = Object.freeze({
  OK: allow('Nothing stands against the call.'),
  APPROVED: allow(
    'A person approved exactly this call, or calls like it for longer; the reasons after this one are those that it released.',
  ),
  ESTOP: deny('The emergency stop is on.'),
  SQUAD_PAUSED: deny('All agents are paused.'),
  AGENT_PAUSED: deny('The agent is paused.'),
  AGENT_DRAINED: deny('The agent is drained, and the call does not belong to its current task.'),
  AGENT_QUARANTINED: deny('The agent is quarantined.'),
  AGENT_STOPPED: deny('The agent has been retired.'),
  TASK_STATE: {
    meaning: 'The task is BLOCKED, DONE or CANCELED (deny), or waits in NEEDS_APPROVAL and the call is not green (hold).',
    effect: 'hold or deny',
    release: 'approval',
  },
  TOOL_NOT_PERMITTED: deny("The tool is not among the agent's `toolPermissions`."),
  UNKNOWN_TOOL: hold('No map, upstream default or trusted hint knows the tool: it counts as red.'),
  MALFORMED: deny('The call cannot be read: a name, an argument or a fact of it is not what it must be. No other reason is looked for.'),
  RED_ACTION: {
    meaning: 'The call is red, by its tool or by its arguments, and red needs a person (a policy may deny it altogether).',
    effect: 'hold or deny',
    release: 'approval',
  },
  YELLOW_INTERN: hold('The call is yellow and the agent is an intern.'),
  SECRETS: hold('The call names a secret file, carries what looks like a credential, or asks for secrets.'),
  PROD_EXTERNAL: hold('The call affects production or people and systems outside.'),
  SHELL_BLOCKED: deny('A command in the call is on the block list.'),
  SHELL_NOT_ALLOWLISTED: hold(
    'A command in the call, or the way it would run, is not on the shell allowlist or cannot be decided from its text.',
  ),
  FS_READ_OUTSIDE: hold('The call reads outside the readable folders, or a path that is not plain.'),
  FS_WRITE_OUTSIDE: hold('The call writes outside the writable folders, or to a path that is not plain.'),
  FS_CONFIG_BLOCKED: hold('The call writes where writing is blocked unless approved, or could change the gate itself.'),
  NET_NOT_ALLOWLISTED: {
    meaning:
      'A host is not on the network allowlist (hold), or its address is refused in any case: credentials in it, an address literal, a private or special address, a non-canonical spelling (deny).',
    effect: 'hold or deny',
    release: 'approval',
  },
  BUDGET_RUN: { meaning: 'The call would exceed the cap of its run.', effect: 'hold', release: 'approval with allowance' },
  BUDGET_TASK: { meaning: 'The call would exceed the cap of its task.', effect: 'hold', release: 'approval with allowance' },
  BUDGET_DAILY: {
    meaning: "The call would exceed the agent's cap for the day (hold); that cap is used up and the call costs money (deny).",
    effect: 'hold or deny',
    release: 'approval with allowance',
  },
  BUDGET_FLEET: { meaning: "The call would exceed the fleet's cap for the day.", effect: 'hold', release: 'approval with allowance' },
  PRICE_UNKNOWN: deny('What the call can cost is not known, so it cannot be kept within a cap.'),
  RATE_LIMIT: deny('Too many calls in a minute, or open at once.'),
  SPAWN_FORBIDDEN: deny('The level of autonomy may not start other agents.'),
  SPAWN_LIMIT_ACTIVE: deny('As many agents are active as may be.'),
  SPAWN_LIMIT_PARENT: deny('The agent has as many children as it may have.'),
  SPAWN_DEPTH: deny('The agent is as deep in the tree as a parent may be.'),
  LOOP: deny('The task or the agent goes in circles: a count of the loop limits is above its limit.'),
  SEQUENCE: hold('The run has touched what, together with this call, must not meet without a person.'),
  TOOL_CHANGED: hold("The tool's definition is not the one that an operator accepted."),
  RULE: { meaning: 'A rule of the policy says so.', effect: 'hold or deny', release: 'approval' },
  APPROVAL_DENIED: deny('A person denied exactly this call.'),
  APPROVAL_EXPIRED: hold('The approval was not given, or not used, in time; the call needs a new one.'),
  APPROVAL_INVALID: {
    meaning: 'The approval is used, withdrawn or for another call (hold), or does not come from a person (deny).',
    effect: 'hold or deny',
    release: 'no',
  },
  DUPLICATE: deny('The same call has already been settled; its record is the answer.'),
  GATE_UNPROVEN: deny("The agent's gate has not been proven alive, and the policy refuses its traffic until it is."),
  SNAPSHOT_STALE: deny('The proxy has not heard from control for longer than the policy allows, so it judges nothing.'),
  LEDGER_UNAVAILABLE: deny('The counters of spend cannot be reached, and the call is not one that may run without them.'),
  JOURNAL_UNAVAILABLE: deny('The call could not be recorded, so it does not run.'),
});
