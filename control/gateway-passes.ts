/**
 * Passes of administrators to an OpenClaw gateway through the proxy (SPEC 3, gateway pass-through). A ticket opens once and soon; the cookie
 * that it is exchanged for opens for an hour, and only as long as its operator is an administrator, has not signed out, and the gateway is
 * registered. The proxies ask here; they decide nothing about people.
 */
import { randomBytes } from 'node:crypto';
import type { Actor } from './audit.ts';
import { atLeast, hashSecret } from './auth.ts';
import { recordChanges } from './changes.ts';
import type { GatewayPass, RedeemedTicket } from './contract.ts';
import type { Db } from './db/database.ts';
import type { Keys } from './keys.ts';
import { notFound, Refusal } from './problem.ts';

export type GatewayPasses = ReturnType<typeof createGatewayPasses>;

const TICKET_MS = 60_000;
const PASS_MS = 60 * 60 * 1000;
/** `MC_ADMIN_TOKEN` stands for this one; it is no row. */
const TOKEN_ADMIN = 'admin';

interface Dependencies {
  db: Db;
  clock: () => number;
  keys: Keys;
  published: () => void;
  /** Where people reach the proxy. */
  proxyUrl: string;
}

export function createGatewayPasses({ db, clock, keys, published, proxyUrl }: Dependencies) {
  /**
   * Issues a ticket. @param session secret of the operator's session on the dashboard, if that is how it asked: signing out ends the pass.
   * @returns the address to open, once, within a minute.
   */
  async function issue(actor: Actor, gatewayId: string, session: string | null): Promise<{ url: string; expiresAt: number }> {
    const now = clock();
    const ticket = `mcp_${randomBytes(32).toString('base64url')}`;
    const expiresAt = now + TICKET_MS;
    await db.transaction().execute(async (tx) => {
      const gateway = await tx
        .selectFrom('gateways')
        .selectAll()
        .where('id', '=', gatewayId)
        .where('removed_at', 'is', null)
        .executeTakeFirst();
      if (!gateway) throw notFound('gateway', gatewayId);
      if (gateway.url === null) throw new Refusal(409, 'NO_ADDRESS', `${gateway.name} has no address: give it one to open it.`);
      await tx
        .deleteFrom('gateway_passes')
        .where((eb) => eb.or([eb('expires_at', '<=', now), eb.and([eb('expires_at', 'is', null), eb('ticket_expires_at', '<=', now)])]))
        .execute();
      await tx
        .insertInto('gateway_passes')
        .values({
          ticket_hash: hashSecret(ticket),
          operator_id: actor.id ?? '',
          gateway_id: gatewayId,
          session_hash: session === null ? null : hashSecret(session),
          created_at: now,
          ticket_expires_at: expiresAt,
          cookie_hash: null,
          expires_at: null,
        })
        .execute();
      await recordChanges(tx, [
        { at: now, actor, action: 'gateway.pass_issued', topic: 'gateway', id: gatewayId, details: { name: gateway.name } },
      ]);
    });
    published();
    return { url: `${proxyUrl}/openclaw/?mc-ticket=${ticket}`, expiresAt };
  }

  /** Exchanges a ticket, once. @returns the secret of the cookie and what it opens; null where the ticket opens nothing. */
  async function redeem(ticket: string): Promise<RedeemedTicket | null> {
    const now = clock();
    const secret = randomBytes(32).toString('base64url');
    const taken = await db
      .updateTable('gateway_passes')
      .set({ cookie_hash: hashSecret(secret), expires_at: now + PASS_MS })
      .where('ticket_hash', '=', hashSecret(ticket))
      .where('cookie_hash', 'is', null)
      .where('ticket_expires_at', '>', now)
      .returning('ticket_hash')
      .executeTakeFirst();
    if (!taken) return null;
    const pass = await check(hashSecret(secret));
    if (pass === null) return null;
    const actor: Actor = { type: 'human', ...pass.operator };
    await db
      .transaction()
      .execute((tx) => recordChanges(tx, [{ at: now, actor, action: 'gateway.entered', topic: 'gateway', id: pass.gateway.id }]));
    published();
    return { secret, pass, isSecure: proxyUrl.startsWith('https:') };
  }

  /** What a cookie opens now; null where it opens nothing (any more). @param cookieHash SHA-256 of its secret. */
  async function check(cookieHash: string): Promise<GatewayPass | null> {
    const row = await db
      .selectFrom('gateway_passes')
      .innerJoin('gateways', 'gateways.id', 'gateway_passes.gateway_id')
      .select(['operator_id', 'session_hash', 'expires_at', 'gateways.id', 'gateways.name', 'gateways.url', 'gateways.token_sealed'])
      .where('cookie_hash', '=', cookieHash)
      .where('gateways.removed_at', 'is', null)
      .executeTakeFirst();
    if (!row || row.url === null || row.expires_at === null || row.expires_at <= clock()) return null;
    const operator = await administrator(row.operator_id);
    if (operator === null || !(await isSignedIn(row.session_hash))) return null;
    const token = row.token_sealed === null ? null : keys.open(row.token_sealed, `gateway:${row.id}`);
    return { operator, gateway: { id: row.id, name: row.name, url: row.url, token }, expiresAt: row.expires_at };
  }

  async function administrator(id: string): Promise<{ id: string; name: string } | null> {
    if (id === TOKEN_ADMIN) return { id, name: TOKEN_ADMIN };
    const row = await db
      .selectFrom('operators')
      .select(['id', 'name', 'role'])
      .where('id', '=', id)
      .where('removed_at', 'is', null)
      .executeTakeFirst();
    return row && atLeast(row.role, 'admin') ? { id: row.id, name: row.name } : null;
  }

  async function isSignedIn(sessionHash: string | null): Promise<boolean> {
    if (sessionHash === null) return true;
    const session = await db.selectFrom('sessions').select('expires_at').where('hash', '=', sessionHash).executeTakeFirst();
    return session !== undefined && session.expires_at > clock();
  }

  return { issue, redeem, check };
}
