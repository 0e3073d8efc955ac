/** Telling people (SPEC 6, 7): channels, what is said on them, and who somebody is there. */
import { z } from 'zod';
import { EpochMs, Id, Text } from './parts.ts';

const CHANNEL_KINDS = ['telegram', 'slack', 'webhook'] as const;
const CHANNEL_EVENTS = ['approvals', 'alerts', 'stop', 'standup', 'mentions', 'threads', 'audit'] as const;
const NOTIFICATION_KINDS = [
  'approval_pending',
  'approval_decided',
  'approval_expired',
  'approval_withdrawn',
  'approval_reminder',
  'approval_escalation',
  'alert',
  'stop',
  'resume',
  'standup',
  'mention',
  'comment',
  'answer',
  'prompt',
  'test',
  'audit_anchor',
] as const;
export const ChannelSchema = z
  .object({
    id: Id,
    createdAt: EpochMs,
    updatedAt: EpochMs,
    revision: z.number().int(),
    name: z.string(),
    kind: z.enum(CHANNEL_KINDS),
    enabled: z.boolean(),
    /** Telegram: the chat's id. Slack: the conversation's id. Webhook: the address. */
    destination: z.string(),
    /** Of another server that speaks the same API; null = the usual one. */
    apiRoot: z.string().nullable(),
    /** How Telegram's updates come in. */
    mode: z.enum(['polling', 'webhook']).nullable(),
    /** Whether tasks have threads there (Telegram: topics of a forum). */
    topics: z.boolean(),
    allowPrivate: z.boolean(),
    events: z.array(z.enum(CHANNEL_EVENTS)),
    /** What the bot is called there, once it was reached. */
    account: z.string().nullable(),
    /** Where the other side sends what people do there: a path of control; null = nowhere. */
    inboundPath: z.string().nullable(),
    health: z.object({
      state: z.enum(['unknown', 'ok', 'failing']),
      error: z.string().nullable(),
      errorAt: EpochMs.nullable(),
      successAt: EpochMs.nullable(),
      /** Nothing is sent before this time. */
      heldUntil: EpochMs.nullable(),
    }),
    waiting: z.number().int(),
    dead: z.number().int(),
  })
  .meta({ id: 'Channel', description: 'A way to people outside the dashboard. Its secrets are never shown again.' });
export type Channel = z.infer<typeof ChannelSchema>;
const ChannelFields = {
  name: Text(120).min(1),
  enabled: z.boolean(),
  destination: Text(2000).min(1),
  apiRoot: z
    .url({ protocol: /^https?$/ })
    .max(2000)
    .nullable(),
  mode: z.enum(['polling', 'webhook']),
  topics: z.boolean(),
  allowPrivate: z.boolean(),
  events: z.array(z.enum(CHANNEL_EVENTS)).max(CHANNEL_EVENTS.length),
  /** Telegram and Slack: the bot's token. */
  token: Text(500).min(1),
  /** Slack: the signing secret. Webhook: our signing key ("whsec_…"), made where none is given. */
  secret: Text(500).min(1),
};
export const ChannelCreateSchema = z
  .object({ kind: z.enum(CHANNEL_KINDS), ...ChannelFields })
  .partial()
  .required({ kind: true, name: true, destination: true })
  .strict()
  .meta({ id: 'ChannelCreate' });
export type ChannelCreate = z.infer<typeof ChannelCreateSchema>;
export const ChannelUpdateSchema = z.object(ChannelFields).partial().strict().meta({ id: 'ChannelUpdate' });
export type ChannelUpdate = z.infer<typeof ChannelUpdateSchema>;

export const NotificationSchema = z
  .object({
    id: Id,
    number: z.number().int(),
    createdAt: EpochMs,
    channelId: Id,
    channelName: z.string(),
    kind: z.enum(NOTIFICATION_KINDS),
    state: z.enum(['waiting', 'delivered', 'dead']),
    summary: z.string(),
    approvalId: Id.nullable(),
    taskId: Id.nullable(),
    attempts: z.number().int(),
    dueAt: EpochMs,
    deliveredAt: EpochMs.nullable(),
    deadAt: EpochMs.nullable(),
    lastError: z.string().nullable(),
  })
  .meta({ id: 'Notification', description: 'Something that is said to people on a channel. A dead one is not tried again by itself.' });
export type Notification = z.infer<typeof NotificationSchema>;

export const ChatIdentitySchema = z
  .object({
    id: Id,
    createdAt: EpochMs,
    operatorId: Id,
    channelId: Id,
    channelName: z.string(),
    externalId: z.string(),
    externalName: z.string(),
  })
  .meta({ id: 'ChatIdentity', description: 'Who an operator is on a channel.' });
export type ChatIdentity = z.infer<typeof ChatIdentitySchema>;
export const ChatCodeSchema = z
  .object({ code: z.string(), channelId: Id, expiresAt: EpochMs, instruction: z.string() })
  .meta({ id: 'ChatCode', description: 'A one-time code that the person sends to the bot.' });
