/**
 * `approvals list|show|approve|deny|watch`: what waits for a decision, from the command line. An approval is named by its number or its
 * id. Text of agents is shown with every character that would act on a terminal by its code. Exit codes: 0 done, 1 refused or failed,
 * 2 wrong usage, 3 somebody else had decided before (the outcome is printed).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { ResolvedSettings } from '../../settings.ts';
import { APPROVAL_STATUSES, type Approval } from '../contract.ts';
import { toLine, toVisible } from '../visible-text.ts';
import { type ApiClient, apiClient, CommandError } from './client.ts';

interface Page {
  items: Approval[];
  nextCursor: string | null;
}

const WATCH_MS = 2_000;
const LIST_MAX = 500;
const TOO_LATE = 3;

/** Adds the commands. */
export function addApprovalCommands(program: Command, settings: () => ResolvedSettings): void {
  const group = program.command('approvals').description('See and decide what waits for a person');

  group
    .command('list')
    .description('List approvals, the oldest first')
    .option('--status <status>', `${APPROVAL_STATUSES.join(', ')} or all`, 'pending')
    .option('--json', 'print them as JSON')
    .action(async ({ status, json }: { status: string; json?: true }) => {
      const items = await readPending(apiClient(settings()), status);
      if (json) return print(items);
      if (items.length === 0) console.log(status === 'pending' ? 'Nothing waits for a decision.' : 'There is none.');
      for (const approval of items) console.log(lineOf(approval));
    });

  group
    .command('show')
    .description('Show one approval with the whole call')
    .argument('<approval>', 'its number or its id')
    .option('--json', 'print it as JSON')
    .action(async (name: string, { json }: { json?: true }) => {
      const approval = await find(apiClient(settings()), name);
      if (json) return print(approval);
      console.log(textOf(approval));
    });

  for (const [verb, done, summary] of [
    ['approve', 'approved', 'Approve once: the call is judged again and then runs'],
    ['deny', 'denied', 'Deny: the agent gets the note as the reason'],
  ] as const) {
    group
      .command(verb)
      .description(summary)
      .argument('<approval>', 'its number or its id')
      .option('--note <text>', 'why; a red call needs it')
      .option('--json', 'print the approval as JSON')
      .action(async (name: string, { note, json }: { note?: string; json?: true }) => {
        const client = apiClient(settings());
        const { id } = await find(client, name);
        try {
          const approval = await client.post<Approval>(`/approvals/${id}/${verb}`, note === undefined ? {} : { note });
          if (json) return print(approval);
          console.log(approval.status === done ? `Approval ${approval.number} is ${done}.` : lineOf(approval));
        } catch (error) {
          const outcome =
            error instanceof CommandError && error.code === 'DECIDED' ? (error.problem?.approval as Approval | undefined) : undefined;
          if (outcome === undefined) throw error;
          process.exitCode = TOO_LATE;
          if (json) return print(outcome);
          console.log(error instanceof Error ? error.message : '');
        }
      });
  }

  group
    .command('watch')
    .description('Print what begins to wait and what is decided, until you press Ctrl-C')
    .option('--json', 'print each change as a line of JSON')
    .action(async ({ json }: { json?: true }) => {
      const ended = new AbortController();
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ended.abort());
      await watch(apiClient(settings()), ended.signal, (approval) => console.log(json ? JSON.stringify(approval) : lineOf(approval)));
    });
}

/** Looks again and again; what was pending at the last look and is not any more is told with its outcome. */
async function watch(client: ApiClient, ended: AbortSignal, tell: (approval: Approval) => void): Promise<void> {
  let known = new Set<string>();
  let isAway = false;
  while (!ended.aborted) {
    try {
      const pending = await readPending(client, 'pending');
      const now = new Set(pending.map(({ id }) => id));
      for (const approval of pending) if (!known.has(approval.id)) tell(approval);
      for (const id of known) if (!now.has(id)) tell(await client.get<Approval>(`/approvals/${id}`));
      known = now;
      isAway = false;
    } catch (error) {
      if (!(error instanceof CommandError) || error.code !== 'UNREACHABLE') throw error;
      if (!isAway) console.error(error.message);
      isAway = true;
    }
    await sleep(WATCH_MS, undefined, { signal: ended }).catch(() => {});
  }
}

/** Oldest first; the oldest ones where there are more than can be listed. */
async function readPending(client: ApiClient, status: string): Promise<Approval[]> {
  const items: Approval[] = [];
  let cursor: string | null = null;
  do {
    const query = new URLSearchParams({ status, limit: String(LIST_MAX), ...(cursor !== null && { cursor }) });
    const page: Page = await client.get<Page>(`/approvals?${query}`);
    items.push(...page.items);
    // Everything else is read newest first and may be without end.
    cursor = status === 'pending' ? page.nextCursor : null;
  } while (cursor !== null);
  return items.toReversed();
}

async function find(client: ApiClient, name: string): Promise<Approval> {
  if (!/^#?\d{1,15}$/.test(name)) return client.get<Approval>(`/approvals/${encodeURIComponent(name)}`);
  const number = name.replace('#', '');
  const { items } = await client.get<Page>(`/approvals?status=all&number=${number}`);
  const [approval] = items;
  if (!approval) throw new CommandError('NOT_FOUND', `There is no approval ${number}.`);
  return approval;
}

function lineOf(approval: Approval): string {
  const who = approval.agentName ?? 'somebody';
  const outcome =
    approval.status === 'pending'
      ? `waits, ${approval.risk}`
      : `${approval.status}${approval.approver === null ? '' : ` by ${approval.approver}`}`;
  return `${String(approval.number).padStart(5)}  ${toLine(`${outcome} | ${who} | ${approval.summary}`)}`;
}

function textOf(approval: Approval): string {
  const facts: [string, string | null][] = [
    ['Agent', approval.agentName],
    ['Task', approval.taskTitle],
    ['Tool', approval.tool],
    ['Folder', approval.cwd],
    ...approval.reasons.map(({ code, message }): [string, string] => ['Held because', `${code}: ${message}`]),
    ['Cost at most', approval.estimatedCost > 0 ? `$${approval.estimatedCost}` : null],
    ['Digest', approval.digest],
    ['Expires', approval.status === 'pending' ? new Date(approval.expiresAt).toISOString() : null],
    ['Note', approval.decision],
  ];
  const args = approval.editedArguments ?? approval.arguments;
  return [
    lineOf(approval).trim(),
    ...facts.flatMap(([label, text]) => (text === null ? [] : [`  ${label}: ${toLine(text)}`])),
    ...(args === null
      ? []
      : [approval.editedArguments === null ? '  Call:' : '  Call, edited:', indent(toVisible(JSON.stringify(args, null, 2)))]),
    ...(approval.noteRequired && approval.status === 'pending' ? ['  It is red: deciding needs --note.'] : []),
  ].join('\n');
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, '    ');
}

function print(value: unknown): void {
  console.log(JSON.stringify(value, null, 2));
}
