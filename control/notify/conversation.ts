/**
 * What people may do from a chat, the same on every channel: decide, read how things stand, pause, stop, comment. Each act begins with who
 * it is: an operator who has shown it with a code, with the role of this moment. Everybody else is refused, and that is on record. Acts
 * are safe to repeat, because a channel may bring the same one twice.
 */

import type { Approvals } from '../approvals.ts';
import type { Actor } from '../audit.ts';
import { atLeast } from '../auth.ts';
import { type Cards, cardKeyOf, contentOf } from '../cards.ts';
import type { LiveChannel } from '../channels.ts';
import type { ChatIdentities, ChatOperator, ChatUser } from '../chat-identities.ts';
import type { Approval, ApprovalBatchResult, GrantRequest, Overview, Role } from '../contract.ts';
import type { MessageRef } from '../db/schema.ts';
import type { Emergency } from '../emergency.ts';
import type { Grants } from '../grants.ts';
import type { Messages } from '../messages.ts';
import type { Note, Notifications } from '../notifications.ts';
import { Refusal } from '../problem.ts';
import { cardOf, outcomeOf, type Press, promptFor, sentenceNote, stopQuestion } from './card.ts';
import { grantQuestion, grantReceipt, lastingOf, patternNamed } from './grant-card.ts';
import { drawCard } from './group-card.ts';

export type Conversation = ReturnType<typeof createConversation>;

/** Who does something, where, and under which name of the channel's own. */
export interface Inbound {
  channel: LiveChannel;
  user: ChatUser;
  /** Where an answer goes. */
  chat: string;
  /** The same whenever the channel brings the same act again. */
  key: string;
}

/** What came of a press. */
export interface PressOutcome {
  text: string;
  /** It did not do what was asked. */
  isRefusal: boolean;
  /** What the pressed card shows now. */
  approval?: Approval;
  /** The card whose requests were decided together, where the message may be one that we do not know of. */
  cardId?: string;
  /** What the pressed message says now instead of its card. */
  note?: Note;
  /** A reason is due: the card, or a form, offers some. */
  choosing?: 'approved' | 'denied';
  /** A note is to be written. */
  writing?: { approval: Approval; verdict: 'approved' | 'denied' };
}

/** What an act needs: a role, or the right to decide, which the deputy of somebody who is away has too. */
type Need = Role | 'decide';

/** How long the button of a stop's confirmation works. */
const CONFIRM_MS = 2 * 60 * 1000;
const SHOWN_MAX = 5;
const NOTE_MAX_CHARS = 10_000;
const NOT_KNOWN =
  'You are not known here. Make a code in Mission Control (Settings, Channels, "Link my account") and send it to this bot in a private chat: /link CODE';

interface Dependencies {
  clock: () => number;
  identities: ChatIdentities;
  notifications: Notifications;
  approvals: Approvals;
  cards: Cards;
  grants: Grants;
  messages: Messages;
  emergency: Emergency;
  overview: () => Promise<Overview>;
}

