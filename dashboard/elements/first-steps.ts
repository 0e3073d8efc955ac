/**
 * The first steps of an installation: what is done already, what comes next, and with which command. Pure: made from what the server has told,
 * so that every browser and every person sees the same, and nothing has to be ticked off by hand.
 */
import type { Agent, Approval, Gateway, Overview, ToolCallView } from '../../control/contract.ts';
import { plural } from '../words.ts';

/** What the steps are read from. */
export interface StartFacts {
  overview: Pick<Overview, 'version' | 'activePolicy' | 'proxies'>;
  gateways: readonly Pick<Gateway, 'name' | 'url' | 'link' | 'lastHeartbeat'>[];
  agents: readonly Pick<Agent, 'name' | 'gate' | 'externalId'>[];
  /** A call that was judged here, if there is any. */
  call: Pick<ToolCallView, 'agentName' | 'tool'> | null;
  /** Calls that wait for a decision. */
  pending: number;
  /** A held call that a person has decided, if there is any. */
  decided: Pick<Approval, 'approver' | 'status' | 'tool'> | null;
}

export interface Step {
  id: 'start' | 'connect' | 'plugin' | 'call' | 'decision';
  title: string;
  isDone: boolean;
  /** What was found where it is done, else what to do. */
  says: string;
  /** To be copied into a terminal. */
  command: string | null;
  /** What is waited for, while this is the step to take. */
  waitsFor: string | null;
  /** Where the step is taken in the dashboard. */
  link: { href: string; label: string } | null;
}

const CONNECT = 'npm run -s mc -- openclaw connect --config ~/.openclaw/openclaw.json';
const DOCTOR = 'npm run -s mc -- doctor';
/** An agent's id in OpenClaw that can stand in a command as it is. */
const PLAIN_ID = /^[a-z0-9][a-z0-9_-]{0,63}$/i;

/** All steps, in the order in which they are taken. */
export function firstSteps(facts: StartFacts): Step[] {
  return [started(facts), connected(facts), heard(facts), called(facts), decided(facts)];
}

/** The step to take now, or null when all are done. */
export function nextStep(steps: readonly Step[]): Step | null {
  return steps.find((step) => !step.isDone) ?? null;
}

function started({ overview: { version, activePolicy, proxies } }: StartFacts): Step {
  const live = proxies.filter((proxy) => proxy.state === 'live').length;
  return {
    ...{ id: 'start', title: 'Start Mission Control', isDone: live > 0, command: live > 0 ? null : DOCTOR, link: null },
    says:
      live > 0
        ? `Version ${version}, policy ${activePolicy.version}, ${plural(live, 'live proxy', 'live proxies')}.`
        : 'No proxy is connected, so no call can be judged. The command says why.',
    waitsFor: 'Waiting for a proxy',
  };
}

function connected({ gateways, agents }: StartFacts): Step {
  const names = gateways.map(({ name }) => name).join(', ');
  const byHand = agents.length > 0 && gateways.length === 0;
  return {
    ...{ id: 'connect', title: 'Connect your gateway', isDone: gateways.length > 0 || byHand, command: CONNECT, link: null },
    says: byHand
      ? `${plural(agents.length, 'agent')} registered by hand, without OpenClaw.`
      : gateways.length > 0
        ? `${names}: ${plural(agents.length, 'agent')} registered. ${linkNote(gateways)}`
        : 'Run this in the folder of Mission Control, as the user that OpenClaw runs as. It shows the change before it writes, and --undo takes it back.',
    waitsFor: 'Waiting for a gateway to be registered',
  };
}

/** How the links of gateways that have an address stand; without a link agents are told of decisions through open calls alone. */
function linkNote(gateways: StartFacts['gateways']): string {
  const linked = gateways.filter(({ url }) => url !== null);
  const down = linked.find(({ link }) => link.state !== 'connected');
  if (linked.length === 0) return 'It has no address, so there is no link to it.';
  return down ? `The link to ${down.name} is not up${down.link.error ? `: ${down.link.error}` : ''}.` : 'The link is up.';
}

function heard({ gateways, agents }: StartFacts): Step {
  const heardFrom = gateways.filter(({ lastHeartbeat }) => lastHeartbeat !== null);
  const isNotNeeded = gateways.length === 0 && agents.length > 0;
  return {
    ...{ id: 'plugin', title: 'Hear the plugin', isDone: heardFrom.length > 0 || isNotNeeded, command: DOCTOR, link: null },
    says: isNotNeeded
      ? 'Not needed: no agent runs in OpenClaw.'
      : heardFrom.length > 0
        ? `The plugin was heard in ${heardFrom.map(({ name }) => name).join(', ')}.`
        : 'A running OpenClaw loads the plugin by itself within seconds; one that is off loads it when it starts. If nothing comes, the command says what is missing.',
    waitsFor: "Waiting for the plugin's first heartbeat",
  };
}

function called({ agents, call }: StartFacts): Step {
  return {
    ...{ id: 'call', title: 'See the first call', isDone: call !== null, command: messageTo(agents, 'List the files of your workspace.') },
    says: call
      ? `${call.agentName ?? 'An agent'} called ${call.tool}. Every call is in the feed, with how it was judged.`
      : 'Let an agent do anything. Its call shows up in the feed with how it was judged.',
    waitsFor: 'Waiting for a call',
    link: call ? { href: '/feed', label: 'Open the feed' } : null,
  };
}

function decided({ agents, pending, decided: found }: StartFacts): Step {
  return {
    ...{ id: 'decision', title: 'Decide a held call', isDone: found !== null },
    says: found
      ? `${found.approver ?? 'Somebody'} ${found.status === 'denied' ? 'denied' : 'approved'} a call of ${found.tool}. Risky calls wait in the inbox from now on.`
      : pending > 0
        ? `${plural(pending, 'call')} ${pending === 1 ? 'waits' : 'wait'} for a decision. Read what would run, then approve it once or deny it.`
        : 'A command on no allowlist is held until a person decides. This one prints the date, so nothing can go wrong.',
    command: pending > 0 ? null : messageTo(agents, 'Run this command: date'),
    waitsFor: pending > 0 ? 'Waiting for your decision' : 'Waiting for a held call',
    link: pending > 0 ? { href: '/approvals', label: 'Open the inbox' } : null,
  };
}

/** What to say to an agent of OpenClaw; null where there is none to say it to. */
function messageTo(agents: StartFacts['agents'], text: string): string | null {
  const gated = agents.filter((agent) => agent.gate === 'openclaw');
  if (agents.length > 0 && gated.length === 0) return null;
  const id = gated.map((agent) => agent.externalId ?? '').find((found) => PLAIN_ID.test(found)) ?? 'main';
  return `openclaw agent --agent ${id} --message "${text}"`;
}
