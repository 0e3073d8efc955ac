/**
 * Standing grants: an approval for longer (SPEC 6). Made with an approval, used in the transaction that opens an approval for a held
 * call, never in the call path of a proxy: what it decides is an ordinary approval, which is judged again, redeemed once and recorded
 * like any other. Whether a call is covered is a pure question (policies/grants.ts), asked anew with the policy of now at every use; the
 * count is taken in the same statement that checks revocation, end and limit.
 */
import { hash, randomUUID } from 'node:crypto';
import { type SelectQueryBuilder, sql } from 'kysely';
import {
  canonicalJson,
  covers,
  type Facts,
  type Grantable,
  type GrantPattern,
  type GrantRefusal,
  isAnswerable,
  isRefusal,
  type JsonObject,
  type Policy,
  proposePatterns,
  readGrantable,
  redactText,
} from '../policies/index.ts';
import type { Actor } from './audit.ts';
import { atLeast } from './auth.ts';
import { recordChanges } from './changes.ts';
import type { CallFacts, Grant, GrantDetail, GrantProposal, GrantRequest, GrantScope, HoldRequest, ToolCallView } from './contract.ts';
import { type Db, json, type Tx } from './db/database.ts';
import type { Database, GrantsTable } from './db/schema.ts';
import type { Keys } from './keys.ts';
import { decodeCursor, encodeCursor } from './paging.ts';
import { roleOf } from './people.ts';
import type { ActivePolicy } from './policies.ts';
import { notFound, Refusal } from './problem.ts';

export type Grants = ReturnType<typeof createGrants>;

/** What is compared with grants: a held call as its proxy judged it. */
export type CoveredRequest = Pick<HoldRequest, 'call' | 'judged' | 'arguments'>;
/** A standing grant as it is stored. */
export type StandingGrant = Omit<GrantsTable, 'number' | 'pattern'> & { number: number; pattern: GrantPattern };
/** The request that a grant is made from. */
export interface GrantOrigin {
  id: string;
  number: number;
  agent_id: string | null;
  task_id: string | null;
  tool_call_id: string | null;
  tool: string | null;
  summary: string;
}

interface Dependencies {
  db: Db;
  clock: () => number;
  keys: Keys;
  activePolicy: () => ActivePolicy;
  published: () => void;
}

/** Recorded calls that a proposal is tried on, and of each kind shown. */
const EXAMINED_MAX = 200;
const EXAMPLES_MAX = 5;
/** Grants that are compared with one call, oldest first: more for one tool are a policy that nobody has written. */
const COMPARED_MAX = 200;
const USES_SHOWN = 200;

