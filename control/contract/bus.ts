/** What the processes tell each other over Redis: hints, and sealed stop orders. */
import { z } from 'zod';
import { DRILL_NAMES } from './drills.ts';
import { StopOrderSchema } from './stop-order.ts';

/** The channel of the bus in Redis. */
export const BUS_CHANNEL = 'mc:bus';

/** What goes over the bus: hints, and stop orders, which are sealed. `from` names the process that says it. */
export const BusMessageSchema = z.discriminatedUnion('type', [
  /** The outbox has grown. */
  z.object({ type: z.literal('changes'), from: z.string().max(200) }),
  /** All proxies on the lines of that control judge by this revision. */
  z.object({ type: z.literal('applied'), from: z.string().max(200), revision: z.int().min(0) }),
  z.object({ type: z.literal('stop'), order: StopOrderSchema }),
  /** Somebody wants drills to be run by every proxy. */
  z.object({ type: z.literal('drill'), from: z.string().max(200), requestId: z.string().max(100), names: z.array(z.enum(DRILL_NAMES)) }),
]);
export type BusMessage = z.infer<typeof BusMessageSchema>;
