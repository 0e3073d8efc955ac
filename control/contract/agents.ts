/** Agents, the templates that they are made from, and their credentials (SPEC 8.1). What a proxy is told of them is in picture.ts. */
import { z } from 'zod';
import { AGENT_STATUSES, AUTONOMY_LEVELS } from '../../policies/model.ts';
import { EpochMs, Id, JsonRecord, Text, Usd, UsdGiven } from './parts.ts';

export const AgentSchema = z
  .object({
    id: Id,
    createdAt: EpochMs,
    updatedAt: EpochMs,
    /** Counts up with every change; the ETag. */
    revision: z.number().int(),
    name: z.string(),
    sessionKey: z.string().nullable(),
    autonomyLevel: z.enum(AUTONOMY_LEVELS),
    status: z.enum(AGENT_STATUSES),
    statusReason: z.string().nullable(),
    statusChangedAt: EpochMs,
    /** `openclaw`: this agent must be seen by the plugin; `none`: it calls by MCP or SDK only and has no gate to miss. */
    gate: z.enum(['openclaw', 'none']),
    gatewayId: Id.nullable(),
    /** The agent's id inside its OpenClaw gateway. */
    externalId: z.string().nullable(),
    workspace: z.string().nullable(),
    modelConfig: z.object({ primary: z.string().optional(), fallback: z.string().optional() }),
    toolPermissions: z.array(z.string()).nullable(),
    budgets: z.object({ dailyCap: Usd.nullable(), perRunCap: Usd.nullable() }),
    currentTaskId: Id.nullable(),
    parentId: Id.nullable(),
    depth: z.number().int(),
    lastHeartbeat: EpochMs.nullable(),
    lastCallAt: EpochMs.nullable(),
    errorStreak: z.number().int(),
    totalSpend: Usd,
    todaySpend: Usd,
    /** The cap that binds today: the agent's own, or the policy's for its autonomy. */
    todayCap: Usd.nullable(),
    pendingApprovals: z.number().int(),
    soulHash: z.string().nullable(),
    metadata: JsonRecord,
  })
  .meta({ id: 'Agent' });
export type Agent = z.infer<typeof AgentSchema>;

const Budgets = z.object({ dailyCap: UsdGiven.nullable().optional(), perRunCap: UsdGiven.nullable().optional() }).strict();
const AgentFields = {
  name: Text(120).min(1),
  sessionKey: Text(512).nullable(),
  autonomyLevel: z.enum(AUTONOMY_LEVELS),
  gate: z.enum(['openclaw', 'none']),
  gatewayId: Id.nullable(),
  externalId: Text(256).nullable(),
  workspace: Text(4096).startsWith('/').nullable(),
  modelConfig: z.object({ primary: Text(256).optional(), fallback: Text(256).optional() }).strict(),
  toolPermissions: z.array(Text(256).min(1)).max(1000).nullable(),
  budgets: Budgets,
  currentTaskId: Id.nullable(),
  parentId: Id.nullable(),
  soulHash: Text(128).nullable(),
  metadata: JsonRecord,
};
export const AgentCreateSchema = z
  .object(AgentFields)
  .partial()
  .required({ name: true })
  .strict()
  .meta({ id: 'AgentCreate', description: 'autonomyLevel defaults to intern, gate to none.' });
export type AgentCreate = z.infer<typeof AgentCreateSchema>;
export const AgentUpdateSchema = z.object(AgentFields).omit({ parentId: true }).partial().strict().meta({ id: 'AgentUpdate' });
export type AgentUpdate = z.infer<typeof AgentUpdateSchema>;

/** What a template says of the agents that are made from it. */
export const SoulTemplateSchema = z
  .object({
    description: Text(2000).optional(),
    autonomyLevel: AgentFields.autonomyLevel.optional(),
    gate: AgentFields.gate.optional(),
    workspace: AgentFields.workspace.optional(),
    modelConfig: AgentFields.modelConfig.optional(),
    toolPermissions: AgentFields.toolPermissions.optional(),
    budgets: AgentFields.budgets.optional(),
    metadata: AgentFields.metadata.optional(),
  })
  .strict();
export const SoulSchema = z
  .object({
    name: z.string(),
    /** The commit that last changed it. */
    hash: z.string(),
    /** Null where the file cannot be used; then `problem` says why. */
    template: SoulTemplateSchema.nullable(),
    problem: z.string().nullable(),
    /** Made from it; `drifted`: from another commit than this. */
    agents: z.array(z.object({ id: Id, name: z.string(), soulHash: z.string().nullable(), drifted: z.boolean() })),
  })
  .meta({ id: 'Soul' });
export const SoulAgentSchema = z
  .object({
    name: AgentFields.name,
    gatewayId: AgentFields.gatewayId.optional(),
    externalId: AgentFields.externalId.optional(),
    workspace: AgentFields.workspace.optional(),
  })
  .strict()
  .meta({ id: 'SoulAgent', description: 'What is given here wins over the template.' });

/** Body of pause, drain, quarantine, restart, pause-squad, stop. */
export const ControlActionSchema = z
  .object({ reason: Text(2000).optional() })
  .strict()
  .meta({ id: 'ControlAction' });

export const TokenSchema = z
  .object({ id: Id, createdAt: EpochMs, lastUsedAt: EpochMs.nullable(), revokedAt: EpochMs.nullable(), hint: z.string() })
  .meta({ id: 'Token', description: 'A credential without its secret; hint is its last four characters.' });
export const NewTokenSchema = z
  .object({ id: Id, token: z.string() })
  .meta({ id: 'NewToken', description: 'The secret is shown this once.' });
