/** How an approval is named in lists and heads, and which ones are alike. Pure; what an agent wrote is named, never interpreted. */
import type { Approval } from '../../control/contract.ts';
import type { CommandReading } from '../../policies/model.ts';
import { messageOf } from './message-text.ts';

/** The head: a verb of ours and what it acts on, e.g. "Run" "npm publish". */
export function titleOf(approval: Approval): { verb: string; object: string } {
  if (approval.kind === 'task') return { verb: 'Decide', object: approval.summary };
  const tool = approval.tool ?? 'a tool';
  const preview = approval.preview;
  switch (preview?.mappedTool ?? tool) {
    case 'shell_exec':
      return { verb: 'Run', object: programs(approval) || tool };
    case 'write_file':
      return { verb: 'Write', object: pathsOf(approval, 'write') || tool };
    case 'read_file':
      return { verb: 'Read', object: pathsOf(approval, 'read') || tool };
    case 'network_call':
      return { verb: 'Connect to', object: hostsOf(approval) || tool };
    case 'post_social':
    case 'send_email':
      return { verb: 'Send', object: recipientsOf(approval) ? `a message to ${recipientsOf(approval)}` : 'a message' };
    case 'sessions_spawn':
      return { verb: 'Start', object: 'a sub-agent' };
    default:
      return { verb: 'Call', object: tool };
  }
}

/** The row in a list: the tool and the part that tells this call from others. */
export function gistOf(approval: Approval): string {
  if (approval.kind === 'task') return approval.summary;
  const object =
    decisiveCommands(approval)[0]?.text ||
    pathsOf(approval, 'write') ||
    pathsOf(approval, 'read') ||
    hostsOf(approval) ||
    recipientsOf(approval);
  return object ? `${approval.tool ?? ''} ${object}`.trim() : approval.summary;
}

/** The whole command line that the readings' positions refer to, or null where the call has none. */
export function commandLineOf(approval: Approval): string | null {
  const command = approval.arguments?.command ?? approval.arguments?.cmd;
  return typeof command === 'string' ? command : null;
}

/* ---------------------------------------------------------------- like requests */

export interface ApprovalGroup {
  key: string;
  /** Oldest first; never empty. */
  items: readonly [Approval, ...Approval[]];
  /** What tells each item from the others, in the order of the items. */
  labels: readonly string[];
}

/** Puts like calls together: same agent and task, same tool, same program, folder or host. Groups stand where their oldest stands. */
export function groupApprovals(approvals: readonly Approval[]): ApprovalGroup[] {
  const groups = new Map<string, [Approval, ...Approval[]]>();
  for (const approval of approvals) {
    const key = likeness(approval);
    const group = groups.get(key);
    if (group) group.push(approval);
    else groups.set(key, [approval]);
  }
  return [...groups].map(([key, items]) => ({ key, items, labels: differences(items) }));
}

function likeness(approval: Approval): string {
  if (approval.kind === 'task') return approval.id;
  const folder = approval.preview?.paths[0]?.given.replace(/[^/]*$/, '') ?? '';
  const target = programs(approval) || hostsOf(approval) || folder;
  return JSON.stringify([approval.agentId, approval.taskId, approval.tool, approval.risk, target]);
}

function differences(items: readonly Approval[]): string[] {
  const words = items.map((item) => gistOf(item).split(' '));
  const shortest = Math.min(...words.map((list) => list.length));
  const same = (at: (list: string[]) => string | undefined) => words.every((list) => at(list) === at(words[0] ?? []));
  let front = 0;
  while (front < shortest && same((list) => list[front])) front++;
  let back = 0;
  while (back < shortest - front && same((list) => list[list.length - 1 - back])) back++;
  return words.map((list, i) => list.slice(front, list.length - back).join(' ') || `number ${items[i]?.number ?? i + 1}`);
}

/* ---------------------------------------------------------------- parts of a call */

/** "npm publish, git push": program and subcommand of what caused the hold. */
function programs(approval: Approval): string {
  return [...new Set(decisiveCommands(approval).map(programOf))].slice(0, 3).join(', ');
}

/** The commands that caused the hold, the gravest first; changing the folder is named only where nothing else is held. */
function decisiveCommands(approval: Approval): CommandReading[] {
  const all = approval.preview?.commands ?? [];
  const held = all.filter((command) => command.verdict !== 'allowed');
  const acting = held.filter((command) => programOf(command) !== 'cd');
  const decisive = acting.length ? acting : held.length ? held : all;
  return [...decisive].sort((a, b) => Number(b.red) - Number(a.red));
}

function programOf(command: CommandReading): string {
  const [program = '', next = ''] = command.argv ?? command.text.trim().split(/\s+/);
  const name = program.slice(program.lastIndexOf('/') + 1);
  return name !== 'cd' && /^[a-z][a-z-]*$/.test(next) ? `${name} ${next}` : name;
}

function pathsOf(approval: Approval, use: 'read' | 'write'): string {
  const paths = (approval.preview?.paths ?? []).filter((path) => path.use === use);
  const decisive = paths.find((path) => path.verdict !== 'inside') ?? paths[0];
  if (!decisive) return '';
  const path = decisive.path ?? decisive.given;
  const root = approval.workspace?.replace(/\/*$/, '/');
  return root && path.startsWith(root) ? path.slice(root.length) : path;
}

/** "team@acme.example and 2 more". */
function recipientsOf({ tool, preview, arguments: args }: Approval): string {
  const [first, ...others] = messageOf({ tool, mappedTool: preview?.mappedTool ?? tool, arguments: args })?.recipients ?? [];
  if (!first) return '';
  return others.length > 0 ? `${first.who} and ${others.length} more` : first.who;
}

function hostsOf(approval: Approval): string {
  const hosts = approval.preview?.hosts ?? [];
  const decisive = hosts.find((host) => host.verdict !== 'listed') ?? hosts[0];
  return decisive ? (decisive.host ?? decisive.given) : '';
}
