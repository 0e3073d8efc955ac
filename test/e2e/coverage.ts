/**
 * The interception points taken out of a real OpenClaw, one after the other: `npm run e2e:coverage [-- folder model]`. Each is broken as it
 * breaks in life, some traffic is made, and it is measured how soon Mission Control says so; then it is mended. What cannot be seen is
 * shown as that. Prints the table of docs/proof.md and ends with 1 where something that can be seen was not noticed in time.
 */
import assert from 'node:assert/strict';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { until } from './child.ts';
import { Stage } from './stage.ts';

/** SPEC 10. */
const NOTICED_MS = 30_000;

interface Alert {
  id: string;
  type: string;
  severity: string;
  createdAt: number;
  message: string;
}
interface Point {
  id: string;
  /** What is taken out, and which way in shows it. */
  what: string;
  entry: 'openclaw' | 'mcp' | 'model';
  break: (stage: Stage) => Promise<void>;
  traffic: (stage: Stage) => Promise<unknown>;
  mend: (stage: Stage) => Promise<void>;
}
interface Row {
  what: string;
  seconds: string;
  by: string;
  kept: boolean;
}

const pluginFolder = ({ openclaw }: Stage) => path.join(path.dirname(openclaw.configFile), 'mission-control', 'plugin');
let turns = 0;

/**
 * A turn with one green tool; resolves when the model was told what it answered. Never the same arguments twice: a result is also known by
 * tool and arguments that the gate was asked about within hours.
 */
async function readNote(stage: Stage): Promise<string> {
  const name = `turn${++turns}`;
  await writeFile(path.join(stage.openclaw.workspace, 'main', `${name}.txt`), 'a note\n');
  const session = await stage.turn(name, [{ name: 'read', arguments: { path: `${name}.txt` } }]);
  await stage.told(name);
  return session;
}

/** A turn with a green tool of the MCP server. */
async function writeByMcp(stage: Stage): Promise<void> {
  const name = `turn${++turns}`;
  await stage.turn(name, [{ name: 'tool_call', arguments: { id: 'counting-main__echo', args: { text: name } } }]);
  const [told] = await stage.told(name);
  assert.match(told ?? '', new RegExp(`echo ${name}`), 'the tool ran');
}

/** The configuration with one address in the place of another, taken up by a gateway that is started anew. */
async function readdress(stage: Stage, from: RegExp, to: string): Promise<void> {
  const { openclaw } = stage;
  await openclaw.stop();
  const text = await readFile(openclaw.configFile, 'utf8');
  assert.match(text, from, 'the address is there');
  await writeFile(openclaw.configFile, text.replaceAll(new RegExp(from, 'g'), to));
  await openclaw.start();
}

/** Keeps the configuration before a point is taken out, and puts it back. */
let kept = '';
async function keep({ openclaw }: Stage): Promise<void> {
  kept = await readFile(openclaw.configFile, 'utf8');
}
async function putBack({ openclaw }: Stage): Promise<void> {
  await openclaw.stop();
  await writeFile(openclaw.configFile, kept);
  await openclaw.start();
}

/** Another program in the place of the plugin's. */
async function replacePlugin(stage: Stage, source: string): Promise<void> {
  await stage.openclaw.stop();
  const file = path.join(pluginFolder(stage), 'index.mjs');
  await rename(file, `${file}.kept`);
  await writeFile(file, source);
  await stage.openclaw.start();
}
async function putPluginBack(stage: Stage): Promise<void> {
  await stage.openclaw.stop();
  const file = path.join(pluginFolder(stage), 'index.mjs');
  await rename(`${file}.kept`, file);
  await stage.openclaw.start();
}

