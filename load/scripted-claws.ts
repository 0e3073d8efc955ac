/**
 * OpenClaw gateways by script: our own plugin in a host of paper, the link's other end, and agents whose turns are made as OpenClaw 2026.9.6
 * makes them: asked about, run, told to the model with everything that was said before. They sleep, restart, are broken off, compact what was
 * said and use ids again, as real ones do. What they do is right, always, unless `bypass` is asked for.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { systemClock } from '../proxy/openclaw/gate.mjs';
import { FakeOpenClaw } from '../test/openclaw/fake-openclaw.ts';
import { Host } from '../test/openclaw/host.ts';
import { newAgent, type OneProcess } from '../test/support/world.ts';
import { demand } from './installation.ts';

/** Which interface a model is spoken to through. */
const APIS = ['chat', 'messages', 'responses'] as const;
type Api = (typeof APIS)[number];
/** How long OpenClaw goes on asking a model that does not answer. */
const MODEL_RETRY_MS = 60_000;
const TICK_MS = 10_000;

interface Use {
  id: string;
  name: string;
  args: Record<string, unknown>;
  result: string;
}
/** What was said in a session: words of somebody, or tools that were asked for and what each answered. */
type Said = { who: 'user' | 'assistant'; text: string } | { uses: Use[] };

interface Session {
  key: string;
  said: Said[];
}

interface ClawAgent {
  id: string;
  name: string;
  token: string;
  api: Api;
  /** Gives its ids anew in each session: call_1, call_2, ... */
  countsIds: boolean;
  sessions: Session[];
  mcpSession: string | null;
}

/** One thing that a turn makes a tool do. */
type Kind = 'read' | 'list' | 'parallel' | 'held' | 'denied' | 'rejected' | 'nested' | 'program' | 'mcp' | 'subagent' | 'lookup';
const MIX: readonly (readonly [Kind, number])[] = [
  ['read', 24],
  ['list', 14],
  ['parallel', 12],
  ['mcp', 20],
  ['nested', 8],
  ['program', 6],
  ['rejected', 5],
  ['denied', 4],
  ['held', 4],
  ['subagent', 2],
  ['lookup', 1],
];

/** What was done, counted by what it was. */
export type Tally = Map<string, number>;

/** Broken off with its gateway: nothing of it goes on. */
class BrokenOff extends Error {}

export class ScriptedClaw {
  readonly name: string;
  readonly gatewayId: string;
  readonly agents: ClawAgent[] = [];
  readonly #product: OneProcess;
  readonly #token: string;
  readonly #link: FakeOpenClaw;
  readonly #skewMs: number;
  readonly #tally: Tally;
  readonly #client = new Agent({ connections: 64, keepAliveTimeout: 4_000 });
  #host: Host | null = null;
  /** Ends with the process of the gateway. */
  #life = new AbortController();
  /** Resolves when the machine is awake. */
  #awake: Promise<void> = Promise.resolve();
  #isAsleep = false;
  #calls = 0;

  private constructor(
    product: OneProcess,
    name: string,
    gateway: { id: string; token: string },
    link: FakeOpenClaw,
    skewMs: number,
    tally: Tally,
  ) {
    this.#product = product;
    this.name = name;
    this.gatewayId = gateway.id;
    this.#token = gateway.token;
    this.#link = link;
    this.#skewMs = skewMs;
    this.#tally = tally;
  }

  /** Registers a gateway with its agents, and starts it. @param skewMs how far its clock is off. */
  static async start(product: OneProcess, name: string, agentCount: number, skewMs: number, tally: Tally): Promise<ScriptedClaw> {
    const link = await FakeOpenClaw.start();
    link.tickIntervalMs = TICK_MS;
    const gateway = demand(
      await product.api<{ id: string; token: string }>('POST', '/gateways', { name, url: link.url, token: link.token }),
      201,
    );
    const claw = new ScriptedClaw(product, name, gateway, link, skewMs, tally);
    const timer = setInterval(
      () => claw.#isAsleep || link.broadcast(JSON.stringify({ type: 'event', event: 'tick', payload: { ts: Date.now() } })),
      TICK_MS,
    );
    timer.unref();
    for (let n = 0; n < agentCount; n++) {
      const externalId = `a${n}`;
      const agent = await newAgent(product, {
        autonomyLevel: 'lead',
        gate: 'openclaw',
        gatewayId: gateway.id,
        externalId,
        name: `${name}-${externalId}`,
      });
      claw.agents.push({
        ...{ id: agent.id, name: externalId, token: agent.token, api: APIS[n % APIS.length] ?? 'chat', countsIds: n % 2 === 1 },
        ...{ sessions: [{ key: `agent:${externalId}:main`, said: [] }], mcpSession: null },
      });
    }
    claw.#boot();
    return claw;
  }

