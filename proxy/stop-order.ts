/**
 * Stops that reach a proxy past its line: sent by a control straight to the listener, or heard on the bus. Only what is sealed with the
 * cluster secret counts, and it can only stop: nothing here lets a call through or lifts a stop.
 */
import { createHmac, hash } from 'node:crypto';
import { createClient } from 'redis';
import { BUS_CHANNEL, BusMessageSchema, type StopOrder, StopOrderSchema, stopAnswerText, stopOrderText } from '../control/contract.ts';
import { isSameSecret } from './same-secret.ts';

const CONNECT_MAX_MS = 2_000;
const RECONNECT_MS = 250;

/** The order that `body` is, or null where it is none or nobody of ours has sealed it. */
export function readStopOrder(body: unknown, clusterSecret: string): StopOrder | null {
  const { data } = StopOrderSchema.safeParse(body);
  if (!data) return null;
  const right = createHmac('sha256', clusterSecret).update(stopOrderText(data)).digest('base64url');
  return isSameSecret(data.seal, right) ? data : null;
}

/** What the answer to an order goes with, so that its receipt names nobody as silent who is not one of us. @param text the body as it is sent. */
export function proveStopAnswer({ seal }: StopOrder, text: string, clusterSecret: string): string {
  return createHmac('sha256', clusterSecret)
    .update(stopAnswerText(seal, hash('sha256', text)))
    .digest('base64url');
}

/**
 * Listens for stops on the bus; while Redis is away it hears none and tries again.
 * @param onForged hears of a stop that nobody of ours has sealed. @returns a function that ends it.
 */
export function followBus(
  { url, clusterSecret }: { url: string; clusterSecret: string },
  onStop: (order: StopOrder) => void,
  onForged: () => void,
): () => Promise<void> {
  const client = createClient({ url, RESP: 2, socket: { connectTimeout: CONNECT_MAX_MS, reconnectStrategy: RECONNECT_MS } });
  // The counters' own connection says when Redis is away; the direct call and the line carry the stop then.
  client.on('error', () => {});
  const connecting = client.connect().catch(() => {});
  client.subscribe(BUS_CHANNEL, hear).catch(() => {});

  function hear(text: string): void {
    const { data } = BusMessageSchema.safeParse(jsonOf(text));
    if (data?.type !== 'stop') return;
    const order = readStopOrder(data.order, clusterSecret);
    if (order) onStop(order);
    else onForged();
  }

  return async () => {
    client.destroy();
    await connecting;
  };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
