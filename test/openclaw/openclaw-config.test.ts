import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import JSON5 from 'json5';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Json5Value } from '../../control/json5-text.ts';
import {
  applyConnect,
  applyUndo,
  ConfigProblem,
  type ConnectOptions,
  connectedTokens,
  planConnect,
  planUndo,
  readConfig,
  readRecord,
} from '../../control/openclaw-config.ts';

const OPTIONS: ConnectOptions = { proxyUrl: 'http://127.0.0.1:3100', stateDir: '/home/claw/.openclaw', home: '/home/claw' };

/** As a person keeps it: remarks, any quotes, trailing commas. */
const BY_HAND = `// My claw. Do not touch the port!
{
  gateway: { mode: 'local', port: 18901, auth: { mode: "token", token: 'se"cret-1' } }, // loopback
  /* agents */
  agents: {
    defaults: { workspace: "~/claw" },
    entries: {
      main: {}, // me
      ops: { workspace: '/srv/ops' },
    },
  },
  plugins: {
    allow: ["telegram"],
    entries: { telegram: { enabled: true } },
  },
}
`;

function means(text: string | null): { [key: string]: Json5Value } {
  return JSON5.parse(text ?? '');
}

describe('a plan to connect', () => {
  test('sets what the plugin needs, and only adds lines to what a person wrote', () => {
    const plan = planConnect(BY_HAND, OPTIONS);
    expect(means(plan.text).plugins).toEqual({
      enabled: true,
      allow: ['telegram', 'mission-control'],
      load: { paths: ['/home/claw/.openclaw/mission-control/plugin'] },
      entries: {
        telegram: { enabled: true },
        'mission-control': {
          enabled: true,
          hooks: { allowConversationAccess: true, timeouts: { before_tool_call: 270_000 } },
          config: { proxyUrl: 'http://127.0.0.1:3100', tokenFile: '/home/claw/.openclaw/mission-control/token', inlineMs: 240_000 },
        },
      },
    });
    const kept = plan.text.split('\n');
    for (const line of BY_HAND.split('\n').filter((line) => !line.includes('allow:') && !line.includes('entries: { telegram'))) {
      expect(kept).toContain(line);
    }
  });

  test('shows a diff, without the secrets of the lines around it', () => {
    const { diff } = planConnect(BY_HAND.replace('  plugins:', "  talk: { apiKey: 'sk-123' },\n  plugins:"), OPTIONS);
    expect(diff).toContain('+    load: {');
    expect(diff).toContain("apiKey: '***'");
    expect(diff).not.toContain('sk-123');
  });

  test('isolates Code Mode, whose default executor could act past the gate', () => {
    const codeMode = (text: string) => (means(planConnect(text, OPTIONS).text).tools as { codeMode: unknown } | undefined)?.codeMode;
    expect(codeMode('{}')).toEqual({ enabled: 'auto', executor: 'quickjs' });
    expect(codeMode('{ tools: { codeMode: true } }')).toEqual({ enabled: true, executor: 'quickjs' });
    expect(codeMode('{ tools: { codeMode: false } }')).toBe(false);
    expect(codeMode('{ tools: { codeMode: { timeoutMs: 5000, executor: "node" } } }')).toEqual({ timeoutMs: 5000, executor: 'quickjs' });
    const perAgent = planConnect('{ agents: { entries: { ops: { tools: { codeMode: { executor: "node" } } } } } }', OPTIONS);
    expect(means(perAgent.text).agents).toEqual({ entries: { ops: { tools: { codeMode: { executor: 'quickjs' } } } } });
  });

  test('is made twice with the same result', () => {
    const first = planConnect(BY_HAND, OPTIONS);
    const again = planConnect(first.text, OPTIONS, first.record);
    expect(again).toMatchObject({ text: first.text, changed: false, diff: '', record: first.record });
    expect(planConnect(first.text, OPTIONS)).toMatchObject({ text: first.text, changed: false });
  });

  test('with other settings replaces the former ones, and undo still leads back to the beginning', () => {
    const first = planConnect(BY_HAND, OPTIONS);
    const second = planConnect(first.text, { ...OPTIONS, proxyUrl: 'http://10.0.0.5:3100', stateDir: '/var/claw' }, first.record);
    expect(means(second.text).plugins).toMatchObject({
      load: { paths: ['/var/claw/mission-control/plugin'] },
      entries: { 'mission-control': { config: { proxyUrl: 'http://10.0.0.5:3100' } } },
    });
    expect(planUndo(second.text, second.record).text).toBe(BY_HAND);
  });

  test('switches plugins on where they were off, and takes us off the list of the denied', () => {
    const plan = planConnect('{ plugins: { enabled: false, deny: ["mission-control", "x", "mission-control"] } }', OPTIONS);
    expect(means(plan.text).plugins).toMatchObject({ enabled: true, deny: ['x'] });
    expect(plan.warnings).toEqual([expect.stringContaining('plugins.deny')]);
  });

  test('starts a configuration where there is none', () => {
    const plan = planConnect(null, OPTIONS);
    expect(plan.changed).toBe(true);
    expect(plan.agents).toEqual([{ id: 'main', workspace: '/home/claw/.openclaw/workspace' }]);
    expect(planUndo(plan.text, plan.record)).toMatchObject({ text: null, changed: true });
  });

  test.each([
    ['broken text', '{ plugins: ', 'not valid JSON5'],
    ['another kind of document', '[]', 'not an object'],
    ['plugins in an included file', '{ plugins: { $include: "./plugins.json5" } }', '$include'],
    ['a list that is none', '{ plugins: { load: { paths: "x" } } }', 'not a list'],
  ])('refuses %s and says why', (_name, text, why) => {
    expect(() => planConnect(text, OPTIONS)).toThrow(ConfigProblem);
    expect(() => planConnect(text, OPTIONS)).toThrow(why);
  });

  test('refuses a wait that OpenClaw would not live through', () => {
    expect(() => planConnect('{}', { ...OPTIONS, inlineMs: 400_000 })).toThrow(ConfigProblem);
  });
});

