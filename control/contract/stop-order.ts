/** The emergency stop on its way: the sealed order, and a proxy's acknowledgement of it. */
import { z } from 'zod';

/** Body of POST /internal/v1/stops/{stopId}: a proxy says that it refuses everything and when it last did not. */
export interface StopAcknowledgement {
  proxyId: string;
  at: number;
  lastAdmittedAt: number | null;
  /** Streams, exchanges and tunnels that were open and were cut; absent from a proxy of an earlier version. */
  cutStreams?: number;
  agents: readonly { id: string; lastAdmittedAt: number | null; withdrawnCalls: number }[];
}

/**
 * A stop as it travels beside the lines: from control straight to each proxy and each other control (POST /internal/v1/stop), and on the
 * bus. It can only stop. `seal` is an HMAC with the cluster secret over `stopOrderText`, base64url.
 */
export const StopOrderSchema = z
  .object({
    stopId: z.string().min(1).max(100),
    at: z.int(),
    by: z.string().max(1_000),
    reason: z.string().max(10_000).nullable(),
    seal: z.string().max(100),
  })
  .strict();
export type StopOrder = z.infer<typeof StopOrderSchema>;

/** What the seal of a stop order binds. */
export function stopOrderText({ stopId, at, by, reason }: Omit<StopOrder, 'seal'>): string {
  return JSON.stringify(['stop', stopId, at, by, reason]);
}
