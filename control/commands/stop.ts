/** `stop` and `resume`: the emergency stop from the terminal, and `stop verify`, which proves a saved receipt without a running product. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { ResolvedSettings } from '../../settings.ts';
import type { StopProof, StopReceipt } from '../contract.ts';
import { UnprovenReceipt, verifyReceipt } from '../stop-receipt.ts';
import { apiClient } from './client.ts';

/** Adds the commands. @param settings read only by those that talk to the running product. */
export function addStopCommands(program: Command, settings: () => ResolvedSettings): void {
  const stop = program
    .command('stop')
    .description('Emergency stop: every new call of every kind is refused')
    .option('--reason <text>', 'why; shown to everybody')
    .option('--json', 'print the receipt as JSON')
    .action(async ({ reason, json }: { reason?: string; json?: true }) => {
      const receipt = await apiClient(settings()).post<StopReceipt>('/emergency/stop', reason === undefined ? {} : { reason });
      if (json) return console.log(JSON.stringify(receipt, null, 2));
      console.log(linesOf(receipt).join('\n'));
      console.log('Agents stay paused after a resume. Resume: npm run -s mc -- resume --note "why"');
    });

  stop
    .command('verify')
    .description('Prove a saved receipt with the public key of the installation; needs nothing else')
    .argument('<file>', 'the receipt, as it was saved')
    .requiredOption('--key <file>', 'the public key (PEM), from "stop key"')
    .action((file: string, { key }: { key: string }) => {
      process.exitCode = verify(file, key) ? 0 : 1;
    });

  stop
    .command('key')
    .description('Print the public key that proves receipts (PEM)')
    .action(async () => {
      const { publicKeyPem } = await apiClient(settings()).get<StopProof>('/emergency/receipt');
      process.stdout.write(publicKeyPem);
    });

  program
    .command('resume')
    .description('Lift the emergency stop; agents stay paused')
    .requiredOption('--note <text>', 'why it is safe again')
    .action(async ({ note }: { note: string }) => {
      await apiClient(settings()).post('/emergency/resume', { note });
      console.log('Resumed. Agents are still paused: restart each one when it may work again.');
    });
}

function verify(file: string, keyFile: string): boolean {
  let receipt: StopReceipt;
  try {
    receipt = verifyReceipt(readFileSync(file, 'utf8'), readFileSync(keyFile, 'utf8'));
  } catch (error) {
    if (!(error instanceof UnprovenReceipt)) throw error;
    console.log(`${file}: not proven: ${error.message}`);
    return false;
  }
  console.log(`${file}: proven by key ${receipt.signature.keyId}`);
  console.log(linesOf(receipt).join('\n'));
  return true;
}

function linesOf({ stoppedAt, stoppedBy, proxies, agents }: StopReceipt): string[] {
  const silent = proxies.filter((proxy) => proxy.silentAfterMs !== null);
  const cut = proxies.reduce((sum, proxy) => sum + proxy.cutStreams, 0);
  const last = Math.max(0, ...agents.map((agent) => agent.silentAfterMs ?? 0));
  return [
    `Stopped at ${new Date(stoppedAt).toISOString()} by ${stoppedBy}. ${silent.length} of ${proxies.length} proxies confirmed.`,
    `${last === 0 ? 'No call was admitted after the press' : `The last call was admitted ${last} ms after the press`}; ${cut} streams were cut; the last proxy was silent after ${Math.max(0, ...silent.map((proxy) => proxy.silentAfterMs ?? 0))} ms.`,
  ];
}
