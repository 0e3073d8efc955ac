import { type Kysely, sql } from 'kysely';

/** The tables of the first release. Forward only: a later change is a later file. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `create table operators (
    id text primary key, name text not null, role text not null, created_at bigint not null, last_seen_at bigint, removed_at bigint)`,
  `create unique index operators_name on operators (name) where removed_at is null`,

  `create table credentials (
    id text primary key, kind text not null, owner_id text not null, hash text not null unique, hint text not null,
    created_at bigint not null, last_used_at bigint, revoked_at bigint)`,
  `create index credentials_owner on credentials (owner_id) where revoked_at is null`,

  `create table sign_in_links (hash text primary key, operator_id text not null references operators, expires_at bigint not null, used_at bigint)`,
  `create table sessions (
    hash text primary key, operator_id text not null references operators, csrf_token text not null, created_at bigint not null, expires_at bigint not null)`,

  `create table gateways (
    id text primary key, name text not null, url text, token_sealed text, created_at bigint not null, removed_at bigint,
    last_heartbeat bigint, plugin_version text)`,
  `create unique index gateways_name on gateways (name) where removed_at is null`,

  `create table agents (
    id text primary key, created_at bigint not null, updated_at bigint not null, revision integer not null,
    name text not null, session_key text, autonomy text not null, status text not null, status_reason text, status_changed_at bigint not null,
    gate text not null, gateway_id text references gateways, external_id text, workspace text,
    model_config jsonb not null, tool_permissions jsonb, daily_cap bigint, per_run_cap bigint, current_task_id text,
    parent_id text references agents, depth integer not null, last_heartbeat bigint, last_call_at bigint, error_streak integer not null,
    total_spend bigint not null, soul_hash text, metadata jsonb not null, removed_at bigint)`,
  `create unique index agents_name on agents (name) where removed_at is null`,
  `create unique index agents_external on agents (gateway_id, external_id) where removed_at is null and gateway_id is not null and external_id is not null`,

  `create table tasks (
    id text primary key, number bigint generated always as identity, created_at bigint not null, updated_at bigint not null, revision integer not null,
    title text not null, description text not null, type text not null, status text not null, status_before_hold text, priority text not null,
    assignee_ids jsonb not null, reviewer_ids jsonb not null, subscriber_ids jsonb not null, thread_ref text, session_key text,
    parent_task_id text references tasks, depends_on jsonb not null, budget bigint, spend bigint not null,
    work_plan text, deliverable text, deliverable_makes_claims boolean not null, self_review text, evidence jsonb not null,
    deliverable_confirmed boolean not null, decision_note text, blocked_reason text, metadata jsonb not null, removed_at bigint)`,
  `create index tasks_status on tasks (status, created_at) where removed_at is null`,
  `create index tasks_session on tasks (session_key) where session_key is not null and removed_at is null`,

  `create table task_transitions (
    id text primary key, created_at bigint not null, task_id text not null references tasks, from_status text not null, to_status text not null,
    actor text not null, actor_id text, reason text, artifacts_provided jsonb not null, idempotency_key text)`,
  `create index task_transitions_task on task_transitions (task_id, created_at)`,
  `create unique index task_transitions_key on task_transitions (task_id, idempotency_key) where idempotency_key is not null`,

  `create table approvals (
    id text primary key, number bigint generated always as identity, created_at bigint not null, kind text not null, status text not null,
    agent_id text, task_id text, run_id text, session_key text, tool_call_id text, tool text, arguments jsonb, edited_arguments jsonb, edited_sealed text,
    cwd text, workspace text, risk text not null, summary text not null, reasons jsonb not null, preview jsonb, digest text,
    estimated_cost bigint not null, allowance bigint not null, policy_version text,
    approver text, approver_id text, approver_type text, decision text, decided_at bigint, expires_at bigint not null,
    waiting_until bigint, deferred boolean not null, redeemed_at bigint, redeemed_by text, grant_expires_at bigint,
    told_at bigint, tell_attempts integer not null)`,
  // While an approval is pending, every call with the same digest finds this one (SPEC 3.1).
  `create unique index approvals_pending on approvals (digest) where status = 'pending' and digest is not null`,
  `create index approvals_grants on approvals (digest, decided_at) where status = 'approved' and redeemed_by is null`,
  `create index approvals_status on approvals (status, created_at)`,
  `create index approvals_task on approvals (task_id) where task_id is not null`,
  `create index approvals_agent on approvals (agent_id, created_at)`,

  `create table held_calls (
    id text primary key, approval_id text not null references approvals, call jsonb not null, judged jsonb not null, sealed text not null,
    created_at bigint not null, withdrawn_at bigint)`,
  `create index held_calls_approval on held_calls (approval_id)`,

  `create table tool_calls (
    id text primary key, created_at bigint not null, entry text not null, key text not null, slot text, digest text not null,
    agent_id text not null, gateway_id text, run_id text, task_id text, session_key text not null, call_id text, trace_id text,
    tool text not null, mapped_tool text not null, tool_kind text, cwd text, workspace text,
    risk text not null, verdict text not null, reasons jsonb not null, status text not null,
    input jsonb not null, output text, error text, held_at bigint, started_at bigint, ended_at bigint, duration double precision,
    cost bigint, estimated_cost bigint not null, approval_id text, policy_version text, facts jsonb, summary text not null)`,
  `create index tool_calls_time on tool_calls (created_at, id)`,
  `create index tool_calls_agent on tool_calls (agent_id, created_at, id)`,
  `create index tool_calls_task on tool_calls (task_id, created_at) where task_id is not null`,
  `create index tool_calls_approval on tool_calls (approval_id) where approval_id is not null`,
  `create index tool_calls_open on tool_calls (status) where status in ('running', 'needs_approval')`,

  `create table runs (
    id text primary key, run_id text not null, agent_id text not null, task_id text, session_key text, started_at bigint not null,
    last_seen_at bigint not null, ended_at bigint, status text not null, cost bigint not null, tool_call_count integer not null, error_message text)`,
  `create unique index runs_run on runs (agent_id, run_id)`,
  `create index runs_time on runs (started_at, id)`,

  `create table activities (
    id bigint generated always as identity primary key, created_at bigint not null, type text not null, task_id text, agent_id text,
    actor_id text, actor_type text not null, summary text not null, details jsonb not null)`,
  `create index activities_agent on activities (agent_id, id) where agent_id is not null`,
  `create index activities_task on activities (task_id, id) where task_id is not null`,

  `create table alerts (
    id text primary key, created_at bigint not null, type text not null, severity text not null, task_id text, agent_id text, gateway_id text,
    message text not null, dedupe_key text not null, resolved_at bigint, resolved_by text)`,
  `create unique index alerts_open on alerts (dedupe_key) where resolved_at is null`,
  `create index alerts_time on alerts (created_at, id)`,

  `create table policies (
    id text primary key, number bigint generated always as identity, version text not null unique, created_at bigint not null, created_by text not null,
    note text not null, active boolean not null, activated_at bigint, activated_by text, document jsonb not null, source text not null)`,
  `create unique index policies_active on policies (active) where active`,

  `create table system_state (
    id integer primary key check (id = 1), estop boolean not null, stop_id text, stopped_at bigint, stopped_by text, stop_reason text,
    squad_paused boolean not null, squad_paused_at bigint, squad_paused_by text, receipt jsonb)`,
  `insert into system_state (id, estop, squad_paused) values (1, false, false)`,

  `create table outbox (id bigint generated always as identity primary key, topic text not null, entity_id text not null, at bigint not null)`,

  `create table audit_log (
    seq bigint primary key, at bigint not null, actor_type text not null, actor_id text, action text not null, subject_type text not null,
    subject_id text, details jsonb not null, details_hash text not null, prev_hash text not null, hash text not null)`,
  `create index audit_log_subject on audit_log (subject_type, subject_id, seq)`,
  `create table audit_head (id integer primary key check (id = 1), seq bigint not null, hash text not null)`,
  `insert into audit_head (id, seq, hash) values (1, 0, repeat('0', 64))`,

  `create table journal_cursors (proxy_id text primary key, seq bigint not null, updated_at bigint not null)`,
  `create table spend (scope text primary key, micros bigint not null)`,

  `create table idempotency (
    key text not null, principal text not null, route text not null, request_hash text not null, status integer, response text, created_at bigint not null,
    primary key (principal, route, key))`,
];
