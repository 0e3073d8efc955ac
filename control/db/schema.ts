/**
 * The tables as Kysely sees them. Times are epoch milliseconds (bigint), money whole micro-dollars (bigint), identifiers text.
 * The SQL is in `migrations/`; the two must say the same, which the type checker cannot see: the flow tests do.
 */
import type { ColumnType, Generated } from 'kysely';
import type {
  Activity,
  Agent,
  Alert,
  Approval,
  CallFacts,
  Channel,
  DrillResult,
  GateReason,
  Grant,
  GrantScope,
  HoldRequest,
  HoldState,
  KnownLabel,
  Message,
  ModelMeter,
  Notification,
  Preview,
  Replay,
  Role,
  Run,
  ShadowReport,
  StopReceipt,
  Task,
  ToolCallView,
  ToolDefinition,
  Upstream,
  UpstreamOAuth,
  UpstreamTool,
  WorkDocument,
} from '../contract.ts';

/** A jsonb column: read as data, written with `json()` from database.ts. */
export type Jsonb<T> = ColumnType<T, unknown, unknown>;

export interface Database {
  operators: OperatorsTable;
  credentials: CredentialsTable;
  sign_in_links: { hash: string; operator_id: string; expires_at: number; used_at: number | null };
  sessions: { hash: string; operator_id: string; csrf_token: string; created_at: number; expires_at: number };
  gateways: GatewaysTable;
  gateway_passes: GatewayPassesTable;
  agents: AgentsTable;
  tasks: TasksTable;
  task_transitions: TransitionsTable;
  approvals: ApprovalsTable;
  held_calls: HeldCallsTable;
  grants: GrantsTable;
  approval_votes: ApprovalVotesTable;
  approval_notices: ApprovalNoticesTable;
  tool_calls: ToolCallsTable;
  runs: RunsTable;
  activities: ActivitiesTable;
  alerts: AlertsTable;
  policies: PoliciesTable;
  system_state: SystemStateTable;
  outbox: { id: Generated<number>; topic: string; entity_id: string; at: number };
  audit_log: AuditTable;
  audit_head: { id: number; seq: number; hash: string };
  audit_anchors: { seq: number; hash: string; at: number; previous: number; key_id: string; signature: string };
  journal_cursors: { proxy_id: string; seq: number; updated_at: number };
  spend: { scope: string; micros: number };
  policy_replays: PolicyReplaysTable;
  policy_shadows: PolicyShadowsTable;
  policy_shadow_reports: { shadow_id: string; process_id: string; report: Jsonb<ShadowReport> };
  run_labels: { agent_id: string; scope: string; label: KnownLabel['label']; at: number };
  idempotency: IdempotencyTable;
  upstreams: UpstreamsTable;
  upstream_tools: UpstreamToolsTable;
  upstream_oauth: UpstreamOAuthTable;
  upstream_authorizations: UpstreamAuthorizationsTable;
  messages: MessagesTable;
  documents: DocumentsTable;
  deliveries: DeliveriesTable;
  channels: ChannelsTable;
  notifications: NotificationsTable;
  notification_members: { notification_id: string; approval_id: string; place: number };
  card_versions: CardVersionsTable;
  chat_requests: { channel_id: string; digest: string; expires_at: number };
  message_reads: { reader_id: string; task_id: string; read_number: number; read_at: number };
  notification_cursor: { id: number; activity_id: number };
  chat_identities: ChatIdentitiesTable;
  chat_codes: ChatCodesTable;
  chat_threads: ChatThreadsTable;
  task_sessions: { task_id: string; agent_id: string; session_key: string; created_at: number };
  leases: LeasesTable;
  members: { id: string; role: 'control' | 'proxy'; url: string; seen_at: number };
  ledger_entries: LedgerEntriesTable;
  spend_by_proxy: { scope: string; proxy_id: string; micros: number };
  ledger_proxies: { proxy_id: string; bound: number; seen_at: number };
  cap_raises: CapRaisesTable;
  gate_sightings: { id: Generated<number>; gateway_id: string; wire_id: string | null; print: string | null; at: number };
  gate_detours: { id: Generated<number>; agent_id: string; tool: string; asked_at: number; at: number };
  tool_results: {
    id: Generated<number>;
    gateway_id: string;
    agent_id: string;
    wire_id: string | null;
    print: string | null;
    tool: string;
    at: number;
  };
  drill_results: {
    id: Generated<number>;
    request_id: string;
    name: DrillResult['name'];
    proxy_id: string;
    outcome: DrillResult['outcome'];
    found: string;
    duration_ms: number;
    at: number;
  };
  gate_proofs: { agent_id: string; entry: string; how: 'result' | 'canary'; at: number };
  cap_thresholds: { scope: string; percent: number; at: number };
}

