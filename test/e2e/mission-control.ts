import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { type Child, freePort, startChild, until } from './child.ts';

const REPOSITORY = path.join(import.meta.dirname, '../..');

export interface Approval {
  id: string;
  number: number;
  status: string;
  tool: string | null;
  sessionKey: string | null;
  agentId: string | null;
  deferred: boolean;
  outcome: string;
  preview: { commands: { text: string; verdict: string }[] } | null;
}
export interface RecordedCall {
  id: string;
  tool: string;
  sessionKey: string | null;
  verdict: string;
  status: string;
  output: string | null;
  error: string | null;
}

/** The product, started as a user starts it, in a process of its own. */
export class MissionControl {
  readonly adminToken = 'mco_e2e_administrator_0123456789';
  readonly #root: string;
  readonly #ports: { control: number; proxy: number; egress: number };
  readonly #openclaw: { url: string; token: string };
  #child: Child | null = null;

  private constructor(root: string, ports: { control: number; proxy: number; egress: number }, openclaw: { url: string; token: string }) {
    this.#root = root;
    this.#ports = ports;
    this.#openclaw = openclaw;
  }

  static async prepare(root: string, openclaw: { url: string; token: string }): Promise<MissionControl> {
    await mkdir(path.join(root, 'mc-home'), { recursive: true });
    return new MissionControl(root, { control: await freePort(), proxy: await freePort(), egress: await freePort() }, openclaw);
  }

  get controlUrl(): string {
    return `http://127.0.0.1:${this.#ports.control}`;
  }

  async start(): Promise<void> {
    const child = startChild(
      process.execPath,
      ['cli.ts', 'start'],
      this.#environment(),
      path.join(this.#root, 'mission-control.out'),
      REPOSITORY,
    );
    this.#child = child;
    await until('Mission Control to be ready', 60_000, async () => {
      if (child.process.exitCode !== null)
        throw new Error(`it ended with ${child.process.exitCode}, see ${this.#root}/mission-control.out`);
      const answers = await Promise.all([this.#ready(this.#ports.control), this.#ready(this.#ports.proxy)]);
      return answers.every(Boolean);
    });
  }

  async stop(): Promise<void> {
    await this.#child?.stop();
    this.#child = null;
  }

  /** kill -9. */
  async kill(): Promise<void> {
    await this.#child?.kill();
    this.#child = null;
  }

  /** A command of the command line, as a user would run it; resolves with what it printed. */
  async command(...args: string[]): Promise<string> {
    const logFile = path.join(this.#root, 'commands.out');
    const child = startChild(process.execPath, ['cli.ts', ...args], this.#environment(), logFile, REPOSITORY);
    let printed = '';
    child.process.stdout?.on('data', (chunk: Buffer) => {
      printed += chunk.toString('utf8');
    });
    const code = await new Promise<number | null>((resolve) => child.process.once('close', resolve));
    if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}, see ${logFile}`);
    return printed;
  }

  async get<T>(route: string): Promise<T> {
    return (await this.#call('GET', route, undefined)) as T;
  }

  async post<T>(route: string, body: unknown): Promise<T> {
    return (await this.#call('POST', route, body)) as T;
  }

  async patch<T>(route: string, body: unknown): Promise<T> {
    return (await this.#call('PATCH', route, body)) as T;
  }

  /** The approval that is pending for this session; waits for it. */
  async pendingApproval(sessionKey: string): Promise<Approval> {
    return until(`an approval to be pending for ${sessionKey}`, 40_000, async () => {
      const { items } = await this.get<{ items: Approval[] }>('/api/approvals?status=pending&limit=100');
      return items.find((approval) => approval.sessionKey === sessionKey);
    });
  }

  /** Every recorded call of a session, oldest first. */
  async calls(sessionKey: string): Promise<RecordedCall[]> {
    const { items } = await this.get<{ items: RecordedCall[] }>('/api/tool-calls?limit=200');
    return items.filter((call) => call.sessionKey === sessionKey).toReversed();
  }

  async #call(method: string, route: string, body: unknown): Promise<unknown> {
    const response = await fetch(`${this.controlUrl}${route}`, {
      method,
      headers: { authorization: `Bearer ${this.adminToken}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${route} answered ${response.status}: ${text.slice(0, 500)}`);
    return text === '' ? null : JSON.parse(text);
  }

  async #ready(port: number): Promise<boolean> {
    const response = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null);
    return response?.ok === true;
  }

  #environment(): Record<string, string> {
    return {
      PATH: `${path.dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`,
      HOME: path.join(this.#root, 'mc-home'),
      MC_DATA_DIR: path.join(this.#root, 'mc-data'),
      MC_CONTROL_PORT: String(this.#ports.control),
      MC_PROXY_PORT: String(this.#ports.proxy),
      MC_EGRESS_PORT: String(this.#ports.egress),
      MC_ADMIN_TOKEN: this.adminToken,
      OPENCLAW_GATEWAY_URL: this.#openclaw.url,
      OPENCLAW_GATEWAY_TOKEN: this.#openclaw.token,
      NO_COLOR: '1',
    };
  }
}
