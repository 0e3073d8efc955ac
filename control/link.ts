/**
 * The link to one OpenClaw gateway: an operator's WebSocket (protocol 4) that reconnects by itself, shows its state, reads the
 * roster, says something into an agent's session, aborts what runs there, and tells what happens in its sessions. Nothing here throws into the caller or queues
 * without bound: what cannot be done now is answered with the reason, and who must not lose it (the dispatcher, the outbox)
 * asks again.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { z } from 'zod';

/** `unauthorized`: the gateway does not take our token; tried again slowly, because a person has to mend it. */
type LinkStatus = 'connecting' | 'connected' | 'unauthorized' | 'down';

export interface LinkState {
  state: LinkStatus;
  /** Epoch milliseconds since when. */
  since: number;
  /** What went wrong last, while it still does. */
  error: string | null;
  /** OpenClaw's own version, once it was connected. */
  version: string | null;
  /** Whether the gateway tells what happens in its sessions; without it their end is known from the plugin and from silence alone. */
  followsSessions: boolean;
}

/** Something happened in a session: it gave a sign of life, one of its runs is over, or the session itself is gone. */
export interface SessionEvent {
  sessionKey: string;
  /** OpenClaw's name of the agent; null where it does not say. */
  agentId: string | null;
  what: 'sign' | 'ended' | 'failed' | 'removed';
  /** The names of the run, as OpenClaw and whoever started it know it. */
  runIds: readonly string[];
}

/** An agent as the gateway lists it. */
interface RosterAgent {
  id: string;
  name: string | null;
  /** Absolute path, as OpenClaw resolves it. */
  workspace: string | null;
}

/** `down`: not connected. `busy`: too many requests under way. `timeout`: no answer, the effect is unknown. `refused`: the gateway said no. */
type LinkProblem = 'down' | 'busy' | 'timeout' | 'refused';
type LinkResult<T> = { ok: true; value: T } | { ok: false; problem: LinkProblem; message: string };

interface LinkClock {
  now(): number;
  /** Ends early, without an error, when the signal fires. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

interface LinkOptions {
  /** `ws://` or `wss://` address of the gateway. */
  url: string;
  /** The gateway's operator token (`gateway.auth.token` of its configuration). */
  token: string;
  clock?: LinkClock;
  /** 0 to 1; spreads reconnects. */
  random?: () => number;
  /** Called with every change of state; must not throw. */
  onState?: (state: LinkState) => void;
  /** Called with everything that happens in a session; must not throw. Events may be left out when the gateway is busy. */
  onSession?: (event: SessionEvent) => void;
  /** Called after each connect with the sessions in which something runs now; must not throw. */
  onActive?: (sessionKeys: readonly string[]) => void;
}

export interface GatewayLink {
  state(): LinkState;
  /** The gateway's agents. */
  agents(): Promise<LinkResult<RosterAgent[]>>;
  /**
   * Says `text` into a session as a user would; starts a run, or queues behind the one that is on. The same idempotency key is
   * one message, however often it is sent while the gateway lives. `value` is the run that it starts or joins.
   */
  sendToSession(sessionKey: string, text: string, idempotencyKey: string): Promise<LinkResult<string>>;
  /** Aborts the session's active run and what is queued behind it. `value` says whether a run was aborted. */
  abortRuns(sessionKey: string): Promise<LinkResult<boolean>>;
  /** Whether the gateway answers at this moment: a connection whose other end sleeps stands, and says nothing. Resolves within seconds. */
  answers(): Promise<boolean>;
  close(): Promise<void>;
}

const LIMITS = {
  handshakeMs: 10_000,
  requestMs: 20_000,
  /** For a gateway that is asked only whether it is awake. */
  awakeMs: 2_000,
  pending: 256,
  messageChars: 64_000,
  retryMinMs: 500,
  /** Short, because a gateway that is back without its plugin runs tools ungated, and only the link can tell. */
  retryMaxMs: 5_000,
  /** A wrong token is not mended by trying often, and the gateway locks out who does. */
  unauthorizedRetryMs: 60_000,
  /** Where the gateway does not say how often it ticks. */
  tickMs: 30_000,
  /** Between two requests to follow the sessions, where the first was not answered. */
  followAgainMs: 30_000,
  /** Sessions that run at once, as far as they are told after a connect; where there are more, nothing is said about the rest. */
  activeSessions: 500,
} as const;

const SCOPES = ['operator.read', 'operator.write'];

