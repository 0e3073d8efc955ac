/**
 * The only file that sends requests. One function per thing the server can be asked; each answers the contract's type or throws a
 * `Refusal` whose sentence a person can act on. Writes carry the session's CSRF token; a 401 tells `onSignedOut` once, here, for all.
 */
import type {
  Activity,
  Agent,
  AgentCreate,
  AgentUpdate,
  Alert,
  Approval,
  ApprovalBatchResult,
  ApprovalStatus,
  AuditRowSchema,
  CapRaise,
  Channel,
  ChannelCreate,
  ChannelUpdate,
  ChatCodeSchema,
  ChatIdentity,
  Coverage,
  DrillCard,
  DrillName,
  DrillStarted,
  Forecast,
  Gateway,
  Grant,
  GrantDetail,
  GrantProposal,
  GrantRequest,
  Health,
  Message,
  NewTokenSchema,
  Notification,
  OperatorSchema,
  Overview,
  PolicyDifferenceSchema,
  PolicyProfileSchema,
  PolicySchema,
  Preview,
  Problem,
  Replay,
  Role,
  RosterEntry,
  Run,
  SearchHit,
  Session,
  Shadow,
  SpendView,
  StopProof,
  StopReceipt,
  SystemState,
  Task,
  TaskCostSchema,
  TaskCreate,
  TaskUpdate,
  TokenSchema,
  ToolCallView,
  TransitionRequest,
  TransitionSchema,
  UnreadThread,
  Upstream,
  UpstreamCreate,
  UpstreamTool,
  UpstreamUpdate,
  WholeArguments,
  WorkDocument,
} from '../control/contract.ts';
import type { AgentStatus, Autonomy, Reason, Risk, TaskStatus, Verdict } from '../policies/model.ts';
import { noteAsked } from './answer-age.ts';

/** A credential without its secret. */
export type Token = (typeof TokenSchema)['_output'];
/** A credential with its secret, shown once. */
export type NewToken = (typeof NewTokenSchema)['_output'];
/** One entry of the audit log. */
export type AuditRow = (typeof AuditRowSchema)['_output'];
/** Whether the chain of the audit log is whole, and if not, from where and why. */
export interface AuditVerdict {
  ok: boolean;
  rows?: number;
  head?: string;
  seq?: number;
  why?: string;
  /** Signed heads that the chain was compared with. */
  anchors?: number;
}
/** A code by which somebody shows a bot who they are. */
export type ChatCode = (typeof ChatCodeSchema)['_output'];
/** A person of this installation. */
export type Operator = (typeof OperatorSchema)['_output'];
/** What a task cost, by agent and tool. */
export type TaskCost = (typeof TaskCostSchema)['_output'];
/** One version of the policy. */
export type PolicyVersion = (typeof PolicySchema)['_output'];
/** A shipped variant of the policy, as a patch over the one in force. */
export type PolicyProfile = (typeof PolicyProfileSchema)['_output'];
export type PolicyDifference = (typeof PolicyDifferenceSchema)['_output'];
/** One recorded move of a task. */
export type Transition = (typeof TransitionSchema)['_output'];

/** One page of a list; `nextCursor` null = this was the last. */
export interface Page<T> {
  items: T[];
  nextCursor: string | null;
}

/** The server said no, or could not be reached (`status` 0). `message` is a sentence for people, `code` is stable. */
export class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  readonly problem: Problem | null;

  constructor(status: number, code: string, message: string, problem: Problem | null = null) {
    super(message);
    this.name = 'Refusal';
    this.status = status;
    this.code = code;
    this.problem = problem;
  }
}

/** What an agent can be told to do (SPEC 7). */
export type AgentAction = 'pause' | 'drain' | 'quarantine' | 'restart';

const REQUEST_TIMEOUT_MS = 15_000;

let csrfToken = '';
let signedOut: (refusal: Refusal) => void = () => {};