const THROWING = `export default { id: 'mission-control', name: 'x', register() { throw new Error('broken'); } };\n`;
const BEATING = `import { readFileSync } from 'node:fs';
export default { id: 'mission-control', name: 'x', register(api) {
  const { proxyUrl, tokenFile } = api.pluginConfig;
  const headers = { authorization: 'Bearer ' + readFileSync(tokenFile, 'utf8').trim(), 'content-type': 'application/json' };
  const beat = () => fetch(proxyUrl + '/v1/heartbeats', { method: 'POST', headers, body: '{"pluginVersion":"0.1.0"}' }).catch(() => {});
  api.registerService({ id: 'beat', start() { beat(); this.timer = setInterval(beat, 5000); }, async stop() { clearInterval(this.timer); } });
} };\n`;

const POINTS: readonly Point[] = [
  {
    id: 'folder',
    what: "the plugin's folder is gone",
    entry: 'openclaw',
    break: async (stage) => {
      await stage.openclaw.stop();
      await rename(pluginFolder(stage), `${pluginFolder(stage)}.gone`);
      await stage.openclaw.start();
    },
    traffic: readNote,
    mend: async (stage) => {
      await stage.openclaw.stop();
      await rename(`${pluginFolder(stage)}.gone`, pluginFolder(stage));
      await stage.openclaw.start();
    },
  },
  {
    id: 'throwing',
    what: 'the plugin throws at its start',
    entry: 'openclaw',
    break: (stage) => replacePlugin(stage, THROWING),
    traffic: readNote,
    mend: putPluginBack,
  },
  {
    id: 'unasked',
    what: 'the plugin is alive and beats, and OpenClaw does not ask it',
    entry: 'openclaw',
    break: (stage) => replacePlugin(stage, BEATING),
    traffic: readNote,
    mend: putPluginBack,
  },
  {
    id: 'mcp',
    what: "an MCP entry leads past Mission Control to the server's own address",
    entry: 'mcp',
    break: async (stage) => {
      await keep(stage);
      await readdress(stage, /http:\/\/127\.0\.0\.1:\d+\/mcp\/counting/, stage.counting.url);
    },
    traffic: writeByMcp,
    mend: putBack,
  },
  {
    id: 'model',
    what: "a provider's base URL leads past Mission Control",
    entry: 'model',
    break: async (stage) => {
      await keep(stage);
      await readdress(stage, /http:\/\/127\.0\.0\.1:\d+\/model\/paper(?:\/v1)?/, stage.model.baseUrl);
    },
    traffic: readNote,
    mend: putBack,
  },
];

const wanted = new Set(process.argv.slice(2));
const rows: Row[] = [];
const stage = await Stage.open();
try {
  await prepare();
  for (const point of POINTS) {
    if (wanted.size > 0 && !wanted.has(point.id)) continue;
    const row = await takeOut(point);
    rows.push(row);
    console.log(`${row.kept ? 'noticed' : 'MISSED '} ${row.what}: ${row.seconds} ${row.by}`);
  }
  if (wanted.size === 0 || wanted.has('direct')) rows.push(await direct());
} finally {
  await stage.close();
}
rows.push({
  what: 'the gateway runs without its egress proxy (`HTTPS_PROXY`, `proxy.proxyUrl` unset)',
  seconds: '-',
  by: 'nothing to see: programs that use no proxy look the same; only the network can stop them',
  kept: true,
});
console.log(`\n| taken out | noticed after | by |\n| --- | --- | --- |`);
for (const { what, seconds, by, kept: isKept } of rows) console.log(`| ${what} | ${isKept ? seconds : `MISSED ${seconds}`} | ${by} |`);
const isKept = rows.every((row) => row.kept);
if (isKept) await rm(stage.root, { recursive: true, force: true });
else console.log(`Logs and data are left in ${stage.root}`);
process.exitCode = isKept ? 0 : 1;

