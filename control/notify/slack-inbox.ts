/**
 * What comes in from Slack: presses, forms, slash commands and messages, on one address. A request counts only with Slack's signature over
 * its very bytes and a time within five minutes, and once. Bots are nobody; edits and deletions there change nothing here.
 */
import { createHmac } from 'node:crypto';
import { z } from 'zod';
import type { LiveChannel } from '../channels.ts';
import { isSameSecret } from '../same-secret.ts';
import type { Threads } from '../threads.ts';
import { PRESETS, readPress, sentenceNote, writeAction } from './card.ts';
import { ChannelError } from './channel.ts';
import type { Conversation, Inbound } from './conversation.ts';
import { blocksOf, noteForm, type SlackChannel } from './slack.ts';

interface Dependencies {
  conversation: Conversation;
  threads: Threads;
}

/** What we answer: a body for Slack, or nothing but "taken". */
export type SlackAnswer = { status: 200; body: unknown } | { status: 400 | 401; body: null };

/** How far the time of a signed request may be from ours. */
export const SIGNED_FOR_S = 5 * 60;
const Id = z.string().min(1).max(200);
const InteractionSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('block_actions'),
    trigger_id: Id,
    user: z.object({ id: Id, username: z.string().optional(), team_id: Id.optional() }),
    team: z.object({ id: Id }).nullish(),
    container: z.object({ message_ts: Id.optional(), channel_id: Id.optional() }).optional(),
    actions: z
      .array(z.object({ value: z.string().max(200).optional(), action_ts: Id.optional() }))
      .min(1)
      .max(25),
  }),
  z.object({
    type: z.literal('view_submission'),
    user: z.object({ id: Id, username: z.string().optional(), name: z.string().optional(), team_id: Id.optional() }),
    team: z.object({ id: Id }).nullish(),
    view: z.object({
      id: Id,
      private_metadata: z.string().max(3000),
      state: z.object({ values: z.record(z.string(), z.record(z.string(), z.unknown())) }),
    }),
  }),
]);
const EventSchema = z.object({
  type: z.literal('event_callback'),
  team_id: Id,
  event: z
    .object({
      type: z.string(),
      subtype: z.string().optional(),
      bot_id: z.string().optional(),
      user: z.string().optional(),
      text: z.string().optional(),
      channel: z.string().optional(),
      channel_type: z.string().optional(),
      ts: z.string().optional(),
      thread_ts: z.string().optional(),
    })
    .loose(),
});

/** Whether Slack has sent this. @param body the bytes as they came. @param clock epoch milliseconds. */
export function isFromSlack(
  secret: string,
  headers: { timestamp: string | undefined; signature: string | undefined },
  body: Uint8Array,
  now: number,
): boolean {
  const { timestamp, signature } = headers;
  if (timestamp === undefined || signature === undefined || !/^\d{1,12}$/.test(timestamp)) return false;
  if (Math.abs(now / 1000 - Number(timestamp)) > SIGNED_FOR_S) return false;
  const expected = `v0=${createHmac('sha256', secret).update(`v0:${timestamp}:`).update(body).digest('hex')}`;
  return isSameSecret(signature, expected);
}

