/** Drills: what is taken away, what we declare happens then, and the report card (SPEC 10). */
import { z } from 'zod';
import { EpochMs, Id } from './parts.ts';

/**
 * What is taken away in a drill, and what we declare happens then (SPEC 10). Each is run by every proxy with its own code and the active
 * policy, for a shadow agent (proxy/drills.ts).
 */
export const DRILLS = {
  'counters-gone': 'Without the budget counters no priced call runs; green, unpriced ones as failModes.ledger says.',
  'control-away': 'Once the picture is older than limits.snapshotMaxAgeMs, everything is refused (SNAPSHOT_STALE).',
  'clock-skew': 'A clock that jumps ahead lets nothing run by an old picture, and revives no grant.',
  'policy-corrupt': 'Without a policy that compiles everything is refused.',
  'journal-full': 'What cannot be recorded does not run, and nothing stays reserved for it.',
  'approver-absent':
    'A call that nobody decides about never runs: its caller is told to end its turn, and it is refused when the approval expires.',
  'approval-used-twice': 'One approval lets one call run.',
  'budget-race': 'Calls at the same moment spend no more than the cap.',
  'emergency-stop': 'After the stop nothing runs, also with an approval.',
  'quarantined-while-held': 'An approval does not release a call of an agent that was quarantined meanwhile.',
  'gate-silent': "A call that the gate of its agent did not ask about is judged as an intern's, or refused.",
  'upstream-hanging': 'An upstream that never answers is given up in time, and its caller is told.',
} as const;
export type DrillName = keyof typeof DRILLS;
export const DRILL_NAMES = Object.keys(DRILLS) as DrillName[];
const DRILL_OUTCOMES = ['passed', 'failed', 'inconclusive'] as const;

/** What came of a drill at a proxy. */
export interface DrillResult {
  name: DrillName;
  outcome: (typeof DRILL_OUTCOMES)[number];
  found: string;
  durationMs: number;
}

/** How a drill went at a proxy. */
const DrillRunSchema = z.object({
  at: EpochMs,
  proxyId: z.string(),
  outcome: z.enum(DRILL_OUTCOMES),
  /** One sentence: what was seen. */
  found: z.string(),
  durationMs: z.number().int(),
  /** The request that it belongs to. */
  requestId: z.string(),
});
/** So many results of a drill are on the card, besides the last of each proxy. */
export const DRILL_HISTORY = 20;

/** The report card (SPEC 10): every drill with what it declares, how it last went at each proxy, and how it went before. */
export const DrillCardSchema = z
  .object({
    items: z.array(
      z.object({
        name: z.enum(DRILL_NAMES),
        /** What happens when that is taken away, as we declare it. */
        declares: z.string(),
        /**
         * The worst of the last results: `failed`, `inconclusive` (the active policy does not let the drill show anything), `passed`;
         * null = it has not run.
         */
        outcome: z.enum(DRILL_OUTCOMES).nullable(),
        at: EpochMs.nullable(),
        /** The last result of each proxy, the newest first. */
        results: z.array(DrillRunSchema),
        /** The last results of all proxies together, the newest first; at most `DRILL_HISTORY`. */
        history: z.array(DrillRunSchema),
      }),
    ),
    /** When all drills are run next by themselves. */
    nextAt: EpochMs.nullable(),
  })
  .meta({ id: 'DrillCard' });
export type DrillCard = z.infer<typeof DrillCardSchema>;

/** Body of POST /api/drills: one drill, or all of them. */
export const DrillRequestSchema = z
  .object({ name: z.enum(DRILL_NAMES).optional() })
  .strict()
  .meta({ id: 'DrillRequest' });
export const DrillStartedSchema = z
  .object({ requestId: Id, names: z.array(z.enum(DRILL_NAMES)), proxies: z.number().int() })
  .meta({ id: 'DrillStarted', description: 'How many proxies were told; their results come one after another.' });
export type DrillStarted = z.infer<typeof DrillStartedSchema>;