export function createConversation({
  clock,
  identities,
  notifications,
  approvals,
  cards,
  grants,
  messages,
  emergency,
  overview,
}: Dependencies) {
  /** Somebody pressed a button of ours, or sent what one of them sends. */
  async function press(inbound: Inbound, pressed: Press): Promise<PressOutcome> {
    const needs: Need = pressed.act === 'stop' ? 'operator' : 'decide';
    const who = await recognise(inbound, needs, pressed.act === 'stop' ? 'stop everything' : 'decide an approval');
    if (typeof who === 'string') return { text: who, isRefusal: true };
    switch (pressed.act) {
      case 'stop': {
        if (pressed.userId !== inbound.user.externalId) return { text: 'Only who asked for the stop confirms it.', isRefusal: true };
        const age = clock() - pressed.at;
        if (age > CONFIRM_MS || age < -CONFIRM_MS)
          return { text: 'This question is too old; nothing was stopped. Send /stop again.', isRefusal: true };
        const receipt = await emergency.stop(actorOf(who), `from ${inbound.channel.name}`);
        const silent = receipt.proxies.filter((proxy) => proxy.acknowledgedAt !== null).length;
        return { text: `Stopped. ${silent} of ${receipt.proxies.length} proxies confirmed.`, isRefusal: false };
      }
      case 'grant':
        return grant(inbound, who, pressed.approvalId, pressed.pattern);
      case 'revoke':
        return revoke(inbound, who, pressed.grantId);
      case 'decideAll':
        return decideAll(inbound, who, pressed);
      case 'decide':
        return decide(inbound, who, pressed);
      default: {
        const approval = await approvals.find(pressed.approvalId);
        if (approval === null) return { text: 'There is no such approval.', isRefusal: true };
        if (approval.status !== 'pending') return { text: outcomeOf(approval), isRefusal: true, approval };
        if (pressed.act === 'open') {
          await show(inbound, [[approval]], 'opened');
          return { text: `Approval ${approval.number} follows.`, isRefusal: false };
        }
        if (pressed.act === 'longer') return askForGrant(approval);
        if (pressed.act === 'back') return { text: '', isRefusal: false, approval };
        if (pressed.verdict === 'approved' && pressed.sawEdit !== (approval.editedArguments !== null))
          return { text: 'Its arguments were edited meanwhile. Look at them, and decide again.', isRefusal: true, approval };
        if (pressed.act === 'choose')
          return { text: 'This call is red: choose a reason, or write one.', isRefusal: false, approval, choosing: pressed.verdict };
        return {
          text: 'Write why, as a reply to the message that comes now.',
          isRefusal: false,
          approval,
          writing: { approval, verdict: pressed.verdict },
        };
      }
    }
  }

  /** Decides under the person's own name. Whoever is late hears what was decided. */
  async function decide(
    { channel }: Inbound,
    who: ChatOperator,
    { approvalId, verdict, sawEdit, note }: Omit<Extract<Press, { act: 'decide' }>, 'act'>,
    granted?: GrantRequest,
  ): Promise<PressOutcome> {
    try {
      const approval = await approvals.decide(actorOf(who), approvalId, verdict, {
        sawEdit,
        ...(note !== null && { note: note.slice(0, NOTE_MAX_CHARS) }),
        ...(granted && { grant: granted }),
        via: `${channel.kind}:${channel.name}`,
      });
      return { text: outcomeOf(approval), isRefusal: false, approval };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const approval = await approvals.find(approvalId);
      if (error.code === 'NOTE_REQUIRED' && approval !== null)
        return { text: 'This call is red: choose a reason, or write one.', isRefusal: false, approval, choosing: verdict };
      return { text: error.message, isRefusal: true, ...(approval !== null && { approval }) };
    }
  }

  /** Decides what a card listed when it was pressed; each request for itself, as ever. What has come since stays. */
  async function decideAll(
    { channel }: Inbound,
    who: ChatOperator,
    { cardId, revision, verdict, note }: Extract<Press, { act: 'decideAll' }>,
  ): Promise<PressOutcome> {
    const offers = await cards.offered(channel.id, cardId, revision);
    if (offers === null) return { text: 'This button is not one of ours.', isRefusal: true };
    const chosen = offers.filter(({ whole }) => verdict === 'denied' || whole);
    const now = new Map((await approvals.findSeveral(chosen.map(({ id }) => id))).map((approval) => [approval.id, contentOf(approval)]));
    const ids = chosen.filter(({ id, content }) => now.get(id) === content).map(({ id }) => id);
    const { results } = await approvals.decideAll(actorOf(who), ids, verdict, note ?? undefined, `${channel.kind}:${channel.name}`);
    return { ...summaryOf(results, verdict), cardId };
  }

  /** Spells out what could be approved for longer; nothing is decided by it. */
  async function askForGrant(approval: Approval): Promise<PressOutcome> {
    const proposal = await approvals.proposeGrant(approval.id);
    if (proposal.refusal !== null) return { text: proposal.refusal.message, isRefusal: true, approval };
    const note = grantQuestion(approval, proposal);
    if (note === null) return { text: 'What could be allowed does not fit a message: see it in the dashboard.', isRefusal: true, approval };
    return { text: 'Read what it would allow, and confirm.', isRefusal: false, approval, note };
  }

  /** Approves a call and, as confirmed, those like it. */
  async function grant(inbound: Inbound, who: ChatOperator, approvalId: string, hash: string): Promise<PressOutcome> {
    const asked = await approvals.find(approvalId);
    if (asked === null) return { text: 'There is no such approval.', isRefusal: true };
    if (asked.status !== 'pending') return { text: outcomeOf(asked), isRefusal: true, approval: asked };
    const proposal = await approvals.proposeGrant(approvalId);
    const pattern = patternNamed(proposal, hash);
    if (pattern === undefined || asked.agentId === null)
      return { text: 'This is not, or no longer, proposed for the call. Look at it again.', isRefusal: true, approval: asked };
    const outcome = await decide(
      inbound,
      who,
      { approvalId, verdict: 'approved', sawEdit: false, note: null },
      { scope: { kind: 'agent', agentId: asked.agentId }, patternId: pattern.id, expiresInMs: lastingOf(proposal) },
    );
    const made = outcome.isRefusal || !outcome.approval?.madeGrantId ? null : await grants.find(outcome.approval.madeGrantId);
    if (made === null) return outcome;
    await notifications.add([
      {
        kind: 'answer',
        channelId: inbound.channel.id,
        recipient: { chat: inbound.chat },
        summary: `Standing grant ${made.number} was given from ${inbound.channel.name}`,
        note: grantReceipt(made),
        payload: {},
        key: `grant:${made.id}`,
      },
    ]);
    return { ...outcome, text: `${outcome.text} Calls like it run too: standing grant ${made.number}.` };
  }

  /** Ends a standing grant. */
  async function revoke({ channel }: Inbound, who: ChatOperator, grantId: string): Promise<PressOutcome> {
    try {
      const { number, uses } = await grants.revoke(actorOf(who), grantId, `from ${channel.name}`);
      const text = `Standing grant ${number} was ended by ${who.name}, after ${uses} calls.`;
      return { text, isRefusal: false, note: sentenceNote(text) };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return { text: error.message, isRefusal: true, note: sentenceNote(error.message) };
    }
  }

  /** What the message of a pressed button shows now; null where it is no card that we know of. */
  async function cardAt(channelId: string, ref: MessageRef, outcome: PressOutcome): Promise<Note | null> {
    const { approval, choosing, note } = outcome;
    if (note) return note;
    if (approval && choosing) return cardOf(approval, choosing);
    const cardId = (await cards.at(channelId, ref)) ?? outcome.cardId;
    if (cardId !== undefined) return (await drawCard(cards, cardId))?.note ?? null;
    return approval ? cardOf(approval) : null;
  }

  /** Somebody wrote the note that a decision needs. */
  async function writeNote(
    inbound: Inbound,
    asked: { approvalId: string; verdict: 'approved' | 'denied'; sawEdit: boolean },
    note: string,
  ): Promise<PressOutcome> {
    const who = await recognise(inbound, 'decide', 'decide an approval');
    if (typeof who === 'string') return { text: who, isRefusal: true };
    return decide(inbound, who, { ...asked, note: note.trim() === '' ? null : note });
  }

  /** Asks for the note as a message of its own, which the person answers. */
  async function askForNote(inbound: Inbound, approval: Approval, verdict: 'approved' | 'denied', replyTo: string): Promise<void> {
    await notifications.add([
      {
        kind: 'prompt',
        channelId: inbound.channel.id,
        recipient: { chat: inbound.chat, replyTo },
        approvalId: approval.id,
        summary: `Asks ${inbound.user.name} for a note on approval ${approval.number}`,
        note: promptFor(approval.number, verdict),
        payload: { verdict, sawEdit: approval.editedArguments !== null, userId: inbound.user.externalId },
        key: `prompt:${inbound.key}`,
      },
    ]);
  }

  /** A command. @returns what to answer; null = nothing: anybody may write to a bot, and a stranger gets an answer once a minute. */
  async function command(inbound: Inbound, name: string, rest: string): Promise<Note | null> {
    if (name === 'link' || (name === 'start' && rest !== '')) return link(inbound, rest);
    const needs = COMMAND_ROLES[name];
    const who = await recognise(inbound, needs ?? 'viewer', needs === undefined ? 'talk to the bot' : `use /${name}`);
    if (typeof who === 'string') return who === '' ? null : sentenceNote(who);
    if (name === 'start' || name === 'help') return help();
    if (needs === undefined)
      return sentenceNote(`There is no command "${name.slice(0, 40)}". Known: /status /approvals /pause /stop /link`);
    switch (name) {
      case 'status':
        return status(await overview());
      case 'approvals':
        return showPending(inbound);
      case 'pause': {
        await emergency.pauseSquad(actorOf(who), rest === '' ? `from ${inbound.channel.name}` : rest.slice(0, 1000));
        return sentenceNote('All agents are paused. Restart each in Mission Control when it may work again.', [], '/agents');
      }
      default:
        return stopQuestion(inbound.user.externalId, clock());
    }
  }

  async function link({ channel, user }: Inbound, code: string): Promise<Note | null> {
    const operator = await identities.link(channel.id, user, code);
    if (operator === 'ignored') return null;
    if (operator !== null) return sentenceNote(`You are ${operator.name} here now, with the role ${operator.role}.`, [], null);
    await identities.recordRefusal(channel, user, 'link with a code that opens nothing');
    return sentenceNote('This code opens nothing: it is wrong, used, or older than ten minutes.');
  }

  async function showPending(inbound: Inbound): Promise<Note> {
    const { items } = await approvals.list({ status: 'pending', limit: 100 });
    const groups = new Map<string, Approval[]>();
    for (const approval of items.toReversed()) {
      const key = cardKeyOf(approval) ?? approval.id;
      groups.set(key, [...(groups.get(key) ?? []), approval]);
    }
    const oldest = [...groups.values()].slice(0, SHOWN_MAX);
    await show(inbound, oldest, 'shown');
    if (items.length === 0) return sentenceNote('Nothing waits for a decision.');
    const more = groups.size > oldest.length ? ` The ${oldest.length} oldest follow.` : '';
    return sentenceNote(`${items.length === 100 ? '100 or more' : items.length} wait for a decision.${more}`, [], '/approvals');
  }

  /** Says cards where somebody asked for them, once for each act. */
  async function show(inbound: Inbound, groups: readonly Approval[][], what: 'shown' | 'opened'): Promise<void> {
    await notifications.add(
      groups.flatMap((members) => {
        const [first] = members;
        if (!first) return [];
        return [
          {
            kind: 'approval_pending' as const,
            channelId: inbound.channel.id,
            recipient: { chat: inbound.chat },
            approvalId: first.id,
            members: members.map(({ id }) => id),
            taskId: first.taskId,
            summary: first.summary,
            note: null,
            payload: {},
            key: `${what}:${inbound.key}:${first.id}`,
          },
        ];
      }),
    );
  }

  /** A message in the thread of a task becomes a comment. @returns why not, or null; an empty reason is not said. */
  async function comment(inbound: Inbound, taskId: string, content: string): Promise<string | null> {
    const who = await recognise(inbound, 'approver', 'comment on a task');
    if (typeof who === 'string') return who;
    try {
      await messages.post(actorOf(who), {
        taskId,
        content: content.slice(0, 20_000),
        metadata: { via: inbound.channel.kind, channelId: inbound.channel.id },
        idempotencyKey: inbound.key,
      });
      return null;
    } catch (error) {
      if (error instanceof Refusal) return error.message;
      throw error;
    }
  }

  /** Says something back, once for each act; nothing where there is nothing to say. */
  async function answer(inbound: Inbound, note: Note | null, more: { replyTo?: string; onlyFor?: string } = {}): Promise<void> {
    if (note === null || note.title === '') return;
    await notifications.add([
      {
        kind: 'answer',
        channelId: inbound.channel.id,
        recipient: { chat: inbound.chat, ...more },
        summary: note.title,
        note,
        payload: {},
        key: `answer:${inbound.key}`,
      },
    ]);
  }

  /** The operator behind an act, or the sentence for who may not; an empty one for a stranger who has just been told. */
  async function recognise({ channel, user }: Inbound, needs: Need, what: string): Promise<ChatOperator | string> {
    const operator = await identities.find(channel.id, user.externalId);
    if (operator === null) return (await identities.recordRefusal(channel, user, what)) ? NOT_KNOWN : '';
    const role = needs === 'decide' ? 'approver' : needs;
    if (atLeast(operator.role, role) || (needs === 'decide' && operator.isDeputy)) return operator;
    await identities.recordRefusal(channel, user, what);
    return `This needs the role ${role} or higher; ${operator.name} is ${operator.role}.`;
  }

  return { press, cardAt, writeNote, askForNote, command, comment, answer };
}

