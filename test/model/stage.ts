/** The product with a scripted provider behind it, and agents that ask models through it. */
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { usePolicy } from '../support/calls.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';
import { type ScriptedProvider, startProvider } from './provider.ts';

/** The key that the provider expects; no agent ever sees it. */
export const PROVIDER_KEY = 'sk-upstream-4f9a8b7c6d5e4f3a2b1c0d9e';

const METRICS_TOKEN = 'metrics-token-of-the-model-stage';

export interface ModelStage {
  world: World;
  provider: ScriptedProvider;
  /** Changes the active policy by a merge patch. */
  patchPolicy: (patch: object) => Promise<void>;
  agent: (fields?: Record<string, unknown>) => Promise<{ id: string; token: string; name: string }>;
  openai: (token: string, headers?: Record<string, string>) => OpenAI;
  anthropic: (token: string) => Anthropic;
  /** The records of an agent's model calls that have ended, newest first. */
  calls: (agentId: string, count: number) => Promise<RecordedCall[]>;
  /** A figure of the proxy's metrics. */
  metric: (name: string) => Promise<number>;
  close: () => Promise<void>;
}

export interface RecordedCall {
  id: string;
  status: string;
  verdict: string;
  reasons: { code: string; message: string }[];
  cost: number | null;
  error: string | null;
  output: string | null;
  runId: string | null;
  taskId: string | null;
  sessionKey: string | null;
  input: Record<string, unknown>;
  modelCall?: { provider: string; model: string; usage: Record<string, number> | null; isEstimated: boolean; priceEntry: string };
}

/** Prices of 1 USD per million tokens in and 10 out make costs that can be read off the tokens. */
const PRICES = { 'test-*': { input: 1, output: 10, cacheRead: 0.1, cacheWrite: 1.25, cacheWriteLong: 2, contextTokens: 200_000 } };

/** Starts product and provider; the upstreams `openai` and `anthropic` are both the provider. */
export async function startModelStage(): Promise<ModelStage> {
  const [world, provider] = [await startWorld({ MC_METRICS_TOKEN: METRICS_TOKEN }), await startProvider()];
  for (const [name, url] of [
    ['openai', `${provider.url}/v1`],
    ['anthropic', provider.url],
  ]) {
    const added = await world.api('POST', '/upstreams', { name, kind: 'model', url, secret: PROVIDER_KEY, allowPrivate: true });
    if (added.status !== 201) throw new Error(`upstream not added: ${JSON.stringify(added.body)}`);
  }
  async function patchPolicy(patch: object): Promise<void> {
    await usePolicy(world, { ...patch });
  }
  await patchPolicy({ model: { prices: PRICES } });
  return {
    world,
    provider,
    patchPolicy,
    agent: async (fields) => {
      const agent = await newAgent(world, fields);
      // A token binds once the proxies have it; control waits for that, but not for ever.
      await until(
        () => world.gate('POST', '/v1/runs/check', {}, agent.token),
        ({ status }) => status !== 401,
      );
      return agent;
    },
    openai: (token, headers = {}) =>
      new OpenAI({ apiKey: token, baseURL: `${world.gateUrl}/model/openai/v1`, maxRetries: 0, defaultHeaders: headers }),
    anthropic: (token) => new Anthropic({ apiKey: token, baseURL: `${world.gateUrl}/model/anthropic`, maxRetries: 0 }),
    calls: async (agentId, count) => {
      const look = async () => (await world.api<{ items: RecordedCall[] }>('GET', `/tool-calls?agentId=${agentId}&limit=200`)).body.items;
      return until(look, (items) => items.length >= count && items.every(({ status }) => status !== 'running'));
    },
    metric: async (name) => {
      const page = await fetch(`${world.gateUrl}/metrics`, { headers: { authorization: `Bearer ${METRICS_TOKEN}` } });
      return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(await page.text())?.[1]);
    },
    close: async () => {
      await world.close();
      await provider.close();
    },
  };
}
