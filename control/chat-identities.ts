/**
 * Who somebody on a channel is: an operator who has shown it with a one-time code. Nobody else may do anything there. The role is read at
 * every act, so taking it away works at once; who tries without being known is refused, and that is on record.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import type { Actor } from './audit.ts';
import { hashSecret } from './auth.ts';
import { recordChanges } from './changes.ts';
import type { ChatCodeSchema, ChatIdentity, Role } from './contract.ts';
import type { Db } from './db/database.ts';
import { notFound, Refusal } from './problem.ts';

export type ChatIdentities = ReturnType<typeof createChatIdentities>;

/** Somebody on a channel, as the channel names them. */
export interface ChatUser {
  /** Unique on the channel for ever (Slack: with the workspace). */
  externalId: string;
  /** For people to read; chosen by the person and proof of nothing. */
  name: string;
}

/** An operator who was recognised on a channel. */
export interface ChatOperator {
  id: string;
  name: string;
  role: Role;
  /** Decides in place of somebody who is away. */
  isDeputy: boolean;
}

const CODE_MS = 10 * 60 * 1000;
/** Crockford's letters: none is mistaken for another. Ten of them are 50 bits. */
const LETTERS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const CODE_LETTERS = 10;
/** Wrong codes of one user in a code's time, after which none of theirs is looked at. */
const WRONG_MAX = 5;
/** A refusal of the same user is recorded at most this often; users that are remembered for that. */
const REFUSAL_EVERY_MS = 60_000;
const REMEMBERED_MAX = 1_000;

