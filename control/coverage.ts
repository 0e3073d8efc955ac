/**
 * The coverage map (SPEC 10): for each agent and way in, how and when it was last shown that calls are judged there. Made from real traffic,
 * what came back from tools (control/gate-evidence.ts), the plugin's heartbeats and the alerts about traffic that the gate did not ask about; read only. What none of these can show is said.
 */
import { sql } from 'kysely';
import type { Coverage } from './contract.ts';
import type { Db } from './db/database.ts';

export type CoverageMap = ReturnType<typeof createCoverage>;
type Point = Coverage['agents'][number]['points'][number];
type Entry = Point['entry'];

interface AgentRow {
  id: string;
  name: string;
  gate: 'openclaw' | 'none';
  last_heartbeat: number | null;
  bypassed_at: number | null;
  result_at: number | null;
  alert: string | null;
  /** Of ways round that leave the gate as it is. */
  model_alert: string | null;
  mcp_alert: string | null;
}

const WINDOW_MS = 24 * 60 * 60 * 1000;
/** Three heartbeats of the plugin. */
const ALIVE_MS = 30_000;
const AGENTS_MAX = 1_000;

const RESULTS_SHOWN = `What its tools answered its models was held against what the gate was asked about, and all of it had been asked about. It does not show tools whose answers no model is told of.`;
const BEYOND: Record<Entry, string> = {
  openclaw: 'It does not show tools that OpenClaw runs without its hooks.',
  mcp: 'It does not show MCP servers that OpenClaw reaches without Mission Control.',
  model: 'It does not show models that are reached without Mission Control.',
  http: 'It does not show services that are reached without Mission Control.',
  egress: 'It does not show programs that leave the machine without the egress proxy: only the network can stop those.',
};
const WORDS: Record<Entry, string> = {
  openclaw: 'tools inside OpenClaw',
  mcp: 'MCP servers',
  model: 'models',
  http: 'HTTP tools',
  egress: 'the network',
};
const ENTRIES = Object.keys(BEYOND) as Entry[];

export function createCoverage({ db, clock }: { db: Db; clock: () => number }) {
  /** The map as it is now; agents by name, without removed and stopped ones. */
  async function read(): Promise<Coverage> {
    const at = clock();
    const since = at - WINDOW_MS;
    const { rows: agents } = await sql<AgentRow>`
      select agents.id, agents.name, agents.gate, agents.last_heartbeat,
        (select at from audit_log where subject_type = 'agent' and subject_id = agents.id and action = 'gate.bypassed' order by seq desc limit 1) as bypassed_at,
        (select at from gate_proofs where agent_id = agents.id and entry = 'openclaw' and how = 'result') as result_at,
        (select message from alerts where type = 'gate_missing' and resolved_at is null
          and dedupe_key not in ('gate_missing:model:' || agents.id, 'gate_missing:mcp:' || agents.id)
          and (agent_id = agents.id or gateway_id = agents.gateway_id) order by created_at desc limit 1) as alert,
        (select message from alerts where dedupe_key = 'gate_missing:model:' || agents.id and resolved_at is null) as model_alert,
        (select message from alerts where dedupe_key = 'gate_missing:mcp:' || agents.id and resolved_at is null) as mcp_alert
      from agents where removed_at is null and status <> 'stopped' order by name, id limit ${AGENTS_MAX}
    `.execute(db);
    // Its own tools come in as MCP calls do.
    const { rows: traffic } = await sql<{ agent_id: string; entry: Entry; at: number }>`
      select agent_id, case entry when 'mission-control' then 'mcp' else entry end as entry, max(created_at) as at
      from tool_calls where created_at > ${since}::bigint group by 1, 2
    `.execute(db);
    const { rows: canaries } = await sql<{ agent_id: string; entry: Entry; at: number }>`
      select agent_id, entry, at from gate_proofs where how = 'canary' and at > ${since}::bigint`.execute(db);
    const refused = new Map(canaries.map((row) => [`${row.agent_id} ${row.entry}`, Number(row.at)]));
    const last = new Map(traffic.map((row) => [`${row.agent_id} ${row.entry}`, Number(row.at)]));
    return {
      at,
      since,
      agents: agents.map((agent) => ({
        agentId: agent.id,
        agentName: agent.name,
        gate: agent.gate,
        points: ENTRIES.map((entry) => {
          const key = `${agent.id} ${entry}`;
          return pointOf(agent, entry, last.get(key) ?? null, refused.get(key) ?? null, at);
        }),
      })),
    };
  }

  return { read };
}

function pointOf(agent: AgentRow, entry: Entry, trafficAt: number | null, refusedAt: number | null, now: number): Point {
  const isAlive = agent.last_heartbeat !== null && now - agent.last_heartbeat <= ALIVE_MS;
  const isGated = agent.gate === 'openclaw';
  const point = (state: Point['state'], how: Point['how'], provenAt: number | null, says: string): Point => ({
    ...{ entry, state, how, provenAt, trafficAt, says },
  });
  // What comes by MCP, model or HTTP past a gate that did not ask speaks against the gate, not against the way it came.
  if (isGated && entry === 'openclaw' && agent.alert !== null) return point('bypassed', null, trafficAt, agent.alert);
  if (entry === 'model' && agent.model_alert !== null) return point('bypassed', null, null, agent.model_alert);
  if (entry === 'mcp' && agent.mcp_alert !== null) return point('bypassed', null, null, agent.mcp_alert);
  if (isGated && entry === 'mcp' && agent.alert !== null && (agent.bypassed_at ?? 0) > (trafficAt ?? Number.POSITIVE_INFINITY) - ALIVE_MS)
    return point('bypassed', null, null, agent.alert);
  // The strongest that there is: what came back from tools had been asked about.
  if (isGated && entry === 'openclaw' && agent.result_at !== null && agent.result_at > now - WINDOW_MS)
    return point('proven', 'result', agent.result_at, RESULTS_SHOWN);
  if (trafficAt !== null) {
    const says = `Calls to ${WORDS[entry]} were judged here. ${BEYOND[entry]}`;
    // A heartbeat that is newer shows as much of the gate inside OpenClaw: it stands.
    const isNewer = entry === 'openclaw' && isAlive && (agent.last_heartbeat ?? 0) > trafficAt;
    return point('proven', 'call', trafficAt, isNewer ? `${says} The gate is alive.` : says);
  }
  if (refusedAt !== null && (entry !== 'openclaw' || !isGated))
    return point(
      'idle',
      'canary',
      refusedAt,
      `Nothing came to ${WORDS[entry]} this way for a day, and a canary was refused here. ${BEYOND[entry]}`,
    );
  if (entry !== 'openclaw' || !isGated)
    return point('unused', null, null, `Nothing came to ${WORDS[entry]} this way for a day. ${BEYOND[entry]}`);
  if (isAlive)
    return point(
      'idle',
      'heartbeat',
      agent.last_heartbeat,
      `The gate is alive, and no call came for a day. Only a call can show that OpenClaw asks it. ${BEYOND[entry]}`,
    );
  return point(
    'away',
    null,
    agent.last_heartbeat,
    'The gate gives no sign of life, and no traffic came either: OpenClaw may be off. Nothing is shown until it is back.',
  );
}
