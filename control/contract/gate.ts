/** The gate (SPEC 3.1), spoken by the proxy: what the plugin asks and reports, and what it is answered. */
import { z } from 'zod';
import type { Json, JsonObject } from '../../policies/model.ts';
import { isStorable, Text } from './parts.ts';

/** A name or an id: stored as it came. */
const Word = (max: number) => Text(max).refine(isStorable, { message: 'must not contain NUL or half a surrogate pair' });
/** Any value that came out of JSON.parse; its depth and size were bounded when the body was read. */
const JsonValue = z.custom<Json>((value) => value !== undefined);
const JsonObjectValue = z.custom<JsonObject>((value) => typeof value === 'object' && value !== null && !Array.isArray(value), {
  message: 'must be an object',
});

export const GateCallSchema = z
  .object({
    tool: Word(256).min(1),
    arguments: JsonObjectValue,
    callId: Word(512).min(1).optional(),
    agentId: Word(256).min(1).optional(),
    sessionKey: Word(512).optional(),
    runId: Word(256).optional(),
    taskId: Word(128).optional(),
    cwd: Word(4096).optional(),
    workspace: Word(4096).optional(),
    toolKind: Word(64).optional(),
    traceId: Word(128).optional(),
  })
  .strict()
  .meta({ id: 'GateCall' });

export interface GateReason {
  code: string;
  message: string;
  policyPath: string;
}
export type GateAnswer =
  | { id: string; verdict: 'allow'; risk: string; reasons: GateReason[]; arguments?: JsonObject }
  | {
      id: string;
      verdict: 'hold';
      risk: string;
      approvalId: string;
      approvalNumber: number;
      reasons: GateReason[];
      retryAfterMs: number;
      /** False once the inline wait is over: end the turn, the agent is told through its session. */
      waiting: boolean;
      message: string;
    }
  | { id: string; verdict: 'deny'; risk: string; reasons: GateReason[]; message: string };

export const GateOutcomeSchema = z
  .object({
    status: z.enum(['success', 'failed']),
    output: JsonValue.optional(),
    /** Cut to what a record keeps, as the output is. */
    error: z.string().optional(),
    durationMs: z.number().nonnegative().max(31_536_000_000),
    usage: z
      .object({ costUsd: z.number().nonnegative().max(1_000_000).optional() })
      .loose()
      .optional(),
  })
  .strict()
  .meta({ id: 'GateOutcome' });

export const RunCheckSchema = z
  .object({
    agentId: Word(256).min(1).optional(),
    sessionKey: Word(512).optional(),
    runId: Word(256).optional(),
    taskId: Word(128).optional(),
    traceId: Word(128).optional(),
  })
  .strict();
/** Body of POST /v1/spawns: a sub-agent began, or ended, in a session of its own. */
export const SpawnSchema = z
  .object({
    /** Who started it: the agent, and the session in which it did. */
    agentId: Word(256).min(1).optional(),
    sessionKey: Word(512).optional(),
    childSessionKey: Word(512).min(1),
    label: Word(120).optional(),
    /** It goes on after its first run. */
    lasting: z.boolean().optional(),
    state: z.enum(['began', 'ended']),
  })
  .strict();

/**
 * Why a call was not asked about: `rejected` by OpenClaw before its hooks (arguments that fail the tool's schema), `refused` by the plugin,
 * which could not ask, or a `program` whose every call is asked about by itself.
 */
export const UNASKED_REASONS = ['rejected', 'refused', 'program'] as const;
export type UnaskedReason = (typeof UNASKED_REASONS)[number];

/** Body of POST /v1/unasked: a result will come of a call that the gate has no record of, and rightly so. */
export const UnaskedSchema = z
  .object({
    agentId: Word(256).min(1).optional(),
    sessionKey: Word(512).optional(),
    runId: Word(256).optional(),
    callId: Word(256).min(1),
    tool: Word(256).min(1),
    why: z.enum(UNASKED_REASONS),
  })
  .strict();

/** Body of POST /v1/runs/end: a run is over. */
export const RunEndSchema = z
  .object({
    agentId: Word(256).min(1).optional(),
    sessionKey: Word(512).optional(),
    runId: Word(256).min(1),
    status: z.enum(['success', 'failed']),
    error: z.string().max(10_000).optional(),
    durationMs: z.number().nonnegative().optional(),
  })
  .strict();
export interface RunCheckAnswer {
  allowed: boolean;
  reasons: GateReason[];
  message: string;
}

export const HeartbeatSchema = z
  .object({
    pluginVersion: Word(64),
    openclawVersion: Word(64).optional(),
    agents: z.array(Word(256)).max(1000).optional(),
    sessions: z.number().int().nonnegative().optional(),
  })
  .strict();
