/** Carries what is due to agents into their sessions, and ends runs there. What fails is tried again, later each time. */
import type { Deliveries } from '../deliveries.ts';
import type { Gateways } from '../gateways.ts';
import type { Worker } from './loop.ts';

export function dispatcher({ deliveries, gateways }: { deliveries: Deliveries; gateways: Gateways }): Worker {
  return {
    name: 'dispatcher',
    everyMs: 500,
    tick: async () => {
      for (const delivery of await deliveries.due()) {
        const error = delivery.kind === 'abort' ? await abort(delivery) : await say(delivery);
        if (error === null) await deliveries.delivered(delivery.id);
        else await deliveries.failed(delivery, error);
      }
    },
  };

  async function say({ id, gatewayId, sessionKey, text }: { id: string; gatewayId: string; sessionKey: string; text: string }) {
    return gateways.say(gatewayId, sessionKey, text, `mc-${id}`);
  }

  async function abort({ gatewayId, sessionKey }: { gatewayId: string; sessionKey: string }): Promise<string | null> {
    return (await gateways.abortRuns(gatewayId, [sessionKey])).error;
  }
}