const Failure = z.object({
  code: z.string().catch('UNKNOWN'),
  message: z.string().catch(''),
  details: z.looseObject({ code: z.string().optional() }).optional().catch(undefined),
});
const Frame = z.union([
  z.object({ type: z.literal('res'), id: z.string(), ok: z.boolean(), payload: z.unknown().optional(), error: Failure.optional() }),
  z.object({ type: z.literal('event'), event: z.string(), payload: z.unknown().optional() }),
]);
const Hello = z.object({
  server: z.object({ version: z.string() }),
  policy: z.object({ tickIntervalMs: z.number().positive().optional() }).optional(),
});
const Roster = z.object({
  agents: z.array(z.object({ id: z.string().min(1), name: z.string().optional(), workspace: z.string().optional() })),
});
const Followed = z.object({
  subscribed: z.literal(true),
  list: z.object({
    sessions: z.array(z.object({ key: z.string(), hasActiveRun: z.boolean().optional() })),
    hasMore: z.boolean().optional(),
  }),
});
/** As 2026.9.6 sends it: of a run `phase` start, model, end or error; of a session `reason`. */
const SessionChange = z.object({
  sessionKey: z.string().min(1),
  agentId: z.string().optional().catch(undefined),
  phase: z.string().optional().catch(undefined),
  reason: z.string().optional().catch(undefined),
  runId: z.string().optional().catch(undefined),
  clientRunId: z.string().optional().catch(undefined),
});
const Sent = z.object({ runId: z.string() });
const Aborted = z.object({ abortedRunId: z.string().nullable().optional() });

const systemClock: LinkClock = {
  now: () => Date.now(),
  sleep: (ms, signal) => sleepFor(ms, undefined, { ref: false, ...(signal === undefined ? {} : { signal }) }).catch(() => undefined),
};

/** The gateway answered with an error. */
class Refusal extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message === '' ? code : `${code}: ${message}`);
    this.code = code;
  }
}

/** Starts to connect at once and goes on until `close`. */
export function connectGateway(options: LinkOptions): GatewayLink {
  return new Link(options);
}

class Link implements GatewayLink {
  readonly #options: LinkOptions;
  readonly #clock: LinkClock;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  #state: LinkState;
  #wire: Wire | null = null;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#state = { state: 'connecting', since: this.#clock.now(), error: null, version: null, followsSessions: false };
    this.#running = this.#run();
  }

  state(): LinkState {
    return { ...this.#state };
  }

  async agents(): Promise<LinkResult<RosterAgent[]>> {
    const answer = await this.#ask('agents.list', {}, Roster);
    if (!answer.ok) return answer;
    return {
      ok: true,
      value: answer.value.agents.map(({ id, name, workspace }) => ({ id, name: name ?? null, workspace: workspace ?? null })),
    };
  }

  async sendToSession(sessionKey: string, text: string, idempotencyKey: string): Promise<LinkResult<string>> {
    const message = text.length <= LIMITS.messageChars ? text : `${text.slice(0, LIMITS.messageChars)}\n[cut]`;
    const answer = await this.#ask('chat.send', { sessionKey, message, idempotencyKey }, Sent);
    return answer.ok ? { ok: true, value: answer.value.runId } : answer;
  }

  async abortRuns(sessionKey: string): Promise<LinkResult<boolean>> {
    const answer = await this.#ask('sessions.abort', { key: sessionKey, clearQueued: true }, Aborted);
    return answer.ok ? { ok: true, value: typeof answer.value.abortedRunId === 'string' } : answer;
  }

  async answers(): Promise<boolean> {
    return (await this.#wire?.isAwake()) === true;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#wire?.close();
    await this.#running;
  }

  async #ask<T>(method: string, params: Record<string, unknown>, shape: z.ZodType<T>): Promise<LinkResult<T>> {
    const wire = this.#wire;
    if (wire === null)
      return { ok: false, problem: 'down', message: `not connected to the gateway (${this.#state.error ?? this.#state.state})` };
    return wire.ask(method, params, shape);
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.#closing.signal.aborted; ) {
      this.#become('connecting', this.#state.error);
      const outcome = await this.#session(() => {
        failures = 0;
      });
      if (this.#closing.signal.aborted) break;
      failures += 1;
      this.#become(outcome.unauthorized ? 'unauthorized' : 'down', outcome.error);
      const ceiling = Math.min(LIMITS.retryMaxMs, LIMITS.retryMinMs * 2 ** Math.min(failures - 1, 16));
      const random = this.#options.random ?? Math.random;
      const backoff = outcome.unauthorized ? LIMITS.unauthorizedRetryMs : Math.round(ceiling / 2 + (ceiling / 2) * random());
      await this.#clock.sleep(backoff, this.#closing.signal);
    }
    this.#become('down', 'closed');
  }

  /** One connection, from dialling to its end. Never rejects. */
  async #session(connected: () => void): Promise<{ unauthorized: boolean; error: string }> {
    let wire: Wire | null = null;
    try {
      wire = new Wire(this.#options.url, this.#clock, (change) => this.#tell(change));
      this.#closing.signal.addEventListener('abort', () => wire?.close(), { once: true, signal: wire.ended });
      const hello = await wire.greet(this.#options.token);
      this.#wire = wire;
      connected();
      this.#state = { ...this.#state, version: hello.version };
      this.#become('connected', null);
      void this.#follow(wire);
      return { unauthorized: false, error: await wire.untilEnd(hello.tickMs) };
    } catch (error) {
      const unauthorized =
        wire?.refused === true || (error instanceof Refusal && /^(AUTH|PAIRING|FORBIDDEN|UNAUTHORIZED)/.test(error.code));
      return { unauthorized, error: error instanceof Error ? error.message : String(error) };
    } finally {
      this.#wire = null;
      wire?.close();
    }
  }

  /** Asks to be told what happens in sessions. A gateway that does not do that is linked all the same; a slow one is asked again. */
  async #follow(wire: Wire): Promise<void> {
    while (this.#wire === wire) {
      const answer = await wire.ask('sessions.subscribe', { activeOnly: true, limit: LIMITS.activeSessions }, Followed);
      if (this.#wire !== wire || (!answer.ok && answer.problem === 'refused')) return;
      if (answer.ok) return this.#followed(answer.value.list);
      await this.#clock.sleep(LIMITS.followAgainMs, wire.ended);
    }
  }

  #followed({ sessions, hasMore = false }: z.infer<typeof Followed>['list']): void {
    this.#state = { ...this.#state, followsSessions: true };
    this.#options.onState?.(this.state());
    if (!hasMore) this.#options.onActive?.(sessions.flatMap(({ key, hasActiveRun }) => (hasActiveRun === false ? [] : [key])));
  }

  #tell(payload: unknown): void {
    const change = SessionChange.safeParse(payload);
    if (!change.success) return;
    const { sessionKey, agentId = null, phase, reason, runId, clientRunId } = change.data;
    const what = reason === 'delete' ? 'removed' : phase === 'end' ? 'ended' : phase === 'error' ? 'failed' : 'sign';
    const runIds = [runId, clientRunId].filter((id) => id !== undefined);
    this.#options.onSession?.({ sessionKey, agentId, what, runIds });
  }

  #become(state: LinkStatus, error: string | null): void {
    const changed = state !== this.#state.state || error !== this.#state.error;
    if (!changed) return;
    const since = state === this.#state.state ? this.#state.since : this.#clock.now();
    const followsSessions = state === 'connected' && this.#state.followsSessions;
    this.#state = { ...this.#state, state, since, error, followsSessions };
    this.#options.onState?.(this.state());
  }
}

