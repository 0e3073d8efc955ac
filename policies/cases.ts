/**
 * A file of cases (`policy test`): calls as the simulator takes them, each with what must come of it. The shipped corpus has this form, and
 * so have the cases that a team keeps beside its own policy.
 */
import { z } from 'zod';
import { REASON_CODES, RISKS, VERDICTS } from './model.ts';
import type { Policy } from './policy.ts';
import { type SimulateResult, simulateCases } from './simulate.ts';

/** Cases of one file. */
const MAX_FILE_CASES = 20_000;

const expectation = z.strictObject({
  verdict: z.enum(VERDICTS),
  risk: z.enum(RISKS).optional(),
  /** Codes that must be among the reasons. */
  codes: z.array(z.enum(REASON_CODES)).optional(),
  /** Codes that must not. */
  never: z.array(z.enum(REASON_CODES)).optional(),
});

/** The form of such a file. What stands in `defaults` is merged under every case; what `patch` says is laid over the policy. */
export const caseFileSchema = z.strictObject({
  description: z.string().optional(),
  patch: z.record(z.string(), z.unknown()).optional(),
  defaults: z.record(z.string(), z.unknown()).optional(),
  cases: z.array(z.looseObject({ expect: expectation.optional() })).max(MAX_FILE_CASES),
});
export type CaseFile = z.output<typeof caseFileSchema>;

/** How one case came out. */
export interface CaseOutcome {
  id: string;
  /** What is not as expected; empty = as expected, or nothing was expected. */
  failures: readonly string[];
  result: SimulateResult;
}

/** The cases as the simulator takes them. A member that is an object in both is merged, one level deep; null stays null. */
export function casesOf({ cases, defaults = {} }: CaseFile): unknown[] {
  return cases.map(({ expect: _, ...given }, index) => {
    const merged = Object.entries(given).map(([key, value]) => {
      const usual = Object.hasOwn(defaults, key) ? defaults[key] : undefined;
      return [key, isObject(usual) && isObject(value) ? { ...usual, ...value } : value] as const;
    });
    return { id: String(index), ...defaults, ...Object.fromEntries(merged) };
  });
}

/** Judges every case and compares. */
export function testCases(file: CaseFile, policy: Policy): CaseOutcome[] {
  return simulateCases(casesOf(file), policy).map((result, index) => {
    const expected = file.cases[index]?.expect;
    return { id: result.id, failures: expected === undefined ? [] : failuresOf(result, expected), result };
  });
}

function failuresOf({ verdict, risk, reasons }: SimulateResult, expected: z.output<typeof expectation>): string[] {
  const codes = reasons.map((reason) => reason.code);
  const failures: string[] = [];
  if (verdict !== expected.verdict) failures.push(`the verdict is ${verdict} instead of ${expected.verdict}`);
  if (expected.risk !== undefined && risk !== expected.risk) failures.push(`the risk is ${risk} instead of ${expected.risk}`);
  for (const code of expected.codes ?? []) if (!codes.includes(code)) failures.push(`${code} is not among the reasons`);
  for (const code of expected.never ?? []) if (codes.includes(code)) failures.push(`${code} is among the reasons`);
  return failures;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