describe('the agents that are found', () => {
  const found = (text: string, more: Partial<ConnectOptions> = {}) => planConnect(text, { ...OPTIONS, ...more }).agents;

  test('have the workspaces that OpenClaw gives them', () => {
    expect(found(BY_HAND)).toEqual([
      { id: 'main', workspace: '/home/claw/claw/main' },
      { id: 'ops', workspace: '/srv/ops' },
    ]);
    expect(found('{ agents: { entries: { main: { default: true }, ops: {} }, defaults: { workspace: "/w" } } }')).toEqual([
      { id: 'main', workspace: '/w' },
      { id: 'ops', workspace: '/w/ops' },
    ]);
    expect(found('{ agents: { entries: { solo: {} } } }')).toEqual([{ id: 'solo', workspace: '/home/claw/.openclaw/workspace' }]);
    expect(found('{ agents: { entries: { a: {}, b: {} } } }').map(({ workspace }) => workspace)).toEqual([
      '/home/claw/.openclaw/workspace-a',
      '/home/claw/.openclaw/workspace-b',
    ]);
    expect(found('{}', { defaultWorkspace: '/env/ws' })).toEqual([{ id: 'main', workspace: '/env/ws' }]);
  });

  test('may stand in the older list', () => {
    expect(found('{ agents: { list: [{ id: "Main", default: true }, { id: "ops", workspace: "~" }] } }')).toEqual([
      { id: 'main', workspace: '/home/claw/.openclaw/workspace' },
      { id: 'ops', workspace: '/home/claw' },
    ]);
  });

  test('are not guessed where they stand in another file', () => {
    const plan = planConnect('{ agents: { $include: "./agents.json5" } }', OPTIONS);
    expect(plan.warnings).toEqual([expect.stringContaining('included file')]);
  });

  test('come with the address of their gateway, and its token where it stands there in clear', () => {
    expect(planConnect(BY_HAND, OPTIONS).gateway).toEqual({ url: 'ws://127.0.0.1:18901', token: 'se"cret-1' });
    const token = '$' + '{CLAW_TOKEN}';
    expect(planConnect(`{ gateway: { auth: { token: "${token}" } } }`, OPTIONS).gateway).toEqual({
      url: 'ws://127.0.0.1:18789',
      token: null,
    });
  });
});

