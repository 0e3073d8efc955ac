/**
 * What the messages are made of: ids, times, amounts, texts that can be stored, problems, lists. What is exported here and not by
 * contract.ts serves the other files of this folder alone.
 */
import { z } from 'zod';
import { microsFromUsd } from '../../policies/budget.ts';
import { REASON_CODES } from '../../policies/model.ts';

/**
 * Whether a text can be stored as it is: PostgreSQL has no NUL in a text, and no lone surrogate in JSON. Names and ids with one are
 * refused where they come in; what an agent or a tool said is stored with {@link storable}.
 */
export function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

/** The text as it can be stored: NUL becomes its picture, half a surrogate pair the replacement character. */
export function storable(text: string): string {
  return text.replaceAll('\0', '\u2400').toWellFormed();
}

/** The same for the JSON text of a value, where both can only stand escaped. @param text made by JSON.stringify. */
export function storableJson(text: string): string {
  if (!text.includes('\\u')) return text;
  return text.replaceAll(/(\\+)u(0000|d[89a-f][0-9a-f]{2})/g, (found, backslashes: string, code: string) =>
    backslashes.length % 2 === 0 ? found : backslashes.slice(1) + (code === '0000' ? '\u2400' : '\ufffd'),
  );
}

/** Milliseconds since 1970-01-01 UTC. */
export const EpochMs = z.number().int().nonnegative();
/** USD with at most six decimals; stored as whole micro-dollars. */
export const Usd = z.number();
export const Id = z.string().min(1).max(128);
export const Text = (max: number) => z.string().max(max);
/** An amount that somebody sets: exact in micro-dollars, or refused. */
export const UsdGiven = Usd.min(0).max(1_000_000).refine(isWholeMicros, { message: 'must be an amount in USD with at most six decimals' });
export const JsonRecord = z.record(z.string(), z.unknown());

/** Name of Mission Control's own MCP server: its path segment, and the first part of its tools' names (SPEC 3). */
export const OWN_SERVER = 'mission-control';

export const ROLES = ['viewer', 'approver', 'operator', 'admin'] as const;
/** Each role may do what the ones before it may (SPEC 8.1). */
export type Role = (typeof ROLES)[number];

export const ReasonSchema = z
  .object({ code: z.enum(REASON_CODES), message: z.string(), policyPath: z.string() })
  .meta({ id: 'Reason', description: 'Why a call was judged as it was: stable code, one sentence, the policy line it came from.' });

/** RFC 9457. `code` is stable and machine-readable; `detail` says what to do next. */
export const ProblemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    code: z.string(),
    requestId: z.string().optional(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  })
  .loose()
  .meta({ id: 'Problem' });
export type Problem = z.infer<typeof ProblemSchema>;

export const listOf = <T extends z.ZodType>(item: T) => z.object({ items: z.array(item), nextCursor: z.string().nullable() });

/** Parts of a reading that policies/model.ts describes; the OpenAPI document says no more of them than that they are there. */
export const Reading = <T>(): z.ZodType<T> => z.any();

function isWholeMicros(usd: number): boolean {
  try {
    microsFromUsd(usd);
    return true;
  } catch {
    return false;
  }
}
