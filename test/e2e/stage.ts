import { mkdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connectGateway, type GatewayLink, type SessionEvent } from '../../control/link.ts';
import { type CountingServer, startCountingServer } from '../mcp/counting-server.ts';
import { freePort, until } from './child.ts';
import { installOpenClaw } from './installation.ts';
import { MissionControl } from './mission-control.ts';
import { GATEWAY_TOKEN, OpenClawGateway } from './openclaw-gateway.ts';
import { type Call, ScriptedModel } from './scripted-model.ts';

/** Everything that is real, and the model: a user's OpenClaw, connected to Mission Control by its own command. */
export class Stage {
  readonly root: string;
  readonly model: ScriptedModel;
  readonly openclaw: OpenClawGateway;
  readonly missionControl: MissionControl;
  /** An MCP server that is registered as the upstream `counting`, and counts what really runs. */
  readonly counting: CountingServer;
  /** A person at OpenClaw's own chat: independent of Mission Control's link. */
  #person: GatewayLink | null = null;
  #sessions = 0;
  #unconnected = '';

  private constructor(
    root: string,
    model: ScriptedModel,
    openclaw: OpenClawGateway,
    missionControl: MissionControl,
    counting: CountingServer,
  ) {
    this.counting = counting;
    this.root = root;
    this.model = model;
    this.openclaw = openclaw;
    this.missionControl = missionControl;
  }

  static async open(): Promise<Stage> {
    const installation = await installOpenClaw();
    const root = path.join(tmpdir(), `mc-e2e-run-${process.pid}`);
    await rm(root, { recursive: true, force: true });
    await mkdir(root, { recursive: true });
    const model = await ScriptedModel.start();
    const openclaw = new OpenClawGateway(installation, root, await freePort());
    const missionControl = await MissionControl.prepare(root, { url: openclaw.url, token: GATEWAY_TOKEN });
    return new Stage(root, model, openclaw, missionControl, await startCountingServer());
  }

  /** What OpenClaw itself has told of its sessions. */
  readonly heard: SessionEvent[] = [];

  /** OpenClaw's configuration as it was before the connection. */
  get unconnected(): string {
    return this.#unconnected;
  }

  /**
   * Starts OpenClaw as a user has it, starts Mission Control, connects the two while both run, and waits until the gate is live.
   * OpenClaw first: at its own start it may rewrite its configuration.
   */
  async connect(): Promise<void> {
    await this.openclaw.configure(this.model.baseUrl);
    await this.openclaw.start();
    await this.missionControl.start();
    this.#unconnected = await readFile(this.openclaw.configFile, 'utf8');
    await this.missionControl.post('/api/upstreams', { name: 'counting', kind: 'mcp', url: this.counting.url, allowPrivate: true });
    await this.missionControl.command('openclaw', 'connect', '--config', this.openclaw.configFile, '--yes');
    this.#person = connectGateway({ url: this.openclaw.url, token: GATEWAY_TOKEN, onSession: (event) => this.heard.push(event) });
    await this.gateIs('live', 60_000);
    await this.#spoken();
  }

  /** Waits until Mission Control says this of the gate in OpenClaw. */
  async gateIs(gate: string, timeoutMs: number): Promise<void> {
    await until(`the gate to be ${gate}`, timeoutMs, async () => {
      const { items } = await this.missionControl.get<{ items: { gate: string; link: { state: string } }[] }>('/api/gateways');
      return items.length > 0 && items.every((gateway) => gateway.gate === gate && gateway.link.state === 'connected');
    });
  }

  /** A user says `text` to agent `main` in a session of its own; resolves with the session's key as soon as OpenClaw has taken it. */
  async say(text: string, sessionKey = `agent:main:e2e-${++this.#sessions}`): Promise<string> {
    const person = await this.#spoken();
    const sent = await person.sendToSession(sessionKey, text, `${this.root}-${text}-${Date.now()}`);
    if (!sent.ok) throw new Error(`OpenClaw did not take the message: ${sent.message}`);
    return sessionKey;
  }

  /** Scripts one turn in which the model makes these calls, and lets a user start it. */
  async turn(name: string, ...steps: Call[][]): Promise<string> {
    this.model.script(name, new RegExp(`#${name}\\b`), steps);
    return this.say(`Please do #${name}`);
  }

  async abort(sessionKey: string): Promise<void> {
    const person = await this.#spoken();
    const aborted = await person.abortRuns(sessionKey);
    if (!aborted.ok || !aborted.value) throw new Error(`nothing was aborted in ${sessionKey}: ${JSON.stringify(aborted)}`);
  }

  /** The tool results that the model has been shown for that script, once there are `count`. */
  async told(name: string, count = 1, timeoutMs = 60_000): Promise<string[]> {
    return until(`the model to be shown ${count} results of #${name}`, timeoutMs, async () => {
      const results = this.model.results(name);
      return results.length >= count ? results : null;
    });
  }

  /** A file in the workspace of an agent; null where there is none. */
  async file(name: string, agent = 'main'): Promise<string | null> {
    return readFile(path.join(this.openclaw.workspace, agent, name), 'utf8').catch(() => null);
  }

  /** What OpenClaw has logged. */
  async log(): Promise<string> {
    const files = ['gateway.log', 'openclaw.out'].map((name) => readFile(path.join(this.root, name), 'utf8').catch(() => ''));
    return (await Promise.all(files)).join('\n');
  }

  async close(): Promise<void> {
    await this.#person?.close();
    await this.openclaw.stop();
    await this.missionControl.stop();
    await this.model.stop();
    await this.counting.close();
  }

  async #spoken(): Promise<GatewayLink> {
    const person = this.#person;
    if (person === null) throw new Error('not connected yet');
    await until('OpenClaw to take messages', 60_000, async () => person.state().state === 'connected');
    return person;
  }
}