describe('a plan to undo', () => {
  test('leads back to the same bytes while nobody has changed the file', () => {
    const plan = planConnect(BY_HAND, OPTIONS);
    expect(planUndo(plan.text, plan.record)).toMatchObject({ text: BY_HAND, changed: true, warnings: [] });
  });

  test('keeps what was changed since and takes only ours out', () => {
    const plan = planConnect(BY_HAND, OPTIONS);
    const since = plan.text.replace('main: {}, // me', 'main: {}, // me\n      new: {},');
    expect(planUndo(since, plan.record)).toMatchObject({
      text: BY_HAND.replace('main: {}, // me', 'main: {}, // me\n      new: {},'),
      warnings: [],
    });
  });

  test('works on what OpenClaw itself has written anew, without remarks', () => {
    const plan = planConnect(BY_HAND, OPTIONS);
    const rewritten = JSON.stringify({ ...means(plan.text), meta: { lastTouchedVersion: '2026.9.6' } }, null, 2);
    const { text, warnings } = planUndo(rewritten, plan.record);
    expect(means(text)).toEqual({ ...means(BY_HAND), meta: { lastTouchedVersion: '2026.9.6' } });
    expect(warnings).toEqual([]);
  });

  test('leaves a setting that somebody has changed after us, and says so', () => {
    const plan = planConnect('{ tools: { codeMode: true }, plugins: { enabled: false } }', OPTIONS);
    const since = plan.text
      .replace('"auto"', 'true')
      .replace('executor: "quickjs"', 'executor: "node"')
      .replace('enabled: true', 'enabled: true');
    const { text, warnings } = planUndo(since, plan.record);
    expect(warnings).toEqual([expect.stringContaining('tools.codeMode')]);
    expect(means(text)).toEqual({ tools: { codeMode: { enabled: true, executor: 'node' } }, plugins: { enabled: false } });
  });

  test('removes our entry even where it was edited, and nobody else\u2019s', () => {
    const plan = planConnect(BY_HAND, OPTIONS);
    const since = plan.text.replace('inlineMs: 240000', 'inlineMs: 60000').replace('load: {', 'load: { // ours');
    const undone = means(planUndo(since, plan.record).text);
    expect(undone).toEqual(means(BY_HAND));
  });

  test('after any configuration leaves what was there', () => {
    const leaf = fc.constantFrom<Json5Value>(true, false, 'x', 5, null);
    const objectOf = (keys: string[], inner: fc.Arbitrary<Json5Value>) => fc.dictionary(fc.constantFrom(...keys), inner, { maxKeys: 3 });
    const names = fc.array(fc.constantFrom('a', 'mission-control', '/x'), { maxLength: 2 });
    const config = fc.record(
      {
        gateway: objectOf(['port', 'mode'], leaf),
        tools: fc.record(
          { codeMode: fc.oneof(fc.boolean(), objectOf(['enabled', 'executor'], leaf)), profile: leaf },
          { requiredKeys: [] },
        ),
        plugins: fc.record(
          {
            enabled: fc.boolean(),
            allow: names,
            deny: names,
            load: fc.record({ paths: names }, { requiredKeys: [] }),
            entries: objectOf(['telegram', 'mission-control'], objectOf(['enabled', 'config', 'hooks'], fc.constant({}))),
          },
          { requiredKeys: [] },
        ),
        agents: fc.record(
          { entries: objectOf(['main', 'ops'], fc.constant({ tools: { codeMode: { executor: 'node' } } })) },
          { requiredKeys: [] },
        ),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(config, fc.boolean(), (given, rewrite) => {
        const before = JSON5.stringify(given, null, 2);
        const plan = planConnect(before, OPTIONS);
        const now = rewrite ? JSON.stringify(means(plan.text), null, 2) : plan.text;
        const { text } = planUndo(now, plan.record);
        if (rewrite) expect(sorted(means(text))).toEqual(sorted(means(before)));
        else expect(text).toBe(before);
      }),
      { numRuns: 1_000 },
    );
  });
});

/** The order of a list that we took ourselves out of and put back may differ. */
function sorted(config: Json5Value): Json5Value {
  if (Array.isArray(config)) return config.map(sorted).sort();
  if (typeof config !== 'object' || config === null) return config;
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [key, sorted(value)]));
}

