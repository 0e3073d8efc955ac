/**
 * What comes in from Telegram: presses, commands, notes, and messages in the threads of tasks. Bots, channels and anonymous senders are
 * nobody; edits and deletions there change nothing here, because the thread here is the canonical one.
 */
import type { LiveChannel } from '../channels.ts';
import type { Notifications } from '../notifications.ts';
import type { Threads } from '../threads.ts';
import { readPress, sentenceNote } from './card.ts';
import { ChannelError } from './channel.ts';
import type { Conversation, Inbound } from './conversation.ts';
import type { TelegramChannel, TelegramUpdate } from './telegram.ts';

interface Dependencies {
  conversation: Conversation;
  notifications: Notifications;
  threads: Threads;
}

const ALREADY_SAID = 'As said before.';

type Message = NonNullable<TelegramUpdate['message']>;
type Callback = NonNullable<TelegramUpdate['callback_query']>;

/** Deals with one update. Whoever brings it again gets the same result. */
export async function takeTelegramUpdate(
  channel: LiveChannel,
  port: TelegramChannel,
  update: TelegramUpdate,
  { conversation, notifications, threads }: Dependencies,
): Promise<void> {
  const key = `telegram:${channel.id}:${update.update_id}`;
  if (update.callback_query) return takePress(update.callback_query);
  if (update.message) return takeMessage(update.message);

  async function takePress(callback: Callback): Promise<void> {
    const { from, message, data } = callback;
    if (from.is_bot || message === undefined) return;
    const pressed = data === undefined ? null : readPress(data);
    if (pressed === null) return quietly(() => port.answer(callback.id, 'This button is not one of ours.', true));
    const ref = { chat: String(message.chat.id), message: String(message.message_id) };
    const inbound = { ...inboundOf(from, ref.chat), key };
    const outcome = await conversation.press(inbound, pressed);
    if (outcome.writing) await conversation.askForNote(inbound, outcome.writing.approval, outcome.writing.verdict, ref.message);
    // The decision stands, whether or not these arrive: the card is brought up to date by the dispatcher as well.
    await quietly(() => port.answer(callback.id, outcome.text || ALREADY_SAID, outcome.isRefusal));
    const card = pressed.act === 'stop' ? sentenceNote(outcome.text) : await conversation.cardAt(channel.id, ref, outcome);
    if (card !== null) await quietly(() => port.edit(ref, card));
  }

  async function takeMessage(message: Message): Promise<void> {
    const { from, text } = message;
    if (text === undefined || from === undefined || from.is_bot || message.sender_chat !== undefined) return;
    const chat = String(message.chat.id);
    const isPrivate = message.chat.type === 'private';
    if (!isPrivate && chat !== channel.destination) return;
    const inbound = { ...inboundOf(from, chat), key };
    const replyTo = String(message.message_id);

    const answered = message.reply_to_message?.message_id;
    const prompt = answered === undefined ? null : await notifications.promptAt(channel.id, { chat, message: String(answered) });
    if (prompt !== null) {
      const isTheirs = prompt.payload.userId === inbound.user.externalId;
      const verdict = prompt.payload.verdict === 'approved' ? 'approved' : 'denied';
      const outcome = isTheirs
        ? await conversation.writeNote(inbound, { approvalId: prompt.approvalId, verdict, sawEdit: prompt.payload.sawEdit === true }, text)
        : { text: 'Only who was asked for the note writes it.' };
      return conversation.answer(inbound, sentenceNote(outcome.text), { replyTo });
    }

    const command = /^\/([a-z]{1,32})(?:@(\w{1,64}))?(?:\s+([\s\S]*))?$/i.exec(text);
    if (command) {
      const [, name = '', bot, rest = ''] = command;
      if (bot !== undefined && bot.toLowerCase() !== (channel.account ?? bot).toLowerCase()) return;
      const isLink = ['link', 'start'].includes(name.toLowerCase());
      // A code belongs to who reads it first: in a group that is everybody.
      const note =
        isLink && !isPrivate
          ? sentenceNote('Send the code in a private chat with this bot, not here. Make a new one: this one has been seen.')
          : await conversation.command(inbound, name.toLowerCase(), rest.trim());
      return conversation.answer(inbound, note, { replyTo });
    }

    const taskId = message.message_thread_id === undefined ? null : await threads.taskAt(channel.id, String(message.message_thread_id));
    if (taskId === null) return;
    const refusal = await conversation.comment(inbound, taskId, text);
    if (refusal) await conversation.answer(inbound, sentenceNote(`Not taken as a comment. ${refusal}`), { replyTo });
  }

  function inboundOf(from: { id: number; first_name: string; username?: string }, chat: string): Omit<Inbound, 'key'> {
    return { channel, chat, user: { externalId: String(from.id), name: from.username ?? from.first_name } };
  }
}

/** For what only helps: a press that was too long ago cannot be answered any more, and that changes nothing. */
async function quietly(act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (!(error instanceof ChannelError)) throw error;
  }
}
