/** `drill`: runs drills on the running product and shows what came of them. */
import { setTimeout as wait } from 'node:timers/promises';
import { Argument, type Command } from 'commander';
import type { ResolvedSettings } from '../../settings.ts';
import { DRILL_NAMES, type DrillCard, type DrillStarted } from '../contract.ts';
import { apiClient } from './client.ts';

const WAIT_MAX_MS = 60_000;
const LOOK_MS = 250;

/** Adds the command. @param settings read when it runs. */
export function addDrillCommand(program: Command, settings: () => ResolvedSettings): void {
  program
    .command('drill')
    .description('Take away what calls depend on, on a stage apart from all calls, and see that what happens is what is declared')
    .addArgument(new Argument('[name]', 'one drill; without it all are run').choices(DRILL_NAMES))
    .option('--json', 'print the report card as JSON')
    .action(async (name: string | undefined, { json }: { json?: true }) => {
      process.exitCode = (await drill(settings(), name, json === true)) ? 0 : 1;
    });
}

/** @returns whether every drill has run and none has failed. */
async function drill(settings: ResolvedSettings, name: string | undefined, isJson: boolean): Promise<boolean> {
  const client = apiClient(settings);
  const { requestId, names, proxies } = await client.post<DrillStarted>('/drills', name === undefined ? {} : { name });
  const deadline = Date.now() + WAIT_MAX_MS;
  for (;;) {
    const card = await client.get<DrillCard>('/drills');
    const items = card.items
      .filter((item) => names.includes(item.name))
      .map((item) => ({ ...item, results: item.results.filter((result) => result.requestId === requestId) }));
    const isWhole = proxies > 0 && items.every(({ results }) => results.length >= proxies);
    if (!isWhole && proxies > 0 && Date.now() < deadline) {
      await wait(LOOK_MS);
      continue;
    }
    const lines = items.flatMap((item) =>
      item.results.length === 0
        ? [`${'no answer'.padEnd(14)}${item.name}`]
        : item.results.flatMap(({ outcome, found, proxyId }) => [
            `${outcome.padEnd(14)}${item.name} (${proxyId})`,
            `${' '.repeat(14)}${found}`,
          ]),
    );
    console.log(
      isJson ? JSON.stringify(items, null, 2) : [...lines, ...(proxies === 0 ? ['No proxy is here to run drills.'] : [])].join('\n'),
    );
    return isWhole && items.every(({ results }) => results.every(({ outcome }) => outcome !== 'failed'));
  }
}