describe('on disk', () => {
  const pluginSource = path.join(import.meta.dirname, '../../proxy/openclaw');
  let stateDir: string;
  let configFile: string;

  beforeEach(async () => {
    stateDir = await mkdtemp(path.join(tmpdir(), 'mc-connect-'));
    configFile = path.join(stateDir, 'openclaw.json');
    await writeFile(configFile, BY_HAND, { mode: 0o640 });
  });
  afterEach(async () => {
    await rm(stateDir, { recursive: true, force: true });
  });

  async function connect(token = 'mcg_token_1') {
    const options = { ...OPTIONS, stateDir };
    const before = await readConfig(configFile);
    const plan = planConnect(before, options, (await readRecord(stateDir)) ?? undefined);
    await applyConnect(configFile, before, plan, { stateDir, token, pluginSource });
    return plan;
  }
  async function undo() {
    const record = await readRecord(stateDir);
    const now = await readConfig(configFile);
    if (record === null || now === null) throw new Error('nothing to undo');
    await applyUndo(configFile, now, planUndo(now, record), { stateDir });
  }
  const mode = async (file: string) => (await stat(file)).mode & 0o777;
  const own = (...names: string[]) => path.join(stateDir, 'mission-control', ...names);

  test('a connection is plugin, private token and configuration, and its undo leaves the file as it was', async () => {
    const plan = await connect();
    expect(await readFile(configFile, 'utf8')).toBe(plan.text);
    expect(await mode(configFile)).toBe(0o640);
    expect(await readFile(own('token'), 'utf8')).toBe('mcg_token_1\n');
    expect([await mode(own()), await mode(own('token')), await mode(own('connection.json'))]).toEqual([0o700, 0o600, 0o600]);
    expect((await readdir(own('plugin'))).toSorted()).toEqual(['gate.mjs', 'index.mjs', 'openclaw.plugin.json', 'package.json']);
    expect(await readFile(own('openclaw.json.before'), 'utf8')).toBe(BY_HAND);

    await undo();
    expect(await readFile(configFile, 'utf8')).toBe(BY_HAND);
    expect(await readdir(own())).toEqual(['openclaw.json.before']);
    expect(await readRecord(stateDir)).toBeNull();
  });

  test('a second connection renews token and plugin, and leaves no litter', async () => {
    await connect();
    await writeFile(own('plugin', 'index.mjs'), '// an older version');
    await connect('mcg_token_2');
    expect(await readFile(own('token'), 'utf8')).toBe('mcg_token_2\n');
    expect(await readFile(own('plugin', 'index.mjs'), 'utf8')).toBe(await readFile(path.join(pluginSource, 'index.mjs'), 'utf8'));
    expect((await readdir(own())).toSorted()).toEqual(['connection.json', 'openclaw.json.before', 'plugin', 'token']);
    await undo();
    expect(await readFile(configFile, 'utf8')).toBe(BY_HAND);
  });

  test('agents get the skill for their tasks; one that somebody wrote by hand stays', async () => {
    const skill = path.join(stateDir, 'skills', 'mission-control', 'SKILL.md');
    await connect();
    const shipped = await readFile(path.join(pluginSource, 'skills', 'mission-control', 'SKILL.md'), 'utf8');
    expect(await readFile(skill, 'utf8')).toBe(shipped);
    await undo();
    await expect(stat(skill)).rejects.toThrow('ENOENT');

    await mkdir(path.dirname(skill), { recursive: true });
    await writeFile(skill, 'my own');
    await connect();
    await undo();
    expect(await readFile(skill, 'utf8')).toBe('my own');
  });

  test('nothing is written over a file that has changed since the plan', async () => {
    const plan = planConnect(BY_HAND, { ...OPTIONS, stateDir });
    await writeFile(configFile, '{ changed: true }');
    await expect(applyConnect(configFile, BY_HAND, plan, { stateDir, token: 'mcg_token_1', pluginSource })).rejects.toThrow(
      'has changed meanwhile',
    );
    expect(await readFile(configFile, 'utf8')).toBe('{ changed: true }');
    expect(await readRecord(stateDir)).toBeNull();
  });

  test('a configuration that did not exist is gone again after the undo', async () => {
    await rm(configFile);
    await connect();
    expect(await mode(configFile)).toBe(0o600);
    await undo();
    expect(await readConfig(configFile)).toBeNull();
  });

  test('a linked configuration stays a link', async () => {
    const real = path.join(stateDir, 'real.json');
    await writeFile(real, BY_HAND);
    await rm(configFile);
    await symlink(real, configFile);
    const plan = await connect();
    expect(await readFile(real, 'utf8')).toBe(plan.text);
    expect((await readdir(stateDir, { withFileTypes: true })).find(({ name }) => name === 'openclaw.json')?.isSymbolicLink()).toBe(true);
  });

  test('a damaged record is named instead of guessed at', async () => {
    await mkdir(own(), { recursive: true });
    await writeFile(own('connection.json'), '{"version":1}');
    await chmod(own('connection.json'), 0o600);
    await expect(readRecord(stateDir)).rejects.toThrow('connection.json is damaged');
  });
});

