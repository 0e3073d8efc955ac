import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Child, startChild, until } from './child.ts';
import type { Installation } from './installation.ts';

export const GATEWAY_TOKEN = 'e2e-operator-token';

/** A real OpenClaw gateway with a home and a state folder of its own. */
export class OpenClawGateway {
  readonly configFile: string;
  readonly workspace: string;
  readonly #installation: Installation;
  readonly #root: string;
  readonly #stateDir: string;
  readonly port: number;
  #child: Child | null = null;

  /** @param stateDir where OpenClaw keeps its configuration; `.openclaw` in `home` is where a user has it. */
  constructor(installation: Installation, root: string, port: number, stateDir = path.join(root, 'state')) {
    this.#installation = installation;
    this.#root = root;
    this.#stateDir = stateDir;
    this.port = port;
    this.configFile = path.join(stateDir, 'openclaw.json');
    this.workspace = path.join(root, 'workspace');
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  /** Writes the configuration that a person would have before Mission Control: two agents (ops in Code Mode), one model, loopback only. */
  async configure(modelBaseUrl: string, more: Record<string, unknown> = {}): Promise<void> {
    const model = { id: 'scripted', name: 'Scripted', reasoning: false, input: ['text'], contextWindow: 128_000, maxTokens: 8_000 };
    const cost = { input: 3, output: 15, cacheRead: 0.3, cacheWrite: 3.75 };
    await mkdir(path.join(this.#root, 'home'), { recursive: true });
    await mkdir(this.#stateDir, { recursive: true });
    const config = {
      gateway: {
        mode: 'local',
        port: this.port,
        bind: 'loopback',
        auth: { mode: 'token', token: GATEWAY_TOKEN },
        controlUi: { enabled: false },
      },
      models: {
        mode: 'replace',
        providers: {
          scripted: { baseUrl: modelBaseUrl, apiKey: 'none', api: 'openai-completions', models: [{ ...model, cost }], timeoutSeconds: 300 },
        },
      },
      agents: {
        defaults: { model: { primary: 'scripted/scripted' }, skipBootstrap: true, heartbeat: { every: '0m' } },
        entries: {
          main: { workspace: path.join(this.workspace, 'main') },
          ops: { workspace: path.join(this.workspace, 'ops'), tools: { codeMode: true } },
        },
      },
      tools: { profile: 'full', exec: { security: 'full', ask: 'off', host: 'gateway' } },
      discovery: { mdns: { mode: 'off' } },
      logging: { level: 'info', file: path.join(this.#root, 'gateway.log') },
      ...more,
    };
    await writeFile(this.configFile, `// The configuration of the end-to-end run.\n${JSON.stringify(config, null, 2)}\n`);
    for (const agent of ['main', 'ops']) await mkdir(path.join(this.workspace, agent), { recursive: true });
  }

  async start(): Promise<void> {
    const { node, cli } = this.#installation;
    this.#child = startChild(
      node,
      [cli, 'gateway', 'run', '--port', String(this.port)],
      this.#environment(),
      path.join(this.#root, 'openclaw.out'),
    );
    const child = this.#child;
    await until('OpenClaw to be ready', 120_000, async () => {
      if (child.process.exitCode !== null) throw new Error(`OpenClaw ended with ${child.process.exitCode}, see ${this.#root}/openclaw.out`);
      const response = await fetch(`http://127.0.0.1:${this.port}/readyz`).catch(() => null);
      return response?.ok === true;
    });
  }

  async stop(): Promise<void> {
    await this.#child?.stop();
    this.#child = null;
  }

  #environment(): Record<string, string> {
    return {
      PATH: `${path.dirname(this.#installation.node)}:/usr/local/bin:/usr/bin:/bin`,
      HOME: path.join(this.#root, 'home'),
      OPENCLAW_STATE_DIR: this.#stateDir,
      OPENCLAW_CONFIG_PATH: this.configFile,
      OPENCLAW_DISABLE_BONJOUR: '1',
      OPENCLAW_SKIP_UPDATE_CHECK: '1',
      NO_COLOR: '1',
    };
  }
}
