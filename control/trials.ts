/**
 * Policies tried out before they bind (SPEC 4.10): checks, simulations, and replays of recorded calls, all of them judged in threads of
 * their own. A replay is frozen when it is done, and it is what an activation is confirmed by: no version becomes the active one before
 * somebody has been shown which red calls it would let run.
 */
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { sql } from 'kysely';
import { stringify } from 'yaml';
import { applyPatch, diffDocuments, type JsonObject, parsePolicyText, type ReplayResult } from '../policies/index.ts';
import type { Actor } from './audit.ts';
import type { PolicyReference, Replay } from './contract.ts';
import { type Db, json } from './db/database.ts';
import type { PolicyReplaysTable } from './db/schema.ts';
import { Judge } from './judge.ts';
import type { Checked } from './judge-worker.ts';
import { invalid, type Policies } from './policies.ts';
import { notFound, Refusal } from './problem.ts';

/** The window of a replay that names none. */
const WINDOW_MS = 7 * 24 * 60 * 60 * 1000;
/** Calls of one replay; of more the newest. */
const CALLS_MAX = 1_000_000;
const PAGE = 1_000;
/** A replay that is older than this does not speak for the traffic of now. */
const RECENT_MS = 15 * 60 * 1000;
/** How long an activation waits for its replay: less than a client waits for an answer. */
const CONFIRM_MS = 20_000;
const KEPT_MAX = 500;
const LISTED_MAX = 200;
/** Calls and cases that the refusal of an activation names. */
const NAMED_MAX = 100;

const PROFILES = new URL('../policies/profiles/', import.meta.url);

interface Dependencies {
  db: Db;
  clock: () => number;
  policies: Policies;
  log: { error: (fields: object, message: string) => void };
}

/** What is judged by in a replay; `id` is null for what is no version. */
interface Draft {
  id: string | null;
  name: string;
  source: string;
}

export type Trials = ReturnType<typeof createTrials>;

