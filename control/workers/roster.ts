/** Asks every linked gateway which agents it has: those that are registered count as heard, because the gateway that runs them answers. */
import type { Agents } from '../agents.ts';
import type { Db } from '../db/database.ts';
import type { Gateways } from '../gateways.ts';
import type { Worker } from './loop.ts';

interface Dependencies {
  db: Db;
  clock: () => number;
  agents: Agents;
  gateways: Gateways;
  published: () => void;
}

export function rosterWatch({ db, clock, agents, gateways, published }: Dependencies): Worker {
  return {
    name: 'roster-watch',
    everyMs: 60_000,
    tick: async () => {
      for (const { id, link } of await gateways.list()) {
        if (link.state !== 'connected') continue;
        const roster = await gateways.roster(id);
        const present = roster.flatMap(({ agentId }) => (agentId === null ? [] : [agentId]));
        await db.transaction().execute((tx) => agents.markHeartbeat(tx, present, clock()));
        if (present.length > 0) published();
      }
    },
  };
}