export interface OperatorsTable {
  id: string;
  name: string;
  role: Role;
  created_at: number;
  last_seen_at: number | null;
  removed_at: number | null;
  /** Away until then; the deputy may decide approvals meanwhile. */
  away_until: number | null;
  deputy_id: string | null;
}

export interface CredentialsTable {
  id: string;
  kind: 'agent' | 'gateway' | 'operator';
  owner_id: string;
  hash: string;
  hint: string;
  created_at: number;
  last_used_at: number | null;
  revoked_at: number | null;
}

/** A ticket for the pass-through, and the cookie that it was exchanged for. */
export interface GatewayPassesTable {
  ticket_hash: string;
  operator_id: string;
  gateway_id: string;
  session_hash: string | null;
  created_at: number;
  ticket_expires_at: number;
  cookie_hash: string | null;
  expires_at: number | null;
}
export interface GatewaysTable {
  id: string;
  name: string;
  url: string | null;
  token_sealed: string | null;
  created_at: number;
  removed_at: number | null;
  last_heartbeat: number | null;
  plugin_version: string | null;
}

export interface AgentsTable {
  id: string;
  created_at: number;
  updated_at: number;
  revision: number;
  name: string;
  session_key: string | null;
  autonomy: Agent['autonomyLevel'];
  status: Agent['status'];
  status_reason: string | null;
  status_changed_at: number;
  /** True when the squad's pause, not a person's act on this agent, paused it. */
  gate: Agent['gate'];
  gateway_id: string | null;
  external_id: string | null;
  workspace: string | null;
  model_config: Jsonb<Agent['modelConfig']>;
  tool_permissions: Jsonb<string[] | null>;
  daily_cap: number | null;
  per_run_cap: number | null;
  current_task_id: string | null;
  parent_id: string | null;
  depth: number;
  last_heartbeat: number | null;
  last_call_at: number | null;
  error_streak: number;
  total_spend: number;
  soul_hash: string | null;
  /** Name of the template it was made from. */
  soul: string | null;
  /** When a sub-agent ends by itself; null = never. */
  retire_at: number | null;
  metadata: Jsonb<Record<string, unknown>>;
  removed_at: number | null;
}

export interface TasksTable {
  id: string;
  number: Generated<number>;
  created_at: number;
  updated_at: number;
  revision: number;
  title: string;
  description: string;
  type: Task['type'];
  status: Task['status'];
  /** Where NEEDS_APPROVAL returns to once a person has decided. */
  status_before_hold: Task['status'] | null;
  priority: Task['priority'];
  assignee_ids: Jsonb<string[]>;
  reviewer_ids: Jsonb<string[]>;
  subscriber_ids: Jsonb<string[]>;
  thread_ref: string | null;
  session_key: string | null;
  parent_task_id: string | null;
  depends_on: Jsonb<string[]>;
  budget: number | null;
  spend: number;
  work_plan: string | null;
  deliverable: string | null;
  deliverable_makes_claims: boolean;
  self_review: string | null;
  evidence: Jsonb<string[]>;
  deliverable_confirmed: boolean;
  decision_note: string | null;
  blocked_reason: string | null;
  /** What the work had cost when it was last handed in. */
  cost_summary: string | null;
  metadata: Jsonb<Record<string, unknown>>;
  removed_at: number | null;
}

export interface TransitionsTable {
  id: string;
  /** In the order in which they were made. */
  number: Generated<number>;
  created_at: number;
  task_id: string;
  from_status: Task['status'];
  to_status: Task['status'];
  actor: 'agent' | 'human' | 'system';
  actor_id: string | null;
  reason: string | null;
  artifacts_provided: Jsonb<string[]>;
  idempotency_key: string | null;
}