  /** Its agents work, each turn some seconds after the last, until the signal. Never throws. */
  async work(pauseMs: number, until: AbortSignal): Promise<void> {
    await Promise.all(
      this.agents.map(async (agent) => {
        while (!until.aborted) {
          await sleep(pauseMs * (0.5 + Math.random()), undefined, { signal: until }).catch(() => undefined);
          if (until.aborted) return;
          await this.#awake;
          if (this.#host === null) continue;
          try {
            await this.#turn(agent, pick(agent.sessions));
            this.#count('turns');
          } catch (error) {
            this.#count(error instanceof BrokenOff ? 'turns broken off' : 'turns failed');
          }
        }
      }),
    );
  }

  /** The process of the gateway ends and starts again after a while; what ran in it is broken off. */
  async restart(downMs: number): Promise<void> {
    await this.#stop();
    await sleep(downMs);
    await this.#link.start();
    this.#boot();
    this.#count('gateway restarts');
  }

  /** The plugin is loaded anew while runs go on, which is what `plugins reload` does. */
  async reload(): Promise<void> {
    const old = this.#host;
    if (old === null) return;
    this.#boot();
    await old.stopServices();
    this.#count('plugin reloads');
  }

  /** The machine sleeps: its connections stay and say nothing, and when it wakes everything goes on. */
  async nap(ms: number): Promise<void> {
    const waking = Promise.withResolvers<void>();
    this.#awake = waking.promise;
    this.#isAsleep = true;
    this.#link.freeze();
    await sleep(ms);
    this.#isAsleep = false;
    this.#link.thaw();
    this.#awake = Promise.resolve();
    waking.resolve();
    this.#count('naps');
  }

  /** A tool of an agent runs past the gate, and its model is told what it answered. */
  async bypass(agent: ClawAgent): Promise<void> {
    const session: Session = { key: `agent:${agent.name}:bypass`, said: [] };
    const use = { id: 'call_past', name: 'exec', args: { command: 'id' }, result: 'uid=0' };
    session.said.push({ who: 'user', text: 'Who are you?' }, { uses: [use] });
    await this.#askModel(agent, session);
  }

  /** An MCP tool of an agent runs past the gate. */
  async bypassMcp(agent: ClawAgent): Promise<void> {
    await this.#callMcp(agent, { title: 'past the gate', limit: 1 });
  }

  /** The plugin is gone, the gateway runs on. */
  async loseGate(): Promise<void> {
    await this.#host?.stopServices();
    this.#host = null;
  }

  /** A request to the model as any turn ends with. */
  async chat(agent: ClawAgent): Promise<void> {
    await this.#askModel(agent, { key: 's', said: [{ who: 'user', text: 'hello' }] });
  }

  async close(): Promise<void> {
    await this.#stop();
    await this.#client.destroy();
  }

  async #stop(): Promise<void> {
    this.#life.abort();
    const host = this.#host;
    this.#host = null;
    await Promise.all([host?.stopServices(), this.#link.stop()]);
    for (const agent of this.agents) agent.mcpSession = null;
  }

  #boot(): void {
    if (this.#life.signal.aborted) this.#life = new AbortController();
    const inlineMs = 3_000;
    const host = new Host({ proxyUrl: this.#product.gateUrl, token: this.#token, inlineMs });
    host.config = {
      tools: { codeMode: { enabled: true, executor: 'quickjs' } },
      agents: { entries: Object.fromEntries(this.agents.map(({ name }) => [name, {}])) },
    };
    const clock = {
      now: () => systemClock.now() + this.#skewMs,
      // A machine that sleeps beats not.
      sleep: async (ms: number, signal?: AbortSignal, background?: boolean) => {
        await systemClock.sleep(ms, signal, background);
        if (signal?.aborted !== true) await this.#awake;
      },
    };
    host.register({ clock });
    host.startServices();
    this.#host = host;
  }

  /** One turn: what a user says, some rounds of tools, and what the agent says in the end. */
  async #turn(agent: ClawAgent, session: Session): Promise<void> {
    const life = this.#life.signal;
    const runId = crypto.randomUUID();
    const ctx = {
      agentId: agent.name,
      sessionKey: session.key,
      runId,
      trace: { traceId: crypto.randomUUID().replaceAll('-', '') },
      abortSignal: life,
    };
    session.said.push({ who: 'user', text: `Please do the ${++this.#calls}th thing.` });
    const answer = (await this.#living(life).run(ctx)) as { outcome?: string } | undefined;
    if (answer?.outcome === 'block') {
      this.#count('runs blocked');
      session.said.push({ who: 'assistant', text: 'This run was not started.' });
      return;
    }
    let success = false;
    try {
      const rounds = 1 + Math.floor(Math.random() * 3);
      for (let round = 0; round < rounds; round++) {
        await this.#askModel(agent, session, life);
        await this.#round(agent, session, draw(), ctx, life);
        // Summed up in the middle of a run: the last answers come again, at other places.
        if (session.said.length > 60 || Math.random() < 0.02) this.#compact(session);
        // A user speaks into a run that is under way.
        if (Math.random() < 0.03) session.said.push({ who: 'user', text: 'And one more thing.' });
      }
      await this.#askModel(agent, session, life);
      // Sent again by a client that lost the answer.
      if (Math.random() < 0.05) await this.#askModel(agent, session, life);
      session.said.push({ who: 'assistant', text: 'Done.' });
      success = true;
    } finally {
      if (!life.aborted) await this.#host?.runEnded({ runId, success, durationMs: 5 }, ctx);
      // What a run that was broken off left open is answered by OpenClaw itself before the next user speaks.
      if (!success) session.said.push({ who: 'assistant', text: 'Broken off.' });
    }
    if (Math.random() < 0.04) this.#fork(agent, session);
  }

  async #round(
    agent: ClawAgent,
    session: Session,
    kind: Kind,
    ctx: { agentId: string; sessionKey: string; runId: string },
    life: AbortSignal,
  ): Promise<void> {
    this.#count(kind);
    const uses: Use[] = [];
    const use = (name: string, args: Record<string, unknown>): Use => {
      const made = { id: this.#idOf(agent, session, uses.length), name, args, result: '[no answer: the run was broken off]' };
      uses.push(made);
      return made;
    };
    const n = ++this.#calls;
    const work: Promise<void>[] = [];
    const go = (each: Use, run?: () => Promise<string>) => void work.push(this.#tool(each, ctx, life, run));
    switch (kind) {
      case 'read':
        go(use('read', { path: `docs/plan-${n % 400}.md` }));
        break;
      case 'list':
        go(use('exec', { command: `ls docs/${n % 400}` }));
        break;
      case 'parallel':
        for (let each = 0; each < 3; each++) go(use('read', { path: `docs/part-${n}-${each}.md` }));
        break;
      case 'mcp': {
        const args = { title: `Page ${n}`, limit: 1 };
        go(use('pages__find_page', args), () => this.#callMcp(agent, args));
        break;
      }
      case 'denied':
        go(use('exec', { command: `rm -rf / # ${n}` }));
        break;
      case 'held': {
        // Longer than the wait in line, now and then: the model is told that it is pending, and asks again when it was decided.
        const args = { to: 'a@example.org', text: `letter ${n}` };
        const first = use('send_email', args);
        await this.#tool(first, ctx, life);
        if (first.result.startsWith('ran')) break;
        session.said.push({ uses: [first] });
        this.#count('deferred');
        await this.#askModel(agent, session, life);
        await pause(6_000, life);
        await this.#awake;
        uses.length = 0;
        go(use('send_email', args));
        break;
      }
      case 'rejected': {
        const each = use('exec', { command: 7 });
        each.result = 'Validation failed for tool exec: command must be a string';
        await this.#awake;
        await this.#living(life).ended(
          { toolName: 'exec', params: each.args, toolCallId: each.id, runId: ctx.runId, error: each.result, durationMs: 0 },
          ctx,
        );
        break;
      }
      case 'lookup': {
        const each = use('tool_search', { query: 'comment' });
        await this.#tool(each, ctx, life);
        break;
      }
      case 'nested': {
        const args = { text: `comment ${n}` };
        const outer = use('tool_call', { id: 'post_comment', args });
        go(outer, async () => {
          const inner = { ...outer, id: `tool_search_code:${outer.id}:post_comment:1`, name: 'post_comment', args };
          await this.#tool(inner, ctx, life);
          return inner.result;
        });
        break;
      }
      case 'program': {
        const outer = use('exec', { code: `await tools.read({ path: "docs/${n}.md" })` });
        go(outer, async () => {
          const inner = { ...outer, id: `tool_search_code:${outer.id}:read:1`, name: 'read', args: { path: `docs/${n}.md` } };
          await this.#tool(inner, ctx, life);
          return inner.result;
        });
        break;
      }
      case 'subagent': {
        const child: Session = {
          key: `agent:${agent.name}:subagent:${crypto.randomUUID()}`,
          said: [{ who: 'user', text: 'Look into it.' }],
        };
        go(use('sessions_spawn', { task: `look into ${n}` }), async () => {
          const spawned = { childSessionKey: child.key, label: `task ${n}` };
          await this.#living(life).subagent('subagent_spawned', spawned, { requesterSessionKey: ctx.sessionKey });
          const childCtx = { ...ctx, sessionKey: child.key, runId: crypto.randomUUID() };
          await this.#living(life).run(childCtx);
          await this.#round(agent, child, 'read', childCtx, life);
          await this.#askModel(agent, child, life);
          await this.#living(life).runEnded({ runId: childCtx.runId, success: true, durationMs: 5 }, childCtx);
          await this.#living(life).subagent('subagent_ended', { targetSessionKey: child.key }, { requesterSessionKey: ctx.sessionKey });
          return 'looked into';
        });
        break;
      }
    }
    // What was asked for is said before its answers are there: a run that is broken off now leaves them made up.
    session.said.push({ uses });
    await Promise.all(work);
    if (life.aborted) throw new BrokenOff();
  }

  /** A tool as OpenClaw runs it: the gate is asked, it runs or not, and the gate hears how it ended. */
  async #tool(
    use: Use,
    ctx: { agentId: string; sessionKey: string; runId: string },
    life: AbortSignal,
    run?: () => Promise<string>,
  ): Promise<void> {
    await this.#awake;
    const isProgram = 'code' in use.args;
    const event = {
      toolName: use.name,
      params: use.args,
      toolCallId: use.id,
      runId: ctx.runId,
      ...(isProgram && { toolKind: 'code_mode_exec' }),
    };
    const fate = await this.#living(life).call(event, { ...ctx, abortSignal: life });
    await this.#awake;
    if (life.aborted) throw new BrokenOff();
    const begun = Date.now();
    if ('blocked' in fate) {
      this.#count('blocked');
      use.result = fate.blocked;
      await this.#living(life).ended({ ...event, error: fate.blocked, durationMs: 0 }, ctx);
      return;
    }
    let error: string | undefined;
    try {
      use.result = `ran: ${run === undefined ? 'done' : await run()}`;
    } catch (failure) {
      if (life.aborted || failure instanceof BrokenOff) throw new BrokenOff();
      error = failure instanceof Error ? failure.message : String(failure);
      use.result = `error: ${error}`;
      this.#count('tools failed');
    }
    await this.#living(life).ended(
      { ...event, result: use.result, ...(error !== undefined && { error }), durationMs: Date.now() - begun },
      ctx,
    );
  }

  /** The model is told everything that was said, and asked again while it does not answer. */
  async #askModel(agent: ClawAgent, session: Session, life: AbortSignal = this.#life.signal): Promise<void> {
    const body = JSON.stringify(bodyOf(agent.api, session.said));
    const path = { chat: 'chat/completions', messages: 'messages', responses: 'responses' }[agent.api];
    const deadline = Date.now() + MODEL_RETRY_MS;
    for (;;) {
      await this.#awake;
      if (life.aborted) throw new BrokenOff();
      let problem = '';
      try {
        const headers = { authorization: `Bearer ${agent.token}`, 'content-type': 'application/json' };
        const url = `${this.#product.gateUrl}/model/paper/v1/${path}`;
        const answer = await request(url, { method: 'POST', headers, body, dispatcher: this.#client, headersTimeout: 30_000 });
        const text = await answer.body.text();
        if (answer.statusCode === 200) return this.#count('model requests');
        problem = `${answer.statusCode} ${text.slice(0, 300)}`;
        if (answer.statusCode < 500) throw new Error(`the model refused: ${problem}`);
      } catch (error) {
        problem = error instanceof Error ? error.message : String(error);
        if (problem.startsWith('the model refused')) {
          this.#count(problem.slice(0, 200));
          throw error;
        }
      }
      if (Date.now() > deadline) throw new Error(`the model does not answer: ${problem}`);
      await pause(1_000 + Math.random() * 1_000, life);
    }
  }

  /** Once, as OpenClaw does: what does not answer has failed. */
  async #callMcp(agent: ClawAgent, args: Record<string, unknown>): Promise<string> {
    const ask = async (message: Record<string, unknown>) => {
      const answer = await request(`${this.#product.gateUrl}/mcp/pages`, {
        method: 'POST',
        headers: {
          ...{ authorization: `Bearer ${agent.token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
          ...{ 'mcp-protocol-version': '2025-06-18', ...(agent.mcpSession !== null && { 'mcp-session-id': agent.mcpSession }) },
        },
        body: JSON.stringify({ jsonrpc: '2.0', ...message }),
        dispatcher: this.#client,
        headersTimeout: 60_000,
      });
      const text = await answer.body.text();
      return { status: answer.statusCode, text, session: answer.headers['mcp-session-id'] };
    };
    if (agent.mcpSession === null) {
      const params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'openclaw-bundle-mcp', version: '1.0.0' } };
      const opened = await ask({ id: 0, method: 'initialize', params });
      if (typeof opened.session === 'string') agent.mcpSession = opened.session;
      await ask({ method: 'notifications/initialized' });
      await ask({ id: 1, method: 'tools/list' });
    }
    const { status, text } = await ask({ id: ++this.#calls + 10, method: 'tools/call', params: { name: 'find_page', arguments: args } });
    if (status === 404) agent.mcpSession = null;
    if (status !== 200 || !text.includes('second reader')) throw new Error(`${status} ${text.slice(0, 200)}`);
    return 'found';
  }

  #idOf(agent: ClawAgent, session: Session, nth: number): string {
    const before = session.said.reduce((sum, said) => sum + ('uses' in said ? said.uses.length : 0), 0);
    if (agent.countsIds) return `call_${before + nth + 1}`;
    const id = `${agent.api === 'messages' ? 'toolu_' : 'call_'}${crypto.randomUUID().replaceAll('-', '')}`;
    return agent.api === 'responses' ? `${id}|fc_${crypto.randomUUID().replaceAll('-', '')}` : id;
  }

  /** What was said first is summed up; the last of it stays. */
  #compact(session: Session): void {
    this.#count('compactions');
    session.said = [{ who: 'user', text: 'A summary of what was said.' }, ...session.said.slice(-1)];
  }

  /** A session that begins with what was said in another. */
  #fork(agent: ClawAgent, session: Session): void {
    this.#count('forks');
    agent.sessions = [
      ...agent.sessions.slice(-3),
      { key: `agent:${agent.name}:fork-${crypto.randomUUID().slice(0, 8)}`, said: [...session.said] },
    ];
  }

  #living(life: AbortSignal): Host {
    if (life.aborted || this.#host === null) throw new BrokenOff();
    return this.#host;
  }

  #count(what: string): void {
    this.#tally.set(what, (this.#tally.get(what) ?? 0) + 1);
  }
}

/** A request as the interface wants it. */
function bodyOf(api: Api, said: readonly Said[]): Record<string, unknown> {
  const wireId = (id: string) => id.split('|', 1)[0] ?? id;
  switch (api) {
    case 'chat':
      return {
        ...{ model: 'paper-1', max_tokens: 50 },
        messages: said.flatMap((each): object[] =>
          'uses' in each
            ? [
                {
                  role: 'assistant',
                  content: null,
                  tool_calls: each.uses.map(({ id, name, args }) => ({
                    id,
                    type: 'function',
                    function: { name, arguments: JSON.stringify(args) },
                  })),
                },
                ...each.uses.map(({ id, result }) => ({ role: 'tool', tool_call_id: id, content: result })),
              ]
            : [{ role: each.who, content: each.text }],
        ),
      };
    case 'messages':
      return {
        ...{ model: 'paper-1', max_tokens: 50 },
        messages: said.flatMap((each): object[] =>
          'uses' in each
            ? [
                { role: 'assistant', content: each.uses.map(({ id, name, args }) => ({ type: 'tool_use', id, name, input: args })) },
                { role: 'user', content: each.uses.map(({ id, result }) => ({ type: 'tool_result', tool_use_id: id, content: result })) },
              ]
            : [{ role: each.who, content: each.text }],
        ),
      };
    case 'responses':
      return {
        ...{ model: 'paper-1', max_output_tokens: 50 },
        input: said.flatMap((each): object[] =>
          'uses' in each
            ? [
                ...each.uses.map(({ id, name, args }) => ({
                  type: 'function_call',
                  call_id: wireId(id),
                  name,
                  arguments: JSON.stringify(args),
                })),
                ...each.uses.map(({ id, result }) => ({ type: 'function_call_output', call_id: wireId(id), output: result })),
              ]
            : [{ role: each.who, content: each.text }],
        ),
      };
  }
}

function draw(): Kind {
  let place = Math.random() * 100;
  for (const [kind, share] of MIX) {
    if (place < share) return kind;
    place -= share;
  }
  return 'read';
}

function pick<T>(list: readonly T[]): T {
  const one = list[Math.floor(Math.random() * list.length)];
  if (one === undefined) throw new Error('there is none');
  return one;
}

async function pause(ms: number, life: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal: life }).catch(() => {
    throw new BrokenOff();
  });
}
