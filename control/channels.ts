/**
 * The channels by which people are told: settings, sealed secrets and health. A secret is written once and never answered again; where a
 * channel leads to another host its secrets must be given anew, so that nobody can have them sent elsewhere.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { isIP } from 'node:net';
import { sql } from 'kysely';
import { isSpecialAddress } from '../policies/index.ts';
import type { Alerts } from './alerts.ts';
import type { Actor } from './audit.ts';
import { type Change, recordChanges } from './changes.ts';
import type { Channel, ChannelCreate, ChannelUpdate } from './contract.ts';
import { type Db, json, type Tx } from './db/database.ts';
import type { ChannelsTable } from './db/schema.ts';
import type { Keys } from './keys.ts';
import { notFound, Refusal } from './problem.ts';

export type Channels = ReturnType<typeof createChannels>;

/** A channel as it is used: with its secrets. */
export interface LiveChannel {
  id: string;
  revision: number;
  setupRevision: number;
  name: string;
  kind: Channel['kind'];
  destination: string;
  apiRoot: string | null;
  mode: Channel['mode'];
  topics: boolean;
  allowPrivate: boolean;
  events: Channel['events'];
  token: string;
  secret: string;
  account: string | null;
  inboundCursor: number;
  heldUntil: number;
}

type Row = Omit<ChannelsTable, 'events' | 'setup_revision' | 'inbound_cursor' | 'held_until' | 'failures'> & {
  events: Channel['events'];
  setup_revision: number;
  inbound_cursor: number;
  held_until: number;
  failures: number;
};
type Settings = Pick<Row, 'name' | 'enabled' | 'destination' | 'api_root' | 'mode' | 'topics' | 'allow_private' | 'events'>;
interface Secrets {
  token: string;
  secret: string;
}

/** Waits after failures in a row: doubling from the first to the last, milliseconds. */
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 60_000;
/** A pause that the other side asks for is believed up to this length. */
const PAUSE_MAX_MS = 60 * 60 * 1000;
const DEFAULT_EVENTS: Record<Channel['kind'], Channel['events']> = {
  telegram: ['approvals', 'alerts', 'stop', 'standup', 'mentions', 'threads'],
  slack: ['approvals', 'alerts', 'stop', 'standup', 'mentions', 'threads'],
  webhook: ['approvals', 'alerts', 'stop', 'standup', 'mentions', 'threads'],
};

interface Dependencies {
  db: Db;
  clock: () => number;
  keys: Keys;
  alerts: Alerts;
  published: () => void;
}

