/** Whether the gate gates: what was last shown of each agent and way in (SPEC 10). */
import { z } from 'zod';
import { ENTRIES } from './calls.ts';
import { EpochMs, Id } from './parts.ts';

const COVERAGE_STATES = ['proven', 'idle', 'away', 'bypassed', 'unused'] as const;
/** Whether the gate gates (SPEC 10): for each agent and way in, how and when that was last shown. */
export const CoverageSchema = z
  .object({
    at: EpochMs,
    /** Traffic before this time is not looked at. */
    since: EpochMs,
    agents: z.array(
      z.object({
        agentId: Id,
        agentName: z.string(),
        gate: z.enum(['openclaw', 'none']),
        points: z.array(
          z.object({
            entry: z.enum(ENTRIES).exclude(['mission-control']),
            /**
             * `proven`: traffic was judged there, and nothing speaks against it. `idle`: nothing came this way, and it would be judged.
             * `away`: no sign of life, and no traffic either. `bypassed`: traffic came that the gate did not ask about. `unused`: nothing came
             * this way, and nothing has to.
             */
            state: z.enum(COVERAGE_STATES),
            /**
             * What shows it: `result`, that tools' answers in requests to models were of calls that had been judged; `call`, a call that was
             * judged there; `heartbeat`, the plugin's; `canary`, that a call which must always be refused was refused there; null = nothing does.
             */
            how: z.enum(['result', 'call', 'heartbeat', 'canary']).nullable(),
            provenAt: EpochMs.nullable(),
            /** The last call that came this way. */
            trafficAt: EpochMs.nullable(),
            /** One sentence for people: what this means, and what it does not show. */
            says: z.string(),
          }),
        ),
      }),
    ),
  })
  .meta({ id: 'Coverage' });
export type Coverage = z.infer<typeof CoverageSchema>;
