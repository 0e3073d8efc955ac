/** `openclaw connect`: shows what would change in an OpenClaw configuration, and on a yes writes it and registers gateway and agents. */
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import type { ResolvedSettings } from '../../settings.ts';
import { type Agent, type Gateway, OWN_SERVER, type Upstream } from '../contract.ts';
import {
  applyConnect,
  applyUndo,
  ConfigProblem,
  type ConnectPlan,
  connectedTokens,
  type FoundAgent,
  type IssuedToken,
  type McpEntry,
  planConnect,
  planUndo,
  readConfig,
  readRecord,
} from '../openclaw-config.ts';
import { type ApiClient, apiClient, CommandError } from './client.ts';

interface Options {
  config: string;
  name: string;
  autonomy: string;
  yes?: true;
  undo?: true;
}

const PLUGIN_SOURCE = join(import.meta.dirname, '..', '..', 'proxy', 'openclaw');

/** @returns whether the connection (or its undoing) was carried out. */
export async function connectOpenClaw(settings: ResolvedSettings, options: Options): Promise<boolean> {
  const configFile = resolve(options.config);
  const stateDir = process.env.OPENCLAW_STATE_DIR ? resolve(process.env.OPENCLAW_STATE_DIR) : dirname(configFile);
  try {
    return options.undo ? await undo(settings, configFile, stateDir, options) : await connect(settings, configFile, stateDir, options);
  } catch (error) {
    if (!(error instanceof ConfigProblem)) throw error;
    console.error(error.message);
    return false;
  }
}

async function connect(settings: ResolvedSettings, configFile: string, stateDir: string, options: Options): Promise<boolean> {
  const client = apiClient(settings);
  await client.get('/overview'); // first of all: is control there, and do we have the right to this?
  const text = await readConfig(configFile);
  const record = await readRecord(stateDir);
  const host = settings.MC_HOST.includes(':') ? `[${settings.MC_HOST}]` : settings.MC_HOST;
  const { items } = await client.get<{ items: Upstream[] }>('/upstreams?limit=500');
  const upstreams = [OWN_SERVER, ...items.filter(({ kind }) => kind === 'mcp').map(({ name }) => name)];
  const models = items.flatMap(({ kind, name, url }) => (kind === 'model' && url !== null ? [{ name, url }] : []));
  const planOptions = {
    proxyUrl: `http://${host}:${settings.MC_PROXY_PORT}`,
    stateDir,
    home: homedir(),
    upstreams,
    models,
    ...(process.env.OPENCLAW_WORKSPACE_DIR && { defaultWorkspace: process.env.OPENCLAW_WORKSPACE_DIR }),
  };
  const draft = planConnect(text, planOptions, record ?? undefined);
  show(draft.diff, draft.warnings);
  console.log(`Agents found: ${draft.agents.map((agent) => `${agent.id} (${agent.workspace})`).join(', ') || 'none'}`);
  console.log(`MCP servers through Mission Control: ${upstreams.join(', ')}`);
  console.log(`Models through Mission Control: ${[...new Set(draft.models.map((entry) => entry.upstream))].join(', ') || 'none'}`);
  if (!options.yes && !(await confirm('Write this and register the agents?'))) {
    console.log('Nothing was changed.');
    return false;
  }
  const gateway = await registerGateway(client, options.name, draft.gateway);
  const agents = new Map<string, Agent>();
  for (const found of draft.agents) agents.set(found.id, await registerAgent(client, gateway.id, options, found));
  // The tokens come last of all: a plan that is turned down must not leave any behind.
  const tokens = await tokensFor(client, agents, [...draft.mcp, ...draft.models], connectedTokens(text));
  const agentTokens = new Map([...tokens].map(([id, { token }]) => [id, token]));
  const issued = [gateway.issued, ...[...tokens.values()].map((token) => token.issued)];
  const plan = planConnect(text, { ...planOptions, agentTokens, issued }, record ?? undefined);
  for (const [id, agent] of agents)
    await noteAliases(
      client,
      agent,
      plan.mcp.filter(({ agentId }) => agentId === id),
    );
  await applyConnect(configFile, text, plan, { stateDir, token: gateway.token, pluginSource: PLUGIN_SOURCE });
  await gateway.revokeOlder();
  console.log(`\nConnected. A running OpenClaw takes it up by itself within seconds. Check with: npm run -s mc -- doctor`);
  return true;
}

async function undo(settings: ResolvedSettings, configFile: string, stateDir: string, options: Options): Promise<boolean> {
  const text = await readConfig(configFile);
  const record = await readRecord(stateDir);
  if (text === null || record === null) {
    console.log('There is no connection to take back here.');
    return false;
  }
  const plan = planUndo(text, record);
  show(plan.diff, plan.warnings);
  console.log('OpenClaw will run its tools without the gate after this.');
  if (!options.yes && !(await confirm('Take the connection back?'))) {
    console.log('Nothing was changed.');
    return false;
  }
  await applyUndo(configFile, text, plan, { stateDir });
  // After the file: a gate that asks with a revoked token would refuse every call until it is gone.
  await revoke(apiClient(settings), record.issued);
  console.log('Done. Its registration and records stay in Mission Control; remove the gateway there if it is gone for good.');
  return true;
}