/** Who is told when the server no longer knows this session. */
export function onSignedOut(listener: (refusal: Refusal) => void): void {
  signedOut = listener;
}

let roleRefused: () => void = () => {};

/** Who is told when the server says that somebody's role is not enough: it may have changed meanwhile. */
export function onRoleRefused(listener: () => void): void {
  roleRefused = listener;
}

/* ---------------------------------------------------------------- session */

/** Signs in with a one-time or an operator token. */
export async function signIn(token: string): Promise<Session> {
  return keep(await send<Session>('POST', '/session', { token }, { quiet401: true }));
}

/** The session of this browser's cookie, or null when it has none. */
export async function readSession(): Promise<Session | null> {
  try {
    return keep(await send<Session>('GET', '/session', undefined, { quiet401: true }));
  } catch (error) {
    if (error instanceof Refusal && error.status === 401) return null;
    throw error;
  }
}

export async function signOut(): Promise<void> {
  await send('DELETE', '/session');
}

function keep(session: Session): Session {
  csrfToken = session.csrfToken;
  return session;
}

/* ---------------------------------------------------------------- reading */

export const readHealth = () => send<Health>('GET', '/health');
export const readDrills = () => send<DrillCard>('GET', '/drills');
/** @param name null = all of them. */
export const runDrills = (name: DrillName | null) => send<DrillStarted>('POST', '/drills', name === null ? {} : { name });
export const readCoverage = () => send<Coverage>('GET', '/coverage');
export const readOverview = () => send<Overview>('GET', '/overview');
export const readSystem = () => send<SystemState>('GET', '/emergency');
export const listAgents = () => all<Agent>('/agents', {});
export const listGateways = () => all<Gateway>('/gateways', {});
export const listOpenAlerts = () => all<Alert>('/alerts', { resolved: 'false' });
export const listPendingApprovals = () => all<Approval>('/approvals', { status: 'pending' });

export interface ApprovalQuery {
  /** Without one the server lists those that are pending. */
  status?: ApprovalStatus | 'all';
  agentId?: string;
  taskId?: string;
  limit?: number;
}
export const listApprovals = (query: ApprovalQuery) => send<Page<Approval>>('GET', `/approvals${search(query)}`);
/** All arguments of a held call, redacted, where the approval itself keeps them shortened. */
export const readWholeArguments = async (id: string) => (await send<WholeArguments>('GET', `/approvals/${id}/arguments`)).arguments;
/** What could be approved for longer from this call, or why nothing. */
export const readGrantProposal = (id: string) => send<GrantProposal>('GET', `/approvals/${id}/grant-proposal`);
export const listGrants = (query: { status?: Grant['status'] | 'all'; limit?: number; cursor?: string }) =>
  send<Page<Grant>>('GET', `/grants${search(query)}`);
/** With the calls that used it. */
export const readGrant = (id: string) => send<GrantDetail>('GET', `/grants/${id}`);
export const revokeGrant = (id: string, reason: string) => send<Grant>('POST', `/grants/${id}/revoke`, reason ? { reason } : {});
export const readApproval = (id: string) => send<Approval>('GET', `/approvals/${id}`);

export interface ToolCallQuery {
  agentId?: string;
  taskId?: string;
  approvalId?: string;
  status?: ToolCallView['status'];
  limit?: number;
  cursor?: string;
  /** Only calls older than this one. */
  before?: string;
}
export const listToolCalls = (query: ToolCallQuery) => send<Page<ToolCallView>>('GET', `/tool-calls${search(query)}`);
export const readToolCall = (id: string) => send<ToolCallView>('GET', `/tool-calls/${id}`);
export const listActivities = (query: { taskId?: string; limit?: number; cursor?: string; before?: string }) =>
  send<Page<Activity>>('GET', `/activities${search(query)}`);