/** OpenClaw is connected with its models as well, and everything is proven once. */
async function prepare(): Promise<void> {
  const { missionControl, model, openclaw } = stage;
  await stage.connect();
  await missionControl.post('/api/upstreams', { name: 'paper', kind: 'model', url: model.baseUrl, secret: 'sk-paper', allowPrivate: true });
  const patch = { riskMap: { counting__echo: 'green' }, model: { prices: { scripted: { input: 3, output: 15, contextTokens: 128_000 } } } };
  const policy = await missionControl.post<{ id: string }>('/api/policies', { patch, note: 'for the run' });
  await missionControl.post(`/api/policies/${policy.id}/activate`, { note: 'for the run' });
  await missionControl.command('openclaw', 'connect', '--config', openclaw.configFile, '--yes');
  await openclaw.stop();
  await openclaw.start();
  await stage.gateIs('live', 60_000);
  await readNote(stage);
  await writeByMcp(stage);
  assert.equal(model.answered.at(-1)?.authorization, 'Bearer sk-paper', 'models go through Mission Control');
  await until('the gate to be proven by results', 60_000, async () => (await stateOf('openclaw')).how === 'result');
  assert.deepEqual(await openAlerts(), [], 'no alert before anything is taken out');
}

async function takeOut(point: Point): Promise<Row> {
  const before = new Set((await openAlerts()).map(({ id }) => id));
  const startedAt = Date.now();
  try {
    await point.break(stage);
    return await watchPoint(point, before);
  } catch (error) {
    return { what: point.what, seconds: '', by: `${error}, ${Math.round((Date.now() - startedAt) / 1000)} s`, kept: false };
  } finally {
    await point.mend(stage);
    await stage.gateIs('live', 90_000);
    // Nothing of what was broken speaks later: what is left open would be taken for the next point's.
    await readNote(stage);
    for (const { id } of await openAlerts()) await stage.missionControl.post(`/api/alerts/${id}/resolve`, {});
  }
}

async function watchPoint(point: Point, before: ReadonlySet<string>): Promise<Row> {
  const brokenAt = Date.now();
  const trafficAt = Date.now();
  await point.traffic(stage);
  const alert = await until('an alert', 90_000, async () => (await openAlerts()).find(({ id }) => !before.has(id)));
  const shown = await until('the map to show it', 30_000, async () => {
    const state = await stateOf(point.entry);
    return state.state === 'bypassed' ? state : null;
  });
  assert.equal(alert.severity, 'critical');
  const tookMs = Math.max(0, alert.createdAt - trafficAt);
  assert.equal(shown.state, 'bypassed');
  const seconds =
    alert.createdAt < trafficAt
      ? `${((trafficAt - alert.createdAt) / 1000).toFixed(1)} s before the traffic`
      : `${(tookMs / 1000).toFixed(1)} s`;
  return {
    what: point.what,
    seconds: `${seconds} (${((alert.createdAt - brokenAt) / 1000).toFixed(1)} s after the start)`,
    by: alert.message.split(':')[0] ?? '',
    kept: tookMs <= NOTICED_MS,
  };
}

/** Somebody speaks to the gateway directly: what its agent does is asked about all the same. */
async function direct(): Promise<Row> {
  const begun = Date.now();
  const session = await readNote(stage);
  await until('the record of the call', 30_000, async () => (await stage.missionControl.calls(session)).length > 0);
  return {
    what: 'somebody speaks to the gateway directly',
    seconds: `${((Date.now() - begun) / 1000).toFixed(1)} s`,
    by: 'the gate is asked and the run recorded; who spoke is not known',
    kept: true,
  };
}

async function openAlerts(): Promise<Alert[]> {
  const { items } = await stage.missionControl.get<{ items: Alert[] }>('/api/alerts?resolved=false&limit=100');
  return items.filter(({ type }) => type === 'gate_missing');
}

async function stateOf(entry: Point['entry']): Promise<{ state: string; how: string | null }> {
  const { agents } = await stage.missionControl.get<{
    agents: { agentName: string; points: { entry: string; state: string; how: string | null }[] }[];
  }>('/api/coverage');
  const { items } = await stage.missionControl.get<{ items: { id: string; name: string; externalId: string | null }[] }>('/api/agents');
  const name = items.find(({ externalId }) => externalId === 'main')?.name;
  const point = agents.find(({ agentName }) => agentName === name)?.points.find((each) => each.entry === entry);
  if (point === undefined) throw new Error('the agent is not on the map');
  return point;
}
