/**
 * The registry of upstreams, and the pins of the tools that MCP servers offer (SPEC 4.8, 8.3). Secrets are sealed from the first row
 * and leave only for the proxies, in memory. The first whole listing of a server is pinned by itself; after it a tool that changed or is
 * new is held until an operator has accepted its definition.
 */
import { hash, randomUUID } from 'node:crypto';
import { isIP } from 'node:net';
import {
  annotationsOf,
  compareDefinitions,
  definitionOf,
  definitionText,
  isSpecialAddress,
  type JsonObject,
  microsFromUsd,
  sourceOf,
  usdFromMicros,
} from '../policies/index.ts';
import type { Alerts } from './alerts.ts';
import { type Actor, SYSTEM } from './audit.ts';
import { type Change, recordChanges, touch } from './changes.ts';
import {
  DEFAULT_UPSTREAM_LIMITS,
  type ToolListing,
  type ToolPicture,
  type Upstream,
  type UpstreamCreate,
  type UpstreamHealth,
  type UpstreamPicture,
  type UpstreamTool,
  type UpstreamUpdate,
} from './contract.ts';
import { type Db, json, type Tx } from './db/database.ts';
import type { UpstreamsTable, UpstreamToolsTable } from './db/schema.ts';
import type { Keys } from './keys.ts';
import { notFound, Refusal } from './problem.ts';
import { accessTokenOf, authorizationSubject, createCredentials, oauthView } from './upstream-credentials.ts';

export type Upstreams = ReturnType<typeof createUpstreams>;

/** Our own MCP server has this name. */
const RESERVED = new Set(['mission-control']);
/** A first listing that a server does not bring to an end is taken as whole after this time, so that it cannot go on adding. */
const FIRST_LISTING_MS = 60_000;
/** Tools of one server that are kept; what is beyond is not offered. */
const TOOLS_MAX = 2_000;
const DEFINITION_MAX_CHARS = 256 * 1024;
/** A success is written at most this often. */
const HEALTH_EVERY_MS = 10_000;

type Row = Omit<UpstreamsTable, 'command' | 'routes' | 'limits'> & {
  command: string[] | null;
  routes: Upstream['routes'];
  limits: Upstream['limits'];
};
type ToolRow = Omit<UpstreamToolsTable, 'pinned' | 'seen'> & { pinned: JsonObject | null; seen: JsonObject | null };
interface Sealed {
  secret: string | null;
  env: Record<string, string>;
}

interface Dependencies {
  db: Db;
  clock: () => number;
  keys: Keys;
  alerts: Alerts;
  /** `MC_STDIO`: whether commands may be run. */
  allowCommands: boolean;
  published: () => void;
}