export const listResolvedAlerts = (query: { limit?: number; cursor?: string }) =>
  send<Page<Alert>>('GET', `/alerts${search({ ...query, resolved: 'true' })}`);
export const listTasks = (query: { status?: TaskStatus; limit?: number; cursor?: string }) =>
  send<Page<Task>>('GET', `/tasks${search(query)}`);
export const readTask = (id: string) => send<Task>('GET', `/tasks/${id}`);
export const listRuns = (query: { taskId?: string; agentId?: string; limit?: number }) => send<Page<Run>>('GET', `/runs${search(query)}`);
export const listTransitions = (taskId: string) => all<Transition>(`/tasks/${taskId}/transitions`, {});
export interface AuditQuery {
  action?: string;
  subjectId?: string;
  actorType?: AuditRow['actorType'];
  actorId?: string;
  /** From this time, and before that one. */
  since?: number;
  until?: number;
  /** One entry alone. */
  seq?: number;
  limit?: number;
  cursor?: string;
}
export const listAudit = (query: AuditQuery) => send<Page<AuditRow>>('GET', `/audit${search(query)}`);
export const verifyAudit = () => send<AuditVerdict>('GET', '/audit/verify');
/** Newest first. `each`: at most so many of each kind, on one page. */
export const searchRecord = (query: { q: string; kind?: string; each?: number; limit?: number; cursor?: string }) =>
  send<Page<SearchHit>>('GET', `/search${search(query)}`);
/** The agents that a gateway has, asked of it now. */
export const readRoster = async (id: string) => (await send<{ items: RosterEntry[] }>('GET', `/gateways/${id}/roster`)).items;
export const importRoster = async (id: string, body: { externalIds: string[]; autonomyLevel: Autonomy }) =>
  (await send<{ items: Agent[] }>('POST', `/gateways/${id}/import`, body)).items;
export const readForecast = () => send<Forecast>('GET', '/spend/forecast');
export const readSpend = (query: { groupBy: string; since?: number; limit?: number; cursor?: string }) =>
  send<SpendView>('GET', `/spend${search(query)}`);
export const listChannels = () => all<Channel>('/channels', {});
export const listDeadNotifications = () => send<Page<Notification>>('GET', '/notifications?state=dead&limit=50');
export const listChatIdentities = async (operatorId: string) =>
  (await send<{ items: ChatIdentity[] }>('GET', `/operators/${operatorId}/chat-identities`)).items;
export const listOperators = () => all<Operator>('/operators', {});
export const readTaskCost = (taskId: string) => send<TaskCost>('GET', `/tasks/${taskId}/cost`);
export const listMessages = (query: { taskId: string; limit?: number }) => send<Page<Message>>('GET', `/messages${search(query)}`);
export const readUnread = async () => (await send<{ items: UnreadThread[] }>('GET', '/messages/unread')).items;
export const listDocuments = (query: { taskId?: string; limit?: number }) => send<Page<WorkDocument>>('GET', `/documents${search(query)}`);
export const listPolicies = () => all<PolicyVersion>('/policies', {});
export const listProfiles = async () => (await send<{ items: PolicyProfile[] }>('GET', '/policies/profiles')).items;
export const comparePolicy = (id: string, from: string) => send<PolicyDifference>('GET', `/policies/${id}/diff${search({ from })}`);
export const readReplay = (id: string) => send<Replay>('GET', `/policies/replays/${id}`);
export const listReplays = (query: { limit?: number }) => send<Page<Replay>>('GET', `/policies/replays${search(query)}`);
export const listShadows = (query: { limit?: number }) => send<Page<Shadow>>('GET', `/policies/shadows${search(query)}`);
export const listUpstreams = () => all<Upstream>('/upstreams', {});
export const listUpstreamTools = (id: string) => all<UpstreamTool>(`/upstreams/${id}/tools`, {});
export const listTokens = (agentId: string) => all<Token>(`/agents/${agentId}/tokens`, {});

/* ---------------------------------------------------------------- writing */

