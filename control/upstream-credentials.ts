/**
 * What is kept of an upstream that asks for OAuth: settings, and, sealed, the client secret, our registration and the tokens. Nothing
 * here leaves for anybody but the proxies, which get the access token as they get a fixed secret. No network.
 */
import { randomUUID } from 'node:crypto';
import type { UpstreamOAuth, UpstreamOAuthSettings } from './contract.ts';
import type { Db, Tx } from './db/database.ts';
import type { UpstreamOAuthTable } from './db/schema.ts';
import type { Keys } from './keys.ts';
import type { Connection, OAuthClient } from './oauth-protocol.ts';

/** The secret part. */
export interface SealedOAuth {
  clientSecret: string | null;
  /** Where the given client id has proven good; it and its secret go nowhere else, whatever the server names later. */
  boundTo: string | null;
  /** Ours at an authorization server that lets clients register themselves; good for that server and this way back only. */
  registered: { issuer: string; redirectUri: string; client: OAuthClient } | null;
  /** Null until somebody has authorised it. */
  connection: Connection | null;
}
export interface StoredOAuth {
  row: UpstreamOAuthTable;
  content: SealedOAuth;
}

/** Within this time after a new token a refusal may be about the one before it. */
const SETTLE_MS = 10_000;
/** A token that is refused within this time after it came is not renewed again for that. */
const RENEWED_MS = 60_000;

export function createCredentials(keys: Keys) {
  /** Takes settings in place of what was there, tokens included. @returns false where there are none now. */
  async function set(tx: Tx, upstreamId: string, settings: UpstreamOAuthSettings | null, now: number): Promise<boolean> {
    await tx.deleteFrom('upstream_authorizations').where('upstream_id', '=', upstreamId).execute();
    await tx.deleteFrom('upstream_oauth').where('upstream_id', '=', upstreamId).execute();
    if (settings === null) return false;
    await tx
      .insertInto('upstream_oauth')
      .values({
        upstream_id: upstreamId,
        settings_id: randomUUID(),
        grant_type: settings.grant,
        client_id: settings.clientId ?? null,
        scope: settings.scope ?? null,
        issuer: settings.issuer ?? null,
        sealed: seal(upstreamId, { clientSecret: settings.clientSecret ?? null, boundTo: null, registered: null, connection: null }),
        state: 'needed',
        authorized_at: null,
        authorized_by: null,
        token_at: null,
        expires_at: null,
        // Where no person is needed, the first token is asked for at once.
        refresh_at: settings.grant === 'client_credentials' ? now : null,
        attempts: 0,
        error: null,
        error_at: null,
      })
      .execute();
    return true;
  }

  async function find(from: Db | Tx, upstreamId: string): Promise<StoredOAuth | null> {
    const row = await from.selectFrom('upstream_oauth').selectAll().where('upstream_id', '=', upstreamId).executeTakeFirst();
    return row ? { row, content: open(row) } : null;
  }

  /** Of all these upstreams; those without OAuth are not in it. */
  async function ofAll(from: Db | Tx, upstreamIds: readonly string[]): Promise<Map<string, StoredOAuth>> {
    if (upstreamIds.length === 0) return new Map();
    const rows = await from
      .selectFrom('upstream_oauth')
      .selectAll()
      .where('upstream_id', 'in', [...upstreamIds])
      .execute();
    return new Map(rows.map((row) => [row.upstream_id, { row, content: open(row) }]));
  }

  /** The same, for a change of it: nobody else changes it until the transaction is over. */
  async function lock(tx: Tx, upstreamId: string): Promise<StoredOAuth | null> {
    const row = await tx.selectFrom('upstream_oauth').selectAll().where('upstream_id', '=', upstreamId).forUpdate().executeTakeFirst();
    return row ? { row, content: open(row) } : null;
  }

  /** Changes what is kept. @param locked from `lock`, in this transaction. */
  async function change(
    tx: Tx,
    locked: StoredOAuth,
    fields: Partial<Omit<UpstreamOAuthTable, 'upstream_id' | 'settings_id' | 'sealed'>>,
    content: SealedOAuth = locked.content,
  ): Promise<void> {
    const { upstream_id: id } = locked.row;
    await tx
      .updateTable('upstream_oauth')
      .set({ ...fields, sealed: seal(id, content) })
      .where('upstream_id', '=', id)
      .execute();
  }

  /**
   * The server did not take what it was sent. A token that is not quite new is renewed at once where it can be.
   * @returns whether a person has to be told; null where there is no OAuth here.
   */
  async function refused(tx: Tx, upstreamId: string, now: number): Promise<boolean | null> {
    const stored = await lock(tx, upstreamId);
    if (stored === null) return null;
    const { row, content } = stored;
    if (row.state === 'needed') return row.grant_type === 'authorization_code' || row.error !== null;
    const age = now - (row.token_at ?? 0);
    // Calls that were under way with the token before it are still answered.
    if (age < SETTLE_MS) return false;
    if (age < RENEWED_MS) return true;
    if (row.grant_type === 'client_credentials' || content.connection?.refreshToken) await change(tx, stored, { refresh_at: now });
    else await change(tx, stored, { state: 'needed', refresh_at: null, error: 'the server no longer takes its token', error_at: now });
    return row.grant_type === 'authorization_code' && !content.connection?.refreshToken;
  }

  function seal(upstreamId: string, content: SealedOAuth): string {
    return keys.seal(JSON.stringify(content), `upstream-oauth:${upstreamId}`);
  }

  function open({ upstream_id, sealed }: UpstreamOAuthTable): SealedOAuth {
    if (sealed === null) return { clientSecret: null, boundTo: null, registered: null, connection: null };
    return JSON.parse(keys.open(sealed, `upstream-oauth:${upstream_id}`)) as SealedOAuth;
  }

  return { set, find, lock, ofAll, change, refused };
}

/** The token that goes with every request, as a fixed secret would; null where there is none. */
export function accessTokenOf(stored: StoredOAuth | undefined): string | null {
  return stored?.row.state === 'authorized' ? (stored.content.connection?.accessToken ?? null) : null;
}

/** What people may see. */
export function oauthView({ row, content }: StoredOAuth): UpstreamOAuth {
  return {
    grant: row.grant_type,
    clientId: row.client_id,
    hasClientSecret: content.clientSecret !== null,
    scope: row.scope,
    issuer: row.issuer,
    state: row.state,
    authorizedAt: row.authorized_at,
    authorizedBy: row.authorized_by,
    expiresAt: row.expires_at,
    lastError: row.error,
    lastErrorAt: row.error_at,
  };
}

/** What alerts about its authorization are about. */
export function authorizationSubject(upstreamId: string): string {
  return `upstream-authorization:${upstreamId}`;
}
