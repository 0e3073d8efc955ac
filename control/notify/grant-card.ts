/**
 * Approving for longer from a chat: the patterns of the proposal spelled out with what each would have covered and what not, to be confirmed
 * by a second press; and the receipt of a standing grant, with the button that ends it. Only a pattern that stands there in whole, just
 * as it is, can be confirmed.
 */
import type { Approval, Grant, GrantProposal } from '../contract.ts';
import type { Note, NoteButton } from '../notifications.ts';
import { toLine, toVisible } from '../visible-text.ts';
import { expiryOf, quoteOf } from './card.ts';

type Pattern = GrantProposal['patterns'][number];

/** How long a grant from a chat lasts, unless the policy's ceiling is lower. Longer ones are the dashboard's. */
const LASTS_MS = 60 * 60 * 1000;
const SHOWN_MAX = 3;
/** A value of a card is folded after this many characters on the narrower of both chats. */
const WHOLE_MAX_CHARS = 190;
const HASH_CHARS = 16;

/** How long, under the policy's ceiling. Milliseconds. */
export function lastingOf({ maxExpiresInMs }: GrantProposal): number {
  return Math.min(LASTS_MS, maxExpiresInMs);
}

/** The pattern of a proposal that a button names; undefined where it is not proposed (any more), or could not be shown whole. */
export function patternNamed(proposal: GrantProposal, hash: string): Pattern | undefined {
  return shownOf(proposal).find((pattern) => hashOf(pattern) === hash);
}

/** What is asked before a grant is made; null where no pattern can be shown in whole. */
export function grantQuestion(approval: Approval, proposal: GrantProposal): Note | null {
  const patterns = shownOf(proposal);
  if (patterns.length === 0) return null;
  const minutes = Math.max(1, Math.floor(lastingOf(proposal) / 60_000));
  const facts = patterns.flatMap(({ text, sentence, covers, leavesOut }, index): [string, string][] => [
    [letterOf(index), text],
    [`${letterOf(index)} means`, sentence],
    [`${letterOf(index)} would have covered`, examplesOf(covers)],
    [`${letterOf(index)} would have left out`, examplesOf(leavesOut)],
  ]);
  return {
    title: `Approve ${approval.number} and calls like it for ${minutes} min?`,
    facts: [
      ['For', `${approval.agentName ?? approval.agentId}, and no other agent`],
      ...facts,
      ['At most', proposal.maxUses === null ? 'any number of calls' : `${proposal.maxUses} calls`],
    ],
    quote: quoteOf(approval),
    buttons: [
      ...patterns.map((pattern, index): NoteButton[] => [
        {
          label: `Approve, and ${letterOf(index)} for ${minutes} min`,
          action: `m:${hashOf(pattern)}:${approval.id}`,
          style: 'go',
          needsWhole: true,
        },
      ]),
      [{ label: 'Back', action: `b:${approval.id}` }],
    ],
    path: `/approvals/${approval.id}`,
  };
}

/** That a grant was made, by whom, and how to end it. */
export function grantReceipt({ id, number, createdBy, scopeName, pattern, expiresAt, maxUses }: Grant): Note {
  return {
    title: `Standing grant ${number}: calls like it run without a question until ${expiryOf(expiresAt)}`,
    facts: [
      ['Given by', createdBy.name],
      ['For', scopeName ?? 'its agent'],
      ['Pattern', pattern.text],
      ['At most', maxUses === null ? 'any number of calls' : `${maxUses} calls`],
    ],
    quote: null,
    buttons: [[{ label: `End grant ${number}`, action: `r:${id}`, style: 'stop' }]],
    path: '/approvals',
  };
}

/** The narrowest patterns that can be read as they are. */
function shownOf({ patterns }: GrantProposal): Pattern[] {
  const isWhole = (text: string) => text.length <= WHOLE_MAX_CHARS && toLine(text) === toVisible(text) && toVisible(text) === text;
  return patterns.filter(({ text, sentence }) => isWhole(text) && isWhole(sentence)).slice(0, SHOWN_MAX);
}

function examplesOf(examples: Pattern['covers']): string {
  return examples.length === 0
    ? 'none of the recorded calls'
    : examples
        .slice(0, 2)
        .map(({ summary }) => summary)
        .join(' | ');
}

function letterOf(index: number): string {
  return String.fromCharCode(65 + index);
}

/** The id of a pattern ends with a hash of its content, of which a button has room for so much. */
function hashOf({ id }: Pattern): string {
  return id.slice(id.lastIndexOf('-') + 1).slice(0, HASH_CHARS);
}