export interface DecisionBody {
  note?: string;
  arguments?: Record<string, unknown>;
  /** Approve further calls like this one as well. */
  grant?: GrantRequest;
  /** Whether arguments that somebody had edited were shown. */
  sawEdit?: boolean;
}
/** Decides several in one request; each is answered for itself. */
export const decideAll = async (ids: readonly string[], verdict: 'approve' | 'deny', note: string) =>
  (await send<ApprovalBatchResult>('POST', '/approvals/decide', { ids, verdict, ...(note ? { note } : {}) })).results;
export const decide = (id: string, verdict: 'approve' | 'deny', body: DecisionBody) =>
  send<Approval>('POST', `/approvals/${id}/${verdict}`, body);
/** One case for the simulator (SPEC 8.2): how would this call be judged by the active policy, with no approval. Nothing happens. */
export interface SimulatedCall {
  tool: string;
  arguments: Record<string, unknown>;
  cwd?: string;
  workspace?: string;
  agent: { id: string; autonomy: Autonomy; status: AgentStatus; depth: number; toolPermissions?: readonly string[] };
}
export interface SimulatedDecision {
  verdict: Verdict;
  risk: Risk;
  reasons: Reason[];
  /** How it was read; absent where it could not be. */
  trace?: Preview;
}
export async function simulate(call: SimulatedCall): Promise<SimulatedDecision> {
  const answer = await send<{ results: SimulatedDecision[] }>('POST', '/policies/simulate', { cases: [{ id: 'edit', ...call }] });
  const [result] = answer.results;
  if (!result) throw new Refusal(200, 'EMPTY', 'The simulator gave no result.');
  return result;
}
export const createAgent = (body: AgentCreate) => send<Agent>('POST', '/agents', body);
/** `revision` is the one the change was made on; another change since then answers 412. */
export const updateAgent = (id: string, revision: number, body: AgentUpdate) =>
  send<Agent>('PATCH', `/agents/${id}`, body, { ifMatch: revision });
export const controlAgent = (id: string, action: AgentAction, reason?: string) =>
  send<Agent>('POST', `/agents/${id}/${action}`, withReason(reason));
export const issueToken = (agentId: string) => send<NewToken>('POST', `/agents/${agentId}/tokens`, {});
export const revokeToken = (agentId: string, tokenId: string) => send('DELETE', `/agents/${agentId}/tokens/${tokenId}`);
/** @param upTo number of the last comment that was seen. */
export const markRead = (taskId: string, upTo: number) => send<null>('POST', `/tasks/${taskId}/read`, { upTo });
export const postMessage = (taskId: string, content: string) => send<Message>('POST', '/messages', { taskId, content });
export const createPolicy = (body: { document?: string; profile?: string; note: string }) =>
  send<{ id: string; version: string }>('POST', '/policies', body);
/** Answers 409 while the replay that it shows first runs, and where red calls would be allowed and that is not confirmed by their number. */
export const activatePolicy = (id: string, body: { note: string; replayId?: string; confirmRedFlips?: number }) =>
  send<PolicyVersion>('POST', `/policies/${id}/activate`, body);
export const startReplay = (policy: string) => send<Replay>('POST', '/policies/replay', { policy });
export const cancelReplay = (id: string) => send<Replay>('POST', `/policies/replays/${id}/cancel`, {});
export const startShadow = (policy: string, note: string) => send<Shadow>('POST', '/policies/shadows', { policy, note });
export const stopShadow = (id: string) => send<Shadow>('POST', `/policies/shadows/${id}/stop`, {});
export const createTask = (body: TaskCreate) => send<Task>('POST', '/tasks', body);
export const updateTask = (id: string, revision: number, body: TaskUpdate) =>
  send<Task>('PATCH', `/tasks/${id}`, body, { ifMatch: revision });
