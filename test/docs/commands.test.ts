/**
 * Every `sh` block of the documents without a mark runs as it stands, against a product of its own: only ports, and the key folder that the
 * settings name, are those of the test. A block that fails, or a request in it that is refused, fails the test with the block's place.
 */
import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CHILD_ENV } from '../support/child-env.ts';
import { ADMIN_TOKEN, newAgent, startWorld, type World } from '../support/world.ts';
import { ROOT, readDocuments } from './documents.ts';

const blocks = readDocuments().flatMap(({ path, fences }) =>
  fences.filter(({ language, mark }) => language === 'sh' && mark === '').map(({ line, text }) => ({ where: `${path}:${line}`, text })),
);

let world: World;
let token: string;
beforeAll(async () => {
  world = await startWorld();
  token = (await newAgent(world)).token;
});
afterAll(() => world.close());

function run(text: string): Promise<{ code: number | null; output: string }> {
  const [control, gate, egress] = [world.controlUrl, world.gateUrl, world.egressUrl].map((url) => new URL(url).host);
  const script = text
    .replaceAll('127.0.0.1:3000', control ?? '')
    .replaceAll('127.0.0.1:3100', gate ?? '')
    .replaceAll('127.0.0.1:3200', egress ?? '');
  const env = { ...CHILD_ENV, MC_KEY_DIR: world.keyDir, MC_DATA_DIR: world.dataDir, MC_ADMIN_TOKEN: ADMIN_TOKEN, AGENT_TOKEN: token };
  const child = spawn('bash', ['-euo', 'pipefail', '-c', script], { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      output += chunk;
    });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, output })));
}

describe('a command of the documents', () => {
  it('is there to be run: some of every page that has them for this', () => {
    expect(blocks.length).toBeGreaterThanOrEqual(5);
  });

  for (const { where, text } of blocks) {
    it(`does what it says: ${where}`, async () => {
      const { code, output } = await run(text);
      expect(code, output).toBe(0);
      expect(output).not.toMatch(/"title":"(Bad request|Unauthorized|Not found|Internal error)"/);
    });
  }
});
