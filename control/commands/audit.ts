/**
 * `audit export|verify|key`: the audit log as a file, its verification without a running product, and the public key that an auditor keeps.
 * Exit code 0 only where everything verified.
 */
import { createWriteStream, readFileSync } from 'node:fs';
import { Writable } from 'node:stream';
import type { Command } from 'commander';
import type { ResolvedSettings } from '../../settings.ts';
import { EXPORT_FORMATS, type ExportFormat, type Fault, type Verified, verifyExport } from '../audit-export.ts';
import { apiClient, CommandError } from './client.ts';

/** Adds the commands. @param settings read only by those that talk to the running product. */
export function addAuditCommands(program: Command, settings: () => ResolvedSettings): void {
  const audit = program.command('audit').description('Export and verify the audit log');

  audit
    .command('export')
    .description('Write the whole audit log to a file, with its signed head')
    .argument('[file]', 'where to; the terminal where nothing is said')
    .option('--format <format>', EXPORT_FORMATS.join(', '), 'ndjson')
    .action(async (file: string | undefined, { format }: { format: string }) => {
      if (!EXPORT_FORMATS.some((known) => known === format))
        throw new CommandError('BAD_FORMAT', `--format takes ${EXPORT_FORMATS.join(', ')}`);
      await exportTo(settings(), file ?? null, format as ExportFormat);
    });

  audit
    .command('verify')
    .description('Verify an export, offline: that no row was changed, taken out, put in, moved, cut off or replaced')
    .argument('<export>', 'the file, NDJSON or JSON')
    .option('--anchors <file>', 'anchors that were kept outside: what was cut off or replaced before the export shows by them')
    .option('--key <file>', 'the public key (PEM), as `audit key` prints it; without it signatures are not checked')
    .option('--json', 'print the result as JSON')
    .action(async (file: string, { anchors, key, json }: { anchors?: string; key?: string; json?: true }) => {
      const result = await verifyExport(file, { anchors: anchors ?? null, key: key === undefined ? null : readFileSync(key, 'utf8') });
      console.log(json ? JSON.stringify(result, null, 2) : inWords(result));
      process.exitCode = result.ok ? 0 : 1;
    });

  audit
    .command('key')
    .description('Print the public key that signs heads of the audit log; keep it where you keep the anchors')
    .action(async () => {
      const { keyId, publicKeyPem } = await apiClient(settings()).get<{ keyId: string; publicKeyPem: string }>('/audit/key');
      console.error(`Key ${keyId}`);
      process.stdout.write(publicKeyPem);
    });
}

async function exportTo(settings: ResolvedSettings, file: string | null, format: ExportFormat): Promise<void> {
  const body = await apiClient(settings).download(`/audit/export?format=${format}`);
  // Never over a file that is there: an older export is evidence.
  const out = file === null ? process.stdout : createWriteStream(file, { flags: 'wx', mode: 0o600 });
  let bytes = 0;
  const counted = body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        bytes += chunk.length;
        controller.enqueue(chunk);
      },
    }),
  );
  await counted.pipeTo(Writable.toWeb(out) as WritableStream<Uint8Array>, { preventClose: file === null });
  if (file !== null) console.error(`${file}: ${bytes} bytes. Verify it: npm run -s mc -- audit verify ${file}`);
}

function inWords(result: Verified | Fault): string {
  if (!result.ok) {
    const where = [result.seq === null ? null : `row ${result.seq}`, result.line === null ? null : `line ${result.line}`].filter(Boolean);
    return `NOT VERIFIED${where.length > 0 ? ` at ${where.join(', ')}` : ''}: ${result.why}.`;
  }
  const { rows, head, exportedAt, pruned, anchors, keyId, signed } = result;
  return [
    `Verified: ${rows} rows, nothing changed, missing, added or moved. Head ${head}.`,
    `Exported ${new Date(exportedAt).toISOString()}. ${pruned} payloads were dropped by retention; their hashes stand.`,
    anchors > 0
      ? `Held against ${anchors} anchors.`
      : 'No anchors were given: whoever had the key could have cut off or replaced rows before the export.',
    signed
      ? `Signed with the key ${keyId}.`
      : `The signatures (key ${keyId}) were not checked: give the public key with --key. Without it the whole could have been made anew.`,
  ].join('\n');
}
