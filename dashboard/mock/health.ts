/** What the server would find when asked how its parts are doing, and by which ways in the gate is proven; made from the sample world. */
import type { Coverage, Health } from '../../control/contract.ts';
import type { World } from './world.ts';

const ENTRIES = ['openclaw', 'mcp', 'model', 'http', 'egress'] as const;
type Part = Health['parts'][number];

export function healthOf(world: World): Health {
  const at = world.now();
  const part = (group: Part['group'], name: string, state: Part['state'], says: string, since: number | null = at): Part => ({
    ...{ group, name, state, says, at: since },
  });
  const { proxies, activePolicy } = world.overview();
  return {
    at,
    parts: [
      ...proxies.map(({ id, state, lastSeenAt }) =>
        state === 'live'
          ? part(
              'proxies',
              id,
              'ok',
              `Judges by policy ${activePolicy.version} and all that was committed (picture 41). Journal: 0 events behind at the last shipment, the oldest in it 0.1 s old.`,
            )
          : part('proxies', id, 'failing', 'Its line to control is down. It refuses calls once its picture is too old.', lastSeenAt),
      ),
      part('database', 'Embedded PostgreSQL', 'ok', 'Answered in 2 ms. 34 MB.'),
      part('redis', 'Redis', 'unused', 'Not used: the one proxy keeps the counters itself.', null),
      ...[...world.gateways.values()].map((gateway) =>
        gateway.gate === 'live'
          ? part('openclaw', `${gateway.name}, gate`, 'ok', 'The plugin sends heartbeats.', gateway.lastHeartbeat)
          : part(
              ...(['openclaw', `${gateway.name}, gate`, 'attention'] as const),
              'The plugin has stopped sending heartbeats; its agents are judged as interns.',
              gateway.lastHeartbeat,
            ),
      ),
      part('openclaw', 'Messages to agents', 'ok', 'Nothing waits to be sent.', null),
      part('channels', 'Channels', 'unused', 'None is set up: nobody is told outside the dashboard.', null),
      part('audit', 'Anchor of the log', 'ok', 'All 19 rows are anchored.', at - 120_000),
      part('workers', 'notifier', 'ok', 'Done by this process, every 1 s.'),
      part('workers', 'dispatcher', 'failing', 'Its last pass failed: the connection was closed', at - 240_000),
      part('backups', 'Backup', 'attention', 'None was ever taken. npm run -s mc -- backup FILE takes one while everything runs.', null),
    ],
  };
}

export function coverageOf(world: World): Coverage {
  const at = world.now();
  return {
    at,
    since: at - 86_400_000,
    agents: [...world.agents.values()].map((agent) => ({
      agentId: agent.id,
      agentName: agent.name,
      gate: agent.gate,
      points: ENTRIES.map((entry) => pointOf(world, agent.id, entry)),
    })),
  };
}

function pointOf(world: World, agentId: string, entry: (typeof ENTRIES)[number]): Coverage['agents'][number]['points'][number] {
  const agent = world.agent(agentId);
  const gateway = agent.gatewayId === null ? undefined : world.gateways.get(agent.gatewayId);
  const provenAt = agent.lastCallAt;
  if (entry === 'openclaw' && gateway && gateway.gate !== 'live')
    return {
      ...{ entry, state: 'away', how: null, provenAt: agent.lastHeartbeat, trafficAt: null },
      says: 'The gate gives no sign of life, and no traffic came either: OpenClaw may be off. Nothing is shown until it is back.',
    };
  if (entry === 'openclaw' && agent.gate === 'openclaw' && provenAt !== null)
    return {
      ...{ entry, state: 'proven', how: 'call', provenAt, trafficAt: provenAt },
      says: 'Calls to tools inside OpenClaw were judged here. It does not show tools that OpenClaw runs without its hooks.',
    };
  return {
    ...{ entry, state: 'unused', how: null, provenAt: null, trafficAt: null },
    says: 'Nothing came this way for a day.',
  };
}