export function createChannels({ db, clock, keys, alerts, published }: Dependencies) {
  /** Adds a channel. @returns it, and the signing key where we made one: shown this once. @throws Refusal where a setting cannot be taken. */
  async function create(actor: Actor, input: ChannelCreate): Promise<Channel & { secret: string | null }> {
    const now = clock();
    const id = randomUUID();
    const settings: Settings = {
      name: input.name,
      enabled: input.enabled ?? true,
      destination: input.destination.trim(),
      api_root: input.apiRoot ?? null,
      mode: input.kind === 'telegram' ? (input.mode ?? 'polling') : null,
      topics: input.topics ?? false,
      allow_private: input.allowPrivate ?? false,
      events: input.events ?? DEFAULT_EVENTS[input.kind],
    };
    const made = input.kind === 'webhook' && input.secret === undefined ? `whsec_${randomBytes(32).toString('base64')}` : null;
    const secrets: Secrets = {
      token: input.token ?? '',
      // Telegram's own calls of us carry a secret that nobody has to know but the two sides.
      secret: made ?? input.secret ?? (input.kind === 'telegram' ? randomBytes(32).toString('base64url') : ''),
    };
    check(input.kind, settings, secrets);
    await db.transaction().execute(async (tx) => {
      await refuseTakenName(tx, settings.name, id);
      await tx
        .insertInto('channels')
        .values({
          ...settings,
          id,
          created_at: now,
          updated_at: now,
          revision: 1,
          kind: input.kind,
          events: json(settings.events),
          sealed: seal(id, secrets),
          account: null,
          last_error: null,
          last_error_at: null,
          last_success_at: null,
          removed_at: null,
        })
        .execute();
      await recordChanges(tx, [
        change(now, actor, 'added', id, `${actor.name} added the channel ${settings.name} (${input.kind})`, {
          kind: input.kind,
          destination: shownDestination(input.kind, settings.destination),
          apiRoot: settings.api_root,
        }),
      ]);
    });
    published();
    return { ...(await get(id)), secret: made };
  }

  /** Changes a channel. What failed before is tried again at once. @throws Refusal where it leads elsewhere and no secret came with it. */
  async function update(actor: Actor, id: string, input: ChannelUpdate, revision: number | null): Promise<Channel> {
    const now = clock();
    await db.transaction().execute(async (tx) => {
      const row = await liveRow(tx, id);
      if (revision !== null && row.revision !== revision)
        throw new Refusal(412, 'CHANGED', 'The channel was changed meanwhile; load it again.');
      const known = open(row);
      const settings: Settings = {
        name: input.name ?? row.name,
        enabled: input.enabled ?? row.enabled,
        destination: input.destination?.trim() ?? row.destination,
        api_root: input.apiRoot === undefined ? row.api_root : input.apiRoot,
        mode: row.kind === 'telegram' ? (input.mode ?? row.mode) : null,
        topics: input.topics ?? row.topics,
        allow_private: input.allowPrivate ?? row.allow_private,
        events: input.events ?? row.events,
      };
      const isMoved = hostOf(row.kind, settings) !== hostOf(row.kind, row);
      const isGiven = row.kind === 'webhook' ? input.secret !== undefined : input.token !== undefined;
      if (isMoved && !isGiven) throw new Refusal(422, 'SECRET_NEEDED', 'This leads to another host: give its token or secret again.');
      const secrets: Secrets = { token: input.token ?? known.token, secret: input.secret ?? known.secret };
      check(row.kind, settings, secrets);
      await refuseTakenName(tx, settings.name, id);
      await tx
        .updateTable('channels')
        .set({
          ...settings,
          events: json(settings.events),
          updated_at: now,
          revision: row.revision + 1,
          sealed: seal(id, secrets),
          held_until: 0,
          failures: 0,
        })
        .where('id', '=', id)
        .execute();
      await recordChanges(tx, [
        change(now, actor, 'updated', id, `${actor.name} changed the channel ${settings.name}`, {
          destination: shownDestination(row.kind, settings.destination),
          enabled: settings.enabled,
          secretChanged: input.token !== undefined || input.secret !== undefined,
          moved: isMoved,
        }),
      ]);
    });
    published();
    return get(id);
  }

  /** Removes a channel: what still waited for it is given up, and nobody is known there any more. */
  async function remove(actor: Actor, id: string): Promise<void> {
    const now = clock();
    await db.transaction().execute(async (tx) => {
      const row = await liveRow(tx, id);
      await tx.updateTable('channels').set({ removed_at: now, enabled: false, sealed: '' }).where('id', '=', id).execute();
      await tx
        .updateTable('notifications')
        .set({ dead_at: now, last_error: 'the channel was removed' })
        .where('channel_id', '=', id)
        .where('delivered_at', 'is', null)
        .where('dead_at', 'is', null)
        .execute();
      await tx
        .updateTable('chat_identities')
        .set({ removed_at: now })
        .where('channel_id', '=', id)
        .where('removed_at', 'is', null)
        .execute();
      await alerts.clear(tx, 'notification_failed', `channel:${id}`, 'the channel was removed');
      await recordChanges(tx, [
        change(now, actor, 'removed', id, `${actor.name} removed the channel ${row.name}`, { kind: row.kind, name: row.name }),
      ]);
    });
    published();
  }

  async function list(): Promise<Channel[]> {
    const rows = await db.selectFrom('channels').selectAll().where('removed_at', 'is', null).orderBy('created_at').orderBy('id').execute();
    return views(rows as Row[]);
  }

  async function get(id: string): Promise<Channel> {
    const [channel] = await views([await liveRow(db, id)]);
    if (!channel) throw notFound('channel', id);
    return channel;
  }

  /** Channels that are switched on, with their secrets. */
  async function live(): Promise<LiveChannel[]> {
    const rows = await db.selectFrom('channels').selectAll().where('removed_at', 'is', null).where('enabled', '=', true).execute();
    return (rows as Row[]).map(opened);
  }

  async function findLive(id: string): Promise<LiveChannel | null> {
    const row = await db
      .selectFrom('channels')
      .selectAll()
      .where('id', '=', id)
      .where('removed_at', 'is', null)
      .where('enabled', '=', true)
      .executeTakeFirst();
    return row ? opened(row as Row) : null;
  }

  /** The other side took something: what was wrong with it is over. */
  async function succeeded(id: string): Promise<void> {
    const now = clock();
    const row = await db
      .updateTable('channels')
      .set({ failures: 0, held_until: 0, last_success_at: now })
      .where('id', '=', id)
      .where((eb) =>
        eb.or([
          eb('last_error_at', '>=', eb.ref('last_success_at')),
          eb('failures', '>', 0),
          eb('held_until', '>', 0),
          eb('last_success_at', 'is', null),
          eb('last_success_at', '<', now - 10_000),
        ]),
      )
      .returning('id')
      .executeTakeFirst();
    if (!row) return;
    await db.transaction().execute((tx) => alerts.clear(tx, 'notification_failed', `channel:${id}`, 'the channel takes messages again'));
    published();
  }

  /**
   * The other side cannot be reached, or asks for a pause: nothing more is sent until that is over.
   * @param pauseMs how long it asked for; null = it said nothing, and the pause grows with every failure in a row.
   */
  async function held(id: string, error: string, pauseMs: number | null): Promise<void> {
    const now = clock();
    const wait = pauseMs === null ? null : Math.min(PAUSE_MAX_MS, Math.max(pauseMs, RETRY_MIN_MS));
    await db
      .updateTable('channels')
      .set((eb) => ({
        failures: eb('failures', '+', 1),
        held_until:
          wait === null
            ? sql<number>`${now}::bigint + least(${RETRY_MAX_MS}::bigint, ${RETRY_MIN_MS}::bigint * (2 ^ least(failures, 16))::bigint)`
            : now + wait,
        last_error: error.slice(0, 1000),
        last_error_at: now,
      }))
      .where('id', '=', id)
      .execute();
  }

  /** Notes what went wrong where nothing has to wait for it. */
  async function noted(id: string, error: string): Promise<void> {
    await db
      .updateTable('channels')
      .set({ last_error: error.slice(0, 1000), last_error_at: clock() })
      .where('id', '=', id)
      .execute();
  }

  /** Notes what went wrong with one message and raises the alert that something did not reach people. */
  async function failedFor(tx: Tx, id: string, name: string, error: string): Promise<void> {
    const now = clock();
    await tx
      .updateTable('channels')
      .set({ last_error: error.slice(0, 1000), last_error_at: now })
      .where('id', '=', id)
      .execute();
    await alerts.raise(tx, {
      type: 'notification_failed',
      severity: 'high',
      subject: `channel:${id}`,
      message: `Something could not be said on the channel ${name}: ${error.slice(0, 300)}`,
    });
  }

  /** Notes that the other side knows this revision of the settings, and what we are called there. */
  async function setUp(id: string, revision: number, account: string | null): Promise<void> {
    await db.updateTable('channels').set({ setup_revision: revision, account }).where('id', '=', id).execute();
  }

  /** Notes up to where what came in has been dealt with; never goes back. */
  async function advance(id: string, cursor: number): Promise<void> {
    await db.updateTable('channels').set({ inbound_cursor: cursor }).where('id', '=', id).where('inbound_cursor', '<', cursor).execute();
  }

  /**
   * Takes a signed request of a channel once: whoever sends the same again while its signature holds is not listened to, by any process.
   * @param digest of the signature. @param until when its signature is too old, epoch milliseconds.
   */
  async function takeOnce(id: string, digest: string, until: number): Promise<boolean> {
    await db.deleteFrom('chat_requests').where('expires_at', '<', clock()).execute();
    const row = await db
      .insertInto('chat_requests')
      .values({ channel_id: id, digest, expires_at: until })
      .onConflict((conflict) => conflict.doNothing())
      .returning('digest')
      .executeTakeFirst();
    return row !== undefined;
  }

  async function liveRow(from: Db | Tx, id: string): Promise<Row> {
    const row = await from.selectFrom('channels').selectAll().where('id', '=', id).where('removed_at', 'is', null).executeTakeFirst();
    if (!row) throw notFound('channel', id);
    return row as Row;
  }

  function opened(row: Row): LiveChannel {
    return {
      id: row.id,
      revision: row.revision,
      setupRevision: row.setup_revision,
      name: row.name,
      kind: row.kind,
      destination: row.destination,
      apiRoot: row.api_root,
      mode: row.mode,
      topics: row.topics,
      allowPrivate: row.allow_private,
      events: row.events,
      ...open(row),
      account: row.account,
      inboundCursor: row.inbound_cursor,
      heldUntil: row.held_until,
    };
  }

  function seal(id: string, secrets: Secrets): string {
    return keys.seal(JSON.stringify(secrets), `channel:${id}`);
  }

  function open(row: Row): Secrets {
    return JSON.parse(keys.open(row.sealed, `channel:${row.id}`)) as Secrets;
  }

  async function views(rows: readonly Row[]): Promise<Channel[]> {
    const counts = await db
      .selectFrom('notifications')
      .select(['channel_id', (eb) => eb.fn.countAll<number>().as('count'), sql<boolean>`dead_at is not null`.as('dead')])
      .where('delivered_at', 'is', null)
      .groupBy(['channel_id', sql`dead_at is not null`])
      .execute();
    const countOf = (id: string, dead: boolean) => Number(counts.find((row) => row.channel_id === id && row.dead === dead)?.count ?? 0);
    const now = clock();
    return rows.map((row) => ({
      id: row.id,
      createdAt: row.created_at,
      updatedAt: row.updated_at,
      revision: row.revision,
      name: row.name,
      kind: row.kind,
      enabled: row.enabled,
      destination: row.destination,
      apiRoot: row.api_root,
      mode: row.mode,
      topics: row.topics,
      allowPrivate: row.allow_private,
      events: row.events,
      account: row.account,
      inboundPath: row.kind === 'webhook' || (row.kind === 'telegram' && row.mode === 'polling') ? null : `/chat/${row.kind}/${row.id}`,
      health: {
        state: isFailing(row) ? 'failing' : row.last_success_at === null ? 'unknown' : 'ok',
        error: isFailing(row) ? row.last_error : null,
        errorAt: row.last_error_at,
        successAt: row.last_success_at,
        heldUntil: row.held_until > now ? row.held_until : null,
      },
      waiting: countOf(row.id, false),
      dead: countOf(row.id, true),
    }));
  }

  return { create, update, remove, list, get, live, findLive, succeeded, held, noted, failedFor, setUp, advance, takeOnce };
}

