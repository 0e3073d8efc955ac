/**
 * The judgement itself, in the browser: checks a document while it is typed and judges a call by a draft that nobody else has seen. The same
 * code as in the proxy and in control. Large, so it is fetched by the one view that needs it; `loadJudge` is the only way in.
 */
import { type DocumentChange, diffDocuments } from '../policies/difference.ts';
import { applyPatch, compilePolicy, type Policy, type PolicyError, parsePolicyText } from '../policies/policy.ts';
import { type SimulateResult, simulateCases } from '../policies/simulate.ts';

export type Checked = { policy: Policy; errors: null } | { policy: null; errors: readonly PolicyError[] };

/** Reads and compiles a document as text. */
export function checkPolicy(text: string): Checked {
  const parsed = parsePolicyText(text);
  if ('errors' in parsed) return { policy: null, errors: parsed.errors };
  const compiled = compilePolicy(parsed.document, text);
  return 'errors' in compiled ? { policy: null, errors: compiled.errors } : { policy: compiled.policy, errors: null };
}

/** What a merge patch (RFC 7396) would change in a document, by path, and what would be wrong with the result. */
export function tryPatch(document: unknown, patch: unknown): { changes: readonly DocumentChange[]; errors: readonly PolicyError[] } {
  const patched = applyPatch(document, patch);
  const compiled = compilePolicy(patched);
  return { changes: diffDocuments(document, patched), errors: 'errors' in compiled ? compiled.errors : [] };
}

/** Judges one case (SPEC 8.2). */
export function judgeCase(policy: Policy, given: unknown): SimulateResult {
  const [result] = simulateCases([given], policy);
  if (!result) throw new Error('the simulator gave no result');
  return result;
}
