/**
 * Mission Control as the OAuth client of upstreams (SPEC 3): a person authorises it once, and it keeps its token fresh. The agents'
 * credentials play no part in it, and no token leaves for anybody but the proxies.
 *
 * Invariants:
 * - A state opens once, within ten minutes, for the operator who began it; what it opens was decided when it was made, not by the answer.
 * - A token, and the client secret, go only to the authorization server that they belong to.
 * - No network inside a transaction; what was asked for under settings that have changed meanwhile is dropped.
 */
import { randomBytes } from 'node:crypto';
import type { Alerts } from './alerts.ts';
import { type Actor, SYSTEM } from './audit.ts';
import { hashSecret } from './auth.ts';
import { recordChanges } from './changes.ts';
import type { UpstreamAuthorization } from './contract.ts';
import type { Db, Tx } from './db/database.ts';
import type { Keys } from './keys.ts';
import {
  askAsClient,
  begin,
  comesFrom,
  type Discovery,
  discover,
  exchange,
  type OAuthClient,
  OAuthFailure,
  refresh,
  register,
  scopeFor,
} from './oauth-protocol.ts';
import { type Outbound, openOutbound } from './outbound.ts';
import { notFound, Refusal } from './problem.ts';
import { authorizationSubject, createCredentials, type StoredOAuth } from './upstream-credentials.ts';

export type UpstreamOAuthService = ReturnType<typeof createUpstreamOAuth>;

interface Dependencies {
  db: Db;
  clock: () => number;
  keys: Keys;
  alerts: Alerts;
  published: () => void;
}

interface Server {
  id: string;
  name: string;
  url: string;
  allowPrivate: boolean;
}
/** Kept, sealed, between the two halves of an authorization. */
interface Begun {
  settingsId: string;
  discovery: Discovery;
  client: OAuthClient;
  verifier: string;
  redirectUri: string;
}
interface Tokens {
  access_token: string;
  refresh_token?: string | undefined;
  expires_in?: number | undefined;
}

const STATE_MS = 10 * 60 * 1000;
const ERRAND_MS = 30_000;
const BEGUN_MAX = 20;
/** The next token is asked for when a fifth of the time is left, five minutes before the end at most. */
const EARLY_MAX_MS = 5 * 60 * 1000;
const EARLY_PART = 0.2;
const RETRY_MIN_MS = 5_000;
const RETRY_MAX_MS = 5 * 60 * 1000;
const DUE_MAX = 50;
const YEAR_S = 365 * 24 * 60 * 60;

