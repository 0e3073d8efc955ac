/**
 * The frame of a measurement at the whole product in one process, as a user starts it, under the traffic of scripted agents. Both are
 * ended whatever comes of it, and the program ends with 1 where a promise is missed or the measurement failed.
 */
import { type OneProcess, startProcess } from '../test/support/world.ts';
import { createTraffic, type Traffic } from './scripted-agents.ts';
import { METRICS_TOKEN } from './watching.ts';

/**
 * Starts the product and the agents, measures, and ends the program.
 * @param given `nodeArguments` stand before the program; `rate` is calls a second of each agent. @param measure tells whether every promise was kept.
 */
export async function measureProduct(
  { nodeArguments = [], agents, rate }: { nodeArguments?: readonly string[]; agents: number; rate: number },
  measure: (product: OneProcess, traffic: Traffic) => Promise<boolean>,
): Promise<never> {
  const product = await startProcess([...nodeArguments, 'cli.ts', 'start'], { MC_METRICS_TOKEN: METRICS_TOKEN, MC_LOG_LEVEL: 'error' });
  const traffic = createTraffic(product, agents, rate);
  let isKept = false;
  try {
    isKept = await measure(product, traffic);
  } catch (error) {
    console.error(error, product.log().slice(-2_000));
  } finally {
    await traffic.close();
    await product.close();
  }
  process.exit(isKept ? 0 : 1);
}