/** Deals with one request whose signature holds. */
export async function takeSlackRequest(
  channel: LiveChannel,
  port: SlackChannel,
  contentType: string,
  body: string,
  { conversation, threads }: Dependencies,
): Promise<SlackAnswer> {
  const taken: SlackAnswer = { status: 200, body: null };
  const malformed: SlackAnswer = { status: 400, body: null };
  if (contentType.startsWith('application/json')) return takeEvent(parse(body));
  const form = new URLSearchParams(body);
  const payload = form.get('payload');
  if (payload !== null) return takeInteraction(parse(payload));
  return form.has('command') ? takeCommand(form) : malformed;

  async function takeInteraction(value: unknown): Promise<SlackAnswer> {
    const read = InteractionSchema.safeParse(value);
    if (!read.success) return malformed;
    return read.data.type === 'block_actions' ? takePress(read.data) : takeForm(read.data);
  }

  async function takePress(press: Extract<z.infer<typeof InteractionSchema>, { type: 'block_actions' }>): Promise<SlackAnswer> {
    const [action] = press.actions;
    const chat = press.container?.channel_id ?? channel.destination;
    const message = press.container?.message_ts;
    const pressed = action?.value === undefined ? null : readPress(action.value);
    const key = `slack:${channel.id}:${press.trigger_id}`;
    const inbound = inboundOf(press.user, press.team?.id ?? press.user.team_id, chat, key);
    if (pressed === null) return taken;
    const outcome = await conversation.press(inbound, pressed);
    const due =
      outcome.writing ?? (outcome.approval && outcome.choosing ? { approval: outcome.approval, verdict: outcome.choosing } : null);
    if (due) {
      const action = writeAction(due.approval, due.verdict);
      const isOpen = await quietly(() =>
        port.openForm(press.trigger_id, noteForm(due.approval.number, due.verdict, action, PRESETS[due.verdict])),
      );
      if (!isOpen)
        await conversation.answer(inbound, sentenceNote('The form could not be opened; press again.'), { onlyFor: press.user.id });
      return taken;
    }
    if (outcome.isRefusal || pressed.act === 'stop')
      await conversation.answer(inbound, sentenceNote(outcome.text), { onlyFor: press.user.id });
    if (message === undefined || pressed.act === 'stop') return taken;
    const card = await conversation.cardAt(channel.id, { chat, message }, outcome);
    if (card !== null) await quietly(() => port.edit({ chat, message }, card));
    return taken;
  }

  async function takeForm(submitted: Extract<z.infer<typeof InteractionSchema>, { type: 'view_submission' }>): Promise<SlackAnswer> {
    const { view, user, team } = submitted;
    const pressed = readPress(view.private_metadata);
    if (pressed?.act !== 'write') return malformed;
    const inbound = inboundOf(user, team?.id ?? user.team_id, user.id, `slack:${channel.id}:${view.id}`);
    const written = z.object({ value: z.string().nullish() }).safeParse(view.state.values.note?.note);
    const chosen = z.object({ selected_option: z.object({ value: z.string() }).nullish() }).safeParse(view.state.values.preset?.preset);
    const preset = chosen.success ? PRESETS[pressed.verdict][Number(chosen.data.selected_option?.value ?? -1)] : undefined;
    const note = (written.success ? (written.data.value ?? '') : '').trim() || preset || '';
    if (note === '') return errors('Choose a reason or write one.');
    const outcome = await conversation.writeNote(inbound, pressed, note);
    return outcome.isRefusal ? errors(outcome.text) : { status: 200, body: { response_action: 'clear' } };
  }

  function errors(text: string): SlackAnswer {
    return { status: 200, body: { response_action: 'errors', errors: { note: text.slice(0, 300) } } };
  }

  async function takeCommand(form: URLSearchParams): Promise<SlackAnswer> {
    const user = form.get('user_id');
    const trigger = form.get('trigger_id');
    if (!user || !trigger) return malformed;
    const [name = '', ...rest] = (form.get('text') ?? '').trim().split(/\s+/);
    const inbound = inboundOf(
      { id: user, username: form.get('user_name') ?? user },
      form.get('team_id') ?? undefined,
      form.get('channel_id') ?? channel.destination,
      `slack:${channel.id}:${trigger}`,
    );
    const note = await conversation.command(inbound, (name || 'help').toLowerCase().replace(/^\//, ''), rest.join(' '));
    if (note === null) return taken;
    return {
      status: 200,
      body: { response_type: 'ephemeral', text: note.title.replaceAll(/[<>&]/g, ''), blocks: blocksOf(note, () => null) },
    };
  }

  async function takeEvent(value: unknown): Promise<SlackAnswer> {
    const challenge = z.object({ type: z.literal('url_verification'), challenge: z.string().max(1000) }).safeParse(value);
    if (challenge.success) return { status: 200, body: { challenge: challenge.data.challenge } };
    const read = EventSchema.safeParse(value);
    if (!read.success) return malformed;
    const { event, team_id: team } = read.data;
    const { user, text, ts, thread_ts: thread } = event;
    const isPlain = event.type === 'message' && event.subtype === undefined && event.bot_id === undefined;
    if (!isPlain || !user || text === undefined || !event.channel || !ts) return taken;
    const inbound = inboundOf({ id: user }, team, event.channel, `slack:${channel.id}:${event.channel}:${ts}`);
    if (event.channel_type === 'im') {
      const [name = '', ...rest] = plainText(text).trim().replace(/^\//, '').split(/\s+/);
      await conversation.answer(inbound, await conversation.command(inbound, name.toLowerCase(), rest.join(' ')));
      return taken;
    }
    if (event.channel !== channel.destination || thread === undefined) return taken;
    const taskId = await threads.taskAt(channel.id, thread);
    if (taskId === null) return taken;
    const refusal = await conversation.comment(inbound, taskId, plainText(text));
    if (refusal) await conversation.answer(inbound, sentenceNote(`Not taken as a comment. ${refusal}`), { onlyFor: user });
    return taken;
  }

  function inboundOf(user: { id: string; username?: string | undefined }, team: string | undefined, chat: string, key: string): Inbound {
    // Ids of users are unique in a workspace only.
    return { channel, chat, key: key.slice(0, 200), user: { externalId: `${team ?? '-'}:${user.id}`, name: user.username ?? user.id } };
  }
}

/** Slack's own escapes undone: what the person has typed. */
function plainText(text: string): string {
  return text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** @returns whether it was done; a channel that cannot do it now changes nothing. */
async function quietly(act: () => Promise<void>): Promise<boolean> {
  try {
    await act();
    return true;
  } catch (error) {
    if (error instanceof ChannelError) return false;
    throw error;
  }
}
