/** Rates at the second gate: the same rules as at every door, exact to the call. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { usePolicy } from '../support/calls.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';
import { type CountingServer, startCountingServer } from './counting-server.ts';
import { connect, newUpstream } from './gate.ts';

let world: World;
let server: CountingServer;
beforeAll(async () => {
  world = await startWorld();
  server = await startCountingServer();
});
afterAll(async () => {
  await world.close();
  await server.close();
});
const textOf = (result: unknown) => (result as { content: { text: string }[] }).content[0]?.text ?? '';

it('calls per minute of an agent and a tool, and calls at once, are exact', async () => {
  const agent = await newAgent(world);
  const upstream = await newUpstream(world, { url: server.url });
  await usePolicy(world, { rates: { callsPerMinute: { [`${upstream.name}__echo`]: 3 } } });
  const { client } = await connect(world, upstream.name, agent.token);
  await client.listTools();
  const answers: string[] = [];
  for (let i = 0; i < 5; i++) answers.push(textOf(await client.callTool({ name: 'echo', arguments: { text: `${i}` } })));
  expect(answers.slice(0, 3)).toEqual(['echo 0', 'echo 1', 'echo 2']);
  for (const refused of answers.slice(3)) expect(refused).toContain('RATE_LIMIT');
  expect([...server.runs].filter(([what]) => what.startsWith('echo:'))).toHaveLength(3);

  await usePolicy(world, { rates: { callsPerMinute: null }, limits: { maxConcurrentPerAgent: 2 } });
  const slow = ['a', 'b'].map((text) => client.callTool({ name: 'slow', arguments: { text } }));
  await until(
    () => [...server.runs.keys()].filter((what) => what.startsWith('slow:')).length,
    (count) => count === 2,
  );
  expect(textOf(await client.callTool({ name: 'echo', arguments: { text: 'third' } }))).toContain('RATE_LIMIT');
  server.release();
  expect((await Promise.all(slow)).map(textOf)).toEqual(['slow a', 'slow b']);
  expect(textOf(await client.callTool({ name: 'echo', arguments: { text: 'free' } }))).toBe('echo free');
  await client.close();
});