export interface ApprovalsTable {
  id: string;
  number: Generated<number>;
  created_at: number;
  kind: Approval['kind'];
  status: Approval['status'];
  agent_id: string | null;
  task_id: string | null;
  run_id: string | null;
  session_key: string | null;
  tool_call_id: string | null;
  tool: string | null;
  arguments: Jsonb<Record<string, unknown> | null>;
  edited_arguments: Jsonb<Record<string, unknown> | null>;
  /** The arguments that may run after an edit, encrypted; null = the caller's original. */
  edited_sealed: string | null;
  cwd: string | null;
  workspace: string | null;
  risk: Approval['risk'];
  summary: string;
  reasons: Jsonb<Approval['reasons']>;
  preview: Jsonb<Preview | null>;
  digest: string | null;
  estimated_cost: number;
  allowance: number;
  policy_version: string | null;
  approver: string | null;
  approver_id: string | null;
  approver_type: 'human' | 'agent' | 'system' | null;
  decision: string | null;
  decided_at: number | null;
  expires_at: number;
  waiting_until: number | null;
  deferred: boolean;
  redeemed_at: number | null;
  redeemed_by: string | null;
  grant_expires_at: number | null;
  /** When the agent was told of the decision through its session; null = not (yet) needed or not done. */
  told_at: number | null;
  tell_attempts: number;
  /** As the policy had it when it was opened. */
  approvals_needed: Generated<number>;
  reminders: Generated<number>;
  escalated_at: number | null;
  /** The standing grant that decided it, and the reasons that it answers. */
  grant_id: string | null;
  releases: Jsonb<HoldState['releases'] | null>;
}

/** A person's approval of one request; two where the policy wants two people. */
interface ApprovalVotesTable {
  approval_id: string;
  operator_id: string;
  name: string;
  /** 1 = the first. */
  place: number;
  at: number;
  note: string | null;
  /** Names of those who are away and whose deputy this person is. */
  acting_for: Jsonb<string[]>;
}

/** What has to be said to people about an approval; written with what causes it, taken by whoever delivers (docs/approvals.md). */
export interface ApprovalNoticesTable {
  id: string;
  dedupe_key: string;
  created_at: number;
  approval_id: string;
  kind: 'reminder' | 'escalation';
  to_role: Role;
  text: string;
  taken_at: number | null;
}

/** Approvals for longer (SPEC 6). Of the three scope columns one is set, as `scope_kind` says. */
export interface GrantsTable {
  id: string;
  number: Generated<number>;
  created_at: number;
  created_by: string;
  created_by_name: string;
  approval_id: string;
  scope_kind: GrantScope['kind'];
  agent_id: string | null;
  task_id: string | null;
  autonomy_level: Agent['autonomyLevel'] | null;
  tool: string;
  pattern: Jsonb<Grant['pattern']['template']>;
  expires_at: number;
  max_uses: number | null;
  uses: number;
  last_used_at: number | null;
  revoked_at: number | null;
  revoked_by: string | null;
  revoke_reason: string | null;
  note: string | null;
}

/** A held call's own arguments, encrypted, until its hold and grant have ended (SPEC 6). */
export interface HeldCallsTable {
  id: string;
  approval_id: string;
  call: Jsonb<CallFacts>;
  judged: Jsonb<HoldRequest['judged']>;
  sealed: string;
  created_at: number;
  withdrawn_at: number | null;
}

