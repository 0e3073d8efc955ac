/** Everything that tells people and listens to them, on real services with a clock that the test turns, against chats on loopback. */
import { sql } from 'kysely';
import { createCards } from '../../control/cards.ts';
import { createChannels } from '../../control/channels.ts';
import { createChatIdentities } from '../../control/chat-identities.ts';
import type { ChannelCreate, Overview, Role, StopReceipt } from '../../control/contract.ts';
import type { Emergency } from '../../control/emergency.ts';
import { createNotifications } from '../../control/notifications.ts';
import { createChannelSet } from '../../control/notify/channel-set.ts';
import { createConversation } from '../../control/notify/conversation.ts';
import { chatHooks } from '../../control/notify/hooks.ts';
import { createThreads } from '../../control/threads.ts';
import { chatReconciler } from '../../control/workers/chat-reconciler.ts';
import { notifier } from '../../control/workers/notifier.ts';
import { telegramPoller } from '../../control/workers/telegram-poller.ts';
import type { CommandReading } from '../../policies/model.ts';
import { SIGNING_SECRET, SLACK_TOKEN } from './fake-slack.ts';
import { BOT_TOKEN } from './fake-telegram.ts';
import { ADMIN, factsOfCall, holdRequest, judged, type Services, startServices } from './services.ts';

export const GROUP = -1001;

export type Chat = Awaited<ReturnType<typeof startChat>>;

/** @param databaseUrl a server's database; null = the embedded one. */
export async function startChat(databaseUrl: string | null = null) {
  const services = await startServices(databaseUrl);
  const { base, db, time, keys, alerts, approvals, holds, grants, messages } = services;
  const { clock } = base;
  const publicUrl = 'https://mc.example.com';
  const errors: unknown[] = [];
  const stops: string[] = [];
  const channels = createChannels({ ...base, keys, alerts });
  const identities = createChatIdentities(base);
  const threads = createThreads({ db, clock });
  const cards = createCards({ db, clock, approvals });
  const notifications = createNotifications({ ...base, channels, approvals, cards, alerts });
  const emergency = {
    stop: async (actor: { name: string }) => {
      stops.push(actor.name);
      return { proxies: [{ acknowledgedAt: 1 }] } as unknown as StopReceipt;
    },
    pauseSquad: async (actor: { name: string }) => void stops.push(`pause by ${actor.name}`),
  } as unknown as Emergency;
  const overview = async () =>
    ({
      system: { estop: false, squadPaused: false },
      pendingApprovals: await approvals.countPending(),
      openAlerts: 0,
      activeAgents: 1,
      agents: 1,
      todaySpend: 0.5,
      fleetCap: null,
      proxies: [],
    }) as unknown as Overview;
  const conversation = createConversation({ clock, identities, notifications, approvals, cards, grants, messages, emergency, overview });
  /** What a process has: a restart makes it anew on the same rows. */
  const openProcess = () => {
    const channelSet = createChannelSet({ clock, publicUrl });
    const common = { clock, channels, channelSet, notifications, threads, onError: (error: unknown) => errors.push(error) };
    const telling = notifier({ ...common, cards, publicUrl });
    const polling = telegramPoller({ ...common, conversation });
    return {
      telling,
      polling,
      hooks: chatHooks({ ...common, conversation }),
      reconciler: chatReconciler({ channels, channelSet, threads }),
      close: async () => {
        await polling.close();
        await telling.settled();
        await channelSet.close();
      },
    };
  };
  let process = openProcess();
  let calls = 0;

  return {
    ...services,
    channels,
    identities,
    threads,
    notifications,
    conversation,
    stops,
    /** What broke where nothing should. */
    chatErrors: errors,
    process: () => process,
    restart: async () => {
      await process.close();
      process = openProcess();
    },
    /** One pass of the dispatcher, until everything of it is sent. */
    tell: async () => {
      await process.telling.tick();
      await process.telling.settled();
    },
    /** Fetches and deals with what has come in from Telegram, and says what follows. */
    listen: async () => {
      await process.polling.tick();
      await process.polling.settled();
      await process.telling.tick();
      await process.telling.settled();
    },
    turn: (ms: number) => {
      time.now += ms;
    },
    addTelegram: (apiRoot: string, more: Partial<ChannelCreate> = {}) =>
      channels.create(ADMIN, {
        kind: 'telegram',
        name: 'Telegram',
        destination: String(GROUP),
        apiRoot,
        allowPrivate: true,
        token: BOT_TOKEN,
        ...more,
      }),
    addSlack: (apiRoot: string, more: Partial<ChannelCreate> = {}) =>
      channels.create(ADMIN, {
        kind: 'slack',
        name: 'Slack',
        destination: 'C1',
        apiRoot,
        allowPrivate: true,
        token: SLACK_TOKEN,
        secret: SIGNING_SECRET,
        ...more,
      }),
    /** Adds an operator. */
    operator: async (name: string, role: Role): Promise<string> => {
      const id = crypto.randomUUID();
      await db.insertInto('operators').values({ id, name, role, created_at: time.now, last_seen_at: null, removed_at: null }).execute();
      return id;
    },
    /** An operator who is known on a channel under this id. */
    known: async (channelId: string, externalId: string, name: string, role: Role): Promise<string> => {
      const id = crypto.randomUUID();
      await db.insertInto('operators').values({ id, name, role, created_at: time.now, last_seen_at: null, removed_at: null }).execute();
      const { code } = await identities.issueCode(ADMIN, id, channelId);
      await identities.link(channelId, { externalId, name }, code);
      return id;
    },
    /** An agent. */
    agent: (): Promise<string> => newAgent(services),
    /** A call is held: opens its approval. */
    hold: async (
      agentId: string,
      command: string,
      risk: 'yellow' | 'red' = 'yellow',
      more: Record<string, unknown> = {},
    ): Promise<string> => {
      const args = { command };
      const state = await holds.open(
        holdRequest(factsOfCall({ id: `call-${++calls}`, agentId, ...more }), {
          judged: judged({
            risk,
            reasons: [{ code: 'SHELL_NOT_ALLOWLISTED', message: 'Not on the list.', policyPath: 'allowlists.shell' }],
          }),
          arguments: args,
          redacted: args,
          summary: command,
          preview: { mappedTool: 'shell_exec', commands: [readingOf(command)], paths: [], hosts: [] },
        }),
      );
      return state.approvalId;
    },
    /** Everything away but operators. */
    clear: async () => {
      await services.empty();
      await sql`truncate chat_codes, chat_requests, chat_identities, notifications, chat_threads, channels, operators cascade`.execute(db);
      await db.updateTable('notification_cursor').set({ activity_id: 0 }).execute();
      errors.length = 0;
      stops.length = 0;
    },
    close: async () => {
      await process.close();
      await services.close();
    },
  };
}

/** A command as the shell matcher would read it, as far as the shape of a call needs it. */
function readingOf(command: string): CommandReading {
  return { text: command, span: [0, command.length], argv: command.split(' '), verdict: 'held', red: false, why: 'test', offending: [] };
}

async function newAgent({ agents }: Services): Promise<string> {
  const agent = await agents.create(ADMIN, { name: `agent-${crypto.randomUUID().slice(0, 8)}`, autonomyLevel: 'specialist' });
  return agent.id;
}
