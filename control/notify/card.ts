/**
 * What an approval says on a channel: the call as it came, whole, with everything a person decides by. What an agent wrote is only ever
 * one literal block or one literal value; buttons and links are ours alone, so that no text can imitate or move them.
 */
import type { Approval } from '../contract.ts';
import type { Note, NoteButton } from '../notifications.ts';
import { toVisible } from '../visible-text.ts';

/** Notes that count as the reason of a decision; for red calls, where one is due. */
export const PRESETS = {
  approved: ['Checked, as intended', 'Asked for by me'],
  denied: ['Wrong target', 'Not needed now'],
} as const;

type Verdict = keyof typeof PRESETS;
/** A button that approves says whether the card showed arguments that somebody had edited. */
function letterOf(verdict: Verdict, { editedArguments }: Approval): string {
  if (verdict === 'denied') return 'd';
  return editedArguments === null ? 'a' : 'e';
}

/** What the form for a note sends. */
export function writeAction(approval: Approval, verdict: Verdict): string {
  return `w:${letterOf(verdict, approval)}:${approval.id}`;
}

/** What a button of ours asks for. */
export type Press =
  | { act: 'decide'; verdict: Verdict; sawEdit: boolean; approvalId: string; note: string | null }
  | { act: 'choose'; verdict: Verdict; sawEdit: boolean; approvalId: string }
  | { act: 'write'; verdict: Verdict; sawEdit: boolean; approvalId: string }
  | { act: 'back'; approvalId: string }
  | { act: 'open'; approvalId: string }
  | { act: 'longer'; approvalId: string }
  | { act: 'grant'; approvalId: string; pattern: string }
  | { act: 'revoke'; grantId: string }
  | { act: 'decideAll'; verdict: Verdict; cardId: string; revision: number; note: string | null }
  | { act: 'stop'; userId: string; at: number };

/**
 * The card of an approval as it stands now.
 * @param choosing a red one for which a reason is being chosen. @param why it is shown again, such as "Reminder".
 * @param isGrantable whether calls like it may be approved for longer.
 */
export function cardOf(approval: Approval, choosing: Verdict | null = null, why: string | null = null, isGrantable = false): Note {
  const isPending = approval.status === 'pending';
  const facts: [string, string][] = [];
  if (approval.agentName !== null) facts.push(['Agent', approval.agentName]);
  if (approval.taskTitle !== null) facts.push(['Task', approval.taskTitle]);
  if (approval.tool !== null) facts.push(['Tool', approval.tool]);
  if (approval.cwd !== null) facts.push(['Folder', approval.cwd]);
  for (const { message } of isPending ? approval.reasons.slice(0, 4) : []) facts.push(['Held because', message]);
  if (approval.estimatedCost > 0) facts.push(['Cost at most', `$${approval.estimatedCost.toFixed(4)}`]);
  if (approval.digest !== null) facts.push(['Digest', approval.digest]);
  if (isPending && approval.approvalsNeeded > 1) {
    const names = approval.approvedBy.map(({ name }) => name).join(', ');
    facts.push(['Approved by', `${names || 'nobody yet'} (${approval.approvedBy.length} of ${approval.approvalsNeeded} people)`]);
  }
  if (isPending) facts.push(['Expires', expiryOf(approval.expiresAt)]);
  if (approval.decision !== null) facts.push(['Note', approval.decision]);
  return {
    title: why !== null && isPending ? `${why}: ${titleOf(approval)}` : titleOf(approval),
    facts,
    quote: quoteOf(approval),
    buttons: isPending ? (choosing === null ? decisionButtons(approval, isGrantable) : reasonButtons(approval, choosing)) : [],
    path: `/approvals/${approval.id}`,
  };
}

/** One line about what has become of an approval. */
export function outcomeOf(approval: Approval): string {
  const by = approval.approver === null ? '' : ` by ${approval.approver}`;
  switch (approval.status) {
    case 'pending':
      return approval.approvedBy.length === 0
        ? `Approval ${approval.number} waits for a decision.`
        : `${approval.approvedBy.map(({ name }) => name).join(', ')} approved; ${approval.approvalsNeeded - approval.approvedBy.length} more must approve as well.`;
    case 'approved':
    case 'denied':
      return `Approval ${approval.number} was ${approval.status}${by}.`;
    case 'expired':
      return `Approval ${approval.number} expired without a decision.`;
    case 'withdrawn':
      return `Approval ${approval.number} was withdrawn: its caller is gone.`;
  }
}

function titleOf(approval: Approval): string {
  const what = `Approval ${approval.number}`;
  switch (approval.status) {
    case 'pending':
      return `${what} waits: ${approval.risk === 'red' ? 'RED' : approval.risk}${approval.kind === 'task' ? ', about a task' : ''}`;
    case 'approved':
    case 'denied':
      return `${what}: ${approval.status}${approval.approver === null ? '' : ` by ${toVisible(approval.approver)}`}${approval.editedArguments === null ? '' : ', edited'}`;
    case 'expired':
      return `${what}: expired, nobody decided`;
    case 'withdrawn':
      return `${what}: withdrawn, the caller is gone`;
  }
}

