/**
 * The OpenClaw gateways: their tokens at our gate, the link to each as an operator, and whether the plugin in them is alive.
 * A gateway that is up while its plugin is silent runs tools ungated (OPENCLAW.md, fail-open traps): that is a critical alert.
 */
import { randomUUID } from 'node:crypto';
import type { Alerts } from './alerts.ts';
import type { Actor } from './audit.ts';
import { type Auth, issueCredential } from './auth.ts';
import { recordChanges, touch } from './changes.ts';
import type { Gateway, RosterEntry } from './contract.ts';
import type { Db, Tx } from './db/database.ts';
import type { GatewaysTable } from './db/schema.ts';
import type { Keys } from './keys.ts';
import { connectGateway, type GatewayLink, type SessionEvent } from './link.ts';
import { notFound, Refusal } from './problem.ts';

export type Gateways = ReturnType<typeof createGateways>;

/** The plugin beats every 10 s; two missed beats and a margin, so that the alert comes within 30 s (SPEC 3.4). */
const SILENT_AFTER_MS = 25_000;
/** A gateway takes 5-13 s to its port and some more to its plugins. */
const START_GRACE_MS = 20_000;
/** A beat is late: from now on the gateway itself is asked whether it is awake. */
const LATE_AFTER_MS = 11_000;
/** A gateway that has answered for this long was awake for a whole interval of the plugin's beats, and so the plugin had its turn. */
const AWAKE_MS = 10_500;
/** Two answers that lie further apart say nothing of what was between them: one of the two machines may have slept. */
const AWAKE_GAP_MS = 8_000;
/** Events of sessions that wait for the worker which reads them; the oldest are forgotten first. */
const SESSION_EVENTS_MAX = 5_000;

/** What the link of a gateway has heard of its sessions, in order. */
export interface SessionNews {
  gatewayId: string;
  events: readonly (SessionEvent & { at: number })[];
  /** The sessions in which something ran when it last connected, and when that was; null = it did not connect anew. */
  active: { at: number; sessionKeys: readonly string[] } | null;
}

type Heard = { events: (SessionEvent & { at: number })[]; active: SessionNews['active'] };

interface Dependencies {
  db: Db;
  clock: () => number;
  keys: Keys;
  auth: Auth;
  alerts: Alerts;
  published: () => void;
  log: { info: (fields: object, message: string) => void; warn: (fields: object, message: string) => void };
}

