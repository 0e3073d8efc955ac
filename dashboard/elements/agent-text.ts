/** How an agent stands, beyond its status: heard or silent, at work or idle, and how much it asks for attention. Pure. */
import type { Agent } from '../../control/contract.ts';
import { type AgentState, age } from '../words.ts';
import { meterTone } from './money-tone.ts';

/** A heartbeat older than this is flagged (SPEC 7, heartbeat monitor). */
const SILENT_MS = 300_000;
/** No call for this long: idle. */
const IDLE_MS = 300_000;

export function stateOf(agent: Agent, now: number): AgentState {
  if (agent.status !== 'active') return agent.status;
  if (agent.gate === 'openclaw' && isSilent(agent, now)) return 'silent';
  return agent.lastCallAt === null || now - agent.lastCallAt > IDLE_MS ? 'idle' : 'active';
}

/** Whether an agent that should be heard is not. One without a gate has nothing to be heard by. */
function isSilent(agent: Agent, now: number): boolean {
  return agent.gate === 'openclaw' && (agent.lastHeartbeat === null || now - agent.lastHeartbeat > SILENT_MS);
}

/** What asks for attention, most urgent first; empty = nothing does. */
export function attentionOf(agent: Agent, now: number): string[] {
  const asks: string[] = [];
  if (agent.status === 'quarantined') asks.push('quarantined');
  if (stateOf(agent, now) === 'silent')
    asks.push(agent.lastHeartbeat === null ? 'never heard' : `silent for ${age(now - agent.lastHeartbeat)}`);
  if (agent.pendingApprovals > 0) asks.push(agent.pendingApprovals === 1 ? '1 call waits' : `${agent.pendingApprovals} calls wait`);
  const tone = meterTone(agent.todaySpend, agent.todayCap);
  if (tone === 'red') asks.push('budget spent');
  if (tone === 'amber') asks.push('near its cap');
  if (agent.errorStreak > 0) asks.push(agent.errorStreak === 1 ? '1 error' : `${agent.errorStreak} errors`);
  return asks;
}

/** Made once: it is asked for every pair of agents whenever one of them changes. */
const NAMES = new Intl.Collator('en', { numeric: true });

/** Those that need somebody first, then by name. */
export function byAttention(now: number): (a: Agent, b: Agent) => number {
  return (a, b) => weigh(b, now) - weigh(a, now) || NAMES.compare(a.name, b.name);
}

/** An agent in its family: how far below the first of them it stands. */
export interface Relative {
  agent: Agent;
  depth: number;
}

/**
 * Every agent once, sub-agents behind their parent; a family comes where the first of its members would.
 * @param sorted the agents in the order that they would have alone. Whoever's parent is not among them stands alone.
 */
export function inFamilies(sorted: readonly Agent[]): Relative[] {
  const byId = new Map(sorted.map((agent) => [agent.id, agent]));
  const children = Map.groupBy(sorted, (agent) => agent.parentId);
  const told = new Set<string>();
  const rows: Relative[] = [];
  const tell = (agent: Agent, depth: number) => {
    if (told.has(agent.id)) return;
    told.add(agent.id);
    rows.push({ agent, depth });
    for (const child of children.get(agent.id) ?? []) tell(child, depth + 1);
  };
  for (const agent of sorted) if (!told.has(agent.id)) tell(headOf(agent, byId), 0);
  return rows;
}

function headOf(agent: Agent, byId: ReadonlyMap<string, Agent>): Agent {
  const seen = new Set<string>();
  let head = agent;
  for (let parent: Agent | undefined = agent; parent !== undefined && !seen.has(parent.id); ) {
    seen.add(parent.id);
    head = parent;
    parent = parent.parentId === null ? undefined : byId.get(parent.parentId);
  }
  return head;
}

function weigh(agent: Agent, now: number): number {
  const state = stateOf(agent, now);
  let weight = { quarantined: 8, silent: 6, active: 2, drained: 2, idle: 1, paused: 1, stopped: 0 }[state];
  if (agent.pendingApprovals > 0) weight += 5;
  if (agent.errorStreak > 2) weight += 3;
  if (meterTone(agent.todaySpend, agent.todayCap)) weight += 2;
  return weight;
}