export const moveTask = (id: string, body: TransitionRequest) => send<Task>('POST', `/tasks/${id}/transition`, body);
/** Begins to authorise Mission Control at an upstream; `url` null = it needed nobody and is done. */
export const authorizeUpstream = (id: string) =>
  send<{ url: string | null; expiresAt: number | null }>('POST', `/upstreams/${id}/authorize`);
export const createUpstream = (body: UpstreamCreate) => send<Upstream>('POST', '/upstreams', body);
export const updateUpstream = (id: string, revision: number, body: UpstreamUpdate) =>
  send<Upstream>('PATCH', `/upstreams/${id}`, body, { ifMatch: revision });
export const removeUpstream = (id: string) => send('DELETE', `/upstreams/${id}`);
/** Accepts the definition with this hash and no other; one that came meanwhile answers 409. */
export const acceptTool = (upstreamId: string, tool: string, body: { hash: string; note?: string }) =>
  send<UpstreamTool>('POST', `/upstreams/${upstreamId}/tools/${encodeURIComponent(tool)}/accept`, body);
/** Adds to the cap of a task, or to an agent's cap of today. */
export const raiseCap = (body: { agentId?: string; taskId?: string; amount: number; note: string }) =>
  send<CapRaise>('POST', '/raises', body);
export const createChannel = (body: ChannelCreate) => send<Channel & { secret: string | null }>('POST', '/channels', body);
export const updateChannel = (id: string, body: ChannelUpdate) => send<Channel>('PATCH', `/channels/${id}`, body);
export const removeChannel = (id: string) => send('DELETE', `/channels/${id}`);
export const testChannel = (id: string) => send('POST', `/channels/${id}/test`, {});
export const retryNotification = (id: string) => send<Notification>('POST', `/notifications/${id}/retry`, {});
export const makeChatCode = (operatorId: string, channelId: string) =>
  send<ChatCode>('POST', `/operators/${operatorId}/chat-identities`, { channelId });
export const removeChatIdentity = (operatorId: string, id: string) => send('DELETE', `/operators/${operatorId}/chat-identities/${id}`);
export const createOperator = (body: { name: string; role: Role }) => send<Operator & { token: string }>('POST', '/operators', body);
export const updateOperator = (id: string, body: { role: Role }) => send<Operator>('PATCH', `/operators/${id}`, body);
/** Away until a time, with a deputy who decides approvals meanwhile. */
export const setAbsence = (id: string, body: { until: number; deputyId: string }) =>
  send<Operator>('POST', `/operators/${id}/absence`, body);
export const readAbsence = async (id: string) => (await send<Pick<Operator, 'absence'>>('GET', `/operators/${id}/absence`)).absence;
export const listDeputies = () => all<Pick<Operator, 'id' | 'name' | 'role'>>('/operators/deputies', {});
export const endAbsence = (id: string) => send<Operator>('DELETE', `/operators/${id}/absence`);
export const removeOperator = (id: string) => send('DELETE', `/operators/${id}`);
export const issueOperatorToken = (id: string) => send<NewToken>('POST', `/operators/${id}/tokens`, {});
export interface GatewayBody {
  name: string;
  url: string | null;
  token?: string;
}
/** The gateway, and the token of its plugin, which is shown once. */
export async function registerGateway(body: GatewayBody): Promise<{ gateway: Gateway; token: string }> {
  const at = performance.now();
  const { token, ...gateway } = await send<Gateway & { token: string }>('POST', '/gateways', body);
  noteAsked(gateway, at);
  return { gateway, token };
}
export const updateGateway = (id: string, body: GatewayBody) => send<Gateway>('PATCH', `/gateways/${id}`, body);
export const removeGateway = (id: string) => send('DELETE', `/gateways/${id}`);
/** A ticket to the gateway's own pages, behind the proxy. */
export const issueGatewayPass = (id: string) => send<{ url: string; expiresAt: number }>('POST', `/gateways/${id}/passes`, {});
export const issueGatewayToken = (id: string) => send<NewToken>('POST', `/gateways/${id}/tokens`, {});
export const resolveAlert = (id: string) => send<Alert>('POST', `/alerts/${id}/resolve`, {});
export const pauseSquad = (reason?: string) => send<SystemState>('POST', '/emergency/pause-squad', withReason(reason));
export const readStopProof = () => send<StopProof>('GET', '/emergency/receipt');
export const stopEverything = (reason?: string) => send<StopReceipt>('POST', '/emergency/stop', withReason(reason));
export const resume = (note: string) => send<SystemState>('POST', '/emergency/resume', { note });

