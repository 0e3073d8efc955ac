/** Drills: with the product as it is each passes; a fail mode that is broken on purpose is reported by its drill. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { DRILL_NAMES, type DrillName, type PolicyPicture } from '../../control/contract.ts';
import { applyPatch, type JsonObject, parsePolicyText } from '../../policies/index.ts';
import { type Collaborators, Gatekeeper } from '../../proxy/admission.ts';
import { runDrill } from '../../proxy/drills.ts';

const shipped = parsePolicyText(readFileSync(new URL('../../policies/default.yaml', import.meta.url), 'utf8'));
const policyWith = (patch: JsonObject = {}): PolicyPicture => {
  const { document } = applyPatch(shipped, { document: patch }) as { document: JsonObject };
  return { id: 'p', version: 'v1', document, shadow: null, gateRoots: [] };
};

describe('with the product as it is', () => {
  test.each(DRILL_NAMES)('the drill %s passes', async (name) => {
    const result = await runDrill(name, policyWith());
    expect(result).toEqual({ name, outcome: 'passed', found: expect.any(String), durationMs: expect.any(Number) });
  });

  test('a policy that refuses green calls without the counters is taken at its word', async () => {
    const result = await runDrill('counters-gone', policyWith({ failModes: { ledger: 'refuse' } }));
    expect(result).toMatchObject({
      outcome: 'passed',
      found: expect.stringContaining('deny LEDGER_UNAVAILABLE; green and unpriced: deny'),
    });
  });

  test('a policy that lets nothing run leaves open what a drill would show', async () => {
    const strict = policyWith({ rules: [{ when: 'call.tool != ""', effect: 'deny', message: 'closed' }] });
    for (const name of ['counters-gone', 'approver-absent', 'budget-race', 'gate-silent'] as const)
      expect(await runDrill(name, strict)).toMatchObject({ outcome: 'inconclusive' });
  });
});

describe('a fail mode that is broken on purpose', () => {
  const drilledWith = (name: DrillName, broken: (real: Collaborators) => Partial<Collaborators>) =>
    runDrill(name, policyWith(), (real) => new Gatekeeper({ ...real, ...broken(real) }));

  test('is reported by its drill', async () => {
    const forgetful = await drilledWith('journal-full', () => ({ journal: { proxyId: 'x', append: async () => {} } }));
    expect(forgetful).toMatchObject({ outcome: 'failed', found: expect.stringContaining('JOURNAL_UNAVAILABLE') });
    const generous = await drilledWith('counters-gone', ({ ledger }) => ({
      ledger: Object.create(ledger, { available: { value: true }, reserve: { value: async () => 'reserved' } }) as typeof ledger,
    }));
    expect(generous).toMatchObject({ outcome: 'failed', found: 'a priced call ran without the counters' });
    const racy = await drilledWith('budget-race', ({ ledger }) => ({
      ledger: Object.create(ledger, { reserve: { value: async () => 'reserved' }, spent: { value: () => 0 } }) as typeof ledger,
    }));
    expect(racy).toMatchObject({ outcome: 'failed', found: expect.stringContaining('ran at once under a cap of $1') });
    const double = await drilledWith('approval-used-twice', ({ holds }) => ({
      holds: {
        ...holds,
        wait: async (...asked) => {
          const state = await holds.wait(...asked);
          return state && { ...state, redeemedBy: null };
        },
        redeem: async (...asked) => ({ ...(await holds.redeem(...asked)), granted: true }),
      },
    }));
    expect(double).toMatchObject({ outcome: 'failed', found: 'one approval let two calls run' });
    const timeless = await drilledWith('control-away', () => ({ clock: () => Date.UTC(2026, 0, 15, 12) }));
    expect(timeless).toMatchObject({ outcome: 'failed', found: expect.stringContaining('SNAPSHOT_STALE') });
  });

  test('as a gate that breaks, or a policy that is none, is a failure too', async () => {
    const broken = await runDrill('journal-full', policyWith(), () => {
      throw new Error('no gate today');
    });
    expect(broken).toMatchObject({ outcome: 'failed', found: 'the drill broke: no gate today' });
    const nothing: PolicyPicture = { id: 'p', version: 'v1', document: {}, shadow: null, gateRoots: [] };
    expect(await runDrill('emergency-stop', nothing)).toMatchObject({
      outcome: 'failed',
      found: expect.stringContaining('does not compile'),
    });
  });
});
