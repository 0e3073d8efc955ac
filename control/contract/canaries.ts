/** Canaries (SPEC 10): calls that must always be refused, sent by control through each way in. */
import { z } from 'zod';
import { ENTRIES } from './calls.ts';
import { Id } from './parts.ts';

/** What a canary claims (SPEC 10): a call of one agent on one way in, once, until a time. Sealed with the cluster secret. */
export const CanaryClaimSchema = z.strictObject({
  agentId: Id,
  entry: z.enum(ENTRIES).exclude(['mission-control']),
  nonce: z.string().min(16).max(64),
  expiresAt: z.int(),
});
export type CanaryClaim = z.infer<typeof CanaryClaimSchema>;
/** Begins the credential of a canary; base64url of the claim and its seal follow, with a dot between. */
export const CANARY_PREFIX = 'mcc_';
/** The only tool that a canary may name. */
export const CANARY_TOOL = 'mission_control_canary';
/** A canary can be used for this long. */
export const CANARY_MS = 60_000;