export function createGateways({ db, clock, keys, auth, alerts, published, log }: Dependencies) {
  const links = new Map<string, GatewayLink>();
  /** Address and sealed token that each link was made with. */
  const linkedWith = new Map<string, string>();
  const news = new Map<string, Heard>();
  /** Of gateways whose plugin is late: since when they have answered without a gap, and when last. */
  const awake = new Map<string, { since: number; last: number }>();
  const startedAt = clock();

  /** Connects to every registered gateway that has an address. */
  async function start(): Promise<void> {
    const rows = await db.selectFrom('gateways').selectAll().where('removed_at', 'is', null).execute();
    for (const row of rows) link(row);
  }

  /** Gateways may have been registered, moved or removed by another process: the links follow the record. */
  async function refresh(ids: readonly string[]): Promise<void> {
    const rows = await db
      .selectFrom('gateways')
      .selectAll()
      .where('id', 'in', [...ids])
      .where('removed_at', 'is', null)
      .execute();
    for (const id of ids) if (!rows.some((row) => row.id === id)) unlink(id);
    for (const row of rows) link(row);
  }

  function unlink(id: string): void {
    // It ends by itself; nobody need wait for that.
    links
      .get(id)
      ?.close()
      .catch((error) => log.warn({ err: error }, 'a link did not end in order'));
    links.delete(id);
    linkedWith.delete(id);
    news.delete(id);
  }

  /** Links to the gateway as its row has it; a link that was made with the same stays. */
  function link(row: GatewaysTable): void {
    const key = `${row.url} ${row.token_sealed}`;
    if (linkedWith.get(row.id) === key) return;
    unlink(row.id);
    if (!row.url) return;
    linkedWith.set(row.id, key);
    const token = row.token_sealed ? keys.open(row.token_sealed, `gateway:${row.id}`) : '';
    const heardOf: Heard = { events: [], active: null };
    news.set(row.id, heardOf);
    links.set(
      row.id,
      connectGateway({
        url: row.url,
        token,
        onSession: (event) => {
          if (heardOf.events.push({ ...event, at: clock() }) > SESSION_EVENTS_MAX) heardOf.events.shift();
        },
        onActive: (sessionKeys) => {
          heardOf.active = { at: clock(), sessionKeys };
        },
        onState: (state) => {
          log.info({ gateway: row.name, state: state.state, error: state.error }, 'link to OpenClaw');
          db.transaction()
            .execute((tx) => touch(tx, [{ topic: 'gateway', entity_id: row.id, at: clock() }]))
            .then(published, (error) => log.warn({ err: error }, 'a change of the link could not be announced'));
        },
      }),
    );
  }

  /**
   * Registers a gateway. With a name that is registered already, its address and token are brought up to date instead and a
   * further token for the gate is issued.
   * @returns the gateway and its `mcg_…` token, shown this once.
   */
  async function register(actor: Actor, input: { name: string; url?: string | null | undefined; token?: string | null | undefined }) {
    const now = clock();
    if (input.url) checkUrl(input.url);
    const id = randomUUID();
    const token = await db.transaction().execute(async (tx) => {
      const taken = await tx
        .selectFrom('gateways')
        .select('id')
        .where('name', '=', input.name)
        .where('removed_at', 'is', null)
        .executeTakeFirst();
      if (taken) throw new Refusal(409, 'NAME_TAKEN', `A gateway named "${input.name}" exists already.`, { id: taken.id });
      await tx
        .insertInto('gateways')
        .values({
          id,
          name: input.name,
          url: input.url ?? null,
          token_sealed: input.token ? keys.seal(input.token, `gateway:${id}`) : null,
          created_at: now,
          removed_at: null,
          last_heartbeat: null,
          plugin_version: null,
        })
        .execute();
      const issued = await issueCredential(tx, 'gateway', id, now);
      await recordChanges(tx, [
        {
          at: now,
          actor,
          action: 'gateway.registered',
          topic: 'gateway',
          id,
          details: { name: input.name, url: input.url ?? null },
          activity: { type: 'gateway_registered', summary: `${actor.name} registered the OpenClaw gateway ${input.name}` },
        },
      ]);
      return issued.token;
    });
    const row = await liveRow(db, id);
    link(row);
    published();
    return { ...(await get(id)), token };
  }

  /** Changes name, address or operator token, and links anew. A changed address needs its token again (SPEC 8.3). */
  async function update(
    actor: Actor,
    id: string,
    input: { name?: string | undefined; url?: string | null | undefined; token?: string | null | undefined },
  ): Promise<Gateway> {
    if (input.url) checkUrl(input.url);
    await db.transaction().execute(async (tx) => {
      const row = await liveRow(tx, id);
      const isMoved = input.url !== undefined && input.url !== row.url;
      const sealed = input.token ? keys.seal(input.token, `gateway:${id}`) : isMoved || input.token === null ? null : row.token_sealed;
      await tx
        .updateTable('gateways')
        .set({
          token_sealed: sealed,
          ...(input.name !== undefined && { name: input.name }),
          ...(input.url !== undefined && { url: input.url }),
        })
        .where('id', '=', id)
        .execute();
      await recordChanges(tx, [
        {
          at: clock(),
          actor,
          action: 'gateway.updated',
          topic: 'gateway',
          id,
          details: { url: input.url ?? row.url, tokenChanged: input.token !== undefined || isMoved },
        },
      ]);
    });
    link(await liveRow(db, id));
    published();
    return get(id);
  }

  async function revokeToken(actor: Actor, id: string, tokenId: string): Promise<void> {
    await db.transaction().execute(async (tx) => {
      const row = await liveRow(tx, id);
      await auth.revoke(tx, 'gateway', id, tokenId);
      await recordChanges(tx, [
        {
          at: clock(),
          actor,
          action: 'token.revoked',
          topic: 'gateway',
          id,
          details: { tokenId },
          activity: { type: 'token_revoked', summary: `A token of the gateway ${row.name} was revoked` },
        },
      ]);
    });
    published();
  }

  async function issueToken(actor: Actor, id: string) {
    const issued = await db.transaction().execute(async (tx) => {
      const row = await liveRow(tx, id);
      const credential = await issueCredential(tx, 'gateway', id, clock());
      await recordChanges(tx, [
        {
          at: clock(),
          actor,
          action: 'token.issued',
          topic: 'gateway',
          id,
          details: { tokenId: credential.id },
          activity: { type: 'token_issued', summary: `A token for the gateway ${row.name} was issued` },
        },
      ]);
      return credential;
    });
    published();
    return issued;
  }

  async function remove(actor: Actor, id: string): Promise<void> {
    const now = clock();
    await db.transaction().execute(async (tx) => {
      const row = await liveRow(tx, id);
      await tx.updateTable('gateways').set({ removed_at: now, token_sealed: null }).where('id', '=', id).execute();
      await tx
        .updateTable('credentials')
        .set({ revoked_at: now })
        .where('kind', '=', 'gateway')
        .where('owner_id', '=', id)
        .where('revoked_at', 'is', null)
        .execute();
      await alerts.clear(tx, 'gate_missing', id, 'the gateway was removed');
      await recordChanges(tx, [
        {
          at: now,
          actor,
          action: 'gateway.removed',
          topic: 'gateway',
          id,
          activity: { type: 'gateway_removed', summary: `${actor.name} removed the gateway ${row.name}` },
        },
      ]);
    });
    unlink(id);
    published();
  }

  /** The plugin of a gateway was heard; ends the alert about its silence. */
  async function heard(tx: Tx, id: string, pluginVersion: string, at: number): Promise<void> {
    await tx.updateTable('gateways').set({ last_heartbeat: at, plugin_version: pluginVersion }).where('id', '=', id).execute();
    await alerts.clear(tx, 'gate_missing', id, 'the plugin beats again');
    await touch(tx, [{ topic: 'gateway', entity_id: id, at }]);
  }

  /**
   * One pass of the gate monitor: a gateway whose plugin has fallen silent raises an alert (SPEC 3.4). A link alone does not show that the
   * gateway works: that of a machine that sleeps stands for minutes, and one that has just woken beats a moment later. So it has to
   * answer for a while, without a beat in it.
   */
  async function sweep(): Promise<void> {
    const now = clock();
    const rows = await db.selectFrom('gateways').selectAll().where('removed_at', 'is', null).execute();
    await Promise.all(rows.map((row) => lookAwake(row, now)));
    for (const id of awake.keys()) if (!rows.some((row) => row.id === id)) awake.delete(id);
    if (now - startedAt < START_GRACE_MS) return;
    for (const row of rows) {
      const state = gateOf(row, now);
      // With a link that is down the gateway itself is off: nothing runs there that could be ungated. Without a link nobody can tell.
      const { since: awakeSince = now } = awake.get(row.id) ?? {};
      if (!(state === 'missing' && now - awakeSince >= AWAKE_MS) && !(state === 'silent' && !links.has(row.id))) continue;
      const since =
        row.last_heartbeat === null ? 'has never been heard' : `was last heard ${Math.round((now - row.last_heartbeat) / 1000)} s ago`;
      await db.transaction().execute(async (tx) => {
        await alerts.raise(tx, {
          type: 'gate_missing',
          severity: 'critical',
          gatewayId: row.id,
          message:
            state === 'missing'
              ? `The gateway ${row.name} is up but its Mission Control plugin ${since}: its tools may run ungated. Check the plugin folder and run: npm run -s mc -- doctor`
              : `The Mission Control plugin of ${row.name} ${since} and there is no link to that gateway to tell why: its tools may run ungated.`,
        });
        await touch(tx, [{ topic: 'gateway', entity_id: row.id, at: now }]);
      });
      published();
    }
  }

  async function lookAwake({ id, last_heartbeat }: GatewaysTable, now: number): Promise<void> {
    const isLate = last_heartbeat === null || now - last_heartbeat >= LATE_AFTER_MS;
    if (!isLate || (await links.get(id)?.answers()) !== true) {
      awake.delete(id);
      return;
    }
    const before = awake.get(id);
    awake.set(
      id,
      before !== undefined && now - before.last < AWAKE_GAP_MS ? { since: before.since, last: now } : { since: now, last: now },
    );
  }

  /** Hands out, once, what was heard of sessions up to a moment. @param until epoch milliseconds. */
  function takeNews(until: number): SessionNews[] {
    return [...news].map(([gatewayId, heardOf]) => {
      const count = heardOf.events.findIndex(({ at }) => at > until);
      const events = heardOf.events.splice(0, count === -1 ? heardOf.events.length : count);
      const active = heardOf.active !== null && heardOf.active.at <= until ? heardOf.active : null;
      if (active !== null) heardOf.active = null;
      return { gatewayId, events, active };
    });
  }

  /** Whether the gate in a gateway is proven. A gateway that is down has nothing to gate: its plugin is `silent` for a while, no more. */
  function gateOf(row: GatewaysTable, now: number): Gateway['gate'] {
    if (row.last_heartbeat !== null && now - row.last_heartbeat < SILENT_AFTER_MS) return 'live';
    const { state, since } = links.get(row.id)?.state() ?? { state: 'none' as const, since: row.created_at };
    if (state === 'connected') return now - since < START_GRACE_MS ? 'unproven' : 'missing';
    return row.last_heartbeat === null ? 'unproven' : 'silent';
  }

  async function list(): Promise<Gateway[]> {
    const rows = await db.selectFrom('gateways').selectAll().where('removed_at', 'is', null).orderBy('created_at').execute();
    return Promise.all(rows.map(view));
  }

  async function find(id: string): Promise<Gateway | null> {
    const row = await db.selectFrom('gateways').selectAll().where('id', '=', id).where('removed_at', 'is', null).executeTakeFirst();
    return row ? view(row) : null;
  }

  async function get(id: string): Promise<Gateway> {
    const gateway = await find(id);
    if (!gateway) throw notFound('gateway', id);
    return gateway;
  }

  async function view(row: GatewaysTable): Promise<Gateway> {
    const agents = await db
      .selectFrom('agents')
      .select('id')
      .where('gateway_id', '=', row.id)
      .where('removed_at', 'is', null)
      .orderBy('name')
      .execute();
    const state = links.get(row.id)?.state() ?? { state: 'none' as const, since: row.created_at, error: null, followsSessions: false };
    return {
      id: row.id,
      createdAt: row.created_at,
      name: row.name,
      url: row.url,
      link: { state: state.state, since: state.since, error: state.error, followsSessions: state.followsSessions },
      lastHeartbeat: row.last_heartbeat,
      pluginVersion: row.plugin_version,
      gate: gateOf(row, clock()),
      agentIds: agents.map((agent) => agent.id),
    };
  }

  /** The agents that a gateway has, with ours where they are registered. @throws Refusal 503 while there is no link to ask by. */
  async function roster(id: string): Promise<RosterEntry[]> {
    await liveRow(db, id);
    const gateway = links.get(id);
    const answer = gateway ? await gateway.agents() : null;
    if (!answer?.ok) throw new Refusal(503, 'NO_LINK', `The gateway cannot be asked: ${answer?.message ?? 'it has no address here'}.`);
    const known = await db
      .selectFrom('agents')
      .select(['id', 'external_id'])
      .where('gateway_id', '=', id)
      .where('removed_at', 'is', null)
      .execute();
    return answer.value.map((agent) => ({
      externalId: agent.id,
      name: agent.name,
      workspace: agent.workspace,
      agentId: known.find((row) => row.external_id === agent.id)?.id ?? null,
    }));
  }

  /**
   * Sends a message into an agent's session. The same key is one message there.
   * @returns null once OpenClaw has it, otherwise why it could not be said.
   */
  async function say(gatewayId: string, sessionKey: string, text: string, idempotencyKey: string): Promise<string | null> {
    const gateway = links.get(gatewayId);
    if (!gateway) return 'no link to this gateway';
    const result = await gateway.sendToSession(sessionKey, text, idempotencyKey);
    if (result.ok) return null;
    log.warn({ gatewayId, sessionKey, problem: result.problem }, `an agent could not be told: ${result.message}`);
    return result.message;
  }

  /** Aborts the live runs of an agent's sessions. @returns how many sessions were told, or why none could be. */
  async function abortRuns(gatewayId: string, sessionKeys: readonly string[]): Promise<{ aborted: number; error: string | null }> {
    const gateway = links.get(gatewayId);
    if (!gateway) return { aborted: 0, error: 'no link to this gateway' };
    let aborted = 0;
    let error: string | null = null;
    for (const sessionKey of sessionKeys) {
      const result = await gateway.abortRuns(sessionKey);
      if (result.ok) aborted += result.value ? 1 : 0;
      else error = result.message;
    }
    return { aborted, error };
  }

  async function stop(): Promise<void> {
    await Promise.all([...links.values()].map((gateway) => gateway.close()));
    links.clear();
  }

  return {
    start,
    refresh,
    register,
    update,
    issueToken,
    revokeToken,
    remove,
    heard,
    sweep,
    list,
    find,
    get,
    roster,
    say,
    abortRuns,
    takeNews,
    stop,
    listTokens: (id: string) => auth.listCredentials('gateway', id),
  };
}

async function liveRow(from: Db | Tx, id: string): Promise<GatewaysTable> {
  const row = await from.selectFrom('gateways').selectAll().where('id', '=', id).where('removed_at', 'is', null).executeTakeFirst();
  if (!row) throw notFound('gateway', id);
  return row;
}

function checkUrl(url: string): void {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new Refusal(400, 'BAD_URL', `"${url}" is not a URL; expected something like ws://127.0.0.1:18789.`);
  }
  if (!['ws:', 'wss:', 'http:', 'https:'].includes(parsed.protocol)) {
    throw new Refusal(400, 'BAD_URL', `The gateway's URL must start with ws:// or wss://, not ${parsed.protocol}//.`);
  }
  if (parsed.username || parsed.password) throw new Refusal(400, 'BAD_URL', 'Give the token in "token", not inside the URL.');
}
