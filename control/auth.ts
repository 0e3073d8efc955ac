/**
 * Who is asking: operators by session cookie or token, agents and gateways by token. Secrets are random, shown once and kept
 * as SHA-256 only (they carry 256 bits, so a slow hash would add nothing). A role is read from the database at every request:
 * taking it away works at once.
 */
import { hash, randomBytes, randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createAttempts } from './attempts.ts';
import { type Actor, SYSTEM } from './audit.ts';
import { recordChanges } from './changes.ts';
import { ROLES, type Role } from './contract.ts';
import type { Db, Tx } from './db/database.ts';
import { notFound, Refusal } from './problem.ts';
import { isSameSecret } from './same-secret.ts';

export type CredentialKind = 'agent' | 'gateway' | 'operator';
const PREFIX: Record<CredentialKind, string> = { agent: 'mca_', gateway: 'mcg_', operator: 'mco_' };

const SESSION_MS = 12 * 60 * 60 * 1000;
const SIGN_IN_LINK_MS = 24 * 60 * 60 * 1000;
/** `last_used_at` and `last_seen_at` are written at most this often. */
const SEEN_EVERY_MS = 60_000;

/** The principal behind a request. `csrfToken` is set where the browser sent a cookie: then a change needs the matching header. */
export type Principal =
  /** `isDeputy`: of somebody who is away and may decide approvals; only looked up where the own role does not suffice. */
  /** `expiresAt`: of somebody who is in by a session. */
  | { kind: 'human'; id: string; name: string; role: Role; csrfToken: string | null; isDeputy?: boolean; expiresAt?: number }
  | { kind: 'agent'; id: string; name: string };

export function actorOf(principal: Principal): Actor {
  return { type: principal.kind, id: principal.id, name: principal.name };
}

export function atLeast(role: Role, needed: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}

const DECIDING_ROLES = ROLES.filter((role) => atLeast(role, 'approver'));

export function hashSecret(secret: string): string {
  return hash('sha256', secret);
}

/** Adds a credential in the caller's transaction; the secret is returned once and never kept. */
export async function issueCredential(tx: Tx, kind: CredentialKind, ownerId: string, now: number): Promise<{ id: string; token: string }> {
  const token = PREFIX[kind] + randomBytes(32).toString('base64url');
  const id = randomUUID();
  await tx
    .insertInto('credentials')
    .values({
      id,
      kind,
      owner_id: ownerId,
      hash: hashSecret(token),
      hint: token.slice(-4),
      created_at: now,
      last_used_at: null,
      revoked_at: null,
    })
    .execute();
  return { id, token };
}

export type Auth = ReturnType<typeof createAuth>;

const LATELY_MS = 60 * 60 * 1000;
const LATELY_MAX = 1_000;
const FAILURES_EVERY_MS = 60_000;

