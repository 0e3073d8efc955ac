/**
 * What a call has in common with others like it: its shape, as one stable text. Requests of one shape are shown as one card
 * (docs/approvals.md). Made from what is stored with an approval, so from redacted data; it decides nothing.
 */
import type { CommandReading, HostReading, JsonObject, PathReading } from './model.ts';

/** What the shape is made from. */
export interface ShapedCall {
  tool: string;
  arguments: JsonObject | null;
  workspace: string | null;
  commands: readonly CommandReading[];
  paths: readonly PathReading[];
  hosts: readonly HostReading[];
}

const MAX_PARTS = 12;

/**
 * The shape: of a command line its programs, subcommands and names of options, operands left open; of paths their use and folders; of
 * addresses method, scheme, host and port; of anything else the names of its arguments.
 */
export function groupKeyOf({ tool, arguments: args, workspace, commands, paths, hosts }: ShapedCall): string {
  if (commands.length > 0) return join(tool, commands.map(shapeOfCommand), ' ; ');
  if (hosts.length > 0) {
    const method = typeof args?.method === 'string' ? args.method.toUpperCase() : 'GET';
    return join(
      tool,
      hosts.map((host) => `${method} ${host.scheme ?? '?'}://${host.host ?? '?'}:${host.port ?? '?'}`),
      ' , ',
    );
  }
  if (paths.length > 0)
    return join(
      tool,
      paths.map((path) => `${path.use} ${folderOf(path, workspace)}/*`),
      ' , ',
    );
  return join(
    tool,
    [
      `{${Object.keys(args ?? {})
        .toSorted()
        .join(', ')}}`,
    ],
    '',
  );
}

function join(tool: string, parts: readonly string[], by: string): string {
  const distinct = [...new Set(parts)];
  const kept = distinct.slice(0, MAX_PARTS);
  return `${tool}: ${kept.join(by)}${distinct.length > kept.length ? `${by}…` : ''}`;
}

/** Programs whose first operand says what they do. */
const WITH_SUBCOMMANDS: ReadonlySet<string> = new Set([
  ...['git', 'gh', 'npm', 'npx', 'pnpm', 'yarn', 'bun', 'deno', 'cargo', 'go', 'pip', 'pip3', 'uv', 'poetry', 'docker', 'podman'],
  ...['kubectl', 'helm', 'terraform', 'aws', 'gcloud', 'az', 'make', 'systemctl', 'brew', 'apt', 'apt-get', 'dotnet', 'mvn', 'gradle'],
]);

function shapeOfCommand({ argv, text }: CommandReading): string {
  if (argv === null) return `${/^[\w./-]+/.exec(text)?.[0] ?? '?'} …`;
  const [program = '?', ...rest] = argv;
  const operand = rest.find((word) => !word.startsWith('-'));
  const takesSubcommand = WITH_SUBCOMMANDS.has(program.slice(program.lastIndexOf('/') + 1));
  const subcommand = takesSubcommand && operand !== undefined && /^[a-z][\w:-]{0,40}$/.test(operand) ? [operand] : [];
  const options = rest.filter((word) => word.startsWith('-') && word !== '-').map(nameOfOption);
  return [program, ...subcommand, ...[...new Set(options)].toSorted()].join(' ');
}

/** "--format=json" is --format, "-n20" is -n, "-20" is a number. */
function nameOfOption(word: string): string {
  if (word.startsWith('--')) return word.split('=', 1)[0] ?? word;
  return word.replace(/\d.*$/, '') || '-#';
}

function folderOf({ path, given }: PathReading, workspace: string | null): string {
  const place = path ?? given;
  const folder = place.slice(0, Math.max(0, place.lastIndexOf('/')));
  if (workspace !== null && (folder === workspace || folder.startsWith(`${workspace}/`))) return `.${folder.slice(workspace.length)}`;
  return folder;
}
