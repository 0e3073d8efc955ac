/**
 * The card of several requests that are alike: what they have in common once, and each as one line, whole. Only what stands there in
 * whole can be approved with one press; a red request never, it is opened by itself. Lines of agents are text in the literal block of the
 * note, one for each request: what has a line break or is long is opened by itself too.
 */
import { type Cards, contentOf, shownStates } from '../cards.ts';
import type { Approval } from '../contract.ts';
import type { CardOffer } from '../db/schema.ts';
import type { Note, NoteButton } from '../notifications.ts';
import { toVisible } from '../visible-text.ts';
import { cardOf, expiryOf, PRESETS, quoteOf } from './card.ts';

/** Room for the lines, so that the whole note fits a message of either chat. */
const LINES_MAX_CHARS = 1_900;
const LINE_MAX_CHARS = 240;
/** The member under which a record says that it does not have all of the arguments (proxy/record.ts). */
const SHORTENED = '…';
const OPENED_MAX = 8;
const IN_A_ROW = 4;

/** A card as it is to be said now, and the states that it shows. @param why it is shown again, such as "Reminder". */
export async function drawCard(cards: Cards, cardId: string, why: string | null = null): Promise<{ note: Note; shown: string } | null> {
  const members = await cards.membersOf(cardId);
  const [only] = members;
  if (only === undefined) return null;
  if (members.length === 1) {
    return { note: cardOf(only, null, why, await cards.isGrantable(only)), shown: shownStates(members) };
  }
  const lines = linesOf(members.filter(({ status }) => status === 'pending'));
  const revision = lines.length === 0 ? 0 : await cards.revise(cardId, lines.map(offerOf));
  return { note: groupCardOf(members, lines, `${revision}:${cardId}`, why), shown: shownStates(members) };
}

interface Line {
  approval: Approval;
  text: string;
  whole: boolean;
}

/** The requests that fit the card, the oldest first. */
function linesOf(pending: readonly Approval[]): Line[] {
  const lines: Line[] = [];
  let room = LINES_MAX_CHARS;
  for (const approval of pending) {
    const text = toVisible(callOf(approval));
    const isWhole = text.length <= LINE_MAX_CHARS && !text.includes('\n') && !Object.hasOwn(approval.arguments ?? {}, SHORTENED);
    const line = `${approval.number}  ${isWhole ? text : '(not in one line: open it)'}`;
    room -= line.length + 1;
    if (room < 0) break;
    lines.push({ approval, text: line, whole: isWhole && approval.risk !== 'red' });
  }
  return lines;
}

/** A command as it stands, anything else as JSON in one line. */
function callOf(approval: Approval): string {
  const { arguments: args, editedArguments } = approval;
  const shown = editedArguments ?? args ?? {};
  return Object.keys(shown).length === 1 && typeof shown.command === 'string' ? quoteOf(approval) : JSON.stringify(shown);
}

function offerOf({ approval, whole }: Line): CardOffer {
  return { id: approval.id, content: contentOf(approval), whole };
}

function groupCardOf(members: readonly Approval[], lines: readonly Line[], place: string, why: string | null): Note {
  const pending = members.filter(({ status }) => status === 'pending');
  const [first] = pending.length > 0 ? pending : members;
  const facts: [string, string][] = [];
  if (first?.agentName) facts.push(['Agent', first.agentName]);
  if (first?.taskTitle) facts.push(['Task', first.taskTitle]);
  if (first) facts.push(['Alike', first.groupKey]);
  if (first?.cwd) facts.push(['Folder', first.cwd]);
  if (pending.length > 0) {
    const reasons = [...new Set(pending.flatMap(({ reasons: own }) => own.map(({ message }) => message)))];
    for (const message of reasons.slice(0, 2)) facts.push(['Held because', message]);
    if (reasons.length > 2) facts.push(['And', `${reasons.length - 2} reasons more; open one to read them`]);
    const cost = pending.reduce((sum, { estimatedCost }) => sum + estimatedCost, 0);
    if (cost > 0) facts.push(['Cost at most', `$${cost.toFixed(4)} together`]);
    const needed = Math.max(...pending.map(({ approvalsNeeded }) => approvalsNeeded));
    if (needed > 1) facts.push(['Approved by', `${approversOf(pending)} (${needed} people for each)`]);
    const more = pending.length - lines.length;
    if (more > 0) facts.push(['Not shown here', `${more} more; they follow when these are decided`]);
    facts.push(['The first expires', expiryOf(Math.min(...pending.map(({ expiresAt }) => expiresAt)))]);
  }
  for (const status of ['approved', 'denied', 'expired', 'withdrawn'] as const) {
    const ended = members.filter((member) => member.status === status);
    if (ended.length > 0) facts.push([WORDS[status], summaryOf(ended)]);
  }
  const title =
    pending.length === 0
      ? `${members.length} like requests: all decided or over`
      : `${pending.length} like requests wait: ${first?.risk === 'red' ? 'RED' : first?.risk}`;
  return {
    title: why !== null && pending.length > 0 ? `${why}: ${title}` : title,
    facts,
    quote: lines.length === 0 ? null : lines.map(({ text }) => text).join('\n'),
    buttons: lines.length === 0 ? [] : buttonsOf(lines, pending.length, place),
    path: '/approvals',
  };
}

const WORDS = { approved: 'Approved', denied: 'Denied', expired: 'Expired', withdrawn: 'Withdrawn' } as const;

/** "3 (12, 13, 15) by Mara". */
function summaryOf(ended: readonly Approval[]): string {
  const names = [...new Set(ended.flatMap(({ approver }) => (approver === null ? [] : [approver])))];
  const numbers = ended.map(({ number }) => number).join(', ');
  return `${ended.length} (${numbers})${names.length === 0 ? '' : ` by ${names.join(', ')}`}`;
}

function approversOf(pending: readonly Approval[]): string {
  const names = [...new Set(pending.flatMap(({ approvedBy }) => approvedBy.map(({ name }) => name)))];
  return names.join(', ') || 'nobody yet';
}

function buttonsOf(lines: readonly Line[], pending: number, place: string): NoteButton[][] {
  const [whole, listed] = [lines.filter((line) => line.whole).length, lines.length];
  const of = (count: number) => (count === pending ? `all ${count}` : `the ${count} shown in whole`);
  const isRed = lines.some(({ approval }) => approval.risk === 'red');
  const deny = `Deny ${listed === pending ? `all ${listed}` : `the ${listed} listed`}`;
  const denials: NoteButton[][] = isRed
    ? PRESETS.denied.map((reason, index) => [{ label: `${deny}: ${reason}`, action: `g:d:${index}:${place}`, style: 'stop' }])
    : [[{ label: deny, action: `g:d:-:${place}`, style: 'stop' }]];
  const approve: NoteButton = { label: `Approve ${of(whole)}`, action: `g:a:-:${place}`, style: 'go', needsWhole: true };
  const opens = lines
    .slice(0, OPENED_MAX)
    .map(({ approval: { id, number } }): NoteButton => ({ label: `Open ${number}`, action: `o:${id}` }));
  return [
    ...(whole > 0 ? [[approve, ...(denials.length === 1 ? (denials[0] ?? []) : [])]] : []),
    ...(whole > 0 && denials.length === 1 ? [] : denials),
    ...Array.from({ length: Math.ceil(opens.length / IN_A_ROW) }, (_, row) => opens.slice(row * IN_A_ROW, (row + 1) * IN_A_ROW)),
  ];
}