export function createTrials({ db, clock, policies, log }: Dependencies) {
  const judge = new Judge();
  const replayJudge = new Judge();
  const { gateRoots } = policies;
  const running = new Map<string, { judged: number; isCanceled: boolean; done: Promise<void> }>();

  /** A replay that an earlier process did not bring to its end never will be. @param sinceMs those of others get this long. */
  async function load(sinceMs = 0): Promise<void> {
    await db
      .updateTable('policy_replays')
      .set({ status: 'failed', error: 'Mission Control was restarted.', finished_at: clock() })
      .where('status', '=', 'running')
      .where('created_at', '<=', clock() - sinceMs)
      .execute();
  }

  /** Says what is wrong with a document, and where. @throws Refusal 400 where it is not clear what is meant. */
  async function validate(input: { document?: JsonObject | string | undefined; patch?: JsonObject | undefined }) {
    const checked = await check(draftOf(input));
    return 'errors' in checked ? { valid: false, errors: checked.errors, document: null } : { valid: true, errors: [], ...checked };
  }

  /** Adds a version. @throws Refusal 400, 404 (no such profile), 422 with every mistake */
  async function create(
    actor: Actor,
    input: {
      document?: JsonObject | string | undefined;
      patch?: JsonObject | undefined;
      profile?: string | undefined;
      note: string;
    },
  ) {
    const { profile, ...rest } = input;
    const isNamed = profile !== undefined;
    if (isNamed && (input.document !== undefined || input.patch !== undefined)) throw unclear();
    const source = draftOf(isNamed ? { patch: profileOf(profile).patch as JsonObject } : rest);
    const checked = await check(source);
    if ('errors' in checked) throw invalid(checked.errors);
    return policies.add(actor, { source, document: checked.document, note: input.note });
  }

  function check(source: string): Promise<Checked> {
    return judge.run((ask) => ask({ do: 'check', policy: { source, patch: null }, gateRoots }));
  }

  function draftOf({ document, patch }: { document?: JsonObject | string | undefined; patch?: JsonObject | undefined }): string {
    if ((document === undefined) === (patch === undefined)) throw unclear();
    if (typeof document === 'string') return document;
    return stringify(document ?? applyPatch(policies.current().document, patch ?? {}), { lineWidth: 0 });
  }

  /**
   * Judges cases against a policy (SPEC 8.2). @param body of the request, as it came.
   * @returns the answer's body. @throws Refusal 400, 404, 422
   */
  function simulate(body: ArrayBuffer): Promise<Uint8Array<ArrayBuffer>> {
    return judge.run(async (ask) => {
      const read = await ask({ do: 'read', body }, [body]);
      if ('refused' in read) throw new Refusal(400, 'BAD_REQUEST', read.refused.detail, { errors: read.refused.errors ?? [] });
      const { source } = await policies.textOf(read.reference);
      const answer = await ask({ do: 'simulate', source, gateRoots });
      if ('errors' in answer) throw invalid(answer.errors);
      return answer.body;
    });
  }

  /** The policy that somebody wants to try out, as text and as data, checked. @throws Refusal 404, 422 */
  async function draft(reference: PolicyReference): Promise<Draft & { document: JsonObject }> {
    const { id, name, source, patch } = await policies.textOf(reference);
    const checked = await judge.run((ask) => ask({ do: 'check', policy: { source, patch }, gateRoots }));
    if ('errors' in checked) throw invalid(checked.errors);
    const { document } = checked;
    return { id, name, source: patch === null ? source : stringify(document, { lineWidth: 0 }), document };
  }

  /** What differs between two versions. @param from another version, or "active". @throws Refusal 404 */
  async function compare(id: string, from: string) {
    const [before, after] = [await policies.get(from === 'active' ? policies.current().id : from), await policies.get(id)];
    const side = ({ id, version }: typeof before) => ({ id, version });
    return { from: side(before), to: side(after), changes: diffDocuments(before.document, after.document) };
  }

  function profiles() {
    return readdirSync(PROFILES)
      .filter((file) => file.endsWith('.yaml'))
      .sort()
      .map((file) => profileOf(file.slice(0, -'.yaml'.length)));
  }

  /* ------------------------------------------------------------ replay */

  /** Begins a replay. @throws Refusal 400 (window), 404, 422 (the draft) */
  async function begin(actor: Actor, input: { policy: PolicyReference; since?: number | undefined; until?: number | undefined }) {
    const until = input.until ?? clock();
    const since = input.since ?? Math.max(0, until - WINDOW_MS);
    if (since > until) throw new Refusal(400, 'BAD_REQUEST', '"since" is after "until".');
    return start(actor.name, await draft(input.policy), since, until);
  }

  async function start(by: string, given: Draft, since: number, until: number): Promise<Replay> {
    const id = randomUUID();
    const base = policies.current();
    const { source: baseSource } = await policies.get(base.id);
    const { count } = await inWindow(since, until)
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .executeTakeFirstOrThrow();
    const total = Math.min(Number(count), CALLS_MAX);
    await db
      .insertInto('policy_replays')
      .values({
        id,
        created_at: clock(),
        created_by: by,
        policy_id: given.id,
        policy_name: given.name,
        source: given.source,
        base_id: base.id,
        base_version: base.version,
        since,
        until,
        status: 'running',
        judged: 0,
        total,
        finished_at: null,
        error: null,
        result: json(null),
      })
      .execute();
    const progress = { judged: 0, isCanceled: false, done: Promise.resolve() };
    running.set(id, progress);
    progress.done = run(id, given.source, baseSource, { since, until, total }, progress).finally(() => running.delete(id));
    return get(id);
  }

  async function run(
    id: string,
    source: string,
    base: string,
    window: { since: number; until: number; total: number },
    progress: { judged: number; isCanceled: boolean },
  ): Promise<void> {
    const finish = (status: Replay['status'], error: string | null, result: ReplayResult | null) =>
      db
        .updateTable('policy_replays')
        .set({ status, error, result: json(result), judged: progress.judged, finished_at: clock() })
        .where('id', '=', id)
        .where('status', '=', 'running')
        .execute();
    try {
      const result = await replayJudge.run(async (ask) => {
        const begun = await ask({ do: 'begin', draft: source, base, versions: await policies.texts(), gateRoots });
        if (begun.errors !== null) throw invalid(begun.errors);
        let judging: Promise<unknown> = Promise.resolve();
        for await (const calls of pages(window)) {
          if (progress.isCanceled || !(await goesOn(id, progress.judged))) return null;
          await judging;
          // The next page is read while this one is judged.
          judging = ask({ do: 'judge', calls }).then(() => {
            progress.judged += calls.length;
          });
          judging.catch(() => {});
        }
        await judging;
        return progress.isCanceled ? null : ask({ do: 'conclude' });
      });
      await finish(result === null ? 'canceled' : 'done', null, result);
      await forget();
    } catch (error) {
      if (!(error instanceof Refusal)) log.error({ err: error, replay: id }, 'a replay broke off');
      await finish('failed', error instanceof Refusal ? error.message : 'It broke off; the log says why.', null).catch(() => {});
    }
  }

  /** Notes how far a replay is, for other processes to see. @returns false where one of them has canceled it. */
  async function goesOn(id: string, judged: number): Promise<boolean> {
    const row = await db
      .updateTable('policy_replays')
      .set({ judged })
      .where('id', '=', id)
      .where('status', '=', 'running')
      .returning('id')
      .executeTakeFirst();
    return row !== undefined;
  }

  /**
   * The calls of a window, newest first, each as one JSON text: the database makes it, the judging thread reads it. Asked for by nothing but
   * the place in the index: with the window beside it, a database without statistics sorts all that is left for every page.
   */
  async function* pages({ since, until, total }: { since: number; until: number; total: number }): AsyncGenerator<string[]> {
    let before = { at: until + 1, id: '' };
    for (let left = total; left > 0; ) {
      const rows = await db
        .selectFrom('tool_calls')
        .select(['id', 'created_at as at', LINE.as('line')])
        .where(sql<boolean>`(created_at, id) < (${before.at}::bigint, ${before.id}::text)`)
        .orderBy('created_at', 'desc')
        .orderBy('id', 'desc')
        .limit(Math.min(PAGE, left))
        .execute();
      const lines = rows.filter(({ at }) => at >= since).map(({ line }) => line);
      if (lines.length > 0) yield lines;
      const last = rows.at(-1);
      if (last === undefined || lines.length < rows.length) return;
      before = last;
      left -= rows.length;
    }
  }

  function inWindow(since: number, until: number) {
    return db.selectFrom('tool_calls').where('created_at', '>=', since).where('created_at', '<=', until);
  }

  async function forget(): Promise<void> {
    const newest = db.selectFrom('policy_replays').select('id').orderBy('created_at', 'desc').orderBy('id', 'desc').limit(KEPT_MAX);
    const named = db.selectFrom('policies').select('replay_id').where('replay_id', 'is not', null);
    await db
      .deleteFrom('policy_replays')
      .where('id', 'not in', newest)
      .where((eb) => eb.not(eb('id', 'in', named)))
      .execute();
  }

  async function get(id: string): Promise<Replay> {
    const row = await db.selectFrom('policy_replays').selectAll().where('id', '=', id).executeTakeFirst();
    if (!row) throw notFound('replay', id);
    return view(row);
  }

  function view(row: Omit<PolicyReplaysTable, 'result' | 'source'> & { result?: unknown }): Replay {
    const { judged = row.judged } = running.get(row.id) ?? {};
    return {
      id: row.id,
      createdAt: row.created_at,
      createdBy: row.created_by,
      policy: { id: row.policy_id, name: row.policy_name },
      base: { id: row.base_id, version: row.base_version },
      since: row.since,
      until: row.until,
      status: row.status,
      judged,
      total: row.total,
      finishedAt: row.finished_at,
      error: row.error,
      result: (row.result ?? null) as Replay['result'],
    };
  }

  /** The newest ones, without their results. */
  async function list(): Promise<Replay[]> {
    const rows = await db
      .selectFrom('policy_replays')
      .select(['id', 'created_at', 'created_by', 'policy_id', 'policy_name', 'base_id', 'base_version'])
      .select(['since', 'until', 'status', 'judged', 'total', 'finished_at', 'error'])
      .orderBy('created_at', 'desc')
      .orderBy('id', 'desc')
      .limit(LISTED_MAX)
      .execute();
    return rows.map(view);
  }

  /** Breaks a running replay off; one that has ended stays as it is. */
  async function cancel(id: string): Promise<Replay> {
    const progress = running.get(id);
    if (progress) {
      progress.isCanceled = true;
      await progress.done;
    } else {
      // Another process runs it, and finds this with its next page.
      await db
        .updateTable('policy_replays')
        .set({ status: 'canceled', finished_at: clock() })
        .where('id', '=', id)
        .where('status', '=', 'running')
        .execute();
    }
    return get(id);
  }

  /* ------------------------------------------------------------ activate */

  /**
   * Makes a version the active one, after a replay has shown what that changes.
   * @throws Refusal 409 where red calls would be let run and `confirmRedFlips` is not their number, or the replay is not done in time.
   */
  async function activate(
    actor: Actor,
    idOrVersion: string,
    input: { note: string; confirmRedFlips?: number | undefined; replayId?: string | undefined },
  ) {
    const { id, version, source } = await policies.get(idOrVersion);
    const replay = await settled(await replayFor({ id, version, source }, actor.name, input.replayId));
    if (replay.status === 'running') {
      throw new Refusal(409, 'REPLAY_RUNNING', 'The replay that an activation shows first is still running; repeat this when it is done.', {
        replayId: replay.id,
      });
    }
    if (replay.result === null) {
      throw new Refusal(503, 'REPLAY_FAILED', `The replay that an activation shows first did not end: ${replay.error ?? replay.status}.`, {
        replayId: replay.id,
      });
    }
    const { count, items } = replay.result.redFlips;
    if (count !== (input.confirmRedFlips ?? 0)) {
      const what = `${count} call(s) and case(s) that were red and not allowed would be allowed by ${version}.`;
      throw new Refusal(409, 'RED_FLIPS', `${what} To activate it all the same, repeat this with "confirmRedFlips": ${count}.`, {
        replayId: replay.id,
        redFlips: { count, items: items.slice(0, NAMED_MAX) },
      });
    }
    return policies.activate(actor, id, input.note, { id: replay.id, redFlips: count });
  }

  /** The replay that is named, else a recent one of this version over at least the usual window, else a new one. */
  async function replayFor(version: { id: string; version: string; source: string }, by: string, named: string | undefined) {
    const base = policies.current().id;
    if (named !== undefined) {
      const replay = await get(named);
      if (replay.policy.id !== version.id || replay.base.id !== base) {
        throw new Refusal(409, 'OTHER_REPLAY', 'This replay is not one of this version against the policy that is active now.');
      }
      return replay;
    }
    const row = await db
      .selectFrom('policy_replays')
      .select('id')
      .where('policy_id', '=', version.id)
      .where('base_id', '=', base)
      .where('status', 'in', ['running', 'done'])
      .where('until', '>=', clock() - RECENT_MS)
      .where(sql<boolean>`until - since >= ${WINDOW_MS}::bigint`)
      .orderBy('created_at', 'desc')
      .executeTakeFirst();
    if (row) return get(row.id);
    const now = clock();
    return start(by, { id: version.id, name: version.version, source: version.source }, now - WINDOW_MS, now);
  }

  async function settled(replay: Replay): Promise<Replay> {
    const progress = running.get(replay.id);
    if (progress === undefined) return replay.status === 'running' ? get(replay.id) : replay;
    const timeout = Promise.withResolvers<void>();
    const timer = setTimeout(timeout.resolve, CONFIRM_MS);
    await Promise.race([progress.done, timeout.promise]);
    clearTimeout(timer);
    return get(replay.id);
  }

  async function close(): Promise<void> {
    for (const progress of running.values()) progress.isCanceled = true;
    await Promise.all([judge.close(), replayJudge.close()]);
    await Promise.all([...running.values()].map(({ done }) => done));
  }

  return { load, validate, create, simulate, draft, compare, profiles, begin, get, list, cancel, activate, close };
}

