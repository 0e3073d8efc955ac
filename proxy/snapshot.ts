/**
 * The live picture that every call is judged by: active policy, agents, tasks, stop. Control sends it whole once and then what
 * changes, and beats every second; a picture that has not been confirmed for `limits.snapshotMaxAgeMs` is no picture, and the
 * call is refused. The stop is kept even then. A stop order that came past the line holds until the line says that this very stop is over.
 */
import type {
  AgentPicture,
  GatewayPicture,
  PolicyPicture,
  StreamMessage,
  SystemPicture,
  TaskPicture,
  UpstreamPicture,
} from '../control/contract.ts';
import { compilePolicy, type Policy } from '../policies/index.ts';
import type { Canaries } from './canaries.ts';

export interface Picture {
  policy: Policy;
  policyVersion: string;
  system: SystemPicture;
  agent: (id: string) => AgentPicture | undefined;
  agentByToken: (hash: string) => AgentPicture | undefined;
  gatewayByToken: (hash: string) => GatewayPicture | undefined;
  /** The agent in whose name a canary comes; marked, so that whatever it asks is refused. */
  agentByCanary: (token: string) => AgentPicture | undefined;
  /** By the id that OpenClaw gives it, or by ours. */
  agentOfGateway: (gatewayId: string, nameOrId: string) => AgentPicture | undefined;
  /** The agent of a gateway that has only one; of several nobody can say which is meant. */
  soleAgentOfGateway: (gatewayId: string) => AgentPicture | undefined;
  /** A sub-agent by its session: one that control has registered, or one that is expected. */
  childOf: (gatewayId: string, sessionKey: string) => AgentPicture | undefined;
  /** Whether control has registered a sub-agent of that session. */
  isRegistered: (gatewayId: string, sessionKey: string) => boolean;
  task: (id: string) => TaskPicture | undefined;
  taskOfSession: (sessionKey: string) => TaskPicture | undefined;
  /** By the name in its path. */
  upstream: (name: string) => UpstreamPicture | undefined;
  /** Whether the plugin in the agent's gateway was heard lately (SPEC 3.4). @param now by control's clock. */
  isGateLive: (agent: AgentPicture, now: number) => boolean;
}

/** The plugin beats every 10 s; two missed beats and a margin. */
const GATE_SILENT_MS = 30_000;
/** Control registers a sub-agent within a second or two of its start. */
const EXPECTED_MS = 60_000;
const EXPECTED_MAX = 1_000;
/** What a clock may be put right by without anybody noticing. */
const CLOCK_SLIP_MS = 500;

