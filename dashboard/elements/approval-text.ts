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

/** Puts calls together that ask for the same kind of thing: same shape by the server's key, same risk, as many people. Groups stand where their oldest stands. */
export function groupApprovals(approvals: readonly Approval[]): ApprovalGroup[] {
  const groups = new Map<string, [Approval, ...Approval[]]>();
  for (const approval of approvals) {
    const key = approval.kind === 'task' ? approval.id : JSON.stringify([approval.groupKey, approval.risk, approval.approvalsNeeded]);
    const group = groups.get(key);
    if (group) group.push(approval);
    else groups.set(key, [approval]);
  }
  return [...groups].map(([key, items]) => ({ key, items, labels: differences(items) }));
}

/** Longer values are read on the card of the call itself. */
const LABEL_CHARACTERS = 300;

/** Everything in which the calls of a group differ: the words of their commands, their folders, and any other argument. */
function differences(items: readonly Approval[]): string[] {
  if (items.length < 2) return items.map((item) => gistOf(item));
  const values = items.map(comparedValues);
  const names = [...new Set(values.flatMap((value) => [...value.keys()]))];
  const differing = names.filter((name) => values.some((value) => value.get(name) !== values[0]?.get(name)));
  const lines = differingWords(values.map((value) => value.get(COMMAND) ?? ''));
  return items.map((item, i) => {
    const parts = differing.map((name) => {
      const value = values[i]?.get(name);
      if (name === COMMAND) return lines[i] ?? '';
      return value === undefined ? `no ${name}` : differing.length === 1 ? value : `${name}: ${value}`;
    });
    const label = parts.filter(Boolean).join(', ').slice(0, LABEL_CHARACTERS);
    return label || `number ${item.number}`;
  });
}

const COMMAND = 'command';

/** What a call says, by name; the command line under one name whatever its argument is called. */
function comparedValues(approval: Approval): Map<string, string> {
  const line = commandLineOf(approval);
  const values = new Map<string, string>(line === null ? [] : [[COMMAND, line]]);
  for (const [name, value] of Object.entries(approval.arguments ?? {}))
    if (line === null || (name !== 'command' && name !== 'cmd'))
      values.set(name, typeof value === 'string' ? value : JSON.stringify(value));
  if (approval.cwd !== null) values.set('folder', approval.cwd);
  return values;
}

/** Of each line the words that are not the same in all of them; where the lines have different lengths, from the first such word to the last. */
function differingWords(lines: readonly string[]): string[] {
  const words = lines.map((line) => line.split(' '));
  const shortest = Math.min(...words.map((list) => list.length));
  const same = (at: (list: string[]) => string | undefined) => words.every((list) => at(list) === at(words[0] ?? []));
  if (words.every((list) => list.length === shortest)) {
    const isSame = Array.from({ length: shortest }, (_, i) => same((list) => list[i]));
    return words.map((list) => joinRuns(list, isSame));
  }
  let front = 0;
  while (front < shortest && same((list) => list[front])) front++;
  let back = 0;
  while (back < shortest - front && same((list) => list[list.length - 1 - back])) back++;
  return words.map((list) => list.slice(front, list.length - back).join(' '));
}

function joinRuns(words: readonly string[], isSame: readonly boolean[]): string {
  let text = '';
  let gap = false;
  for (const [i, word] of words.entries()) {
    if (isSame[i]) gap = text !== '';
    else {
      text += `${gap ? ' … ' : text ? ' ' : ''}${word}`;
      gap = false;
    }
  }
  return text;
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
