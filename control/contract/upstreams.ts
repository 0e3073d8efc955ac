/**
 * MCP servers, HTTP tools and model providers behind the proxy, their tools, and how Mission Control authorises itself to them
 * (SPEC 3).
 */
import { z } from 'zod';
import { type JsonObject, RISKS } from '../../policies/model.ts';
import { EpochMs, Id, JsonRecord, Text, Usd, UsdGiven } from './parts.ts';

const UPSTREAM_NAME = /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/;
const UPSTREAM_KINDS = ['mcp', 'http', 'model'] as const;
const ROUTE_PATH = /^\/(?!.*\*\*.)(?!.*[^/]\*\*)[\x21-\x7e]*$/;
const UpstreamRoute = z
  .object({
    /** In capitals, or "*". GET covers HEAD. */
    method: z.string().regex(/^(?:[A-Z][A-Z-]{0,15}|\*)$/, 'must be a method in capitals, or "*"'),
    /** Below the upstream's address. `{name}` and `*` stand for text within one segment, `**` at the end for any further segments. */
    path: Text(2048).regex(ROUTE_PATH, 'must begin with "/" and have no query; "**" may only be its last segment'),
    tool: Text(200).regex(/^[\x21-\x7e]+$/, 'takes printable ASCII characters without spaces'),
    risk: z.enum(RISKS).optional(),
  })
  .strict();
const UpstreamLimits = z
  .object({
    /** Requests under way at once. */
    concurrency: z.number().int().min(1).max(10_000),
    /** Largest answer, bytes; of a stream, its largest event. */
    responseMaxBytes: z.number().int().min(1024).max(1_073_741_824),
    /** Longest silence before an answer and within one, without the wait for a person. */
    timeoutMs: z.number().int().min(100).max(3_600_000),
    /** Sessions (for a command: processes) at once. */
    sessions: z.number().int().min(1).max(10_000),
  })
  .strict();
export const DEFAULT_UPSTREAM_LIMITS: z.infer<typeof UpstreamLimits> = {
  concurrency: 128,
  responseMaxBytes: 32 * 1024 * 1024,
  timeoutMs: 300_000,
  sessions: 256,
};
const OAUTH_GRANTS = ['authorization_code', 'client_credentials'] as const;
/** How Mission Control gets its own token from an upstream that asks for OAuth. */
export const UpstreamOAuthSchema = z
  .object({
    grant: z.enum(OAUTH_GRANTS),
    /** Null where Mission Control registers itself (RFC 7591). */
    clientId: z.string().nullable(),
    hasClientSecret: z.boolean(),
    scope: z.string().nullable(),
    /** The only authorization server that is taken; null = the one that the upstream names. */
    issuer: z.string().nullable(),
    /** `needed`: there is no token that the upstream takes. With authorization_code a person has to authorise it. */
    state: z.enum(['needed', 'authorized']),
    authorizedAt: EpochMs.nullable(),
    authorizedBy: z.string().nullable(),
    expiresAt: EpochMs.nullable(),
    lastError: z.string().nullable(),
    lastErrorAt: EpochMs.nullable(),
  })
  .meta({ id: 'UpstreamOAuth' });
export type UpstreamOAuth = z.infer<typeof UpstreamOAuthSchema>;
const UpstreamOAuthSettings = z
  .object({
    grant: z.enum(OAUTH_GRANTS),
    clientId: Text(2048).min(1),
    clientSecret: Text(8192).min(1),
    scope: z
      .string()
      .max(4096)
      .regex(/^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/, 'must be scopes, parted by single spaces'),
    issuer: z.url({ protocol: /^https?$/, error: 'must be a URL that begins with https://' }).max(2048),
  })
  .partial()
  .required({ grant: true })
  .strict()
  .refine(({ grant, clientId, clientSecret }) => grant === 'authorization_code' || (clientId !== undefined && clientSecret !== undefined), {
    message: 'client_credentials needs clientId and clientSecret',
  })
  .refine(({ clientId, clientSecret }) => clientId !== undefined || clientSecret === undefined, {
    message: 'clientSecret needs its clientId',
  });
export type UpstreamOAuthSettings = z.infer<typeof UpstreamOAuthSettings>;
export const UpstreamAuthorizationSchema = z
  .object({
    /** Open this in a browser that is signed in here as the same operator; null where no person is needed and it is done. */
    url: z.string().nullable(),
    /** Until then. */
    expiresAt: EpochMs.nullable(),
  })
  .meta({ id: 'UpstreamAuthorization' });