describe('MCP servers', () => {
  const options: ConnectOptions = {
    ...OPTIONS,
    upstreams: ['files', 'search'],
    agentTokens: new Map([
      ['main', 'mca_main'],
      ['ops', 'mca_ops'],
    ]),
  };

  test('have one entry per agent and server, with its token, denied to the others', () => {
    const plan = planConnect(BY_HAND, options);
    const { mcp, agents } = means(plan.text) as unknown as {
      mcp: { servers: Record<string, Json5Value> };
      agents: { entries: Record<string, { tools: { deny: string[] } }> };
    };
    expect(Object.keys(mcp.servers).toSorted()).toEqual(['files-main', 'files-ops', 'search-main', 'search-ops']);
    expect(mcp.servers['files-ops']).toEqual({
      url: 'http://127.0.0.1:3100/mcp/files',
      transport: 'streamable-http',
      headers: { Authorization: 'Bearer mca_ops' },
      requestTimeoutMs: 1_800_000,
    });
    expect(agents.entries.main?.tools.deny).toEqual(['files-ops__*', 'search-ops__*']);
    expect(agents.entries.ops?.tools.deny).toEqual(['files-main__*', 'search-main__*']);
    expect(plan.diff).not.toContain('mca_');
    expect(connectedTokens(plan.text).get('search-main')).toBe('mca_main');
    expect(planUndo(plan.text, plan.record).text).toBe(BY_HAND);
  });

  test('of a person keep their names, and are named where they pass the gate by', () => {
    const own = BY_HAND.replace('plugins: {', "mcp: { servers: { 'files-main': { url: 'http://127.0.0.1:9/mcp' } } },\n  plugins: {");
    const plan = planConnect(own, options);
    expect(plan.mcp.map(({ entry }) => entry)).toContain('files-main-2');
    expect((means(plan.text) as unknown as { mcp: { servers: Record<string, unknown> } }).mcp.servers['files-main']).toEqual({
      url: 'http://127.0.0.1:9/mcp',
    });
    expect(plan.warnings.join(' ')).toMatch(/files-main.*Register them as upstreams/);
  });

  test('leave the way back open after OpenClaw has rewritten the file', () => {
    const plan = planConnect(BY_HAND, options);
    const rewritten = JSON.stringify(means(plan.text), null, 2);
    expect(means(planUndo(rewritten, plan.record).text)).toEqual(means(BY_HAND));
  });
});

