/** OpenClaw gateways: their link, their gate, and the agents that they have (SPEC 8.1). */
import { z } from 'zod';
import { AUTONOMY_LEVELS } from '../../policies/model.ts';
import { EpochMs, Id, Text } from './parts.ts';

const LINK_STATES = ['none', 'connecting', 'connected', 'unauthorized', 'down'] as const;
export const GatewaySchema = z
  .object({
    id: Id,
    createdAt: EpochMs,
    name: z.string(),
    url: z.string().nullable(),
    /** The operator WebSocket to the gateway. */
    link: z.object({
      state: z.enum(LINK_STATES),
      since: EpochMs,
      error: z.string().nullable(),
      /** Whether it tells what happens in its sessions. */
      followsSessions: z.boolean(),
    }),
    /** When the plugin in this gateway was last heard, and which version it is. */
    lastHeartbeat: EpochMs.nullable(),
    pluginVersion: z.string().nullable(),
    /** `live`: heartbeats arrive. `silent`: they have stopped. `missing`: the gateway is up and its plugin is not. `unproven`: never heard. */
    gate: z.enum(['live', 'silent', 'missing', 'unproven']),
    agentIds: z.array(Id),
  })
  .meta({ id: 'Gateway' });
export type Gateway = z.infer<typeof GatewaySchema>;
export const GatewayCreateSchema = z
  .object({ name: Text(120).min(1), url: Text(2048).nullable().optional(), token: Text(4096).nullable().optional() })
  .strict()
  .meta({ id: 'GatewayCreate', description: "url and token are the gateway's own WebSocket address and operator token." });

export const GatewayTicketSchema = z
  .object({ url: z.string(), expiresAt: EpochMs })
  .meta({ id: 'GatewayTicket', description: 'Open the address in a browser, once, before it expires.' });
/** An agent that an OpenClaw gateway has. */
export const RosterEntrySchema = z
  .object({
    /** The gateway's own id of it. */
    externalId: z.string(),
    name: z.string().nullable(),
    workspace: z.string().nullable(),
    /** Ours, where it is registered. */
    agentId: Id.nullable(),
  })
  .meta({ id: 'RosterEntry' });
export type RosterEntry = z.infer<typeof RosterEntrySchema>;
export const RosterImportSchema = z
  .object({ externalIds: z.array(Text(256).min(1)).max(1000).optional(), autonomyLevel: z.enum(AUTONOMY_LEVELS).optional() })
  .strict()
  .meta({ id: 'RosterImport', description: 'externalIds defaults to all that are not registered, autonomyLevel to intern.' });

export const GatewayUpdateSchema = GatewayCreateSchema.partial().meta({ id: 'GatewayUpdate' });