export interface ToolCallsTable {
  id: string;
  created_at: number;
  entry: ToolCallView['entry'];
  key: string;
  slot: string | null;
  digest: string;
  agent_id: string;
  gateway_id: string | null;
  run_id: string | null;
  task_id: string | null;
  session_key: string;
  call_id: string | null;
  trace_id: string | null;
  tool: string;
  mapped_tool: string;
  tool_kind: string | null;
  cwd: string | null;
  workspace: string | null;
  risk: ToolCallView['risk'];
  verdict: ToolCallView['verdict'];
  reasons: Jsonb<GateReason[]>;
  status: ToolCallView['status'];
  input: Jsonb<Record<string, unknown>>;
  output: string | null;
  error: string | null;
  held_at: number | null;
  started_at: number | null;
  ended_at: number | null;
  duration: number | null;
  cost: number | null;
  estimated_cost: number;
  approval_id: string | null;
  policy_version: string | null;
  facts: Jsonb<unknown>;
  summary: string;
  /** The proxy that recorded its intent. */
  proxy_id: string | null;
  /** Of a model call: the upstream, the model, what the provider said, and how that was priced; null until it has ended. */
  provider: string | null;
  model: string | null;
  usage: Jsonb<ModelMeter['usage']>;
  cost_estimated: boolean | null;
  /** Its caller ended it: no failure of the tool. */
  ended_by_caller: boolean | null;
  price_entry: string | null;
}

export interface RunsTable {
  id: string;
  run_id: string;
  agent_id: string;
  task_id: string | null;
  session_key: string | null;
  started_at: number;
  last_seen_at: number;
  ended_at: number | null;
  status: Run['status'];
  cost: number;
  tool_call_count: number;
  error_message: string | null;
}

export interface ActivitiesTable {
  id: Generated<number>;
  created_at: number;
  type: Activity['type'];
  task_id: string | null;
  agent_id: string | null;
  actor_id: string | null;
  actor_type: Activity['actorType'];
  summary: string;
  details: Jsonb<Record<string, unknown>>;
}

export interface AlertsTable {
  id: string;
  created_at: number;
  type: Alert['type'];
  severity: Alert['severity'];
  task_id: string | null;
  agent_id: string | null;
  gateway_id: string | null;
  message: string;
  /** One open alert per subject and type. */
  dedupe_key: string;
  resolved_at: number | null;
  resolved_by: string | null;
}

export interface PoliciesTable {
  id: string;
  number: Generated<number>;
  version: string;
  created_at: number;
  created_by: string;
  note: string;
  active: boolean;
  activated_at: number | null;
  activated_by: string | null;
  document: Jsonb<Record<string, unknown>>;
  source: string;
  /** The replay that its last activation was confirmed by. */
  replay_id: Generated<string | null>;
}

export interface PolicyReplaysTable {
  id: string;
  created_at: number;
  created_by: string;
  policy_id: string | null;
  policy_name: string;
  source: string;
  base_id: string;
  base_version: string;
  since: number;
  until: number;
  status: Replay['status'];
  judged: number;
  total: number;
  finished_at: number | null;
  error: string | null;
  result: Jsonb<Replay['result']>;
}

export interface PolicyShadowsTable {
  id: string;
  started_at: number;
  started_by: string;
  note: string;
  policy_id: string | null;
  policy_name: string;
  source: string;
  stopped_at: number | null;
  stopped_by: string | null;
}

export interface SystemStateTable {
  id: number;
  estop: boolean;
  stop_id: string | null;
  stopped_at: number | null;
  stopped_by: string | null;
  stop_reason: string | null;
  squad_paused: boolean;
  squad_paused_at: number | null;
  squad_paused_by: string | null;
  receipt: Jsonb<StopReceipt | null>;
  ended_stops: Jsonb<string[]>;
  key_fingerprint: string | null;
}

export interface AuditTable {
  seq: number;
  at: number;
  actor_type: 'agent' | 'human' | 'system';
  actor_id: string | null;
  action: string;
  subject_type: string;
  subject_id: string | null;
  details: Jsonb<Record<string, unknown>>;
  /** What retention drops; null then, or where there was none. The details keep its hash. */
  payload: Jsonb<Record<string, unknown> | null>;
  /** SHA-256 of the canonical details: what the chain binds. */
  details_hash: string;
  prev_hash: string;
  hash: string;
}

export interface IdempotencyTable {
  key: string;
  principal: string;
  route: string;
  request_hash: string;
  status: number | null;
  response: string | null;
  created_at: number;
}

