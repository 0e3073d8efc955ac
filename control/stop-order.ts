/** The seal of a stop order: who knows the cluster secret may stop everything, and nobody else can make it look so. */
import { createHmac, hash } from 'node:crypto';
import { type StopOrder, StopOrderSchema, stopAnswerText, stopOrderText } from './contract.ts';
import { isSameSecret } from './same-secret.ts';

export function sealStop(stop: Omit<StopOrder, 'seal'>, clusterSecret: string): StopOrder {
  const { stopId, at, by, reason } = stop;
  return { stopId, at, by, reason, seal: sealOf(stop, clusterSecret) };
}

/** The order that `body` is, or null where it is none or nobody of ours has sealed it. */
export function readStopOrder(body: unknown, clusterSecret: string): StopOrder | null {
  const { data } = StopOrderSchema.safeParse(body);
  if (!data) return null;
  return isSameSecret(data.seal, sealOf(data, clusterSecret)) ? data : null;
}

/** Whether this is what a proxy of ours answered to this very order. @param text the body as it came. */
export function isStopAnswer({ seal }: StopOrder, text: string, proof: string, clusterSecret: string): boolean {
  const right = createHmac('sha256', clusterSecret)
    .update(stopAnswerText(seal, hash('sha256', text)))
    .digest('base64url');
  return isSameSecret(proof, right);
}

function sealOf(stop: Omit<StopOrder, 'seal'>, clusterSecret: string): string {
  return createHmac('sha256', clusterSecret).update(stopOrderText(stop)).digest('base64url');
}