export function createGrants({ db, clock, keys, activePolicy, published }: Dependencies) {
  /** What could be granted from the call of an approval: patterns from narrow to wide with examples, or why none. */
  async function propose(origin: GrantOrigin): Promise<GrantProposal> {
    const { policy } = activePolicy();
    const { maxGrantMs, maxGrantUses } = policy.document.approvals;
    const nothing = { approvalId: origin.id, patterns: [], examined: 0, scopes: [], maxExpiresInMs: maxGrantMs, maxUses: maxGrantUses };
    const grantable = await readOrigin(db, origin, policy);
    if (isRefusal(grantable)) return { ...nothing, refusal: grantable };
    const recorded = await recordedLike(origin, grantable, policy);
    return {
      ...nothing,
      refusal: null,
      examined: recorded.length,
      scopes: await scopesOf(origin, grantable),
      patterns: proposePatterns(grantable).map((pattern) => {
        const isCovered = ({ call }: RecordedLike) => call !== null && covers(pattern, call);
        return {
          id: idOf(pattern),
          name: pattern.name,
          text: pattern.text,
          sentence: pattern.sentence,
          covers: recorded
            .filter(isCovered)
            .slice(0, EXAMPLES_MAX)
            .map(({ example }) => example),
          leavesOut: recorded
            .filter((one) => !isCovered(one))
            .slice(0, EXAMPLES_MAX)
            .map(({ example }) => example),
        };
      }),
    };
  }

  /** Whether `propose` would propose something. */
  async function isGrantable(origin: GrantOrigin): Promise<boolean> {
    return !isRefusal(await readOrigin(db, origin, activePolicy().policy));
  }

  /** Makes a grant in the transaction that approves its request. @throws Refusal where it would be wider than it may be. */
  async function make(tx: Tx, actor: Actor, origin: GrantOrigin, request: GrantRequest, now: number): Promise<string> {
    const { policy } = activePolicy();
    const { maxGrantMs, maxGrantUses } = policy.document.approvals;
    const role = await roleOf(tx, actor.id ?? '');
    const needed = request.scope.kind === 'role' ? 'operator' : 'approver';
    if (role === null || !atLeast(role, needed)) {
      throw new Refusal(
        403,
        'GRANT_ROLE',
        `Approving for longer needs the role ${needed} in one's own right: a deputy decides one request at a time.`,
      );
    }
    const grantable = await readOrigin(tx, origin, policy);
    if (isRefusal(grantable)) throw new Refusal(422, 'NOT_GRANTABLE', grantable.message, { refusal: grantable });
    const pattern = proposePatterns(grantable).find((candidate) => idOf(candidate) === request.patternId);
    if (!pattern) {
      throw new Refusal(409, 'PROPOSAL_CHANGED', 'This pattern is not, or no longer, proposed for the call. Look at the proposal again.');
    }
    const allowed = await scopesOf(origin, grantable, tx);
    if (!allowed.some((scope) => canonicalJson(scope) === canonicalJson(request.scope))) {
      throw new Refusal(422, 'GRANT_SCOPE', "The scope must be the call's own agent, its task, or the agent's level of autonomy.");
    }
    if (request.expiresInMs > maxGrantMs) {
      throw new Refusal(
        422,
        'ABOVE_CEILING',
        `The policy lets nothing be approved for longer than ${maxGrantMs} ms (approvals.maxGrantMs).`,
      );
    }
    if ((request.maxUses ?? 0) > maxGrantUses) {
      throw new Refusal(422, 'ABOVE_CEILING', `The policy lets a grant be used ${maxGrantUses} times at most (approvals.maxGrantUses).`);
    }
    const id = randomUUID();
    const { scope } = request;
    const note = request.note?.trim() ? redactText(request.note.trim()).text : null;
    const { number } = await tx
      .insertInto('grants')
      .values({
        id,
        created_at: now,
        created_by: actor.id ?? '',
        created_by_name: actor.name,
        approval_id: origin.id,
        scope_kind: scope.kind,
        agent_id: scope.kind === 'agent' ? scope.agentId : null,
        task_id: scope.kind === 'task' ? scope.taskId : null,
        autonomy_level: scope.kind === 'role' ? scope.autonomyLevel : null,
        tool: pattern.tool,
        pattern: json(pattern),
        expires_at: now + request.expiresInMs,
        max_uses: request.maxUses === undefined ? maxGrantUses : request.maxUses,
        uses: 0,
        last_used_at: null,
        revoked_at: null,
        revoked_by: null,
        revoke_reason: null,
        note,
      })
      .returning('number')
      .executeTakeFirstOrThrow();
    await recordChanges(tx, [
      {
        at: now,
        actor,
        action: 'grant.made',
        topic: 'grant',
        id,
        details: {
          approvalId: origin.id,
          scope: { ...scope },
          tool: pattern.tool,
          pattern: pattern.text,
          patternHash: idOf(pattern),
          expiresAt: now + request.expiresInMs,
          maxUses: request.maxUses ?? maxGrantUses,
          note,
        },
        activity: {
          type: 'grant_made',
          agentId: origin.agent_id,
          taskId: scope.kind === 'task' ? scope.taskId : null,
          summary: `${actor.name} approved for longer (standing grant ${number}): ${pattern.text}`,
          details: { grantId: id, approvalId: origin.id },
        },
      },
    ]);
    return id;
  }

  /**
   * Takes one use of a grant that covers a held call, in the transaction that opens its approval.
   * @returns the grant, or null where a person has to decide. Of racing calls no more get one than it has uses.
   */
  async function use(tx: Tx, request: CoveredRequest, now: number): Promise<StandingGrant | null> {
    const { policy } = activePolicy();
    const { maxGrantMs, maxGrantUses } = policy.document.approvals;
    const { call, judged } = request;
    const facts = judged.facts?.facts;
    // What the proxy found stands beside what control finds: its policy may already be another one.
    if (maxGrantMs === 0 || facts === undefined || judged.risk === 'red' || !judged.reasons.every(isAnswerable)) return null;
    const agent = await tx
      .selectFrom('agents')
      .select(['autonomy', 'workspace', 'status'])
      .where('id', '=', call.agentId)
      .where('removed_at', 'is', null)
      .executeTakeFirst();
    if (!agent || (agent.status !== 'active' && agent.status !== 'drained')) return null;
    const rows = (await tx
      .selectFrom('grants')
      .selectAll()
      .where('tool', '=', call.tool)
      .where('revoked_at', 'is', null)
      .where('expires_at', '>', now)
      .where('created_at', '>', now - maxGrantMs)
      .where(sql<boolean>`uses < least(max_uses, ${maxGrantUses})`)
      .where((eb) => eb.or([eb('agent_id', '=', call.agentId), eb('task_id', '=', call.taskId), eb('autonomy_level', '=', agent.autonomy)]))
      .orderBy('number')
      .limit(COMPARED_MAX)
      .execute()) as StandingGrant[];
    if (rows.length === 0) return null;
    const grantable = readGrantable({ call: toolCallOf(call, request.arguments), facts, definition: call.definition ?? null }, policy);
    if (isRefusal(grantable)) return null;
    for (const row of rows) {
      const answers = judged.reasons.every((reason) => row.pattern.answers.some((code) => code === reason.code));
      if (!answers || !covers(row.pattern, grantable, row.scope_kind === 'role' ? agent.workspace : undefined)) continue;
      const role = await roleOf(tx, row.created_by);
      if (role === null || !atLeast(role, row.scope_kind === 'role' ? 'operator' : 'approver')) continue;
      const taken = await tx
        .updateTable('grants')
        .set((eb) => ({ uses: eb('uses', '+', 1), last_used_at: now }))
        .where('id', '=', row.id)
        .where('revoked_at', 'is', null)
        .where('expires_at', '>', now)
        .where(sql<boolean>`uses < least(max_uses, ${maxGrantUses})`)
        .returning('uses')
        .executeTakeFirst();
      if (taken) return { ...row, uses: taken.uses };
    }
    return null;
  }

  async function list(filter: {
    status: Grant['status'] | 'all';
    scope?: GrantScope['kind'] | undefined;
    agentId?: string | undefined;
    taskId?: string | undefined;
    tool?: string | undefined;
    limit: number;
    cursor?: string | undefined;
  }): Promise<{ items: Grant[]; nextCursor: string | null }> {
    let query = withStatus(db.selectFrom('grants').selectAll(), filter.status)
      .orderBy('number', 'desc')
      .limit(filter.limit + 1);
    if (filter.scope) query = query.where('scope_kind', '=', filter.scope);
    if (filter.agentId) query = query.where('agent_id', '=', filter.agentId);
    if (filter.taskId) query = query.where('task_id', '=', filter.taskId);
    if (filter.tool) query = query.where('tool', '=', filter.tool);
    if (filter.cursor) query = query.where('number', '<', decodeCursor(filter.cursor, ['number'])[0]);
    const rows = (await query.execute()) as StandingGrant[];
    const page = rows.slice(0, filter.limit);
    const last = page.at(-1);
    return { items: await views(page), nextCursor: rows.length > filter.limit && last ? encodeCursor([last.number]) : null };
  }

  /** The status as the policy of now makes it, so that a list and what a call meets say the same. */
  function withStatus<T>(query: SelectQueryBuilder<Database, 'grants', T>, status: Grant['status'] | 'all') {
    const now = clock();
    const { maxGrantMs, maxGrantUses } = activePolicy().policy.document.approvals;
    const isOver = sql<boolean>`(expires_at <= ${now}::bigint or created_at <= ${now - maxGrantMs}::bigint)`;
    const isUsedUp = sql<boolean>`uses >= least(max_uses, ${maxGrantUses})`;
    switch (status) {
      case 'all':
        return query;
      case 'revoked':
        return query.where('revoked_at', 'is not', null);
      case 'used_up':
        return query.where('revoked_at', 'is', null).where(isUsedUp);
      case 'expired':
        return query.where('revoked_at', 'is', null).where(sql<boolean>`not ${isUsedUp}`).where(isOver);
      case 'active':
        return query.where('revoked_at', 'is', null).where(sql<boolean>`not ${isUsedUp}`).where(sql<boolean>`not ${isOver}`);
    }
  }

  async function find(id: string): Promise<Grant | null> {
    const row = await db.selectFrom('grants').selectAll().where('id', '=', id).executeTakeFirst();
    return row ? ((await views([row as StandingGrant]))[0] ?? null) : null;
  }

  /** A grant with the calls that used it, newest first. */
  async function get(id: string): Promise<GrantDetail> {
    const grant = await find(id);
    if (!grant) throw notFound('standing grant', id);
    const rows = await db
      .selectFrom('approvals')
      .leftJoin('tool_calls', 'tool_calls.id', 'approvals.redeemed_by')
      .select(['approvals.id', 'approvals.number', 'approvals.decided_at', 'approvals.created_at', 'approvals.tool_call_id'])
      .select(['approvals.redeemed_by', 'approvals.agent_id', 'approvals.summary', 'tool_calls.status as call_status'])
      .where('approvals.grant_id', '=', id)
      .orderBy('approvals.created_at', 'desc')
      .orderBy('approvals.number', 'desc')
      .limit(USES_SHOWN)
      .execute();
    return {
      ...grant,
      calls: rows.map((row) => ({
        at: row.decided_at ?? row.created_at,
        approvalId: row.id,
        approvalNumber: row.number,
        callId: row.redeemed_by ?? row.tool_call_id,
        agentId: row.agent_id,
        summary: row.summary,
        outcome: outcomeOf(row.call_status),
      })),
    };
  }

  /** Ends a grant: the next call finds it no more. Revoking what has ended says so and changes nothing. */
  async function revoke(actor: Actor, id: string, reason: string | null): Promise<Grant> {
    const now = clock();
    await db.transaction().execute(async (tx) => {
      const row = await tx
        .updateTable('grants')
        .set({ revoked_at: now, revoked_by: actor.name, revoke_reason: reason === null ? null : redactText(reason).text })
        .where('id', '=', id)
        .where('revoked_at', 'is', null)
        .returning(['number', 'agent_id', 'task_id', 'pattern', 'uses'])
        .executeTakeFirst();
      if (!row) {
        const other = await tx.selectFrom('grants').select(['number', 'revoked_by']).where('id', '=', id).executeTakeFirst();
        if (!other) throw notFound('standing grant', id);
        throw new Refusal(409, 'REVOKED', `Standing grant ${other.number} was already revoked by ${other.revoked_by}.`);
      }
      await recordChanges(tx, [
        {
          at: now,
          actor,
          action: 'grant.revoked',
          topic: 'grant',
          id,
          details: { reason, uses: row.uses },
          activity: {
            type: 'grant_revoked',
            agentId: row.agent_id,
            taskId: row.task_id,
            summary: `${actor.name} revoked standing grant ${row.number}: ${(row.pattern as GrantPattern).text}`,
            details: { grantId: id },
          },
        },
      ]);
    });
    published();
    const grant = await find(id);
    if (!grant) throw notFound('standing grant', id);
    return grant;
  }

  /** The held call behind an approval, read as the policy judges it now. */
  async function readOrigin(from: Db | Tx, origin: GrantOrigin, policy: Policy): Promise<Grantable | GrantRefusal> {
    if (policy.document.approvals.maxGrantMs === 0)
      return { code: 'POLICY', message: 'The policy lets nothing be approved for longer (approvals.maxGrantMs is 0).' };
    if (origin.tool_call_id === null) return { code: 'NO_CALL', message: 'This approval is not for a call.' };
    const held = await from
      .selectFrom('held_calls')
      .select(['call', 'judged', 'sealed'])
      .where('id', '=', origin.tool_call_id)
      .executeTakeFirst();
    if (!held || held.sealed === '') return { code: 'FORGOTTEN', message: 'The call has ended, and its own arguments are no longer kept.' };
    const facts = (held.judged as HoldRequest['judged']).facts?.facts;
    if (!facts) return { code: 'UNREADABLE', message: 'What this call was judged by is not recorded.' };
    const call = held.call as CallFacts;
    const original = JSON.parse(keys.open(held.sealed, `held:${origin.tool_call_id}`)) as JsonObject;
    return readGrantable({ call: toolCallOf(call, original), facts, definition: call.definition ?? null }, policy);
  }

  async function scopesOf(origin: GrantOrigin, { call }: Grantable, from: Db | Tx = db): Promise<GrantScope[]> {
    if (origin.agent_id === null) return [];
    const agent = await from.selectFrom('agents').select(['autonomy', 'workspace']).where('id', '=', origin.agent_id).executeTakeFirst();
    return [
      { kind: 'agent', agentId: origin.agent_id },
      ...(origin.task_id === null ? [] : [{ kind: 'task' as const, taskId: origin.task_id }]),
      // In a narrower workspace than the registered one the same words mean another place.
      ...(agent && agent.workspace === call.workspace ? [{ kind: 'role' as const, autonomyLevel: agent.autonomy }] : []),
    ];
  }

  /** Recorded calls of the same agent and tool that were held, newest first, one of a kind. */
  async function recordedLike(origin: GrantOrigin, { definition }: Grantable, policy: Policy): Promise<RecordedLike[]> {
    const rows = await db
      .selectFrom('tool_calls')
      .select(['id', 'created_at', 'tool', 'tool_kind', 'cwd', 'workspace', 'summary', 'risk', 'verdict', 'input', 'facts'])
      .where('agent_id', '=', origin.agent_id ?? '')
      .where('tool', '=', origin.tool ?? '')
      .where((eb) => eb.or([eb('verdict', '=', 'hold'), eb('approval_id', 'is not', null)]))
      .orderBy('created_at', 'desc')
      .orderBy('id')
      .limit(EXAMINED_MAX)
      .execute();
    const seen = new Set<string>();
    return rows.flatMap((row) => {
      if (seen.has(row.summary)) return [];
      seen.add(row.summary);
      const { id: callId, created_at: at, summary, risk, verdict } = row;
      return [{ example: { callId, at, summary, risk, verdict }, call: readRecorded(row, definition, policy) }];
    });
  }

  async function views(rows: readonly StandingGrant[]): Promise<Grant[]> {
    const now = clock();
    const { maxGrantMs, maxGrantUses } = activePolicy().policy.document.approvals;
    const agentIds = rows.flatMap((row) => row.agent_id ?? []);
    const taskIds = rows.flatMap((row) => row.task_id ?? []);
    const agents = agentIds.length > 0 ? await db.selectFrom('agents').select(['id', 'name']).where('id', 'in', agentIds).execute() : [];
    const tasks = taskIds.length > 0 ? await db.selectFrom('tasks').select(['id', 'title']).where('id', 'in', taskIds).execute() : [];
    const nameOf = new Map([...agents.map(({ id, name }) => [id, name] as const), ...tasks.map(({ id, title }) => [id, title] as const)]);
    return rows.map((row) => {
      const expiresAt = Math.min(row.expires_at, row.created_at + maxGrantMs);
      const maxUses = Math.min(row.max_uses ?? maxGrantUses, maxGrantUses);
      const scope = scopeOf(row);
      return {
        id: row.id,
        number: row.number,
        createdAt: row.created_at,
        createdBy: { id: row.created_by, name: row.created_by_name },
        approvalId: row.approval_id,
        scope,
        scopeName: nameOf.get(row.agent_id ?? row.task_id ?? '') ?? null,
        tool: row.tool,
        pattern: { name: row.pattern.name, text: row.pattern.text, sentence: row.pattern.sentence, template: row.pattern },
        expiresAt,
        maxUses,
        uses: row.uses,
        lastUsedAt: row.last_used_at,
        status: row.revoked_at !== null ? 'revoked' : row.uses >= maxUses ? 'used_up' : expiresAt <= now ? 'expired' : 'active',
        revokedAt: row.revoked_at,
        revokedBy: row.revoked_by,
        note: row.note,
      };
    });
  }

  return { propose, isGrantable, make, use, list, find, get, revoke };
}

