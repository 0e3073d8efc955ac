/** The whole installation: emergency stop with its receipt, pause of the squad, and what the dashboard's header shows. */
import { z } from 'zod';
import { EpochMs, Id, Text, Usd } from './parts.ts';

export const StopReceiptSchema = z
  .object({
    id: Id,
    stoppedAt: EpochMs,
    stoppedBy: z.string(),
    reason: z.string().nullable(),
    /** One entry per proxy that was known to be live; `acknowledgedAt` null = it has not answered, and refuses once its snapshot is stale. */
    proxies: z.array(
      z.object({
        id: Id,
        /** From then on it lets nothing run, and its streams are cut. */
        acknowledgedAt: EpochMs.nullable(),
        lastAdmittedAt: EpochMs.nullable(),
        /** From the press until then, milliseconds; null while it has not answered. */
        silentAfterMs: z.number().int().min(0).nullable(),
        /** Streams, exchanges and tunnels that were open and were cut. */
        cutStreams: z.number().int(),
        withdrawnCalls: z.number().int(),
      }),
    ),
    agents: z.array(
      z.object({
        id: Id,
        name: z.string(),
        lastAdmittedAt: EpochMs.nullable(),
        /** From the press to its last admitted call, milliseconds; 0 = none came after it; null = not every proxy has answered. */
        silentAfterMs: z.number().int().min(0).nullable(),
        withdrawnCalls: z.number().int(),
      }),
    ),
    blockedTasks: z.number().int(),
    /** OpenClaw runs that were told to abort, per gateway. */
    gateways: z.array(z.object({ id: Id, name: z.string(), abortedSessions: z.number().int(), error: z.string().nullable() })),
    /** By the installation's signing key over everything else (control/stop-receipt.ts). */
    signature: z.object({ keyId: z.string(), value: z.string() }),
  })
  .meta({ id: 'StopReceipt' });
/** What belongs into the file of an incident: the receipt, and the key that proves it. */
export const StopProofSchema = z
  .object({ receipt: StopReceiptSchema.nullable(), keyId: z.string(), publicKeyPem: z.string() })
  .meta({ id: 'StopProof' });
export type StopProof = z.infer<typeof StopProofSchema>;
export type StopReceipt = z.infer<typeof StopReceiptSchema>;
export const ResumeSchema = z
  .object({ note: Text(2000).min(1) })
  .strict()
  .meta({ id: 'Resume' });
export const SystemStateSchema = z
  .object({
    estop: z.boolean(),
    stoppedAt: EpochMs.nullable(),
    stoppedBy: z.string().nullable(),
    stopReason: z.string().nullable(),
    squadPaused: z.boolean(),
    squadPausedAt: EpochMs.nullable(),
    squadPausedBy: z.string().nullable(),
    receipt: StopReceiptSchema.nullable(),
  })
  .meta({ id: 'SystemState' });
export type SystemState = z.infer<typeof SystemStateSchema>;

/** What the dashboard's header shows; cheap, asked for once and kept fresh by events. */
export const OverviewSchema = z
  .object({
    serverTime: EpochMs,
    version: z.string(),
    system: SystemStateSchema,
    pendingApprovals: z.number().int(),
    openAlerts: z.number().int(),
    activeAgents: z.number().int(),
    agents: z.number().int(),
    todaySpend: Usd,
    fleetCap: Usd.nullable(),
    activePolicy: z.object({ id: Id, version: z.string() }),
    proxies: z.array(z.object({ id: Id, state: z.enum(['live', 'stale']), lastSeenAt: EpochMs })),
  })
  .meta({ id: 'Overview' });
export type Overview = z.infer<typeof OverviewSchema>;
