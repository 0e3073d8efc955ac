/**
 * Policies as versions: made, checked, activated, one of them active. Activation is one transaction; the proxies get the new
 * document over their lines and compile it themselves with the same code.
 */
import { randomUUID } from 'node:crypto';
import { compilePolicy, dayOf, type JsonObject, type Policy, type PolicyError, parsePolicyText, redactText } from '../policies/index.ts';
import { type Actor, SYSTEM } from './audit.ts';
import { recordChanges } from './changes.ts';
import type { PolicyReference } from './contract.ts';
import { type Db, json, type Tx } from './db/database.ts';
import { notFound, Refusal } from './problem.ts';

export interface ActivePolicy {
  id: string;
  version: string;
  document: JsonObject;
  policy: Policy;
  /** The budget day of a moment, in the policy's time zone. */
  today: (now: number) => string;
}

export type Policies = ReturnType<typeof createPolicies>;

/** A policy as its text, with a patch over it if any. */
export interface NamedText {
  /** Null for what is no version. */
  id: string | null;
  name: string;
  source: string;
  patch: JsonObject | null;
}

/** Versions that calls of a replay may have been judged by. */
const TEXTS_MAX = 200;

interface Dependencies {
  db: Db;
  clock: () => number;
  published: () => void;
  /** Folders of our own data and keys: no policy opens them (SPEC 4.5). */
  gateRoots: readonly string[];
}

export function createPolicies({ db, clock, published, gateRoots }: Dependencies) {
  const compiled = (id: string, version: string, source: string) => compileSource(id, version, source, gateRoots);
  let active: ActivePolicy | null = null;
  const listeners: (() => Promise<void>)[] = [];

  /** Loads the active policy; at first start `shipped` becomes version 1 and active. */
  async function load(shipped: string): Promise<void> {
    const row = await db.selectFrom('policies').select(['id', 'version', 'source']).where('active', '=', true).executeTakeFirst();
    if (row) {
      active = compiled(row.id, row.version, row.source);
      return;
    }
    const now = clock();
    const { document } = parseSource(shipped, gateRoots);
    const id = randomUUID();
    const isFirst = await db.transaction().execute(async (tx) => {
      // Another process that started at the same moment may have been quicker.
      if (await tx.selectFrom('policies').select('id').where('active', '=', true).executeTakeFirst()) return false;
      await insert(tx, id, 'v1', document, shipped, 'Shipped with Mission Control', SYSTEM.name, now);
      await tx.updateTable('policies').set({ active: true, activated_at: now, activated_by: SYSTEM.name }).where('id', '=', id).execute();
      await recordChanges(tx, [{ at: now, actor: SYSTEM, action: 'policy.activated', topic: 'policy', id, details: { version: 'v1' } }]);
      return true;
    });
    if (isFirst) active = compiled(id, 'v1', shipped);
    else await refresh();
  }

  /** Takes up what another process has activated. */
  async function refresh(): Promise<void> {
    const row = await db.selectFrom('policies').select(['id', 'version', 'source']).where('active', '=', true).executeTakeFirst();
    if (row && row.id !== active?.id) active = compiled(row.id, row.version, row.source);
  }

  function current(): ActivePolicy {
    if (!active) throw new Error('no policy is loaded');
    return active;
  }

  async function list() {
    const rows = await db.selectFrom('policies').selectAll().orderBy('number', 'desc').limit(200).execute();
    return rows.map(view);
  }

  /** By id or version name. */
  async function get(idOrVersion: string) {
    const row = await db
      .selectFrom('policies')
      .selectAll()
      .where((eb) => eb.or([eb('id', '=', idOrVersion), eb('version', '=', idOrVersion)]))
      .executeTakeFirst();
    if (!row) throw notFound('policy', idOrVersion);
    return view(row);
  }

  /**
   * Adds a version; it does not bind before it is activated.
   * @param draft its text, and the same as data; both have been checked.
   */
  async function add(actor: Actor, { source, document, note: said }: { source: string; document: JsonObject; note: string }) {
    const note = redactText(said).text;
    const id = randomUUID();
    const now = clock();
    const version = await db.transaction().execute(async (tx) => {
      const { count } = await tx
        .selectFrom('policies')
        .select((eb) => eb.fn.countAll<number>().as('count'))
        .executeTakeFirstOrThrow();
      const name = `v${Number(count) + 1}`;
      await insert(tx, id, name, document, source, note, actor.name, now);
      await recordChanges(tx, [
        {
          at: now,
          actor,
          action: 'policy.created',
          topic: 'policy',
          id,
          details: { version: name, note },
          activity: { type: 'policy_created', summary: `${actor.name} wrote policy ${name}: ${note}` },
        },
      ]);
      return name;
    });
    published();
    return { id, version };
  }

  /**
   * Makes one version the active one, at once and for every proxy.
   * @param replay the replay that was looked at before, and how many calls go from red to allowed by it.
   */
  async function activate(actor: Actor, id: string, note: string, replay: { id: string; redFlips: number }) {
    const row = await get(id);
    const next = compiled(row.id, row.version, row.source);
    const now = clock();
    await db.transaction().execute(async (tx) => {
      await tx.updateTable('policies').set({ active: false }).where('active', '=', true).execute();
      await tx
        .updateTable('policies')
        .set({ active: true, activated_at: now, activated_by: actor.name, replay_id: replay.id })
        .where('id', '=', row.id)
        .execute();
      await recordChanges(tx, [
        {
          at: now,
          actor,
          action: 'policy.activated',
          topic: 'policy',
          id: row.id,
          details: { version: row.version, note, before: current().version, replayId: replay.id, redFlips: replay.redFlips },
          activity: { type: 'policy_activated', summary: `${actor.name} activated policy ${row.version}: ${note}` },
        },
      ]);
    });
    // Where another process has activated something after us, that is what holds.
    active = next;
    await refresh();
    for (const listener of listeners) await listener();
    published();
    return get(row.id);
  }

  /** Has `listener` called after every activation. */
  function onActivation(listener: () => Promise<void>): void {
    listeners.push(listener);
  }

  /**
   * The text of the policy that somebody refers to. @throws Refusal 404
   * @param reference "active", a version by its number or name, an id, or a patch over the active document.
   */
  async function textOf(reference: PolicyReference): Promise<NamedText> {
    if (typeof reference === 'object') {
      const { version, source } = await get(current().id);
      return { id: null, name: `a patch over ${version}`, source, patch: reference.patch as JsonObject };
    }
    const { id, version, source } = await get(
      reference === 'active' ? current().id : typeof reference === 'number' ? `v${reference}` : reference,
    );
    return { id, name: version, source, patch: null };
  }

  /** The texts of the newest versions, by their names. */
  async function texts(): Promise<Record<string, string>> {
    const rows = await db.selectFrom('policies').select(['version', 'source']).orderBy('number', 'desc').limit(TEXTS_MAX).execute();
    return Object.fromEntries(rows.map(({ version, source }) => [version, source]));
  }

  return { gateRoots, load, refresh, current, list, get, add, activate, onActivation, textOf, texts };
}