/** Revokes what connect has issued. Without control the way back is still open; then the tokens are named. */
async function revoke(client: ApiClient, issued: readonly IssuedToken[]): Promise<void> {
  const left: string[] = [];
  let revoked = 0;
  for (const { of, ownerId, tokenId } of issued) {
    const path = `/${of}/${ownerId}/tokens/${tokenId}`;
    try {
      await client.delete(path);
      revoked++;
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      // Revoked already, or gone with its owner.
      if (error.code !== 'NOT_FOUND') left.push(`  DELETE /api${path} (${error.message})`);
    }
  }
  if (revoked > 0) console.log(`Revoked ${revoked} ${revoked === 1 ? 'token' : 'tokens'} that the connection had issued.`);
  if (left.length > 0) console.log(`These tokens could not be revoked and still work:\n${left.join('\n')}`);
}

/** The gateway by its name, brought up to date, with a fresh token for the gate. */
async function registerGateway(client: ApiClient, name: string, found: ConnectPlan['gateway']) {
  const { items } = await client.get<{ items: Gateway[] }>('/gateways');
  const existing = items.find((gateway) => gateway.name === name || gateway.url === found.url);
  if (!existing) {
    const created = await client.post<Gateway & { token: string }>('/gateways', { name, url: found.url, token: found.token });
    const own = await liveTokens(client, 'gateways', created.id);
    const tokenId = own.find(({ hint }) => created.token.endsWith(hint))?.id ?? '';
    return { id: created.id, token: created.token, issued: issuedFor('gateways', created.id, tokenId), revokeOlder: async () => {} };
  }
  await client.patch(`/gateways/${existing.id}`, { url: found.url, ...(found.token !== null && { token: found.token }) });
  const issued = await client.post<{ id: string; token: string }>(`/gateways/${existing.id}/tokens`, {});
  const revokeOlder = async () => {
    for (const { id } of await liveTokens(client, 'gateways', existing.id))
      if (id !== issued.id) await client.delete(`/gateways/${existing.id}/tokens/${id}`);
  };
  return { id: existing.id, token: issued.token, issued: issuedFor('gateways', existing.id, issued.id), revokeOlder };
}

async function liveTokens(client: ApiClient, of: IssuedToken['of'], ownerId: string): Promise<{ id: string; hint: string }[]> {
  const { items } = await client.get<{ items: { id: string; hint: string; revokedAt: number | null }[] }>(`/${of}/${ownerId}/tokens`);
  return items.filter(({ revokedAt }) => revokedAt === null);
}

function issuedFor(of: IssuedToken['of'], ownerId: string, tokenId: string): IssuedToken {
  return { of, ownerId, tokenId };
}

async function registerAgent(client: ApiClient, gatewayId: string, { name, autonomy }: Options, found: FoundAgent): Promise<Agent> {
  const { items } = await client.get<{ items: Agent[] }>('/agents');
  const existing = items.find((agent) => agent.gatewayId === gatewayId && agent.externalId === found.id);
  if (existing) {
    console.log(`Agent ${existing.name} is registered already.`);
    if (existing.workspace === found.workspace) return existing;
    return client.patch<Agent>(`/agents/${existing.id}`, { workspace: found.workspace });
  }
  const free = items.some((agent) => agent.name === found.id) ? `${name}-${found.id}` : found.id;
  const created = await client.post<Agent>('/agents', {
    name: free,
    autonomyLevel: autonomy,
    gate: 'openclaw',
    gatewayId,
    externalId: found.id,
    workspace: found.workspace,
  });
  console.log(`Agent ${free} is registered as ${autonomy}.`);
  return created;
}

/** One token per agent for all its entries: the one that stands in the configuration, while it is good, else a new one. */
async function tokensFor(
  client: ApiClient,
  agents: ReadonlyMap<string, Agent>,
  entries: readonly McpEntry[],
  written: ReadonlyMap<string, string>,
): Promise<Map<string, { token: string; issued: IssuedToken }>> {
  const tokens = new Map<string, { token: string; issued: IssuedToken }>();
  for (const [id, agent] of agents) {
    const live = await liveTokens(client, 'agents', agent.id);
    const own = entries.flatMap(({ agentId, entry }) => (agentId === id ? (written.get(entry) ?? []) : []));
    const known = own.flatMap((token) => live.filter(({ hint }) => token.endsWith(hint)).map((found) => ({ token, id: found.id })))[0];
    const good = known ?? (await client.post<{ id: string; token: string }>(`/agents/${agent.id}/tokens`, {}));
    tokens.set(id, { token: good.token, issued: issuedFor('agents', agent.id, good.id) });
  }
  return tokens;
}

/** Under which names an agent's OpenClaw knows the servers, so that both gates mean the same tool. */
async function noteAliases(client: ApiClient, agent: Agent, entries: readonly McpEntry[]): Promise<void> {
  const mcpAliases = Object.fromEntries(entries.map(({ entry, upstream }) => [entry, upstream]));
  if (JSON.stringify(agent.metadata.mcpAliases ?? {}) === JSON.stringify(mcpAliases)) return;
  await client.patch(`/agents/${agent.id}`, { metadata: { ...agent.metadata, mcpAliases } });
}

function show(diff: string, warnings: readonly string[]): void {
  console.log(diff || 'The configuration is as it should be already.');
  for (const warning of warnings) console.log(`Note: ${warning}`);
}

async function confirm(question: string): Promise<boolean> {
  if (!process.stdin.isTTY) {
    console.log('There is no terminal to ask at; say --yes to go on.');
    return false;
  }
  const prompt = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return /^y(es)?$/i.test((await prompt.question(`${question} [y/N] `)).trim());
  } finally {
    prompt.close();
  }
}
