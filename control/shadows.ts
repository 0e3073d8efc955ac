/**
 * Shadows (SPEC 4.10): a draft that judges live calls beside the active policy, in the proxies, and decides nothing. One at a time, until
 * somebody stops it or a version is activated. Every process of a proxy says what it has counted since it began; the sum is shown.
 */
import { randomUUID } from 'node:crypto';
import { FLIP_KINDS, parsePolicyText } from '../policies/index.ts';
import { type Actor, SYSTEM } from './audit.ts';
import { recordChanges } from './changes.ts';
import type { PolicyReference, Shadow, ShadowPicture, ShadowReport } from './contract.ts';
import { type Db, json } from './db/database.ts';
import type { Policies } from './policies.ts';
import { notFound, Refusal } from './problem.ts';
import type { Trials } from './trials.ts';

const LISTED_MAX = 200;
/** Of one kind, over all proxies. */
const EXAMPLES_MAX = 20;

interface Dependencies {
  db: Db;
  clock: () => number;
  published: () => void;
  policies: Policies;
  trials: Trials;
}

export type Shadows = ReturnType<typeof createShadows>;

export function createShadows({ db, clock, published, policies, trials }: Dependencies) {
  let running: ShadowPicture | null = null;

  /** Takes up the shadow that runs. */
  async function load(): Promise<void> {
    const row = await db.selectFrom('policy_shadows').select(['id', 'source']).where('stopped_at', 'is', null).executeTakeFirst();
    const parsed = row === undefined ? null : parsePolicyText(row.source);
    running = row !== undefined && parsed !== null && 'document' in parsed ? { id: row.id, document: parsed.document } : null;
  }

  /** What the proxies run beside the active policy; null = nothing. */
  function picture(): ShadowPicture | null {
    return running;
  }

  /** Starts one. @throws Refusal 404, 422 (the draft), 409 where another one runs */
  async function start(actor: Actor, input: { policy: PolicyReference; note: string }): Promise<Shadow> {
    const draft = await trials.draft(input.policy);
    const id = randomUUID();
    const now = clock();
    await db.transaction().execute(async (tx) => {
      const inserted = await tx
        .insertInto('policy_shadows')
        .values({
          id,
          started_at: now,
          started_by: actor.name,
          note: input.note,
          policy_id: draft.id,
          policy_name: draft.name,
          source: draft.source,
          stopped_at: null,
          stopped_by: null,
        })
        .onConflict((conflict) => conflict.doNothing())
        .returning('id')
        .executeTakeFirst();
      if (!inserted) throw new Refusal(409, 'SHADOW_RUNNING', 'Another draft runs as a shadow; stop it first.');
      await recordChanges(tx, [
        {
          at: now,
          actor,
          action: 'policy.shadow_started',
          topic: 'policy',
          id: draft.id ?? id,
          details: { shadowId: id, policy: draft.name, note: input.note },
        },
      ]);
    });
    running = { id, document: draft.document };
    published();
    return get(id);
  }

  /** Stops one; a stopped one stays as it is. @throws Refusal 404 */
  async function stop(actor: Actor, id: string): Promise<Shadow> {
    const now = clock();
    await db.transaction().execute(async (tx) => {
      const row = await tx
        .updateTable('policy_shadows')
        .set({ stopped_at: now, stopped_by: actor.name })
        .where('id', '=', id)
        .where('stopped_at', 'is', null)
        .returning(['policy_id', 'policy_name'])
        .executeTakeFirst();
      if (!row) return;
      await recordChanges(tx, [
        {
          at: now,
          actor,
          action: 'policy.shadow_stopped',
          topic: 'policy',
          id: row.policy_id ?? id,
          details: { shadowId: id, policy: row.policy_name },
        },
      ]);
    });
    if (running?.id === id) running = null;
    published();
    return get(id);
  }

  /** What a shadow said of another policy says nothing about this one: it ends with the activation of a version. */
  async function endForActivation(): Promise<void> {
    if (running !== null) await stop(SYSTEM, running.id);
  }

  /**
   * Keeps what a process of a proxy has counted.
   * @returns false where there is no such shadow, or it was stopped before: its figures are frozen.
   */
  async function report(id: string, processId: string, counted: ShadowReport): Promise<boolean> {
    if (running?.id !== id) return false;
    await db
      .insertInto('policy_shadow_reports')
      .values({ shadow_id: id, process_id: processId, report: json(counted) })
      .onConflict((conflict) => conflict.columns(['shadow_id', 'process_id']).doUpdateSet((eb) => ({ report: eb.ref('excluded.report') })))
      .execute();
    return true;
  }

  async function get(id: string): Promise<Shadow> {
    const row = await db.selectFrom('policy_shadows').selectAll().where('id', '=', id).executeTakeFirst();
    if (!row) throw notFound('shadow', id);
    const reports = await db.selectFrom('policy_shadow_reports').select('report').where('shadow_id', '=', id).execute();
    return {
      id: row.id,
      startedAt: row.started_at,
      startedBy: row.started_by,
      note: row.note,
      policy: { id: row.policy_id, name: row.policy_name },
      stoppedAt: row.stopped_at,
      stoppedBy: row.stopped_by,
      ...sumOf(reports.map((entry) => entry.report)),
    };
  }

  /** The newest ones, the running one among them. */
  async function list(): Promise<Shadow[]> {
    const rows = await db
      .selectFrom('policy_shadows')
      .select('id')
      .orderBy('started_at', 'desc')
      .orderBy('id', 'desc')
      .limit(LISTED_MAX)
      .execute();
    return Promise.all(rows.map(({ id }) => get(id)));
  }

  policies.onActivation(endForActivation);
  return { load, picture, start, stop, report, get, list };
}

function sumOf(reports: readonly ShadowReport[]): ShadowReport {
  const sum = (countOf: (report: ShadowReport) => number) => reports.reduce((total, report) => total + countOf(report), 0);
  const perKind = <T>(make: (kind: (typeof FLIP_KINDS)[number]) => T) =>
    Object.fromEntries(FLIP_KINDS.map((kind) => [kind, make(kind)])) as Record<(typeof FLIP_KINDS)[number], T>;
  return {
    calls: {
      judged: sum(({ calls }) => calls.judged),
      same: sum(({ calls }) => calls.same),
      flips: perKind((kind) => sum(({ calls }) => calls.flips[kind])),
    },
    skipped: sum(({ skipped }) => skipped),
    redFlips: sum(({ redFlips }) => redFlips),
    examples: perKind((kind) =>
      reports
        .flatMap(({ examples }) => examples[kind])
        .sort((a, b) => (b.at ?? 0) - (a.at ?? 0))
        .slice(0, EXAMPLES_MAX),
    ),
  };
}