export interface UpstreamsTable {
  id: string;
  created_at: number;
  updated_at: number;
  revision: number;
  name: string;
  kind: Upstream['kind'];
  url: string | null;
  command: Jsonb<string[] | null>;
  /** JSON {secret, env}, encrypted; null where there is neither. */
  sealed: string | null;
  trusted: boolean;
  allow_private: boolean;
  shared: boolean;
  routes: Jsonb<Upstream['routes']>;
  /** Micro-dollars per call; null = none. */
  price: number | null;
  limits: Jsonb<Upstream['limits']>;
  /** When the first listing of tools began, and when it was whole: from then on a tool that was not in it is new. */
  pinning_since: number | null;
  pinned_at: number | null;
  health: Upstream['health']['state'];
  last_error: string | null;
  last_error_at: number | null;
  last_success_at: number | null;
  removed_at: number | null;
}

export interface UpstreamToolsTable {
  upstream_id: string;
  name: string;
  state: UpstreamTool['state'];
  /** The definition that calls are accepted for, and its hash; null while none is. */
  pinned: Jsonb<ToolDefinition | null>;
  pinned_hash: string | null;
  /** The definition that the server gave last; null where it no longer offers the tool. */
  seen: Jsonb<ToolDefinition | null>;
  seen_hash: string | null;
  /** Why it is held, where that is not plain from the definitions. */
  note: string | null;
  first_seen_at: number;
  last_seen_at: number;
  changed_at: number | null;
  accepted_at: number | null;
  accepted_by: string | null;
}

export interface UpstreamOAuthTable {
  upstream_id: string;
  /** Another one with every change of the settings: an authorization that was begun under other settings does not count. */
  settings_id: string;
  grant_type: UpstreamOAuth['grant'];
  client_id: string | null;
  scope: string | null;
  issuer: string | null;
  /** JSON of control/upstream-credentials.ts, encrypted: client secret, registration, connection with its tokens. */
  sealed: string | null;
  state: UpstreamOAuth['state'];
  authorized_at: number | null;
  authorized_by: string | null;
  /** When the access token came. */
  token_at: number | null;
  /** When the access token ends; null = unknown or there is none. */
  expires_at: number | null;
  /** When the next token is asked for; null = when the server no longer takes this one. */
  refresh_at: number | null;
  /** Attempts to get the next one that have failed in a row. */
  attempts: number;
  error: string | null;
  error_at: number | null;
}

/** An authorization that somebody has begun and not ended. */
export interface UpstreamAuthorizationsTable {
  state_hash: string;
  upstream_id: string;
  operator_id: string;
  created_at: number;
  expires_at: number;
  /** JSON: PKCE verifier and what was found out about the server, encrypted. */
  sealed: string;
}

export interface MessagesTable {
  id: string;
  number: Generated<number>;
  created_at: number;
  task_id: string;
  thread_ref: string | null;
  author_id: string | null;
  author_type: Message['authorType'];
  author_name: string;
  content: string;
  mentions: Jsonb<string[]>;
  metadata: Jsonb<Record<string, unknown>>;
}

export interface DocumentsTable {
  id: string;
  number: Generated<number>;
  created_at: number;
  kind: WorkDocument['kind'];
  task_id: string | null;
  /** The day that it reports on, "2026-11-22"; unique for its kind. */
  day: string | null;
  title: string;
  /** Markdown. */
  body: string;
}

/** Something that has to reach an agent through its session, or a run that has to end there: kept until it was done. */
export interface DeliveriesTable {
  id: string;
  dedupe_key: string;
  created_at: number;
  due_at: number;
  kind: 'brief' | 'notice' | 'mention' | 'abort';
  agent_id: string;
  task_id: string | null;
  session_key: string;
  text: string;
  attempts: number;
  delivered_at: number | null;
  /** When it had become pointless. */
  dropped_at: number | null;
  last_error: string | null;
}

/** A way to people outside the dashboard. */
export interface ChannelsTable {
  id: string;
  created_at: number;
  updated_at: number;
  revision: number;
  name: string;
  kind: Channel['kind'];
  enabled: boolean;
  /** The chat, the conversation, or the address. */
  destination: string;
  api_root: string | null;
  mode: Channel['mode'];
  topics: boolean;
  allow_private: boolean;
  events: Jsonb<Channel['events']>;
  /** JSON {token, secret}, encrypted. */
  sealed: string;
  /** The revision that the other side was last told of (commands, webhook). */
  setup_revision: Generated<number>;
  /** What we are called there. */
  account: string | null;
  /** Up to where what came in has been dealt with (Telegram's update id). */
  inbound_cursor: Generated<number>;
  /** Nothing is sent before this time: it asked for a pause, or cannot be reached. */
  held_until: Generated<number>;
  failures: Generated<number>;
  last_error: string | null;
  last_error_at: number | null;
  last_success_at: number | null;
  removed_at: number | null;
}

