/**
 * Control's services on a real database in a folder of their own, with a clock that the test turns: for what takes hours in the
 * product, and for what must be done to the rows behind its back.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { createAgents } from '../../control/agents.ts';
import { createAlerts } from '../../control/alerts.ts';
import { createApprovals } from '../../control/approvals.ts';
import type { Actor } from '../../control/audit.ts';
import { createAuth } from '../../control/auth.ts';
import { createBroadcast } from '../../control/broadcast.ts';
import { createCaps } from '../../control/caps.ts';
import type { CallFacts, HoldRequest, JudgedFacts } from '../../control/contract.ts';
import { openDatabase, openServerDatabase } from '../../control/db/database.ts';
import { createDocuments } from '../../control/documents.ts';
import { createGatewayPasses } from '../../control/gateway-passes.ts';
import { createGateways } from '../../control/gateways.ts';
import { createGrants } from '../../control/grants.ts';
import { createHolds } from '../../control/holds.ts';
import { createIngest } from '../../control/ingest.ts';
import { openKeys } from '../../control/keys.ts';
import { createLeases } from '../../control/leases.ts';
import { createLine } from '../../control/line.ts';
import { createMessages } from '../../control/messages.ts';
import { createOperators } from '../../control/operators.ts';
import { createPolicies } from '../../control/policies.ts';
import { createShadows } from '../../control/shadows.ts';
import { createSpend } from '../../control/spend.ts';
import { createTasks } from '../../control/tasks.ts';
import { createTrials } from '../../control/trials.ts';
import { createUpstreams } from '../../control/upstreams.ts';
import { applyPatch, type JsonObject, parsePolicyText } from '../../policies/index.ts';
import { blankDatabase } from './blank-database.ts';

export const ADMIN: Actor = { type: 'human', id: 'admin', name: 'admin' };
export const CLUSTER_SECRET = 'a-cluster-secret-for-tests';

const START = Date.UTC(2026, 10, 22, 12);
const EMPTIED = [
  ...[
    'grants',
    'operators',
    'gateways',
    'agents',
    'tasks',
    'approvals',
    'tool_calls',
    'runs',
    'activities',
    'alerts',
    'outbox',
    'audit_log',
    'journal_cursors',
  ],
  ...[
    'spend',
    'messages',
    'documents',
    'leases',
    'credentials',
    'gate_sightings',
    'tool_results',
    'gate_detours',
    'gate_proofs',
    'drill_results',
  ],
];

export type Services = Awaited<ReturnType<typeof startServices>>;

/** Starts the services at a fixed time, on the embedded database or on a server's. `time.now` is the clock; set it to turn it. */
export async function startServices(databaseUrl: string | null = null) {
  const folder = mkdtempSync(join(tmpdir(), 'mc-services-'));
  const time = { now: START };
  const clock = () => time.now;
  if (databaseUrl === null) await blankDatabase(join(folder, 'data'));
  const { db, close } = await (databaseUrl === null ? openDatabase(join(folder, 'data')) : openServerDatabase(databaseUrl));
  const keys = openKeys(join(folder, 'keys'));
  const log = { error: () => {}, warn: () => {}, info: () => {} };
  const errors: unknown[] = [];
  const broadcast = createBroadcast({ db, onError: (error) => errors.push(error) });
  const base = { db, clock, published: broadcast.published };
  const policies = createPolicies({ ...base, gateRoots: [] });
  await policies.load(readFileSync(new URL('../../policies/default.yaml', import.meta.url), 'utf8'));
  const auth = createAuth({ db, clock, adminToken: null });
  const alerts = createAlerts(base);
  const tasks = createTasks(base);
  const grants = createGrants({ ...base, keys, activePolicy: policies.current });
  const operators = createOperators({ ...base, auth });
  const holds = createHolds({ ...base, keys, tasks, alerts, grants, activePolicy: policies.current });
  const approvals = createApprovals({ ...base, keys, tasks, alerts, grants, holds, activePolicy: policies.current });
  const gateways = createGateways({ ...base, keys, auth, alerts, log });
  const agents = createAgents({
    ...base,
    auth,
    tasks,
    alerts,
    activePolicy: policies.current,
    withdrawHeld: async (tx, agentId, reason, now) => void (await holds.withdrawHeld(tx, agentId, reason, now)),
    abortRuns: async () => ({ aborted: 0, error: null }),
  });
  const upstreams = createUpstreams({ ...base, keys, alerts, allowCommands: false });
  const gatewayPasses = createGatewayPasses({ ...base, keys, proxyUrl: 'http://127.0.0.1:3100' });
  const messages = createMessages(base);
  const documents = createDocuments({ db });
  const trials = createTrials({ db, clock, policies, log });
  const shadows = createShadows({ ...base, policies, trials });
  const spend = createSpend({ db, clock, activePolicy: policies.current });
  const caps = createCaps({ ...base, tasks, alerts, activePolicy: policies.current });
  const ingest = createIngest({ ...base, agents, gateways, alerts, spend, caps });
  const line = createLine({
    db,
    clock,
    keys,
    clusterSecret: CLUSTER_SECRET,
    broadcast,
    holds,
    ingest,
    policies,
    shadows,
    upstreams,
    gatewayPasses,
    spend,
    counters: null,
    log,
  });
  return {
    base,
    broadcast,
    keys,
    upstreams,
    messages,
    documents,
    leasesOf: (holder: string) => createLeases({ db, clock, holder }),
    db,
    time,
    errors,
    policies,
    trials,
    shadows,
    alerts,
    tasks,
    approvals,
    holds,
    grants,
    operators,
    agents,
    gateways,
    ingest,
    spend,
    caps,
    line,
    /** As after a start, at a fixed time; starting anew would take seconds. */
    empty: async () => {
      time.now = START;
      await sql.raw(`truncate ${EMPTIED.join(', ')} restart identity cascade`).execute(db);
      await sql.raw("update audit_head set seq = 0, hash = repeat('0', 64)").execute(db);
    },
    close: async () => {
      await trials.close();
      await broadcast.stop();
      await close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Makes the shipped policy with this patch the active one. */
export async function usePolicy({ policies }: Services, patch: JsonObject): Promise<void> {
  const shipped = await policies.get('v1');
  const document = applyPatch(parsePolicyText(shipped.source), { document: patch }) as { document: JsonObject };
  const { id } = await policies.add(ADMIN, { source: JSON.stringify(document.document), document: document.document, note: 'test' });
  await policies.activate(ADMIN, id, 'test', { id: 'none', redFlips: 0 });
}

/** A call as a proxy describes it. */
export function factsOfCall(fields: Partial<CallFacts> & { id: string; agentId: string }): CallFacts {
  return {
    key: `key-${fields.id}`,
    slot: null,
    digest: `digest-${fields.id}`,
    entry: 'openclaw',
    gatewayId: null,
    sessionKey: 's',
    runId: 'r',
    taskId: null,
    callId: fields.id,
    traceId: null,
    tool: 'exec',
    mappedTool: 'shell_exec',
    toolKind: null,
    cwd: null,
    workspace: '/workspace',
    at: Date.UTC(2026, 10, 22, 12),
    ...fields,
  };
}

export function judged(fields: Partial<JudgedFacts> = {}): JudgedFacts {
  return { verdict: 'hold', risk: 'yellow', reasons: [], policyVersion: 'v1', estimatedCost: 0, facts: null, ...fields };
}

/** What a proxy sends to open an approval. */
export function holdRequest(call: CallFacts, fields: Partial<HoldRequest> = {}): HoldRequest {
  const args = { command: `make ${call.id}` };
  const preview = { mappedTool: 'shell_exec', commands: [], paths: [], hosts: [] };
  return {
    proxyId: 'p',
    call,
    judged: judged(),
    arguments: args,
    redacted: args,
    preview,
    summary: args.command,
    insufficient: null,
    ...fields,
  };
}
