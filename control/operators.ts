/** People and their roles. The last administrator can be neither removed nor lowered: somebody must be able to resume after a stop. */
import { randomUUID } from 'node:crypto';
import type { Actor } from './audit.ts';
import { type Auth, issueCredential, type Principal } from './auth.ts';
import { recordChanges } from './changes.ts';
import type { Role } from './contract.ts';
import type { Db, Tx } from './db/database.ts';
import type { OperatorsTable } from './db/schema.ts';
import { notFound, Refusal } from './problem.ts';

/** A longer absence is a change of roles. */
const AWAY_MAX_MS = 60 * 24 * 60 * 60 * 1000;
type OperatorActivity =
  | 'operator_created'
  | 'operator_updated'
  | 'operator_away'
  | 'operator_back'
  | 'operator_removed'
  | 'token_issued'
  | 'token_revoked';

export type Operators = ReturnType<typeof createOperators>;

export function createOperators({ db, clock, auth, published }: { db: Db; clock: () => number; auth: Auth; published: () => void }) {
  async function list() {
    const rows = await db.selectFrom('operators').selectAll().where('removed_at', 'is', null).orderBy('created_at').execute();
    return rows.map((row) => view(row, rows, clock()));
  }

  /** Whom a person could name as their deputy: everybody else who can sign in. */
  async function listDeputies(ownId: string) {
    const rows = await people(db);
    return rows.filter(({ id }) => id !== ownId).map(({ id, name, role }) => ({ id, name, role }));
  }

  /** Adds an operator with a first token, shown once. @throws Refusal 409 when the name is taken. */
  async function create(actor: Actor, input: { name: string; role: Role }) {
    const now = clock();
    const id = randomUUID();
    const row: OperatorsTable = {
      id,
      name: input.name,
      role: input.role,
      created_at: now,
      last_seen_at: null,
      removed_at: null,
      away_until: null,
      deputy_id: null,
    };
    const token = await db.transaction().execute(async (tx) => {
      await refuseTakenName(tx, input.name, id);
      await tx.insertInto('operators').values(row).execute();
      const issued = await issueCredential(tx, 'operator', id, now);
      await record(tx, actor, 'operator.created', id, 'operator_created', `${input.name} can sign in as ${input.role}`, {
        role: input.role,
      });
      return issued.token;
    });
    published();
    return { ...view(row, [], now), token };
  }

  async function update(actor: Actor, id: string, input: { name?: string | undefined; role?: Role | undefined }) {
    const row = await db.transaction().execute(async (tx) => {
      const before = await live(tx, id);
      if (input.role && input.role !== 'admin') await refuseLastAdministrator(tx, before);
      if (input.name) await refuseTakenName(tx, input.name, id);
      const after = { ...before, name: input.name ?? before.name, role: input.role ?? before.role };
      await tx.updateTable('operators').set({ name: after.name, role: after.role }).where('id', '=', id).execute();
      await record(tx, actor, 'operator.updated', id, 'operator_updated', `${after.name} is now ${after.role}`, {
        from: before.role,
        to: after.role,
      });
      return after;
    });
    published();
    return view(row, await people(db), clock());
  }

  /**
   * Says that an operator is away until a time, and who decides approvals in their place. A deputy may decide what the absent one could,
   * under the deputy's own name, and hands it on to nobody.
   * @param by who says so: the operator themselves or an administrator. @throws Refusal 403, 404 or 422.
   */
  async function setAbsence(by: Principal, actor: Actor, id: string, input: { until: number; deputyId: string }) {
    const now = clock();
    if (input.until <= now || input.until > now + AWAY_MAX_MS)
      throw new Refusal(422, 'BAD_UNTIL', 'An absence ends in the future, at most 60 days from now.');
    if (input.deputyId === id) throw new Refusal(422, 'BAD_DEPUTY', 'Nobody is their own deputy.');
    const row = await db.transaction().execute(async (tx) => {
      const before = await live(tx, id);
      demandOwn(by, id);
      const deputy = await live(tx, input.deputyId);
      await tx.updateTable('operators').set({ away_until: input.until, deputy_id: deputy.id }).where('id', '=', id).execute();
      const until = new Date(input.until).toISOString();
      await record(
        tx,
        actor,
        'operator.away',
        id,
        'operator_away',
        `${before.name} is away until ${until}; ${deputy.name} decides meanwhile`,
        {
          deputyId: deputy.id,
          until,
        },
      );
      return { ...before, away_until: input.until, deputy_id: deputy.id };
    });
    published();
    return view(row, await people(db), now);
  }

  /** Whether an operator is away, and who decides meanwhile; for oneself, and for administrators. */
  async function absenceOf(by: Principal, id: string) {
    const all = await people(db);
    const row = all.find((person) => person.id === id);
    if (!row) throw notFound('operator', id);
    demandOwn(by, id);
    return { absence: view(row, all, clock()).absence };
  }

  /** Ends an absence. Nothing changes for one who is not away. */
  async function endAbsence(by: Principal, actor: Actor, id: string) {
    const row = await db.transaction().execute(async (tx) => {
      const before = await live(tx, id);
      demandOwn(by, id);
      if (before.away_until === null) return before;
      await tx.updateTable('operators').set({ away_until: null, deputy_id: null }).where('id', '=', id).execute();
      await record(tx, actor, 'operator.back', id, 'operator_back', `${before.name} is back`, {});
      return { ...before, away_until: null, deputy_id: null };
    });
    published();
    return view(row, await people(db), clock());
  }

  /** Removes an operator: sessions and tokens end at once. */
  async function remove(actor: Actor, id: string): Promise<void> {
    const now = clock();
    await db.transaction().execute(async (tx) => {
      const row = await live(tx, id);
      await refuseLastAdministrator(tx, row);
      await tx.updateTable('operators').set({ removed_at: now }).where('id', '=', id).execute();
      await tx.deleteFrom('sessions').where('operator_id', '=', id).execute();
      await tx
        .updateTable('credentials')
        .set({ revoked_at: now })
        .where('kind', '=', 'operator')
        .where('owner_id', '=', id)
        .where('revoked_at', 'is', null)
        .execute();
      await record(tx, actor, 'operator.removed', id, 'operator_removed', `${row.name} was removed`, {});
    });
    published();
  }

  async function issueToken(actor: Actor, id: string) {
    return db.transaction().execute(async (tx) => {
      const row = await live(tx, id);
      const issued = await issueCredential(tx, 'operator', id, clock());
      await record(tx, actor, 'token.issued', id, 'token_issued', `A token for ${row.name} was issued`, { tokenId: issued.id });
      return issued;
    });
  }

  async function revokeToken(actor: Actor, id: string, tokenId: string): Promise<void> {
    await db.transaction().execute(async (tx) => {
      const row = await live(tx, id);
      await auth.revoke(tx, 'operator', id, tokenId);
      await record(tx, actor, 'token.revoked', id, 'token_revoked', `A token of ${row.name} was revoked`, { tokenId });
    });
  }

  async function record(
    tx: Tx,
    actor: Actor,
    action: string,
    id: string,
    type: OperatorActivity,
    summary: string,
    details: Record<string, string>,
  ): Promise<void> {
    await recordChanges(tx, [{ at: clock(), actor, action, topic: 'system', id, details, activity: { type, summary } }]);
  }

  return { list, listDeputies, create, update, remove, absenceOf, setAbsence, endAbsence, issueToken, revokeToken };
}