function isFailing(row: Row): boolean {
  return row.last_error_at !== null && (row.last_success_at === null || row.last_error_at > row.last_success_at);
}

/** @throws Refusal where a channel of this kind cannot work with these settings. */
function check(kind: Channel['kind'], settings: Settings, secrets: Secrets): void {
  if (settings.api_root !== null) checkAddress(settings.api_root, settings.allow_private, 'apiRoot');
  switch (kind) {
    case 'telegram':
      if (secrets.token === '') throw new Refusal(400, 'TOKEN_NEEDED', 'Give "token": the bot\'s token from @BotFather.');
      if (!/^-?\d{1,20}$/.test(settings.destination))
        throw new Refusal(400, 'BAD_DESTINATION', '"destination" is the number of the chat, such as -1001234567890.');
      return;
    case 'slack':
      if (secrets.token === '' || secrets.secret === '')
        throw new Refusal(400, 'TOKEN_NEEDED', 'Give "token" (the bot token, xoxb-…) and "secret" (the signing secret of the app).');
      if (!/^[A-Z0-9]{1,40}$/.test(settings.destination))
        throw new Refusal(400, 'BAD_DESTINATION', '"destination" is the id of the conversation, such as C0123456789.');
      return;
    case 'webhook':
      checkAddress(settings.destination, settings.allow_private, 'destination');
      if (!/^whsec_[A-Za-z0-9+/=_-]{16,}$/.test(secrets.secret))
        throw new Refusal(400, 'BAD_SECRET', '"secret" is "whsec_" and a key in base64; leave it out to have one made.');
      return;
  }
}