interface Answer {
  ok: boolean;
  payload: unknown;
  error: z.infer<typeof Failure> | undefined;
}

/** One socket: frames, requests under way, and the watch over its silence. */
class Wire {
  readonly #socket: WebSocket;
  readonly #clock: LinkClock;
  readonly #waiting = new Map<string, (answer: Answer | null) => void>();
  readonly #challenge = Promise.withResolvers<void>();
  readonly #end = Promise.withResolvers<string>();
  readonly #over = new AbortController();
  readonly #onSessions: (payload: unknown) => void;
  #lastFrame: number;
  #refused = false;

  constructor(url: string, clock: LinkClock, onSessions: (payload: unknown) => void) {
    this.#clock = clock;
    this.#onSessions = onSessions;
    this.#lastFrame = clock.now();
    this.#challenge.promise.catch(() => undefined);
    this.#socket = new WebSocket(url);
    this.#socket.onmessage = (message) => this.#receive(message.data);
    this.#socket.onerror = () => this.#finish(`cannot reach ${new URL(url).host}`);
    this.#socket.onclose = ({ code, reason }) => {
      // 2026.9.6 refuses a token by closing with 1008 and words, not by answering the greeting.
      this.#refused = code === 1008 && /unauthori[sz]ed|token|pairing|auth/i.test(reason);
      this.#finish(`the gateway closed the connection (${code}${reason === '' ? '' : ` ${reason}`})`);
    };
  }

  /** True once the gateway has closed the connection because of who we are. */
  get refused(): boolean {
    return this.#refused;
  }

  /** Fires when this connection is over. */
  get ended(): AbortSignal {
    return this.#over.signal;
  }

  /** Waits for the challenge and introduces us. Rejects when that fails or takes too long. */
  async greet(token: string): Promise<{ version: string; tickMs: number }> {
    const greeted = new AbortController();
    void this.#clock.sleep(LIMITS.handshakeMs, AbortSignal.any([greeted.signal, this.ended])).then(() => {
      if (!greeted.signal.aborted) this.#finish(`no greeting within ${LIMITS.handshakeMs} ms`);
    });
    try {
      await this.#challenge.promise;
      const introduction = {
        minProtocol: 4,
        maxProtocol: 4,
        // The one identity that the gateway takes with its shared token and without a paired device, on loopback.
        client: { id: 'gateway-client', mode: 'backend', version: '0.1.0', platform: process.platform, displayName: 'Mission Control' },
        role: 'operator',
        scopes: SCOPES,
        caps: [],
        auth: { token },
      };
      const answer = await this.#request('connect', introduction, LIMITS.handshakeMs);
      if (answer === null) throw new Error(this.ended.aborted ? await this.#end.promise : 'the gateway did not answer the greeting');
      if (!answer.ok) throw new Refusal(answer.error?.details?.code ?? answer.error?.code ?? 'UNKNOWN', answer.error?.message ?? '');
      const hello = Hello.parse(answer.payload);
      return { version: hello.server.version, tickMs: hello.policy?.tickIntervalMs ?? LIMITS.tickMs };
    } finally {
      greeted.abort();
    }
  }

  async ask<T>(method: string, params: Record<string, unknown>, shape: z.ZodType<T>): Promise<LinkResult<T>> {
    if (this.#waiting.size >= LIMITS.pending) {
      return { ok: false, problem: 'busy', message: `${LIMITS.pending} requests to the gateway are under way` };
    }
    const answer = await this.#request(method, params, LIMITS.requestMs);
    if (answer === null) {
      return { ok: false, problem: 'timeout', message: `${method} was sent and not answered; whether it took effect is not known` };
    }
    if (!answer.ok) {
      const said = `${answer.error?.code ?? 'UNKNOWN'} ${answer.error?.message ?? ''}`.trim();
      return { ok: false, problem: 'refused', message: `${method}: ${said}` };
    }
    const parsed = shape.safeParse(answer.payload);
    if (!parsed.success) return { ok: false, problem: 'refused', message: `${method}: the gateway answered in a shape we do not know` };
    return { ok: true, value: parsed.data };
  }

  /** Any answer shows it, a refusal as well. */
  async isAwake(): Promise<boolean> {
    return (await this.#request('agents.list', {}, LIMITS.awakeMs)) !== null;
  }

  /** Resolves with the reason once the connection is over; ends it itself when the gateway has fallen silent. */
  async untilEnd(tickMs: number): Promise<string> {
    const silenceMs = tickMs * 2.5;
    while (!this.ended.aborted) {
      const left = this.#lastFrame + silenceMs - this.#clock.now();
      if (left <= 0) this.#finish(`the gateway has been silent for ${Math.round(silenceMs / 1000)} s`);
      else await this.#clock.sleep(left, this.ended);
    }
    return this.#end.promise;
  }

  close(): void {
    this.#finish('closed');
  }

  /** Resolves with the answer, or with null when the connection ended first or nothing came in time. */
  async #request(method: string, params: Record<string, unknown>, timeoutMs: number): Promise<Answer | null> {
    if (this.ended.aborted || this.#socket.readyState !== WebSocket.OPEN) return null;
    const id = randomUUID();
    const answered = Promise.withResolvers<Answer | null>();
    const settled = new AbortController();
    this.#waiting.set(id, answered.resolve);
    this.#socket.send(JSON.stringify({ type: 'req', id, method, params }));
    // Wakes when the time is up, and also when the connection is over.
    void this.#clock.sleep(timeoutMs, AbortSignal.any([settled.signal, this.ended])).then(() => answered.resolve(null));
    const answer = await answered.promise;
    settled.abort();
    this.#waiting.delete(id);
    return answer;
  }

  #receive(data: unknown): void {
    this.#lastFrame = this.#clock.now();
    const frame = Frame.safeParse(parse(data));
    // Frames of kinds that we do not know are the gateway's business; they still prove that it lives.
    if (!frame.success) return;
    if (frame.data.type === 'event') {
      if (frame.data.event === 'connect.challenge') this.#challenge.resolve();
      if (frame.data.event === 'sessions.changed') this.#onSessions(frame.data.payload);
      return;
    }
    const { id, ok, payload, error } = frame.data;
    this.#waiting.get(id)?.({ ok, payload, error });
  }

  #finish(reason: string): void {
    if (this.ended.aborted) return;
    this.#end.resolve(reason);
    this.#challenge.reject(new Error(reason));
    this.#over.abort();
    this.#socket.onmessage = null;
    this.#socket.onerror = null;
    this.#socket.onclose = null;
    this.#socket.close();
  }
}

function parse(data: unknown): unknown {
  if (typeof data !== 'string') return undefined;
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}
