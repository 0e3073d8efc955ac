/** A short form of `npm run conformance`: one scenario of each kind, directly and through the gate. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { newAgent, startWorld, type World } from '../support/world.ts';
import { runSuite, startCredentialAdder } from './conformance.ts';
import { startConformingServer } from './conforming-server.ts';
import { mapRisks, newUpstream } from './gate.ts';

let world: World;
let server: { url: string; close: () => Promise<void> };
let adder: { origin: string; close: () => Promise<void> };
beforeAll(async () => {
  world = await startWorld();
  server = await startConformingServer();
  const agent = await newAgent(world);
  const upstream = await newUpstream(world, { name: 'conforming', url: server.url });
  await mapRisks(world, { [`${upstream.name}__*`]: 'green' });
  adder = await startCredentialAdder(world.gateUrl, agent.token);
});
afterAll(async () => {
  await adder.close();
  await world.close();
  await server.close();
});

const SCENARIOS = [
  'server-initialize',
  'json-schema-2020-12',
  'tools-call-with-progress',
  'tools-call-sampling',
  'elicitation-sep1330-enums',
  'server-sse-polling',
  'server-sse-multiple-streams',
  'resources-templates-read',
  'prompts-get-with-args',
  'dns-rebinding-protection',
];

it('scenarios of the official suite pass through the gate as they do without it', async () => {
  const root = join(import.meta.dirname, '..', '..');
  const [direct, through] = await Promise.all([
    runSuite(server.url.replace('127.0.0.1', 'localhost'), root, SCENARIOS),
    runSuite(`${adder.origin}/mcp/conforming`, root, SCENARIOS),
  ]);
  expect(direct.map(({ scenario }) => scenario)).toEqual(SCENARIOS.toSorted());
  expect(through).toEqual(direct);
  expect(through.flatMap(({ failures }) => failures)).toEqual([]);
}, 120_000);
