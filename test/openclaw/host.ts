import { createPlugin } from '../../proxy/openclaw/index.mjs';

type Handler = (event: unknown, ctx: unknown) => unknown;
interface Hook {
  name: string;
  handler: Handler;
  priority: number;
  timeoutMs: number | undefined;
}

export interface Ctx {
  agentId?: string;
  sessionKey?: string;
  runId?: string;
  toolCallId?: string;
  abortSignal?: AbortSignal;
  trace?: { traceId?: string };
}

export interface ToolCall {
  toolName: string;
  params: Record<string, unknown>;
  toolCallId?: string;
  runId?: string;
  toolKind?: string;
}

/** What OpenClaw would do with the call: run it with these arguments, or show the model this text. */
export type Fate = { ran: Record<string, unknown> } | { blocked: string };

/**
 * Plays OpenClaw's hook runner as 2026.9.6 behaves: handlers in order of priority, each with an isolated copy of the
 * caller's arguments; a handler that throws or is late blocks the call; the last arguments named win and are merged over
 * the original ones; services start and stop with the gateway.
 */
export class Host {
  readonly lines: string[] = [];
  readonly #hooks: Hook[] = [];
  readonly #services: { start(): void; stop(): Promise<void> }[] = [];
  /** Read by the plugin at every call, as OpenClaw's current configuration is. */
  config: unknown = {};
  sessions: Record<string, unknown> = {};
  readonly api: Record<string, unknown>;

  constructor(pluginConfig: Record<string, unknown>, overrides: Record<string, unknown> = {}) {
    const line = (text: string) => void this.lines.push(text);
    this.api = {
      pluginConfig,
      registrationMode: 'full',
      logger: { debug: line, info: line, warn: line, error: line },
      on: (name: string, handler: Handler, options: { priority?: number; timeoutMs?: number } = {}) =>
        void this.#hooks.push({ name, handler, priority: options.priority ?? 0, timeoutMs: options.timeoutMs }),
      registerService: (service: { start(): void; stop(): Promise<void> }) => void this.#services.push(service),
      runtime: {
        version: '2026.9.6',
        config: { current: () => this.config },
        agent: {
          resolveAgentWorkspaceDir: (_config: unknown, agentId: string) => `/home/claw/${agentId}`,
          session: { getSessionEntry: ({ sessionKey }: { sessionKey: string }) => this.sessions[sessionKey] },
        },
      },
      ...overrides,
    };
  }

  /** Another plugin of the same gateway. */
  on(name: string, handler: Handler, priority = 0): void {
    this.#hooks.push({ name, handler, priority, timeoutMs: undefined });
  }

  register(parts?: Parameters<typeof createPlugin>[0]): this {
    // The plugin types what it uses of the host; a fake host is less than that on purpose.
    createPlugin(parts).register(this.api as unknown as Parameters<ReturnType<typeof createPlugin>['register']>[0]);
    return this;
  }

  startServices(): void {
    for (const service of this.#services) service.start();
  }

  async stopServices(): Promise<void> {
    for (const service of this.#services) await service.stop();
  }

  hookOptions(name: string): Hook | undefined {
    return this.#hooks.find((hook) => hook.name === name);
  }

  async call(event: ToolCall, ctx: Ctx = {}): Promise<Fate> {
    let chosen: Record<string, unknown> | undefined;
    for (const hook of this.#ordered('before_tool_call')) {
      let result: { block?: boolean; blockReason?: string; params?: Record<string, unknown> } | undefined;
      try {
        result = (await bounded(hook.handler(structuredClone(event), ctx), hook.timeoutMs ?? 15_000)) as typeof result;
      } catch {
        return { blocked: 'Tool call blocked because before_tool_call hook failed' };
      }
      if (result?.block === true) return { blocked: result.blockReason ?? 'Tool call blocked by plugin hook' };
      chosen = result?.params ?? chosen;
    }
    return { ran: { ...event.params, ...chosen } };
  }

  async ended(event: ToolCall & { result?: unknown; error?: string; durationMs?: number }, ctx: Ctx = {}): Promise<void> {
    for (const hook of this.#ordered('after_tool_call')) await hook.handler(event, ctx);
  }

  async run(ctx: Ctx): Promise<unknown> {
    for (const hook of this.#ordered('before_agent_run')) return hook.handler({ prompt: 'hello' }, ctx);
    return undefined;
  }

  /** One of the sub-agent hooks, all of which OpenClaw calls without waiting for an answer. */
  async subagent(hook: string, event: Record<string, unknown>, ctx: Record<string, unknown>): Promise<void> {
    for (const { handler } of this.#ordered(hook)) await handler(event, ctx);
  }

  async runEnded(event: { runId?: string; success: boolean; error?: string; durationMs?: number }, ctx: Ctx): Promise<void> {
    for (const hook of this.#ordered('agent_end')) await hook.handler({ messages: [{ role: 'user', content: 'private' }], ...event }, ctx);
  }

  #ordered(name: string): Hook[] {
    return this.#hooks.filter((hook) => hook.name === name).sort((a, b) => b.priority - a.priority);
  }
}

async function bounded(work: unknown, timeoutMs: number): Promise<unknown> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error('timed out')), timeoutMs);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