interface RecordedLike {
  example: { callId: string; at: number; summary: string; risk: ToolCallView['risk']; verdict: ToolCallView['verdict'] };
  call: Grantable | null;
}

/** A recorded call as patterns see it; null where no grant can cover it, or its record is not whole. */
function readRecorded(
  row: { tool: string; tool_kind: string | null; cwd: string | null; workspace: string | null; input: unknown; facts: unknown },
  definition: string | null,
  policy: Policy,
): Grantable | null {
  const recorded = row.facts as { facts?: Facts; reading?: unknown } | null;
  if (!recorded?.facts || recorded.reading !== undefined) return null;
  const { tool, tool_kind: toolKind, cwd, workspace } = row;
  const call = { tool, toolKind, cwd, workspace, arguments: row.input as JsonObject };
  const grantable = readGrantable({ call, facts: recorded.facts, definition }, policy);
  return isRefusal(grantable) ? null : grantable;
}

function toolCallOf({ tool, cwd, workspace, toolKind }: CallFacts, args: JsonObject) {
  return { tool, cwd, workspace, toolKind, arguments: args };
}

/** Names a pattern by its content, so that what is granted is what was shown. */
function idOf(pattern: GrantPattern): string {
  return `${pattern.name}-${hash('sha256', canonicalJson(JSON.parse(JSON.stringify(pattern)))).slice(0, 24)}`;
}

function scopeOf(row: StandingGrant): GrantScope {
  switch (row.scope_kind) {
    case 'agent':
      return { kind: 'agent', agentId: row.agent_id ?? '' };
    case 'task':
      return { kind: 'task', taskId: row.task_id ?? '' };
    case 'role':
      return { kind: 'role', autonomyLevel: row.autonomy_level ?? 'intern' };
  }
}

function outcomeOf(status: ToolCallView['status'] | null): GrantDetail['calls'][number]['outcome'] {
  return status === 'running' || status === 'success' || status === 'failed' || status === 'unknown' ? status : 'none';
}