/** @param adminToken `MC_ADMIN_TOKEN`: stands for one human administrator (SPEC 8.3); null = off. */
export function createAuth({ db, clock, adminToken }: { db: Db; clock: () => number; adminToken: string | null }) {
  const attempts = createAttempts(clock);

  /** Sign-ins that failed since the last row about them. */
  const failures = { count: 0, notedAt: Number.NEGATIVE_INFINITY };

  /** People whose credential was good lately, by its hash; the longest ago are forgotten first. */
  const lately = new Map<string, { principal: Principal; at: number }>();

  function remember(secret: string, principal: Principal | null): Principal | null {
    const digest = hashSecret(secret);
    lately.delete(digest);
    if (principal?.kind === 'human') lately.set(digest, { principal, at: clock() });
    const oldest = lately.size > LATELY_MAX ? lately.keys().next().value : undefined;
    if (oldest !== undefined) lately.delete(oldest);
    return principal;
  }

  /** Who this credential was when the database last said so, within the last hour. For the stop, while the database says nothing. */
  function knownLately(secret: string): Principal | null {
    const known = lately.get(hashSecret(secret));
    return known && known.at > clock() - LATELY_MS ? known.principal : null;
  }

  /**
   * The principal of a bearer token, or null where it opens nothing, or is not looked at because too many wrong ones came from there.
   * @param address where the request comes from.
   */
  async function byToken(token: string, address: string): Promise<Principal | null> {
    if (waitMs(token, address) > 0) return null;
    const principal = remember(token, await lookUpToken(token));
    if (principal === null) attempts.fail(address, token);
    return principal;
  }

  /** Whose token was good lately goes on working, however much others guess beside them. */
  function waitMs(token: string, address: string): number {
    return knownLately(token) === null ? attempts.waitMs(address, token) : 0;
  }

  async function lookUpToken(token: string): Promise<Principal | null> {
    if (adminToken !== null && isSameSecret(token, adminToken)) {
      return { kind: 'human', id: 'admin', name: 'admin', role: 'admin', csrfToken: null };
    }
    const digest = hashSecret(token);
    const now = clock();
    const credential = await db
      .selectFrom('credentials')
      .select(['id', 'kind', 'owner_id', 'last_used_at'])
      .where('hash', '=', digest)
      .where('revoked_at', 'is', null)
      .executeTakeFirst();
    if (!credential) return null;
    if ((credential.last_used_at ?? 0) < now - SEEN_EVERY_MS) {
      await db.updateTable('credentials').set({ last_used_at: now }).where('id', '=', credential.id).execute();
    }
    if (credential.kind === 'operator') return operator(credential.owner_id, null);
    if (credential.kind === 'agent') {
      const agent = await db
        .selectFrom('agents')
        .select(['id', 'name'])
        .where('id', '=', credential.owner_id)
        .where('removed_at', 'is', null)
        .executeTakeFirst();
      return agent ? { kind: 'agent', id: agent.id, name: agent.name } : null;
    }
    return null; // a gateway token is valid at the gate only (SPEC 3, Identity)
  }

  /** The principal of a session cookie, or null where it is unknown or over. */
  async function bySession(secret: string): Promise<Principal | null> {
    return remember(secret, await lookUpSession(secret));
  }

  async function lookUpSession(secret: string): Promise<Principal | null> {
    const session = await db
      .selectFrom('sessions')
      .select(['operator_id', 'csrf_token', 'expires_at'])
      .where('hash', '=', hashSecret(secret))
      .executeTakeFirst();
    if (!session || session.expires_at <= clock()) return null;
    const principal = await operator(session.operator_id, session.csrf_token);
    return principal?.kind === 'human' ? { ...principal, expiresAt: session.expires_at } : principal;
  }

  async function operator(id: string, csrfToken: string | null): Promise<Principal | null> {
    const row = await db
      .selectFrom('operators')
      .select(['id', 'name', 'role', 'last_seen_at'])
      .where('id', '=', id)
      .where('removed_at', 'is', null)
      .executeTakeFirst();
    if (!row) return null;
    const now = clock();
    if ((row.last_seen_at ?? 0) < now - SEEN_EVERY_MS) {
      await db.updateTable('operators').set({ last_seen_at: now }).where('id', '=', id).execute();
    }
    const isDeputy = atLeast(row.role, 'approver') ? undefined : await isDeputyOfSomebody(row.id, now);
    return { kind: 'human', id: row.id, name: row.name, role: row.role, csrfToken, ...(isDeputy && { isDeputy }) };
  }

  async function isDeputyOfSomebody(id: string, now: number): Promise<boolean> {
    const row = await db
      .selectFrom('operators')
      .select('id')
      .where('deputy_id', '=', id)
      .where('away_until', '>', now)
      .where('removed_at', 'is', null)
      .where('role', 'in', DECIDING_ROLES)
      .executeTakeFirst();
    return row !== undefined;
  }

  /**
   * Makes a one-time sign-in token for an operator (for "admin": the first administrator); valid for a day or until it is used.
   * @param actor who asked for it; the system at a start.
   */
  async function createSignInToken(operatorId: string, actor: Actor = SYSTEM): Promise<string> {
    const now = clock();
    const id = operatorId === 'admin' ? await firstAdministrator(db, now) : operatorId;
    const token = `mcl_${randomBytes(32).toString('base64url')}`;
    await db.transaction().execute(async (tx) => {
      await tx
        .insertInto('sign_in_links')
        .values({ hash: hashSecret(token), operator_id: id, expires_at: now + SIGN_IN_LINK_MS, used_at: null })
        .execute();
      await recordChanges(tx, [{ at: now, actor, action: 'operator.link_issued', topic: 'system', id }]);
    });
    return token;
  }

  /**
   * Opens a session for a one-time sign-in token, an operator token or the administrator's token.
   * @param address where the request comes from.
   * @throws Refusal 401 where the token opens nothing (a link works once); 429 where too many wrong ones came from there.
   */
  async function signIn(
    token: string,
    address: string,
  ): Promise<{ secret: string; principal: Extract<Principal, { kind: 'human' }>; expiresAt: number }> {
    const now = clock();
    const retryAfterMs = waitMs(token, address);
    if (retryAfterMs > 0) {
      const detail = `Too many wrong tokens came from here. Try again in ${Math.ceil(retryAfterMs / 1000)} s, or use a sign-in link: npm run -s mc -- sign-in`;
      throw new Refusal(429, 'TOO_MANY_ATTEMPTS', detail, { retryAfterMs });
    }
    const operatorId = await operatorOf(token, address, now);
    if (operatorId === null) {
      await noteFailure(now);
      throw new Refusal(
        401,
        'SIGN_IN_FAILED',
        'This token opens nothing: it is wrong, used or expired. Print a new link with: npm run -s mc -- sign-in',
      );
    }
    const secret = randomBytes(32).toString('base64url');
    const csrfToken = randomBytes(24).toString('base64url');
    const expiresAt = now + SESSION_MS;
    await db.transaction().execute(async (tx) => {
      await tx.deleteFrom('sessions').where('expires_at', '<=', now).execute();
      await tx
        .insertInto('sessions')
        .values({ hash: hashSecret(secret), operator_id: operatorId, csrf_token: csrfToken, created_at: now, expires_at: expiresAt })
        .execute();
      const { name } = await tx.selectFrom('operators').select('name').where('id', '=', operatorId).executeTakeFirstOrThrow();
      await recordChanges(tx, [
        {
          at: now,
          actor: { type: 'human', id: operatorId, name },
          action: 'operator.signed_in',
          topic: 'system',
          id: operatorId,
          activity: { type: 'signed_in', summary: `${name} signed in` },
        },
      ]);
    });
    const principal = await operator(operatorId, csrfToken);
    if (principal?.kind !== 'human') throw new Refusal(401, 'SIGN_IN_FAILED', 'This operator has been removed.');
    return { secret, principal, expiresAt };
  }

  /** Failures go into the audit log, the first at once and the others counted: nobody without a credential makes it grow as they like. */
  async function noteFailure(now: number): Promise<void> {
    failures.count++;
    if (now - failures.notedAt < FAILURES_EVERY_MS) return;
    const { count } = failures;
    [failures.count, failures.notedAt] = [0, now];
    await db
      .transaction()
      .execute((tx) =>
        recordChanges(tx, [
          { at: now, actor: SYSTEM, action: 'operator.sign_in_failed', topic: 'system', id: 'sign-in', details: { failures: count } },
        ]),
      );
  }

  async function operatorOf(token: string, address: string, now: number): Promise<string | null> {
    const link = await db
      .updateTable('sign_in_links')
      .set({ used_at: now })
      .where('hash', '=', hashSecret(token))
      .where('used_at', 'is', null)
      .where('expires_at', '>', now)
      .returning('operator_id')
      .executeTakeFirst();
    if (link) return link.operator_id;
    const principal = await byToken(token, address);
    if (principal?.kind !== 'human') return null;
    return principal.id === 'admin' ? firstAdministrator(db, now) : principal.id;
  }

  async function signOut(secret: string): Promise<void> {
    const now = clock();
    await db.transaction().execute(async (tx) => {
      const ended = await tx.deleteFrom('sessions').where('hash', '=', hashSecret(secret)).returning('operator_id').executeTakeFirst();
      if (!ended) return;
      const id = ended.operator_id;
      const { name } = await tx.selectFrom('operators').select('name').where('id', '=', id).executeTakeFirstOrThrow();
      await recordChanges(tx, [{ at: now, actor: { type: 'human', id, name }, action: 'operator.signed_out', topic: 'system', id }]);
    });
  }

  /** Revokes one credential; its next request is refused. */
  async function revoke(tx: Tx, kind: CredentialKind, ownerId: string, id: string): Promise<void> {
    const row = await tx
      .updateTable('credentials')
      .set({ revoked_at: clock() })
      .where('id', '=', id)
      .where('kind', '=', kind)
      .where('owner_id', '=', ownerId)
      .where('revoked_at', 'is', null)
      .returning('id')
      .executeTakeFirst();
    if (!row) throw notFound('live token', id);
  }

  /** An owner's credentials, newest first, without secrets. */
  async function listCredentials(kind: CredentialKind, ownerId: string) {
    const rows = await db
      .selectFrom('credentials')
      .select(['id', 'created_at', 'last_used_at', 'revoked_at', 'hint'])
      .where('kind', '=', kind)
      .where('owner_id', '=', ownerId)
      .orderBy('created_at', 'desc')
      .limit(100)
      .execute();
    return rows.map((row) => ({
      id: row.id,
      createdAt: row.created_at,
      lastUsedAt: row.last_used_at,
      revokedAt: row.revoked_at,
      hint: row.hint,
    }));
  }

  return { byToken, bySession, knownLately, createSignInToken, signIn, signOut, revoke, listCredentials };
}