export type UpstreamAuthorization = z.infer<typeof UpstreamAuthorizationSchema>;
export const UpstreamSchema = z
  .object({
    id: Id,
    createdAt: EpochMs,
    updatedAt: EpochMs,
    revision: z.number().int(),
    /** The path segment, and the first part of its tools' canonical names. */
    name: z.string(),
    kind: z.enum(UPSTREAM_KINDS),
    url: z.string().nullable(),
    command: z.array(z.string()).nullable(),
    /** Whether a secret is kept; it is never shown. */
    hasSecret: z.boolean(),
    /** Null where it takes a fixed secret, or none. */
    oauth: UpstreamOAuthSchema.nullable(),
    /** Names of the environment variables that its command gets. */
    envNames: z.array(z.string()),
    trusted: z.boolean(),
    allowPrivate: z.boolean(),
    /** One process for all sessions of a command instead of one for each. */
    shared: z.boolean(),
    routes: z.array(UpstreamRoute),
    priceUsd: Usd.nullable(),
    limits: UpstreamLimits,
    /** As the proxies last found it. */
    health: z.object({
      state: z.enum(['unknown', 'up', 'down']),
      lastSuccessAt: EpochMs.nullable(),
      lastError: z.string().nullable(),
      lastErrorAt: EpochMs.nullable(),
    }),
    toolCount: z.number().int(),
    /** Tools that wait for an operator: changed or new. */
    heldTools: z.number().int(),
  })
  .meta({ id: 'Upstream' });
export type Upstream = z.infer<typeof UpstreamSchema>;
const UpstreamFields = {
  name: z.string().regex(UPSTREAM_NAME, 'takes 1 to 64 of a-z, 0-9 and "-", not at its ends'),
  kind: z.enum(UPSTREAM_KINDS),
  url: z.url({ protocol: /^https?$/, error: 'must be a URL that begins with http:// or https://' }).max(2048),
  /** The program and its arguments; text is split at spaces, quotes hold together. */
  command: z.union([Text(8192).min(1), z.array(Text(8192)).min(1).max(256)]),
  secret: Text(8192).min(1).nullable(),
  /** In place of a secret: Mission Control gets its own token (OAuth 2.1). Given again, it replaces the whole; null removes it. */
  oauth: UpstreamOAuthSettings.nullable(),
  env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of an environment variable'), Text(32_768)),
  trusted: z.boolean(),
  allowPrivate: z.boolean(),
  shared: z.boolean(),
  routes: z.array(UpstreamRoute).max(1000),
  priceUsd: UsdGiven.nullable(),
  limits: UpstreamLimits.partial(),
};
export const UpstreamCreateSchema = z.object(UpstreamFields).partial().required({ name: true, kind: true }).strict().meta({
  id: 'UpstreamCreate',
  description:
    'Give url or command. secret is sent to a url as its bearer token, or as the header that it names ("X-Api-Key: …"). A private or loopback url needs allowPrivate.',
});
export type UpstreamCreate = z.infer<typeof UpstreamCreateSchema>;
export const UpstreamUpdateSchema = z
  .object(UpstreamFields)
  .omit({ kind: true, name: true })
  .partial()
  .strict()
  .meta({ id: 'UpstreamUpdate', description: 'Another host or command needs its secret again; null removes the secret.' });
export type UpstreamUpdate = z.infer<typeof UpstreamUpdateSchema>;

/** What a tool of an MCP server is, as far as anybody can be misled by a change of it. */
export type ToolDefinition = JsonObject;
const TOOL_STATES = ['pinned', 'changed', 'new', 'gone'] as const;
export const UpstreamToolSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    /** `{upstream}__{tool}`: how policies, approvals and records name it. */
    canonicalName: z.string(),
    /** `changed` and `new`: its calls are held (TOOL_CHANGED) until an operator accepts it. `gone`: the server no longer offers it. */
    state: z.enum(TOOL_STATES),
    pinned: JsonRecord.nullable(),
    seen: JsonRecord.nullable(),
    /** What is different in `seen`, for people: one line per part, "-" before, "+" now. Untrusted text of the server. */
    diff: z.array(z.object({ path: z.string(), before: z.string().nullable(), after: z.string().nullable() })),
    /** SHA-256 of the definition that would be accepted. */
    seenHash: z.string().nullable(),
    pinnedHash: z.string().nullable(),
    note: z.string().nullable(),
    firstSeenAt: EpochMs,
    lastSeenAt: EpochMs,
    changedAt: EpochMs.nullable(),
    acceptedAt: EpochMs.nullable(),
    acceptedBy: z.string().nullable(),
  })
  .meta({ id: 'UpstreamTool' });
export type UpstreamTool = z.infer<typeof UpstreamToolSchema>;
export const ToolAcceptSchema = z
  .object({ hash: Text(128).optional(), note: Text(2000).optional() })
  .strict()
  .meta({ id: 'ToolAccept', description: 'With hash, only that definition is accepted; another one meanwhile answers 409.' });
