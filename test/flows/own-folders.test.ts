import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newAgent, startWorld, type World } from '../support/world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.close());

describe('our own data and keys', () => {
  it('are held and red even for an agent whose workspace contains them', async () => {
    const agent = await newAgent(world, { workspace: '/', autonomyLevel: 'lead' });
    for (const [tool, args] of [
      ['read', { path: `${world.keyDir}/master.key` }],
      ['read', { path: `${world.dataDir}/journal/proxy-id` }],
      ['exec', { command: `cat ${world.dataDir}/stop.json` }],
    ] as const) {
      const answer = await world.gate('POST', '/v1/tool-calls', { tool, arguments: args }, agent.token);
      expect(answer, JSON.stringify(args)).toMatchObject({ status: 202, body: { verdict: 'hold', risk: 'red' } });
    }
  });
});