export function createUpstreamOAuth({ db, clock, keys, alerts, published }: Dependencies) {
  const credentials = createCredentials(keys);

  /**
   * Begins an authorization of an upstream. With client credentials it is over with that.
   * @param baseUrl how the caller's browser reaches us. @throws Refusal where the server does not do what the protocol says.
   */
  async function authorize(actor: Actor & { id: string }, upstreamId: string, baseUrl: string): Promise<UpstreamAuthorization> {
    const { server, stored } = await find(upstreamId);
    const redirectUri = `${baseUrl}/oauth/callback`;
    return withOutbound(server, async (outbound) => {
      if (stored.row.grant_type === 'client_credentials') {
        await getAsClient(server, stored, actor, outbound);
        return { url: null, expiresAt: null };
      }
      const discovery = await discover(server.url, issuerOf(stored), outbound);
      const scope = scopeFor(discovery, stored.row.scope);
      const { client, isNew } = await clientFor(stored, discovery, redirectUri, scope, outbound);
      const state = randomBytes(32).toString('base64url');
      const { url, verifier } = await begin(discovery, client, { redirectUri, scope, state });
      if (!mayOpen(url, server)) throw new OAuthFailure(`the address for authorization (${new URL(url).origin}) is not https`, true);
      const now = clock();
      await db.transaction().execute(async (tx) => {
        await dropOld(tx, server.id, now);
        const fresh = await credentials.lock(tx, server.id);
        if (fresh?.row.settings_id !== stored.row.settings_id) throw changedMeanwhile();
        const registered = { issuer: discovery.issuer, redirectUri, client };
        if (isNew) await credentials.change(tx, fresh, {}, { ...fresh.content, registered });
        const hash = hashSecret(state);
        const begun: Begun = { settingsId: stored.row.settings_id, discovery, client, verifier, redirectUri };
        await tx
          .insertInto('upstream_authorizations')
          .values({
            state_hash: hash,
            upstream_id: server.id,
            operator_id: actor.id,
            created_at: now,
            expires_at: now + STATE_MS,
            sealed: keys.seal(JSON.stringify(begun), `upstream-authorization:${hash}`),
          })
          .execute();
      });
      return { url, expiresAt: now + STATE_MS };
    });
  }

  /**
   * Ends an authorization with what the authorization server has sent the browser back with.
   * @returns the upstream's name. @throws Refusal
   */
  async function complete(actor: Actor & { id: string }, answer: URLSearchParams): Promise<{ id: string; name: string }> {
    const begun = await take(actor, answer.get('state') ?? '');
    const { server, stored } = await find(begun.upstreamId);
    const iss = answer.get('iss');
    // Before the rest is read: an answer of another server says nothing to us (mix-up, RFC 9207).
    if (!(await comesFrom(begun.discovery, iss)))
      throw new Refusal(
        422,
        'OAUTH_MIX_UP',
        'This answer comes from another authorization server than the one that was asked. Nothing was kept.',
      );
    const code = answer.get('code');
    if (code === null) {
      const error = answer.get('error') ?? '';
      const word = /^[a-z_]{1,64}$/.test(error) ? error : 'no reason';
      throw new Refusal(422, 'OAUTH_REFUSED', `The authorization server gave no code (${word}). Nothing was kept.`);
    }
    if (stored.row.settings_id !== begun.settingsId) throw changedMeanwhile();
    const { discovery, client, verifier, redirectUri } = begun;
    return withOutbound(server, async (outbound) => {
      const tokens = await exchange(discovery, client, { code, iss, verifier, redirectUri }, outbound);
      await keep(server, stored, { discovery, client, tokens, actor });
      return { id: server.id, name: server.name };
    });
  }

  /** Gets the next token of every upstream whose time has come. One that cannot be had for good is left to a person, who is told once. */
  async function renewDue(): Promise<void> {
    const rows = await db
      .selectFrom('upstream_oauth')
      .innerJoin('upstreams', 'upstreams.id', 'upstream_oauth.upstream_id')
      .select('upstream_id')
      .where('refresh_at', '<=', clock())
      .where('removed_at', 'is', null)
      .orderBy('refresh_at')
      .limit(DUE_MAX)
      .execute();
    // All of them end before this does: one that is still under way must not be begun again, a refresh token is good once.
    const ends = await Promise.allSettled(rows.map(({ upstream_id }) => renew(upstream_id)));
    for (const end of ends) if (end.status === 'rejected' && !(end.reason instanceof Refusal)) throw end.reason;
  }

  async function renew(upstreamId: string): Promise<void> {
    const { server, stored } = await find(upstreamId);
    const outbound = openOutbound(server.allowPrivate, ERRAND_MS);
    try {
      const { connection } = stored.content;
      if (stored.row.grant_type === 'client_credentials') await getAsClient(server, stored, SYSTEM, outbound);
      else if (connection === null || connection.refreshToken === null)
        throw new OAuthFailure('its token has ended, and there is none to renew it with', true);
      else {
        const tokens = await refresh(connection, connection.refreshToken, outbound);
        await keep(server, stored, { ...connection, tokens, actor: null });
      }
    } catch (error) {
      if (!(error instanceof OAuthFailure)) throw error;
      await note(server, stored, error);
    } finally {
      await outbound.close();
    }
  }

  async function getAsClient(server: Server, stored: StoredOAuth, actor: Actor, outbound: Outbound): Promise<void> {
    const { row, content } = stored;
    const discovery = await discover(server.url, issuerOf(stored), outbound);
    const client: OAuthClient = { clientId: row.client_id ?? '', clientSecret: content.clientSecret, authMethod: null };
    const tokens = await askAsClient(discovery, client, row.scope ?? discovery.scope, outbound);
    await keep(server, stored, { discovery, client, tokens, actor: row.state === 'needed' ? actor : null });
  }

  /** Who we are at this authorization server: as the administrator said, as we are registered already, or newly registered. */
  async function clientFor(stored: StoredOAuth, discovery: Discovery, redirectUri: string, scope: string | null, outbound: Outbound) {
    const { row, content } = stored;
    if (row.client_id !== null)
      return { client: { clientId: row.client_id, clientSecret: content.clientSecret, authMethod: null }, isNew: false };
    const { registered } = content;
    if (registered !== null && registered.issuer === discovery.issuer && registered.redirectUri === redirectUri)
      return { client: registered.client, isNew: false };
    return { client: await register(discovery, redirectUri, scope, outbound), isNew: true };
  }

  /** Takes a begun authorization out of the table: it opens once, whatever becomes of it. @throws Refusal */
  async function take(actor: Actor & { id: string }, state: string): Promise<Begun & { upstreamId: string }> {
    const hash = hashSecret(state);
    const row = await db.deleteFrom('upstream_authorizations').where('state_hash', '=', hash).returningAll().executeTakeFirst();
    if (!row || row.expires_at <= clock() || row.operator_id !== actor.id) {
      throw new Refusal(
        422,
        'OAUTH_STATE',
        'This authorization was not begun here by you within the last ten minutes, or is used up. Begin it again.',
      );
    }
    return { ...(JSON.parse(keys.open(row.sealed, `upstream-authorization:${hash}`)) as Begun), upstreamId: row.upstream_id };
  }

  async function dropOld(tx: Tx, upstreamId: string, now: number): Promise<void> {
    await tx.deleteFrom('upstream_authorizations').where('expires_at', '<=', now).execute();
    const begun = await tx
      .selectFrom('upstream_authorizations')
      .select('state_hash')
      .where('upstream_id', '=', upstreamId)
      .orderBy('created_at', 'desc')
      .offset(BEGUN_MAX - 1)
      .execute();
    for (const { state_hash } of begun) await tx.deleteFrom('upstream_authorizations').where('state_hash', '=', state_hash).execute();
  }

  /** @param got with the actor where this is an authorization; null where only the next token came. */
  async function keep(
    server: Server,
    stored: StoredOAuth,
    got: { discovery: Discovery; client: OAuthClient; tokens: Tokens; actor: Actor | null },
  ): Promise<void> {
    const now = clock();
    const { discovery, client, tokens, actor } = got;
    const lifeMs = tokens.expires_in === undefined ? null : Math.min(Math.max(tokens.expires_in, 1), YEAR_S) * 1000;
    const connection = {
      discovery,
      client,
      accessToken: tokens.access_token,
      refreshToken: tokens.refresh_token ?? null,
    };
    const isKept = await db.transaction().execute(async (tx) => {
      const fresh = await current(tx, stored, actor !== null);
      if (fresh === null) return false;
      await credentials.change(
        tx,
        fresh,
        {
          state: 'authorized',
          ...(actor !== null && { authorized_at: now, authorized_by: actor.name }),
          token_at: now,
          expires_at: lifeMs === null ? null : now + lifeMs,
          refresh_at: lifeMs === null ? null : now + lifeMs - Math.min(EARLY_MAX_MS, lifeMs * EARLY_PART),
          attempts: 0,
          error: null,
          error_at: null,
        },
        { ...fresh.content, connection, ...(fresh.row.client_id !== null && { boundTo: discovery.issuer }) },
      );
      await alerts.clear(tx, 'authorization_needed', authorizationSubject(server.id), 'Mission Control has a token again');
      await recordChanges(tx, [
        {
          at: now,
          actor: actor ?? SYSTEM,
          action: actor === null ? 'upstream.token_renewed' : 'upstream.authorized',
          topic: 'upstream',
          id: server.id,
          details: { name: server.name, issuer: discovery.issuer, grant: stored.row.grant_type },
          ...(actor !== null && {
            activity: { type: 'upstream_updated' as const, summary: `${server.name} was authorised (${actor.name})` },
          }),
        },
      ]);
      return true;
    });
    published();
    if (!isKept && actor !== null) throw changedMeanwhile();
  }

  /** Notes a failure to get the next token. */
  async function note(server: Server, stored: StoredOAuth, failure: OAuthFailure): Promise<void> {
    const now = clock();
    const { row } = stored;
    const isOver = failure.isFinal || (row.expires_at !== null && row.expires_at <= now && row.attempts >= 3);
    const pause = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(row.attempts, 10));
    await db.transaction().execute(async (tx) => {
      const fresh = await current(tx, stored, false);
      if (fresh === null) return;
      await credentials.change(
        tx,
        fresh,
        {
          error: failure.message,
          error_at: now,
          attempts: row.attempts + 1,
          refresh_at: failure.isFinal ? null : now + pause,
          ...(isOver && { state: 'needed' as const }),
        },
        failure.isFinal ? { ...fresh.content, connection: null } : fresh.content,
      );
      const why = `${server.name} needs to be authorised again: ${failure.message}.`;
      if (isOver)
        await alerts.raise(tx, { type: 'authorization_needed', severity: 'high', subject: authorizationSubject(server.id), message: why });
      await recordChanges(tx, [
        {
          at: now,
          actor: SYSTEM,
          action: isOver ? 'upstream.authorization_lost' : 'upstream.token_not_renewed',
          topic: 'upstream',
          id: server.id,
          details: { name: server.name, error: failure.message },
        },
      ]);
    });
    published();
  }

  /**
   * What is kept now, for a change by what was asked for on the grounds of `known`. Null where it was set up anew meanwhile, or, unless a
   * person has just authorised it, where another token has come.
   */
  async function current(tx: Tx, known: StoredOAuth, isByPerson: boolean): Promise<StoredOAuth | null> {
    const fresh = await credentials.lock(tx, known.row.upstream_id);
    if (fresh?.row.settings_id !== known.row.settings_id) return null;
    const isSameToken = fresh.content.connection?.accessToken === known.content.connection?.accessToken;
    return isByPerson || isSameToken ? fresh : null;
  }

  async function find(upstreamId: string): Promise<{ server: Server; stored: StoredOAuth }> {
    const row = await db
      .selectFrom('upstreams')
      .select(['id', 'name', 'url', 'allow_private'])
      .where('id', '=', upstreamId)
      .where('removed_at', 'is', null)
      .executeTakeFirst();
    if (!row) throw notFound('upstream', upstreamId);
    const stored = await credentials.find(db, upstreamId);
    if (stored === null || row.url === null)
      throw new Refusal(409, 'NO_OAUTH', `${row.name} is not set up for OAuth. Give it "oauth" first.`);
    return { server: { id: row.id, name: row.name, url: row.url, allowPrivate: row.allow_private }, stored };
  }

  return { authorize, complete, renewDue };
}

/** Runs an errand at a server; what is not as it should be there is answered as a refusal. */
async function withOutbound<T>(server: Server, errand: (outbound: Outbound) => Promise<T>): Promise<T> {
  const outbound = openOutbound(server.allowPrivate, ERRAND_MS);
  try {
    return await errand(outbound);
  } catch (error) {
    if (!(error instanceof OAuthFailure)) throw error;
    throw new Refusal(422, 'OAUTH_FAILED', `${server.name} could not be authorised: ${error.message}.`);
  } finally {
    await outbound.close();
  }
}

/** The only authorization server that is taken: what the administrator said, or where the given client id has proven good. */
function issuerOf({ row, content }: StoredOAuth): string | null {
  return row.issuer ?? content.boundTo;
}

function mayOpen(url: string, { allowPrivate }: Server): boolean {
  return url.startsWith('https://') || (allowPrivate && url.startsWith('http://'));
}

function changedMeanwhile(): Refusal {
  return new Refusal(
    409,
    'CHANGED',
    'The upstream was changed or authorised by somebody else meanwhile. Look at it, and begin again if needed.',
  );
}