/** Something to be said on a channel, once; kept after it was. */
export interface NotificationsTable {
  id: string;
  number: Generated<number>;
  dedupe_key: string;
  created_at: number;
  due_at: number;
  channel_id: string;
  kind: Notification['kind'];
  recipient: Jsonb<Recipient>;
  approval_id: string | null;
  task_id: string | null;
  summary: string;
  /** What people read; null for an approval's card, which is made of the approval when it is sent. */
  note: Jsonb<unknown>;
  /** What a program reads (webhook). */
  payload: Jsonb<Record<string, unknown>>;
  attempts: Generated<number>;
  /** When the last attempt began; with delivered_at null it is not known whether it arrived. */
  sending_at: number | null;
  delivered_at: number | null;
  dead_at: number | null;
  last_error: string | null;
  /** Where it stands there. */
  ref: Jsonb<MessageRef | null>;
  /** The states of the approvals that its card shows. */
  shown: string | null;
  /** Like requests with this key join a card that still waits; null = it stands for one request alone. */
  group_key: Generated<string | null>;
  /** All its requests are over, and it shows that. */
  card_over: Generated<boolean>;
  edit_due_at: Generated<number>;
  edit_attempts: Generated<number>;
}

/** What a card for several requests offered to decide when it showed this revision. */
export interface CardVersionsTable {
  notification_id: string;
  revision: number;
  created_at: number;
  offers: Jsonb<CardOffer[]>;
}

/** A request that a card lists. */
export interface CardOffer {
  id: string;
  /** What it would run (`contentOf` of cards.ts). */
  content: string;
  /** It stands there in whole and may be approved with the others. */
  whole: boolean;
}

/** Where something goes on a channel. */
export interface Recipient {
  /** A chat or conversation there; null = the channel's own. */
  chat: string | null;
  /** Into the thread of the notification's task, where the channel has threads. */
  inThread?: boolean;
  /** Only this user sees it (Slack). */
  onlyFor?: string;
  /** As an answer to this message. */
  replyTo?: string;
}

/** A message on a channel, as that names it. */
export interface MessageRef {
  chat: string;
  message: string;
}

export interface ChatIdentitiesTable {
  id: string;
  created_at: number;
  operator_id: string;
  channel_id: string;
  external_id: string;
  external_name: string;
  removed_at: number | null;
}

/** One-time codes by which somebody shows who they are on a channel. */
export interface ChatCodesTable {
  hash: string;
  operator_id: string;
  channel_id: string;
  created_at: number;
  expires_at: number;
  used_at: number | null;
}

/** The thread of a task on a channel, and what it is called there. */
export interface ChatThreadsTable {
  channel_id: string;
  task_id: string;
  external_id: string;
  created_at: number;
  shown_title: string;
  closed: boolean;
}

/** Which process does a worker's job, and until when. */
export interface LeasesTable {
  name: string;
  holder: string;
  expires_at: number;
  ticked_at: number | null;
  succeeded_at: number | null;
  last_error: string | null;
}

/** One call that cost something. */
export interface LedgerEntriesTable {
  call_id: string;
  at: number;
  /** The budget day that it counts for. */
  day: string;
  agent_id: string;
  task_id: string | null;
  run_id: string | null;
  entry: ToolCallView['entry'];
  tool: string;
  provider: string | null;
  model: string | null;
  cost: number;
  proxy_id: string;
  /** Keys of the caps that it counts under. */
  scopes: Jsonb<string[]>;
}

export interface CapRaisesTable {
  id: string;
  created_at: number;
  /** The key of the cap that it lifts. */
  scope: string;
  agent_id: string | null;
  task_id: string | null;
  micros: number;
  note: string;
  created_by: string;
  expires_at: number;
  /** When it was taken back. */
  ended_at: number | null;
}
