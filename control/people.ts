/**
 * Who may decide, and who is whom: the authority of a person to decide approvals, in their own right or as the deputy of somebody who is
 * away, and which credentials belong to one person. Read in the deciding transaction, so that a role that was taken away binds at once.
 */
import type { Actor } from './audit.ts';
import { atLeast, CLI_OPERATOR } from './auth.ts';
import type { Role } from './contract.ts';
import type { Db, Tx } from './db/database.ts';
import { Refusal } from './problem.ts';

/** The role of an operator in their own right; null for somebody who is none (any more). "admin" is the administrator's token (SPEC 8.1). */
export async function roleOf(from: Db | Tx, operatorId: string): Promise<Role | null> {
  if (operatorId === 'admin') return 'admin';
  const row = await from
    .selectFrom('operators')
    .select('role')
    .where('id', '=', operatorId)
    .where('removed_at', 'is', null)
    .executeTakeFirst();
  return row?.role ?? null;
}

/**
 * Those whose deputy a person is now: away, and allowed to decide themselves in their own right. A deputy of a deputy is nobody's.
 * @returns their names, by name.
 */
async function absenteesOf(from: Db | Tx, operatorId: string, now: number): Promise<string[]> {
  const rows = await from
    .selectFrom('operators')
    .select(['name', 'role'])
    .where('deputy_id', '=', operatorId)
    .where('away_until', '>', now)
    .where('removed_at', 'is', null)
    .orderBy('name')
    .execute();
  return rows.filter(({ role }) => atLeast(role, 'approver')).map(({ name }) => name);
}

/** The authority to decide an approval. @returns for whom besides themselves. @throws Refusal 403 where there is none. */
export async function demandAuthority(tx: Tx, actor: Actor, now: number): Promise<string[]> {
  if (actor.type !== 'human') throw new Refusal(403, 'HUMANS_ONLY', 'Approvals are decided by people.');
  const actingFor = await absenteesOf(tx, actor.id ?? '', now);
  const role = await roleOf(tx, actor.id ?? '');
  if (role !== null && (atLeast(role, 'approver') || actingFor.length > 0)) return actingFor;
  throw new Refusal(
    403,
    'ROLE',
    `${actor.name} may not decide approvals: this needs the role approver, or to be the deputy of one who is away.`,
  );
}

/**
 * Whether two operators are the same person. The administrator's token, the command line of this machine and the first administrator
 * count as one: each opens to whoever holds the machine, so two of them prove one person only.
 */
export async function isSamePerson(tx: Tx, one: string, other: string): Promise<boolean> {
  if (one === other) return true;
  const owners = new Set(['admin']);
  const rows = await tx
    .selectFrom('operators')
    .select(['id', 'name'])
    .where('role', '=', 'admin')
    .where('removed_at', 'is', null)
    .orderBy('created_at')
    .orderBy('id')
    .execute();
  const first = rows.find((row) => row.name !== CLI_OPERATOR);
  for (const row of rows) if (row.name === CLI_OPERATOR || row.id === first?.id) owners.add(row.id);
  return owners.has(one) && owners.has(other);
}