export function createUpstreams({ db, clock, keys, alerts, allowCommands, published }: Dependencies) {
  const credentials = createCredentials(keys);

  /** Registers an upstream. @throws Refusal where its address, command or name cannot be taken. */
  async function create(actor: Actor, input: UpstreamCreate): Promise<Upstream> {
    const now = clock();
    const id = randomUUID();
    const place = placeOf(input, input.kind);
    if (RESERVED.has(input.name)) throw new Refusal(409, 'NAME_TAKEN', `"${input.name}" is Mission Control's own server.`);
    if (input.name.includes('__')) throw new Refusal(400, 'BAD_NAME', 'The name of an upstream has no "__": it parts it from its tools.');
    checkPlace(place, input.allowPrivate ?? false);
    if (input.oauth) checkOAuth(input.kind, place.url, input.secret ?? null);
    await db.transaction().execute(async (tx) => {
      const taken = await tx
        .selectFrom('upstreams')
        .select('id')
        .where('name', '=', input.name)
        .where('removed_at', 'is', null)
        .executeTakeFirst();
      if (taken) throw new Refusal(409, 'NAME_TAKEN', `An upstream named "${input.name}" exists already.`, { id: taken.id });
      await tx
        .insertInto('upstreams')
        .values({
          id,
          created_at: now,
          updated_at: now,
          revision: 1,
          name: input.name,
          kind: input.kind,
          url: place.url,
          command: json(place.command),
          sealed: seal(id, { secret: input.secret ?? null, env: input.env ?? {} }),
          trusted: input.trusted ?? false,
          allow_private: input.allowPrivate ?? false,
          shared: input.shared ?? false,
          routes: json(input.routes ?? []),
          price: input.priceUsd === undefined || input.priceUsd === null ? null : microsFromUsd(input.priceUsd),
          limits: json({ ...DEFAULT_UPSTREAM_LIMITS, ...input.limits }),
          pinning_since: null,
          pinned_at: null,
          health: 'unknown',
          last_error: null,
          last_error_at: null,
          last_success_at: null,
          removed_at: null,
        })
        .execute();
      if (input.oauth) await credentials.set(tx, id, input.oauth, now);
      await recordChanges(tx, [
        change(now, actor, 'added', id, `${actor.name} added the upstream ${input.name} (${place.url ?? place.command?.[0] ?? ''})`, {
          name: input.name,
          url: place.url,
          command: place.command,
          trusted: input.trusted ?? false,
          oauth: input.oauth?.grant ?? null,
        }),
      ]);
    });
    published();
    return get(id);
  }

  /**
   * Changes an upstream. Where it leads elsewhere, its secret must be given again (or removed), and every tool of it is held as changed:
   * the same name from another server is another tool.
   */
  async function update(actor: Actor, id: string, input: UpstreamUpdate, revision: number | null): Promise<Upstream> {
    const now = clock();
    await db.transaction().execute(async (tx) => {
      const row = await liveRow(tx, id);
      if (revision !== null && row.revision !== revision)
        throw new Refusal(412, 'CHANGED', 'The upstream was changed meanwhile; load it again.');
      const isPlaced = input.url !== undefined || input.command !== undefined;
      const place = isPlaced ? placeOf(input, row.kind) : { url: row.url, command: row.command };
      checkPlace(place, input.allowPrivate ?? row.allow_private);
      const known = open(row);
      const isMoved = sourceOf(place) !== sourceOf(row);
      if (isMoved && known.secret !== null && input.secret === undefined)
        throw new Refusal(422, 'SECRET_NEEDED', 'This leads to another host: give its secret again, or null to go without.');
      const oauth = await credentials.find(tx, id);
      if (isMoved && oauth !== null && input.oauth === undefined)
        throw new Refusal(422, 'SECRET_NEEDED', 'This leads to another host: give its "oauth" again, or null to go without.');
      if (input.oauth ?? (input.oauth === undefined && oauth)) checkOAuth(row.kind, place.url, input.secret ?? null);
      if (input.oauth !== undefined) await credentials.set(tx, id, input.oauth, now);
      const sealed: Sealed = {
        secret: input.oauth ? null : input.secret === undefined ? known.secret : input.secret,
        env: input.env ?? (isMoved ? {} : known.env),
      };
      await tx
        .updateTable('upstreams')
        .set({
          updated_at: now,
          revision: row.revision + 1,
          url: place.url,
          command: json(place.command),
          sealed: seal(id, sealed),
          ...(input.trusted !== undefined && { trusted: input.trusted }),
          ...(input.allowPrivate !== undefined && { allow_private: input.allowPrivate }),
          ...(input.shared !== undefined && { shared: input.shared }),
          ...(input.routes !== undefined && { routes: json(input.routes) }),
          ...(input.priceUsd !== undefined && { price: input.priceUsd === null ? null : microsFromUsd(input.priceUsd) }),
          ...(input.limits !== undefined && { limits: json({ ...row.limits, ...input.limits }) }),
          ...(isMoved && { health: 'unknown' as const }),
        })
        .where('id', '=', id)
        .execute();
      if (isMoved) await holdAllTools(tx, row, `it came from ${sourceOf(row)} before`, now);
      await recordChanges(tx, [
        change(now, actor, 'updated', id, `${actor.name} changed the upstream ${row.name}`, {
          url: place.url,
          command: place.command,
          secretChanged: input.secret !== undefined || input.oauth !== undefined,
          moved: isMoved,
          trusted: input.trusted ?? row.trusted,
          allowPrivate: input.allowPrivate ?? row.allow_private,
        }),
      ]);
    });
    published();
    return get(id);
  }

  async function holdAllTools(tx: Tx, { id, pinned_at }: Row, note: string, now: number): Promise<void> {
    if (pinned_at === null) return;
    await tx
      .updateTable('upstream_tools')
      .set({ state: 'changed', note, changed_at: now })
      .where('upstream_id', '=', id)
      .where('state', '=', 'pinned')
      .execute();
  }

  async function remove(actor: Actor, id: string): Promise<void> {
    const now = clock();
    await db.transaction().execute(async (tx) => {
      const row = await liveRow(tx, id);
      await tx.updateTable('upstreams').set({ removed_at: now, sealed: null }).where('id', '=', id).execute();
      await credentials.set(tx, id, null, now);
      await alerts.clear(tx, 'authorization_needed', authorizationSubject(id), 'the upstream was removed');
      await recordChanges(tx, [change(now, actor, 'removed', id, `${actor.name} removed the upstream ${row.name}`, { name: row.name })]);
    });
    published();
  }

  /**
   * Takes in a page of what a server lists: pins the first listing, marks what changed since.
   * @returns false where there is no such upstream.
   */
  async function saw(id: string, listing: ToolListing): Promise<boolean> {
    const now = clock();
    const isKnown = await db.transaction().execute(async (tx) => {
      const row = await tx
        .selectFrom('upstreams')
        .selectAll()
        .where('id', '=', id)
        .where('removed_at', 'is', null)
        .forUpdate()
        .executeTakeFirst();
      if (!row) return false;
      const upstream = row as Row;
      const isFirst =
        upstream.pinned_at === null && !(upstream.pinning_since !== null && isFirstOver(upstream.pinning_since, listing, now));
      const known = new Map((await toolRows(tx, id)).map((tool) => [tool.name, tool]));
      const changes: Change[] = [];
      const names = new Set<string>();
      for (const tool of listing.tools) {
        const seen = definitionOf(tool, sourceOf(upstream));
        if (seen === null || typeof seen.name !== 'string' || seen.name.length > 200 || names.has(seen.name)) continue;
        const text = definitionText(seen);
        if (text.length > DEFINITION_MAX_CHARS || (!known.has(seen.name) && known.size + names.size >= TOOLS_MAX)) continue;
        names.add(seen.name);
        const found = await keepTool(tx, upstream, known.get(seen.name), seen, hash('sha256', text), isFirst, now);
        if (found !== null) changes.push(found);
      }
      if (listing.first && listing.last) {
        const gone = [...known.values()].filter((tool) => !names.has(tool.name) && tool.seen !== null).map((tool) => tool.name);
        if (gone.length > 0) await markGone(tx, id, gone);
      }
      await tx
        .updateTable('upstreams')
        .set({
          pinning_since: upstream.pinning_since ?? now,
          pinned_at: upstream.pinned_at ?? (!isFirst || listing.last ? now : null),
        })
        .where('id', '=', id)
        .execute();
      await recordChanges(tx, changes);
      for (const found of changes) await alertAbout(tx, upstream, found);
      await touch(tx, [{ topic: 'upstream', entity_id: id, at: now }]);
      return true;
    });
    published();
    return isKnown;
  }

  /** Compares a tool with its pin. @returns the change to be recorded, or null where nothing is new. */
  async function keepTool(
    tx: Tx,
    upstream: Row,
    known: ToolRow | undefined,
    seen: JsonObject,
    seenHash: string,
    isFirst: boolean,
    now: number,
  ): Promise<Change | null> {
    const name = String(seen.name);
    const canonical = `${upstream.name}__${name}`;
    const values = { seen: json(seen), seen_hash: seenHash, last_seen_at: now };
    const of = (fields: object) =>
      tx
        .updateTable('upstream_tools')
        .set({ ...values, ...fields })
        .where('upstream_id', '=', upstream.id)
        .where('name', '=', name)
        .execute();
    if (!known) {
      const shadowed = upstream.trusted ? null : await ownerOf(tx, upstream.id, name);
      const isPinned = isFirst && shadowed === null;
      await tx
        .insertInto('upstream_tools')
        .values({
          upstream_id: upstream.id,
          name,
          state: isPinned ? 'pinned' : 'new',
          pinned: json(isPinned ? seen : null),
          pinned_hash: isPinned ? seenHash : null,
          ...values,
          note: shadowed === null ? null : `${shadowed} has a tool of this name too`,
          first_seen_at: now,
          changed_at: isPinned ? null : now,
          accepted_at: null,
          accepted_by: null,
        })
        .execute();
      if (isPinned) return null;
      return toolChange(
        now,
        upstream,
        name,
        shadowed === null ? `${canonical} is new` : `${canonical} has the name of a tool of ${shadowed}`,
      );
    }
    if (known.pinned_hash === seenHash) {
      // Back to what was accepted (also: back after it was gone).
      await of({ state: 'pinned', note: null });
      return null;
    }
    if (known.pinned_hash === null) {
      await of({ state: 'new', ...(known.seen_hash !== seenHash && { changed_at: now }) });
      return null;
    }
    const isNews = known.seen_hash !== seenHash || known.state !== 'changed';
    await of({ state: 'changed', ...(isNews && { changed_at: now }) });
    return isNews ? toolChange(now, upstream, name, `${canonical} is not the tool that was accepted`) : null;
  }

  /** The untrusted server does not get a name that stands for a tool of another one without a person (tool shadowing). */
  async function ownerOf(tx: Tx, ownId: string, tool: string): Promise<string | null> {
    const row = await tx
      .selectFrom('upstream_tools')
      .innerJoin('upstreams', 'upstreams.id', 'upstream_tools.upstream_id')
      .select('upstreams.name')
      .where('upstream_tools.name', '=', tool)
      .where('upstream_tools.pinned_hash', 'is not', null)
      .where('upstreams.id', '<>', ownId)
      .where('upstreams.removed_at', 'is', null)
      .orderBy('upstream_tools.first_seen_at')
      .executeTakeFirst();
    return row?.name ?? null;
  }

  async function markGone(tx: Tx, id: string, names: readonly string[]): Promise<void> {
    await tx
      .updateTable('upstream_tools')
      .set({ state: 'gone', seen: json(null), seen_hash: null })
      .where('upstream_id', '=', id)
      .where('name', 'in', [...names])
      .execute();
  }

  async function alertAbout(tx: Tx, upstream: Row, { activity }: Change): Promise<void> {
    await alerts.raise(tx, {
      type: 'security_violation',
      severity: 'high',
      subject: `upstream:${upstream.id}`,
      message: `${activity?.summary ?? ''}: its calls are held until an operator has looked at the difference.`,
    });
  }

  /** An operator takes a tool as it is now. @throws Refusal where it is not the one that was looked at. */
  async function acceptTool(actor: Actor, id: string, name: string, input: { hash?: string | undefined; note?: string | undefined }) {
    const now = clock();
    await db.transaction().execute(async (tx) => {
      const upstream = await liveRow(tx, id);
      const tool = (await toolRows(tx, id)).find((candidate) => candidate.name === name);
      if (!tool) throw notFound('tool', name);
      if (tool.seen === null || tool.seen_hash === null)
        throw new Refusal(409, 'TOOL_GONE', `${upstream.name} no longer offers ${name}; there is nothing to accept.`);
      if (input.hash !== undefined && input.hash !== tool.seen_hash)
        throw new Refusal(409, 'TOOL_CHANGED', 'The definition has changed again since you looked at it.', { seenHash: tool.seen_hash });
      await tx
        .updateTable('upstream_tools')
        .set({
          state: 'pinned',
          pinned: json(tool.seen),
          pinned_hash: tool.seen_hash,
          note: null,
          accepted_at: now,
          accepted_by: actor.name,
        })
        .where('upstream_id', '=', id)
        .where('name', '=', name)
        .execute();
      const left = (await toolRows(tx, id)).some((other) => other.state === 'changed' || other.state === 'new');
      if (!left) await alerts.clear(tx, 'security_violation', `upstream:${id}`, 'every tool of it was accepted');
      await recordChanges(tx, [
        {
          at: now,
          actor,
          action: 'tool.accepted',
          topic: 'upstream',
          id,
          details: { tool: name, before: tool.pinned_hash, after: tool.seen_hash, note: input.note ?? null },
          activity: { type: 'tool_accepted', summary: `${actor.name} accepted ${upstream.name}__${name} as it is now` },
        },
      ]);
    });
    published();
    const found = (await tools(id)).find((tool) => tool.name === name);
    if (!found) throw notFound('tool', name);
    return found;
  }

  /** How a proxy found an upstream; a success is written now and then only. */
  async function found(id: string, { ok, error, unauthorized }: UpstreamHealth): Promise<void> {
    const now = clock();
    const row = await db.selectFrom('upstreams').selectAll().where('id', '=', id).where('removed_at', 'is', null).executeTakeFirst();
    if (!row) return;
    if (ok && row.health === 'up' && now - (row.last_success_at ?? 0) < HEALTH_EVERY_MS) return;
    await db.transaction().execute(async (tx) => {
      await tx
        .updateTable('upstreams')
        .set(
          ok
            ? { health: 'up', last_success_at: now }
            : { health: 'down', last_error: (error ?? 'unknown').slice(0, 2000), last_error_at: now },
        )
        .where('id', '=', id)
        .execute();
      if (ok) await alerts.clear(tx, 'authorization_needed', authorizationSubject(id), 'the server takes our credential again');
      // Without OAuth it is the fixed secret, or that there is none.
      else if (unauthorized && (await credentials.refused(tx, id, now)) !== false) await alertAboutAuthorization(tx, row.name, id);
      await touch(tx, [{ topic: 'upstream', entity_id: id, at: now }]);
    });
    published();
  }

  async function alertAboutAuthorization(tx: Tx, name: string, id: string): Promise<void> {
    await alerts.raise(tx, {
      type: 'authorization_needed',
      severity: 'high',
      subject: authorizationSubject(id),
      message: `${name} asks for authorization (HTTP 401): its tools cannot be reached until an administrator gives it.`,
    });
  }

  async function list(): Promise<Upstream[]> {
    const rows = await db.selectFrom('upstreams').selectAll().where('removed_at', 'is', null).orderBy('name').execute();
    return views(rows as Row[]);
  }

  async function find(id: string): Promise<Upstream | null> {
    const row = await db.selectFrom('upstreams').selectAll().where('id', '=', id).where('removed_at', 'is', null).executeTakeFirst();
    return row ? ((await views([row as Row]))[0] ?? null) : null;
  }

  /** By its id, or by its name, which is unique. */
  async function get(idOrName: string): Promise<Upstream> {
    return views([await liveRow(db, idOrName)]).then(([upstream]) => {
      if (!upstream) throw notFound('upstream', idOrName);
      return upstream;
    });
  }

  async function idOf(idOrName: string): Promise<string> {
    return (await liveRow(db, idOrName)).id;
  }

  async function tools(id: string): Promise<UpstreamTool[]> {
    const upstream = await liveRow(db, id);
    return (await toolRows(db, upstream.id)).map((tool) => ({
      id: `${upstream.id}/${tool.name}`,
      name: tool.name,
      canonicalName: `${upstream.name}__${tool.name}`,
      state: tool.state,
      pinned: tool.pinned,
      seen: tool.seen,
      diff: tool.state === 'changed' || tool.state === 'new' ? compareDefinitions(tool.pinned, tool.seen) : [],
      seenHash: tool.seen_hash,
      pinnedHash: tool.pinned_hash,
      note: tool.note,
      firstSeenAt: tool.first_seen_at,
      lastSeenAt: tool.last_seen_at,
      changedAt: tool.changed_at,
      acceptedAt: tool.accepted_at,
      acceptedBy: tool.accepted_by,
    }));
  }

  async function views(rows: readonly Row[]): Promise<Upstream[]> {
    if (rows.length === 0) return [];
    const counts = await db
      .selectFrom('upstream_tools')
      .select(['upstream_id', 'state', (eb) => eb.fn.countAll<number>().as('count')])
      .where(
        'upstream_id',
        'in',
        rows.map((row) => row.id),
      )
      .groupBy(['upstream_id', 'state'])
      .execute();
    const oauth = await credentials.ofAll(
      db,
      rows.map((row) => row.id),
    );
    const count = (id: string, ...states: string[]) =>
      counts.filter((row) => row.upstream_id === id && states.includes(row.state)).reduce((sum, row) => sum + Number(row.count), 0);
    return rows.map((row) => {
      const { secret, env } = open(row);
      const stored = oauth.get(row.id);
      return {
        id: row.id,
        createdAt: row.created_at,
        updatedAt: row.updated_at,
        revision: row.revision,
        name: row.name,
        kind: row.kind,
        url: row.url,
        command: row.command,
        hasSecret: secret !== null,
        oauth: stored ? oauthView(stored) : null,
        envNames: Object.keys(env).sort(),
        trusted: row.trusted,
        allowPrivate: row.allow_private,
        shared: row.shared,
        routes: row.routes,
        priceUsd: row.price === null ? null : usdFromMicros(row.price),
        limits: row.limits,
        health: { state: row.health, lastSuccessAt: row.last_success_at, lastError: row.last_error, lastErrorAt: row.last_error_at },
        toolCount: count(row.id, 'pinned', 'changed', 'new'),
        heldTools: count(row.id, 'changed', 'new'),
      };
    });
  }

  /** What the proxies need, secrets included. @param ids null = all. */
  async function pictures(ids: readonly string[] | null): Promise<UpstreamPicture[]> {
    let query = db.selectFrom('upstreams').selectAll().where('removed_at', 'is', null);
    if (ids) query = query.where('id', 'in', [...ids]);
    const rows = (await query.execute()) as Row[];
    const oauth = await credentials.ofAll(
      db,
      rows.map((row) => row.id),
    );
    return Promise.all(
      rows.map(async (row) => {
        const { secret, env } = open(row);
        const known: Record<string, ToolPicture> = {};
        for (const tool of await toolRows(db, row.id)) {
          if (tool.state === 'gone') continue;
          known[tool.name] = {
            state: tool.state,
            pinnedHash: tool.pinned_hash,
            seenHash: tool.seen_hash,
            pinned: tool.state === 'changed' ? tool.pinned : null,
            annotations: { ...annotationsOf(tool.seen) },
          };
        }
        return {
          id: row.id,
          name: row.name,
          kind: row.kind,
          url: row.url,
          command: allowCommands ? row.command : null,
          env,
          secret: secret ?? accessTokenOf(oauth.get(row.id)),
          trusted: row.trusted,
          allowPrivate: row.allow_private,
          shared: row.shared,
          routes: row.routes,
          price: row.price,
          limits: { ...DEFAULT_UPSTREAM_LIMITS, ...row.limits },
          revision: row.revision,
          pinned: row.pinned_at !== null,
          tools: known,
        };
      }),
    );
  }

  function placeOf(input: { url?: string | undefined; command?: string | string[] | undefined }, kind: Upstream['kind']) {
    if ((input.url === undefined) === (input.command === undefined))
      throw new Refusal(400, 'BAD_REQUEST', 'Give either "url" or "command".');
    if (input.command === undefined) return { url: input.url ?? null, command: null };
    if (kind !== 'mcp') throw new Refusal(400, 'BAD_REQUEST', 'Only an MCP server can be a command.');
    if (!allowCommands) throw new Refusal(403, 'STDIO_OFF', 'Commands are switched off here (MC_STDIO=off).');
    const command = typeof input.command === 'string' ? splitCommand(input.command) : input.command;
    if (command.length === 0) throw new Refusal(400, 'BAD_REQUEST', 'The command is empty.');
    return { url: null, command };
  }

  function seal(id: string, content: Sealed): string | null {
    if (content.secret === null && Object.keys(content.env).length === 0) return null;
    return keys.seal(JSON.stringify(content), `upstream:${id}`);
  }

  function open({ id, sealed }: Pick<Row, 'id' | 'sealed'>): Sealed {
    return sealed === null ? { secret: null, env: {} } : (JSON.parse(keys.open(sealed, `upstream:${id}`)) as Sealed);
  }

  return { create, update, remove, saw, acceptTool, found, list, find, get, idOf, tools, pictures };
}