/** When a request expires, for people anywhere. */
export function expiryOf(at: number): string {
  return `${new Date(at).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** A command as it stands, anything else as JSON; for a task what is asked. */
export function quoteOf({ kind, summary, reasons, arguments: args, editedArguments }: Approval): string {
  if (kind === 'task' || args === null) return [summary, ...reasons.map(({ message }) => message)].join('\n');
  const shown = editedArguments ?? args;
  const members = Object.keys(shown);
  return members.length === 1 && typeof shown.command === 'string' ? shown.command : JSON.stringify(shown, null, 1);
}

function decisionButtons(approval: Approval, isGrantable: boolean): NoteButton[][] {
  const { id, noteRequired } = approval;
  const action = (verdict: Verdict) => `${noteRequired ? 'c' : 'd'}:${letterOf(verdict, approval)}:${id}`;
  return [
    [
      { label: 'Approve once', action: action('approved'), style: 'go', needsWhole: true },
      { label: 'Deny', action: action('denied'), style: 'stop' },
    ],
    ...(isGrantable ? [[{ label: 'Approve, and like calls for longer…', action: `l:${id}`, needsWhole: true as const }]] : []),
  ];
}

function reasonButtons(approval: Approval, verdict: Verdict): NoteButton[][] {
  const { id } = approval;
  const letter = letterOf(verdict, approval);
  const done = verdict === 'approved' ? 'Approve' : 'Deny';
  const guard = verdict === 'approved' ? { needsWhole: true as const } : {};
  return [
    ...PRESETS[verdict].map((text, index) => [{ label: `${done}: ${text}`, action: `p:${letter}:${index}:${id}`, ...guard }]),
    [
      { label: 'Write a note', action: writeAction(approval, verdict), ...guard },
      { label: 'Back', action: `b:${id}` },
    ],
  ];
}

/** The question that a person answers with a note. */
export function promptFor(number: number, verdict: Verdict): Note {
  return {
    title: `Reply to this message with why approval ${number} ${verdict === 'approved' ? 'may run' : 'may not run'}.`,
    facts: [],
    quote: null,
    buttons: [],
    path: null,
    asksForReply: true,
  };
}

/** Asks before the emergency stop. The button works for this user and a short time only. */
export function stopQuestion(userId: string, now: number): Note {
  return {
    title: 'Stop everything? Every new call of every kind is refused, open ones are withdrawn, and only an administrator can resume.',
    facts: [],
    quote: null,
    buttons: [[{ label: 'Stop everything', action: `s:${userId}:${now.toString(36)}`, style: 'stop' }]],
    path: null,
  };
}

/** A note of one sentence. */
export function sentenceNote(title: string, facts: Note['facts'] = [], path: string | null = null): Note {
  return { title, facts, quote: null, buttons: [], path };
}

/** Reads a button's action. Somebody may send what they like: only what one of our buttons can say is taken. */
export function readPress(action: string): Press | null {
  const [act, ...rest] = action.split(':');
  if (act === 's' && rest.length >= 2) {
    const at = Number.parseInt(rest.at(-1) ?? '', 36);
    return Number.isSafeInteger(at) ? { act: 'stop', userId: rest.slice(0, -1).join(':'), at } : null;
  }
  if (act === 'm' && rest.length === 2) {
    const [pattern, id] = rest;
    return isId(id) && pattern !== undefined && /^[0-9a-f]{16}$/.test(pattern) ? { act: 'grant', approvalId: id, pattern } : null;
  }
  if (rest.length === 1 && isId(rest[0])) {
    if (act === 'b') return { act: 'back', approvalId: rest[0] };
    if (act === 'o') return { act: 'open', approvalId: rest[0] };
    if (act === 'l') return { act: 'longer', approvalId: rest[0] };
    if (act === 'r') return { act: 'revoke', grantId: rest[0] };
  }
  const sawEdit = rest[0] === 'e';
  const verdict = rest[0] === 'a' || sawEdit ? 'approved' : rest[0] === 'd' ? 'denied' : null;
  const approvalId = rest.at(-1);
  if (verdict === null || !isId(approvalId)) return null;
  if (act === 'g' && rest.length === 4) {
    const [, preset = '', revision = ''] = rest;
    const note = preset === '-' ? null : PRESETS[verdict][Number(preset)];
    return note === undefined || !/^\d{1,6}$/.test(revision)
      ? null
      : { act: 'decideAll', verdict, cardId: approvalId, revision: Number(revision), note };
  }
  if (act === 'p' && rest.length === 3) {
    const note = PRESETS[verdict][Number(rest[1])];
    return note === undefined ? null : { act: 'decide', verdict, sawEdit, approvalId, note };
  }
  if (rest.length !== 2) return null;
  if (act === 'd') return { act: 'decide', verdict, sawEdit, approvalId, note: null };
  if (act === 'c') return { act: 'choose', verdict, sawEdit, approvalId };
  return act === 'w' ? { act: 'write', verdict, sawEdit, approvalId } : null;
}

function isId(text: string | undefined): text is string {
  return text !== undefined && /^[0-9a-f-]{36}$/.test(text);
}