describe('models', () => {
  const TWO = `{
  // mine
  models: {
    mode: 'replace',
    providers: {
      house: {
        baseUrl: 'https://models.example/v1', apiKey: 'sk-house', api: 'openai-completions', timeoutSeconds: 90,
        headers: { 'X-Team': 'blue', 'X-Api-Key': 'sk-house' },
        models: [{ id: 'small', name: 'Small', cost: { input: 1, output: 2 }, contextWindow: 64000 }, { id: 'large', name: 'Large' }],
      },
      other: { baseUrl: 'https://elsewhere.example/v1', apiKey: 'sk-other', api: 'openai-completions', models: [] },
    },
  },
  agents: {
    defaults: { model: { primary: 'house/small', fallbacks: ['other/x', 'house/large'] }, models: { 'house/small': { alias: 's', params: { temperature: 0 } } }, modelPolicy: { allow: ['house/*'] } },
    entries: { main: { workspace: '/w/main' }, ops: { workspace: '/w/ops', model: 'anthropic/claude-haiku-4-5' } },
  },
}
`;
  const options: ConnectOptions = {
    ...OPTIONS,
    models: [
      { name: 'house', url: 'https://models.example' },
      { name: 'anthropic', url: 'https://api.anthropic.com' },
    ],
    agentTokens: new Map([
      ['main', 'mca_main'],
      ['ops', 'mca_ops'],
    ]),
  };
  interface Meant {
    models: { providers: Record<string, { [key: string]: Json5Value }> };
    agents: { defaults: { modelPolicy: { allow: string[] } }; entries: Record<string, { [key: string]: Json5Value }> };
  }

  test('have one provider entry per agent, with its token and our address, and no prices', () => {
    const plan = planConnect(TWO, options);
    const { models, agents } = means(plan.text) as unknown as Meant;
    expect(models.providers['house-main']).toEqual({
      baseUrl: 'http://127.0.0.1:3100/model/house/v1',
      apiKey: 'mca_main',
      api: 'openai-completions',
      timeoutSeconds: 90,
      headers: { 'X-Team': 'blue' },
      models: [
        { id: 'small', name: 'Small', contextWindow: 64_000 },
        { id: 'large', name: 'Large' },
      ],
    });
    expect(models.providers['anthropic-ops']).toEqual({
      baseUrl: 'http://127.0.0.1:3100/model/anthropic',
      apiKey: 'mca_ops',
      api: 'anthropic-messages',
      models: [{ id: 'claude-haiku-4-5', name: 'claude-haiku-4-5' }],
      timeoutSeconds: 600,
    });
    expect(agents.entries.main?.model).toEqual({ primary: 'house-main/small', fallbacks: ['other/x', 'house-main/large'] });
    expect(agents.entries.ops?.model).toBe('anthropic-ops/claude-haiku-4-5');
    expect(agents.entries.main?.models).toEqual({ 'house-main/small': { params: { temperature: 0 } } });
    expect(agents.defaults.modelPolicy.allow).toEqual(['house/*', 'house-main/*', 'anthropic-ops/*']);
    expect(plan.models.map(({ entry }) => entry)).toEqual(['house-main', 'anthropic-ops']);
    expect(plan.warnings.join(' ')).toMatch(/directly, past Mission Control: those of other\./);
    expect(plan.diff).not.toContain('mca_');
    expect(connectedTokens(plan.text).get('house-main')).toBe('mca_main');
  });

  test('leave the way back open, byte for byte, and after OpenClaw has rewritten the file', () => {
    const plan = planConnect(TWO, options);
    expect(planUndo(plan.text, plan.record).text).toBe(TWO);
    expect(means(planUndo(JSON.stringify(means(plan.text), null, 2), plan.record).text)).toEqual(means(TWO));
  });

  test('are the same after a second connection', () => {
    const first = planConnect(TWO, options);
    const second = planConnect(first.text, options, first.record);
    expect(means(second.text)).toEqual(means(first.text));
    expect(planUndo(second.text, second.record).text).toBe(TWO);
  });

  test('of a provider that is not registered stay as they are', () => {
    const plan = planConnect(TWO, { ...OPTIONS, models: [] });
    expect(means(plan.text).models).toEqual(means(TWO).models);
  });
});