async function liveRow(from: Db | Tx, idOrName: string): Promise<Row> {
  const row = await from
    .selectFrom('upstreams')
    .selectAll()
    .where((eb) => eb.or([eb('id', '=', idOrName), eb('name', '=', idOrName)]))
    .where('removed_at', 'is', null)
    .executeTakeFirst();
  if (!row) throw notFound('upstream', idOrName);
  return row as Row;
}

async function toolRows(from: Db | Tx, id: string): Promise<ToolRow[]> {
  return (await from.selectFrom('upstream_tools').selectAll().where('upstream_id', '=', id).orderBy('name').execute()) as ToolRow[];
}

/** A first listing ends with its last page, when the next one begins, or after a while: then no further tool is pinned unseen. */
function isFirstOver(since: number, listing: ToolListing, now: number): boolean {
  return listing.first || now - since > FIRST_LISTING_MS;
}

function checkPlace({ url }: { url: string | null }, allowPrivate: boolean): void {
  if (url === null) return;
  const { hostname, username, password } = new URL(url);
  if (username || password) throw new Refusal(400, 'BAD_URL', 'Give the credential in "secret", not inside the URL.');
  const host = hostname.replace(/^\[|\]$/g, '');
  const isPrivate =
    isIP(host) !== 0 ? isSpecialAddress(host) : /(^|\.)(localhost|local|internal|localdomain)$/i.test(host) || !host.includes('.');
  if (isPrivate && !allowPrivate)
    throw new Refusal(422, 'PRIVATE_UPSTREAM', `${hostname} is a private address. Say "allowPrivate": true if that is meant.`);
}