/** A call as JSON. Written by hand, because jsonb_build_object takes twice the time (13 µs instead of 30 a call). */
const LINE = sql<string>`'{"id":' || to_json(id) || ',"at":' || created_at || ',"agentId":' || to_json(agent_id) || ',"tool":' || to_json(tool)
  || ',"arguments":' || input::text || ',"cwd":' || coalesce(to_json(cwd)::text, 'null') || ',"workspace":' || coalesce(to_json(workspace)::text, 'null')
  || ',"toolKind":' || coalesce(to_json(tool_kind)::text, 'null') || ',"policyVersion":' || coalesce(to_json(policy_version)::text, 'null')
  || ',"summary":' || to_json(summary) || ',"judgement":' || coalesce(facts::text, 'null') || '}'`;

function unclear(): Refusal {
  return new Refusal(
    400,
    'BAD_REQUEST',
    'Give one of "document" (the whole policy, data or YAML), "patch" (a JSON Merge Patch over the active one) and "profile".',
  );
}

/** A shipped profile. @throws Refusal 404 */
function profileOf(name: string) {
  if (!/^[a-z0-9-]{1,100}$/.test(name)) throw notFound('profile', name);
  let source: string;
  try {
    source = readFileSync(new URL(`${name}.yaml`, PROFILES), 'utf8');
  } catch {
    throw notFound('profile', name);
  }
  const parsed = parsePolicyText(source);
  if ('errors' in parsed) throw invalid(parsed.errors);
  const lines = source.split('\n');
  const head = lines.slice(
    0,
    lines.findIndex((line) => !line.startsWith('#')),
  );
  const description = head
    .map((line) => line.slice(1).trim())
    .join(' ')
    .trim();
  return { name, description, patch: parsed.document as Record<string, unknown>, source };
}