/** What came of deciding several at once, in one line. */
function summaryOf(results: ApprovalBatchResult['results'], verdict: 'approved' | 'denied'): PressOutcome {
  const done = results.filter(({ ok }) => ok);
  const settled = done.filter(({ approval }) => approval?.status === verdict).length;
  const failed = results.filter(({ ok }) => !ok);
  const before = failed.filter(({ error }) => error?.code === 'DECIDED');
  const others = failed.filter(({ error }) => error?.code !== 'DECIDED');
  const parts = [
    ...(settled > 0 ? [`${settled} ${verdict}.`] : []),
    ...(done.length > settled ? [`${done.length - settled} approved; another person must approve each as well.`] : []),
    ...(before.length > 0 ? [`${before.length} had been decided: ${before[0]?.error?.message}`] : []),
    ...(others.length > 0 ? [`${others.length} not: ${others[0]?.error?.message}`] : []),
  ];
  return { text: parts.join(' ') || 'Nothing here can be decided at once; open each.', isRefusal: done.length === 0 };
}

const COMMAND_ROLES: Record<string, Role> = { status: 'viewer', approvals: 'viewer', pause: 'operator', stop: 'operator' };

function help(): Note {
  return sentenceNote('What can be asked here', [
    ['/status', 'what runs, what waits, what today costs'],
    ['/approvals', 'what waits for a decision'],
    ['/pause', 'pause all agents'],
    ['/stop', 'emergency stop, after a confirmation'],
  ]);
}

function status({ system, pendingApprovals, openAlerts, activeAgents, agents, todaySpend, fleetCap, proxies }: Overview): Note {
  const state = system.estop ? `STOPPED by ${system.stoppedBy}` : system.squadPaused ? `paused by ${system.squadPausedBy}` : 'running';
  return sentenceNote(
    'Mission Control',
    [
      ['State', state],
      ['Wait for a decision', String(pendingApprovals)],
      ['Open alerts', String(openAlerts)],
      ['Active agents', `${activeAgents} of ${agents}`],
      ['Today', `$${todaySpend.toFixed(2)}${fleetCap === null ? '' : ` of $${fleetCap.toFixed(2)}`}`],
      ['Proxies', `${proxies.filter(({ state: proxy }) => proxy === 'live').length} of ${proxies.length} live`],
    ],
    '/overview',
  );
}

function actorOf({ id, name }: ChatOperator): Actor {
  return { type: 'human', id, name };
}