function checkOAuth(kind: Upstream['kind'], url: string | null, secret: string | null): void {
  if (kind !== 'mcp' || url === null) throw new Refusal(400, 'BAD_REQUEST', 'Only an MCP server with a "url" can have "oauth".');
  if (secret !== null) throw new Refusal(400, 'BAD_REQUEST', 'Give either "secret" or "oauth".');
}

/** Text of a command into words: spaces part, quotes hold together, nothing is expanded. */
function splitCommand(text: string): string[] {
  const words: string[] = [];
  for (const match of text.matchAll(/(?:[^\s"']|"[^"]*"|'[^']*')+/g)) {
    words.push(
      match[0].replaceAll(/"([^"]*)"|'([^']*)'/g, (_, double: string | undefined, single: string | undefined) => double ?? single ?? ''),
    );
  }
  return words;
}

function change(at: number, actor: Actor, what: 'added' | 'updated' | 'removed', id: string, summary: string, details: JsonObject): Change {
  return { at, actor, action: `upstream.${what}`, topic: 'upstream', id, details, activity: { type: `upstream_${what}`, summary } };
}

function toolChange(at: number, upstream: Row, tool: string, summary: string): Change {
  return {
    at,
    actor: SYSTEM,
    action: 'tool.changed',
    topic: 'upstream',
    id: upstream.id,
    details: { tool },
    activity: { type: 'tool_changed', summary },
  };
}