export class Snapshot {
  #policy: Policy | null = null;
  #policyVersion = '';
  #system: SystemPicture = { estop: false, stopId: null, squadPaused: false, activeAgents: 0 };
  /** The stop that was ordered past the line. */
  #ordered: string | null = null;
  readonly #agents = new Map<string, AgentPicture>();
  readonly #gateways = new Map<string, GatewayPicture>();
  readonly #tasks = new Map<string, TaskPicture>();
  readonly #agentByToken = new Map<string, AgentPicture>();
  readonly #gatewayByToken = new Map<string, GatewayPicture>();
  readonly #agentByExternal = new Map<string, AgentPicture>();
  readonly #taskBySession = new Map<string, TaskPicture>();
  readonly #childBySession = new Map<string, AgentPicture>();
  /** Sub-agents that have begun and that control has not registered yet, by id; the oldest is forgotten first. */
  readonly #expected = new Map<string, { agent: AgentPicture; until: number }>();
  readonly #upstreams = new Map<string, UpstreamPicture>();
  readonly #upstreamByName = new Map<string, UpstreamPicture>();
  #confirmedAt: number | null = null;
  #made: Picture | null = null;
  /** When the picture was last asked for: the moment of the call that is judged by it. */
  #askedAt = 0;
  /** Servers that are part of Mission Control: always there, under names that nobody can register. */
  #own: readonly UpstreamPicture[];
  readonly #canaries: Canaries | null;
  readonly #picture: Omit<Picture, 'policy' | 'policyVersion' | 'system'> = {
    agent: (id) => this.#agents.get(id) ?? this.#expectedChild(({ agent }) => agent.id === id),
    agentByToken: (hash) => this.#agentByToken.get(hash),
    gatewayByToken: (hash) => this.#gatewayByToken.get(hash),
    agentOfGateway: (gatewayId, nameOrId) => {
      const external = this.#agentByExternal.get(externalKey(gatewayId, nameOrId));
      if (external) return external;
      const own = this.#agents.get(nameOrId);
      return own?.gatewayId === gatewayId ? own : undefined;
    },
    soleAgentOfGateway: (gatewayId) => {
      const [first, second] = [...this.#agents.values()].filter((agent) => agent.gatewayId === gatewayId);
      return second === undefined ? first : undefined;
    },
    childOf: (gatewayId, sessionKey) =>
      this.#childBySession.get(externalKey(gatewayId, sessionKey)) ??
      this.#expectedChild(({ agent }) => agent.childSession === sessionKey && agent.gatewayId === gatewayId),
    isRegistered: (gatewayId, sessionKey) => this.#childBySession.has(externalKey(gatewayId, sessionKey)),
    task: (id) => this.#tasks.get(id),
    taskOfSession: (sessionKey) => this.#taskBySession.get(sessionKey),
    upstream: (name) => this.#upstreamByName.get(name),
    agentByCanary: (token) => this.#agentByCanary(token),
    isGateLive: (agent, now) => {
      const heard = agent.gatewayId === null ? null : (this.#gateways.get(agent.gatewayId)?.lastHeartbeat ?? null);
      return heard !== null && now - heard < GATE_SILENT_MS;
    },
  };

  constructor(own: readonly UpstreamPicture[] = [], canaries: Canaries | null = null) {
    this.#own = own;
    this.#canaries = canaries;
    for (const upstream of own) this.#addUpstream(upstream);
  }

  /** Mission Control's own servers have moved to another control. */
  moveOwn(own: readonly UpstreamPicture[]): void {
    this.#own = own;
    for (const upstream of own) this.#addUpstream(upstream);
  }

  /** The picture, or null where it is missing or older than the policy allows. @param now epoch milliseconds. */
  current(now: number): Picture | null {
    this.#askedAt = now;
    if (this.#policy === null || this.#confirmedAt === null) return null;
    const age = now - this.#confirmedAt;
    // Confirmed in the future: our clock was set back, and the picture may be as old as anything.
    if (age > this.#policy.snapshotMaxAgeMs || age < -CLOCK_SLIP_MS) return null;
    // Made once for each change of these three: a call asks for the picture several times.
    const system = this.system();
    if (this.#made?.policy !== this.#policy || this.#made.system !== system || this.#made.policyVersion !== this.#policyVersion)
      this.#made = { ...this.#picture, policy: this.#policy, policyVersion: this.#policyVersion, system };
    return this.#made;
  }

  /** Nothing speaks for it but itself: no gate has to be asked about what is refused in any case. */
  #agentByCanary(token: string): AgentPicture | undefined {
    const canary = this.#canaries?.read(token, this.#askedAt);
    const agent = canary ? this.#agents.get(canary.agentId) : undefined;
    return canary && agent ? { ...agent, gate: 'none', canary } : undefined;
  }

  /** Milliseconds since control last confirmed the picture; null = never. */
  age(now: number): number | null {
    return this.#confirmedAt === null ? null : now - this.#confirmedAt;
  }

  /** A sub-agent has begun: until control has registered it, it is known by what its parent is. @param now epoch milliseconds. */
  expect(agent: AgentPicture, now: number): void {
    if (this.#agents.has(agent.id)) return;
    this.#expected.set(agent.id, { agent, until: now + EXPECTED_MS });
    const oldest = this.#expected.size > EXPECTED_MAX ? this.#expected.keys().next().value : undefined;
    if (oldest !== undefined) this.#expected.delete(oldest);
  }

  /** One that is expected; what stops its parent stops it. */
  #expectedChild(isIt: (expected: { agent: AgentPicture }) => boolean): AgentPicture | undefined {
    // Rarely more than a few, and none at all at most times.
    for (const expected of this.#expected.values()) {
      if (!isIt(expected)) continue;
      const { agent, until } = expected;
      const parent = this.#agents.get(agent.parentId ?? '') ?? this.#expectedChild((other) => other.agent.id === agent.parentId);
      if (parent === undefined || (this.#confirmedAt ?? 0) > until) return undefined;
      return parent.status === 'active' || parent.status === 'drained' ? agent : { ...agent, status: parent.status };
    }
    return undefined;
  }

  system(): SystemPicture {
    return this.#ordered === null || this.#system.estop ? this.#system : { ...this.#system, estop: true, stopId: this.#ordered };
  }

  /** Takes a stop that came past the line. @returns false where the line has said that it is over. */
  order(stopId: string): boolean {
    if (this.#system.endedStops?.includes(stopId)) return false;
    this.#ordered = stopId;
    return true;
  }

  /** Takes in what control sent. @param now when it arrived, by our clock: control's own clock does not matter. */
  apply(message: StreamMessage, now: number): void {
    switch (message.type) {
      case 'picture':
        this.#agents.clear();
        this.#gateways.clear();
        this.#tasks.clear();
        this.#agentByToken.clear();
        this.#gatewayByToken.clear();
        this.#agentByExternal.clear();
        this.#taskBySession.clear();
        this.#childBySession.clear();
        this.#upstreams.clear();
        this.#upstreamByName.clear();
        this.#system = message.system;
        this.#setPolicy(message.policy);
        for (const agent of message.agents) this.#addAgent(agent);
        for (const gateway of message.gateways) this.#addGateway(gateway);
        for (const task of message.tasks) this.#addTask(task);
        for (const upstream of [...message.upstreams, ...this.#own]) this.#addUpstream(upstream);
        break;
      case 'system':
        this.#system = message.system;
        break;
      case 'policy':
        this.#setPolicy(message.policy);
        break;
      case 'agents':
        for (const id of message.removed) this.#removeAgent(id);
        for (const agent of message.changed) {
          this.#removeAgent(agent.id);
          this.#addAgent(agent);
        }
        break;
      case 'gateways':
        for (const id of message.removed) this.#removeGateway(id);
        for (const gateway of message.changed) {
          this.#removeGateway(gateway.id);
          this.#addGateway(gateway);
        }
        break;
      case 'tasks':
        for (const id of message.removed) this.#removeTask(id);
        for (const task of message.changed) {
          this.#removeTask(task.id);
          this.#addTask(task);
        }
        break;
      case 'upstreams':
        for (const id of message.removed) this.#removeUpstream(id);
        for (const upstream of message.changed) this.#addUpstream(upstream);
        break;
      case 'hold':
      case 'mark':
      case 'drill':
      case 'beat':
        break;
    }
    if (this.#ordered !== null && this.#system.endedStops?.includes(this.#ordered)) this.#ordered = null;
    this.#confirmedAt = now;
  }

  /** A policy that does not compile is no policy: everything is refused until one does. */
  #setPolicy({ version, document, gateRoots }: PolicyPicture): void {
    const result = compilePolicy(document, undefined, gateRoots);
    this.#policy = 'policy' in result ? result.policy : null;
    this.#policyVersion = version;
  }

  #addAgent(agent: AgentPicture): void {
    this.#expected.delete(agent.id);
    this.#agents.set(agent.id, agent);
    for (const hash of agent.tokenHashes) this.#agentByToken.set(hash, agent);
    if (agent.gatewayId && agent.externalId) this.#agentByExternal.set(externalKey(agent.gatewayId, agent.externalId), agent);
    if (agent.gatewayId && agent.childSession) this.#childBySession.set(externalKey(agent.gatewayId, agent.childSession), agent);
  }

  #removeAgent(id: string): void {
    const agent = this.#agents.get(id);
    if (!agent) return;
    this.#agents.delete(id);
    for (const hash of agent.tokenHashes) this.#agentByToken.delete(hash);
    if (agent.gatewayId && agent.externalId) this.#agentByExternal.delete(externalKey(agent.gatewayId, agent.externalId));
    if (agent.gatewayId && agent.childSession) this.#childBySession.delete(externalKey(agent.gatewayId, agent.childSession));
  }

  #addGateway(gateway: GatewayPicture): void {
    this.#gateways.set(gateway.id, gateway);
    for (const hash of gateway.tokenHashes) this.#gatewayByToken.set(hash, gateway);
  }

  #removeGateway(id: string): void {
    const gateway = this.#gateways.get(id);
    if (!gateway) return;
    this.#gateways.delete(id);
    for (const hash of gateway.tokenHashes) this.#gatewayByToken.delete(hash);
  }

  #addTask(task: TaskPicture): void {
    this.#tasks.set(task.id, task);
    for (const key of sessionsOf(task)) this.#taskBySession.set(key, task);
  }

  #addUpstream(upstream: UpstreamPicture): void {
    this.#removeUpstream(upstream.id);
    this.#upstreams.set(upstream.id, upstream);
    this.#upstreamByName.set(upstream.name, upstream);
  }

  #removeUpstream(id: string): void {
    const upstream = this.#upstreams.get(id);
    if (!upstream) return;
    this.#upstreams.delete(id);
    if (this.#upstreamByName.get(upstream.name) === upstream) this.#upstreamByName.delete(upstream.name);
  }

  #removeTask(id: string): void {
    const task = this.#tasks.get(id);
    if (!task) return;
    this.#tasks.delete(id);
    for (const key of sessionsOf(task)) if (this.#taskBySession.get(key)?.id === id) this.#taskBySession.delete(key);
  }
}

function sessionsOf({ sessionKey, moreSessions }: TaskPicture): string[] {
  return [...(sessionKey === null ? [] : [sessionKey]), ...(moreSessions ?? [])];
}

function externalKey(gatewayId: string, externalId: string): string {
  return `${gatewayId}\u0000${externalId}`;
}