function compileSource(id: string, version: string, source: string, gateRoots: readonly string[]): ActivePolicy {
  const { document, policy } = parseSource(source, gateRoots);
  const timezone = policy.document.budgets.timezone;
  return { id, version, document, policy, today: (now) => dayOf(now, timezone) };
}

function parseSource(source: string, gateRoots: readonly string[]): { document: JsonObject; policy: Policy } {
  const parsed = parsePolicyText(source);
  if ('errors' in parsed) throw invalid(parsed.errors);
  const result = compilePolicy(parsed.document, source, gateRoots);
  if ('errors' in result) throw invalid(result.errors);
  return { document: parsed.document as JsonObject, policy: result.policy };
}

/** 422 with every mistake, and where it stands. */
export function invalid(errors: readonly PolicyError[]): Refusal {
  const first = errors[0];
  const where = first?.line ? `line ${first.line}, ` : '';
  return new Refusal(
    422,
    'POLICY_INVALID',
    `The policy has ${errors.length} mistake(s); the first: ${where}${first?.path}: ${first?.message}`,
    {
      errors,
    },
  );
}

async function insert(
  tx: Tx,
  id: string,
  version: string,
  document: JsonObject,
  source: string,
  note: string,
  by: string,
  now: number,
): Promise<void> {
  await tx
    .insertInto('policies')
    .values({
      id,
      version,
      created_at: now,
      created_by: by,
      note,
      active: false,
      activated_at: null,
      activated_by: null,
      document: json(document),
      source,
    })
    .execute();
}

function view(row: {
  id: string;
  version: string;
  created_at: number;
  created_by: string;
  note: string;
  active: boolean;
  activated_at: number | null;
  activated_by: string | null;
  document: Record<string, unknown>;
  source: string;
}) {
  return {
    id: row.id,
    version: row.version,
    createdAt: row.created_at,
    createdBy: row.created_by,
    note: row.note,
    active: row.active,
    activatedAt: row.activated_at,
    activatedBy: row.activated_by,
    document: row.document,
    source: row.source,
  };
}