export function createChatIdentities({ db, clock, published }: { db: Db; clock: () => number; published: () => void }) {
  /** When each user was last recorded as refused, and their wrong codes. Bounded; lost with a restart, which does no harm. */
  const refusedAt = new Map<string, number>();
  const wrongCodes = new Map<string, { since: number; count: number }>();

  /** Makes a code that this operator sends to the bot within ten minutes. It is shown once and works once. */
  async function issueCode(actor: Actor, operatorId: string, channelId: string): Promise<(typeof ChatCodeSchema)['_output']> {
    const now = clock();
    const operator = await db
      .selectFrom('operators')
      .select(['id', 'name'])
      .where('id', '=', operatorId)
      .where('removed_at', 'is', null)
      .executeTakeFirst();
    if (!operator) throw notFound('operator', operatorId);
    const channel = await db
      .selectFrom('channels')
      .select(['id', 'name', 'kind', 'account'])
      .where('id', '=', channelId)
      .where('removed_at', 'is', null)
      .executeTakeFirst();
    if (!channel) throw notFound('channel', channelId);
    if (channel.kind === 'webhook') throw new Refusal(422, 'NO_PEOPLE_THERE', 'A webhook has no users: nobody acts there.');
    const code = [...randomBytes(CODE_LETTERS)].map((byte) => LETTERS[byte % LETTERS.length]).join('');
    await db.transaction().execute(async (tx) => {
      await tx.deleteFrom('chat_codes').where('expires_at', '<=', now).execute();
      await tx
        .insertInto('chat_codes')
        .values({
          hash: hashSecret(code),
          operator_id: operatorId,
          channel_id: channelId,
          created_at: now,
          expires_at: now + CODE_MS,
          used_at: null,
        })
        .execute();
      await recordChanges(tx, [
        { at: now, actor, action: 'chat.code_issued', topic: 'system', id: operatorId, details: { channelId, channel: channel.name } },
      ]);
    });
    const bot = channel.account ?? 'the bot';
    const instruction =
      channel.kind === 'telegram'
        ? `Open a private chat with ${channel.account === null ? bot : `@${bot}`} in Telegram and send: /link ${code}`
        : `Open a direct message to ${bot} in Slack and send: link ${code}`;
    return { code, channelId, expiresAt: now + CODE_MS, instruction };
  }

  /**
   * Takes a code that somebody has sent. The same user sending it again gets the same answer.
   * @returns the operator, null where the code opens nothing, or "ignored" after too many of those.
   */
  async function link(channelId: string, user: ChatUser, code: string): Promise<ChatOperator | null | 'ignored'> {
    const now = clock();
    const key = `${channelId}:${user.externalId}`;
    const wrong = wrongCodes.get(key);
    if (wrong && wrong.since > now - CODE_MS && wrong.count >= WRONG_MAX) return 'ignored';
    const linked = await db.transaction().execute(async (tx) => {
      const row = await tx
        .selectFrom('chat_codes')
        .innerJoin('operators', 'operators.id', 'chat_codes.operator_id')
        .select(['chat_codes.operator_id', 'chat_codes.used_at', 'operators.name', 'operators.role'])
        .where('hash', '=', hashSecret(code.trim().toUpperCase()))
        .where('channel_id', '=', channelId)
        .where('expires_at', '>', now)
        .where('operators.removed_at', 'is', null)
        .forUpdate()
        .executeTakeFirst();
      if (!row) return null;
      const operator: ChatOperator = { id: row.operator_id, name: row.name, role: row.role, isDeputy: false };
      const known = await tx
        .selectFrom('chat_identities')
        .select(['id', 'operator_id'])
        .where('channel_id', '=', channelId)
        .where('external_id', '=', user.externalId)
        .where('removed_at', 'is', null)
        .executeTakeFirst();
      if (row.used_at !== null) return known?.operator_id === operator.id ? operator : null;
      await tx.updateTable('chat_codes').set({ used_at: now }).where('hash', '=', hashSecret(code.trim().toUpperCase())).execute();
      if (known?.operator_id === operator.id) return operator;
      if (known) await tx.updateTable('chat_identities').set({ removed_at: now }).where('id', '=', known.id).execute();
      await tx
        .insertInto('chat_identities')
        .values({
          id: randomUUID(),
          created_at: now,
          operator_id: operator.id,
          channel_id: channelId,
          external_id: user.externalId,
          external_name: user.name.slice(0, 200),
          removed_at: null,
        })
        .execute();
      await recordChanges(tx, [
        {
          at: now,
          actor: { type: 'human', id: operator.id, name: operator.name },
          action: 'chat.linked',
          topic: 'system',
          id: operator.id,
          details: { channelId, externalId: user.externalId, externalName: user.name.slice(0, 200) },
          activity: { type: 'chat_linked', summary: `${operator.name} can decide and command from a chat` },
        },
      ]);
      return operator;
    });
    if (linked === null) remember(wrongCodes, key, { since: now, count: (wrong && wrong.since > now - CODE_MS ? wrong.count : 0) + 1 });
    else published();
    return linked;
  }

  /** The operator behind somebody on a channel, with the role of now; null where nobody has shown to be that. */
  async function find(channelId: string, externalId: string): Promise<ChatOperator | null> {
    const row = await db
      .selectFrom('chat_identities')
      .innerJoin('operators', 'operators.id', 'chat_identities.operator_id')
      .select(['operators.id', 'operators.name', 'operators.role'])
      .select((eb) =>
        eb
          .exists(
            eb
              .selectFrom('operators as absent')
              .select('absent.id')
              .whereRef('absent.deputy_id', '=', 'operators.id')
              .where('absent.away_until', '>', clock())
              .where('absent.removed_at', 'is', null)
              .where('absent.role', '<>', 'viewer'),
          )
          .as('is_deputy'),
      )
      .where('channel_id', '=', channelId)
      .where('external_id', '=', externalId)
      .where('chat_identities.removed_at', 'is', null)
      .where('operators.removed_at', 'is', null)
      .executeTakeFirst();
    return row ? { id: row.id, name: row.name, role: row.role, isDeputy: row.is_deputy === true } : null;
  }

  /**
   * Puts on record that somebody who is not known, or may not, tried something.
   * @returns false where the same user was recorded less than a minute ago: then nothing is written.
   */
  async function recordRefusal(channel: { id: string; name: string }, user: ChatUser, what: string): Promise<boolean> {
    const now = clock();
    const key = `${channel.id}:${user.externalId}`;
    const last = refusedAt.get(key);
    if (last !== undefined && last > now - REFUSAL_EVERY_MS) return false;
    remember(refusedAt, key, now);
    const name = user.name.slice(0, 100);
    await db.transaction().execute((tx) =>
      recordChanges(tx, [
        {
          at: now,
          actor: { type: 'human', id: null, name: `${name} (${channel.name}, not known)` },
          action: 'chat.refused',
          topic: 'system',
          id: channel.id,
          details: { externalId: user.externalId, externalName: name, what },
          activity: { type: 'chat_refused', summary: `Refused on ${channel.name}: ${name} tried to ${what}` },
        },
      ]),
    );
    published();
    return true;
  }

  async function list(operatorId: string): Promise<ChatIdentity[]> {
    const rows = await db
      .selectFrom('chat_identities')
      .innerJoin('channels', 'channels.id', 'chat_identities.channel_id')
      .select([
        'chat_identities.id',
        'chat_identities.created_at',
        'operator_id',
        'channel_id',
        'channels.name',
        'external_id',
        'external_name',
      ])
      .where('operator_id', '=', operatorId)
      .where('chat_identities.removed_at', 'is', null)
      .orderBy('chat_identities.created_at')
      .execute();
    return rows.map((row) => ({
      id: row.id,
      createdAt: row.created_at,
      operatorId: row.operator_id,
      channelId: row.channel_id,
      channelName: row.name,
      externalId: row.external_id,
      externalName: row.external_name,
    }));
  }

  /** Somebody is not known on a channel any more, at once. */
  async function unlink(actor: Actor, operatorId: string, id: string): Promise<void> {
    const now = clock();
    await db.transaction().execute(async (tx) => {
      const row = await tx
        .updateTable('chat_identities')
        .set({ removed_at: now })
        .where('id', '=', id)
        .where('operator_id', '=', operatorId)
        .where('removed_at', 'is', null)
        .returning(['channel_id', 'external_id', 'external_name'])
        .executeTakeFirst();
      if (!row) throw notFound('chat identity', id);
      await recordChanges(tx, [
        {
          at: now,
          actor,
          action: 'chat.unlinked',
          topic: 'system',
          id: operatorId,
          details: { channelId: row.channel_id, externalId: row.external_id },
          activity: { type: 'chat_unlinked', summary: `${actor.name} ended what ${row.external_name} may do from a chat` },
        },
      ]);
    });
    published();
  }

  return { issueCode, link, find, recordRefusal, list, unlink };
}

function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  const oldest = map.keys().next().value;
  if (map.size > REMEMBERED_MAX && oldest !== undefined) map.delete(oldest);
}