function checkAddress(address: string, allowPrivate: boolean, field: string): void {
  const url = URL.canParse(address) ? new URL(address) : null;
  if (url === null || !['http:', 'https:'].includes(url.protocol))
    throw new Refusal(400, 'BAD_ADDRESS', `"${field}" must be an address such as https://example.com/hook.`);
  if (url.username || url.password) throw new Refusal(400, 'BAD_ADDRESS', `"${field}" must not carry a credential; it would be shown.`);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (allowPrivate) return;
  if (url.protocol !== 'https:') throw new Refusal(400, 'BAD_ADDRESS', `"${field}" must be https, unless "allowPrivate" is set.`);
  if (host === 'localhost' || (isIP(host) !== 0 && isSpecialAddress(host)))
    throw new Refusal(400, 'PRIVATE_ADDRESS', `${host} is private: set "allowPrivate" if it is meant.`);
}

/** The host that gets the secrets of a channel. */
function hostOf(kind: Channel['kind'], { destination, api_root }: Pick<Settings, 'destination' | 'api_root'>): string {
  return new URL(kind === 'webhook' ? destination : (api_root ?? 'https://default.invalid')).origin;
}

/** A webhook's path often is a secret by itself: only its origin goes on record. */
function shownDestination(kind: Channel['kind'], destination: string): string {
  return kind === 'webhook' ? new URL(destination).origin : destination;
}

async function refuseTakenName(tx: Tx, name: string, id: string): Promise<void> {
  const taken = await tx
    .selectFrom('channels')
    .select('id')
    .where('name', '=', name)
    .where('id', '<>', id)
    .where('removed_at', 'is', null)
    .executeTakeFirst();
  if (taken) throw new Refusal(409, 'NAME_TAKEN', `A channel named "${name}" exists already.`);
}

function change(
  at: number,
  actor: Actor,
  what: 'added' | 'updated' | 'removed',
  id: string,
  summary: string,
  details: NonNullable<Change['details']>,
): Change {
  return {
    at,
    actor,
    action: `channel.${what}`,
    topic: 'system',
    id,
    details,
    activity: { type: `channel_${what}`, summary },
  };
}