/**
 * The credential of the command line on this machine: a token of an operator "Command line", written to `file` (mode 0600) unless
 * the one that stands there still works.
 */
export async function provideCliToken(db: Db, file: string, now: number): Promise<void> {
  const present = readIfThere(file);
  if (present !== null) {
    const live = await db
      .selectFrom('credentials')
      .select('id')
      .where('hash', '=', hashSecret(present.trim()))
      .where('revoked_at', 'is', null)
      .executeTakeFirst();
    if (live) return;
  }
  const token = await db.transaction().execute(async (tx) => {
    const existing = await tx
      .selectFrom('operators')
      .select('id')
      .where('name', '=', CLI_OPERATOR)
      .where('removed_at', 'is', null)
      .executeTakeFirst();
    const id = existing?.id ?? randomUUID();
    if (!existing) {
      await tx
        .insertInto('operators')
        .values({
          id,
          name: CLI_OPERATOR,
          role: 'admin',
          created_at: now,
          last_seen_at: null,
          removed_at: null,
          away_until: null,
          deputy_id: null,
        })
        .execute();
    }
    const issued = await issueCredential(tx, 'operator', id, now);
    await recordChanges(tx, [
      { at: now, actor: SYSTEM, action: 'token.issued', topic: 'system', id, details: { tokenId: issued.id, for: CLI_OPERATOR } },
    ]);
    return issued.token;
  });
  writeFileSync(file, `${token}\n`, { mode: 0o600 });
}

/** The operator that the command line of this machine speaks as. */
export const CLI_OPERATOR = 'Command line';

function readIfThere(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** The operator behind the printed link: the first administrator, created at first start. */
function firstAdministrator(db: Db, now: number): Promise<string> {
  return db.transaction().execute(async (tx) => {
    const existing = await tx
      .selectFrom('operators')
      .select('id')
      .where('role', '=', 'admin')
      .where('name', '<>', CLI_OPERATOR)
      .where('removed_at', 'is', null)
      .orderBy('created_at')
      .executeTakeFirst();
    if (existing) return existing.id;
    const id = randomUUID();
    await tx
      .insertInto('operators')
      .values({
        id,
        name: 'Administrator',
        role: 'admin',
        created_at: now,
        last_seen_at: null,
        removed_at: null,
        away_until: null,
        deputy_id: null,
      })
      .execute();
    return id;
  });
}