function withReason(reason: string | undefined): { reason?: string } {
  return reason?.trim() ? { reason: reason.trim() } : {};
}

/* ---------------------------------------------------------------- the stream */

/** Opens the event stream, from after `lastEventId` where there is one. The body is text/event-stream. */
export async function openEvents(lastEventId: string | null, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
  const headers: Record<string, string> = { Accept: 'text/event-stream' };
  if (lastEventId !== null) headers['Last-Event-ID'] = lastEventId;
  const response = await reach('/api/events', { headers, signal, cache: 'no-store' });
  if (!response.ok || !response.body) throw await refusalOf(response, {});
  return response.body;
}

/* ---------------------------------------------------------------- how a request is sent */

interface SendOptions {
  /** A 401 is an answer here, not the end of a session. */
  quiet401?: boolean;
  ifMatch?: number;
}

async function send<T = void>(method: string, path: string, body?: unknown, options: SendOptions = {}): Promise<T> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (method !== 'GET') headers['X-MC-CSRF'] = csrfToken;
  if (options.ifMatch !== undefined) headers['If-Match'] = `"${options.ifMatch}"`;
  const at = performance.now();
  const response = await reach(`/api${path}`, {
    method,
    headers,
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw await refusalOf(response, options);
  const text = await response.text();
  const answer = (text ? JSON.parse(text) : undefined) as T;
  noteAsked(answer, at);
  return answer;
}

/** Every page of a list, bounded. */
async function all<T>(path: string, query: Record<string, string>): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < MAX_PAGES; page++) {
    const answer: Page<T> = await send<Page<T>>('GET', `${path}${search({ ...query, limit: PAGE_SIZE, ...(cursor ? { cursor } : {}) })}`);
    items.push(...answer.items);
    cursor = answer.nextCursor;
    if (cursor === null) break;
  }
  return items;
}
/** As much as the server gives at once: every further page is a round trip before the first paint. */
const PAGE_SIZE = 500;
const MAX_PAGES = 20;

function search(query: object): string {
  const pairs = Object.entries(query).flatMap(([key, value]) => (value === undefined ? [] : [[key, String(value)]]));
  return pairs.length ? `?${new URLSearchParams(pairs)}` : '';
}

async function reach(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { credentials: 'same-origin', ...init });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    const late = error instanceof DOMException && error.name === 'TimeoutError';
    throw new Refusal(0, 'UNREACHABLE', late ? 'The server did not answer in 15 s.' : 'The server cannot be reached.');
  }
}

async function refusalOf(response: Response, options: SendOptions): Promise<Refusal> {
  const problem = await readProblem(response);
  const refusal = new Refusal(
    response.status,
    problem?.code ?? `HTTP_${response.status}`,
    problem?.detail || problem?.title || `The server answered ${response.status}.`,
    problem,
  );
  if (response.status === 401 && !options.quiet401) signedOut(refusal);
  if (refusal.code === 'ROLE') roleRefused();
  return refusal;
}

async function readProblem(response: Response): Promise<Problem | null> {
  try {
    const body: unknown = await response.json();
    return typeof body === 'object' && body !== null && 'status' in body ? (body as Problem) : null;
  } catch {
    return null; // not JSON: a proxy in between answered, the status has to do
  }
}