async function live(tx: Tx, id: string): Promise<OperatorsTable> {
  const row = await tx.selectFrom('operators').selectAll().where('id', '=', id).where('removed_at', 'is', null).executeTakeFirst();
  if (!row) throw notFound('operator', id);
  return row;
}

async function refuseTakenName(tx: Tx, name: string, id: string): Promise<void> {
  const taken = await tx
    .selectFrom('operators')
    .select('id')
    .where('name', '=', name)
    .where('id', '<>', id)
    .where('removed_at', 'is', null)
    .executeTakeFirst();
  if (taken) throw new Refusal(409, 'NAME_TAKEN', `An operator named "${name}" exists already.`);
}

async function refuseLastAdministrator(tx: Tx, row: OperatorsTable): Promise<void> {
  if (row.role !== 'admin') return;
  const others = await tx
    .selectFrom('operators')
    .select('id')
    .where('role', '=', 'admin')
    .where('removed_at', 'is', null)
    .where('id', '<>', row.id)
    .executeTakeFirst();
  if (!others) {
    throw new Refusal(409, 'LAST_ADMIN', `${row.name} is the last administrator. Make somebody else an administrator first.`);
  }
}

function view(row: OperatorsTable, all: readonly OperatorsTable[], now: number) {
  const { id, created_at: createdAt, name, role, last_seen_at: lastSeenAt, away_until: until, deputy_id: deputyId } = row;
  const deputy = all.find((other) => other.id === deputyId);
  const absence = until !== null && until > now && deputy ? { until, deputyId: deputy.id, deputyName: deputy.name } : null;
  return { id, createdAt, name, role, lastSeenAt, absence };
}

function people(from: Db | Tx): Promise<OperatorsTable[]> {
  return from.selectFrom('operators').selectAll().where('removed_at', 'is', null).execute();
}

function demandOwn(by: Principal, id: string): void {
  if (by.kind === 'human' && (by.id === id || by.role === 'admin')) return;
  throw new Refusal(403, 'ROLE', 'An absence is set by the person themselves or by an administrator.');
}
