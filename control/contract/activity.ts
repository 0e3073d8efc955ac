/** The feed and the alerts: what happened, and what somebody should look at (SPEC 8.1). */
import { z } from 'zod';
import { ACTORS } from '../../policies/model.ts';
import { EpochMs, Id, JsonRecord } from './parts.ts';

export const ACTIVITY_TYPES = [
  'task_created',
  'task_updated',
  'task_transition',
  'agent_created',
  'agent_updated',
  'agent_paused',
  'agent_drained',
  'agent_quarantined',
  'agent_restarted',
  'agent_stopped',
  'agent_spawned',
  'budget_exceeded',
  'cap_raised',
  'loop_detected',
  'approval_requested',
  'approval_decided',
  'approval_expired',
  'approval_withdrawn',
  'approval_seconded',
  'approval_reminded',
  'approval_escalated',
  'grant_made',
  'grant_used',
  'grant_revoked',
  'call_denied',
  'comment_posted',
  'document_written',
  'alert_fired',
  'alert_resolved',
  'policy_created',
  'policy_activated',
  'gateway_registered',
  'gateway_removed',
  'upstream_added',
  'upstream_updated',
  'upstream_removed',
  'tool_changed',
  'tool_accepted',
  'token_issued',
  'token_revoked',
  'operator_created',
  'operator_updated',
  'operator_away',
  'operator_back',
  'operator_removed',
  'signed_in',
  'channel_added',
  'channel_updated',
  'channel_removed',
  'chat_linked',
  'chat_unlinked',
  'chat_refused',
  'squad_paused',
  'emergency_stop',
  'emergency_resume',
] as const;
export type ActivityType = (typeof ACTIVITY_TYPES)[number];
export const ActivitySchema = z
  .object({
    id: z.string(),
    createdAt: EpochMs,
    type: z.enum(ACTIVITY_TYPES),
    taskId: Id.nullable(),
    agentId: Id.nullable(),
    actorId: z.string().nullable(),
    actorType: z.enum(ACTORS),
    /** One sentence of ours; quoted agent text inside it is redacted and must be shown as text. */
    summary: z.string(),
    details: JsonRecord,
  })
  .meta({ id: 'Activity' });
export type Activity = z.infer<typeof ActivitySchema>;

export const ALERT_TYPES = [
  'budget_exceeded',
  'loop_detected',
  'agent_error_streak',
  'approval_timeout',
  'approval_escalated',
  'security_violation',
  'gate_missing',
  'agent_quarantined',
  'emergency_stop',
  'budget_threshold',
  'ledger_drift',
  'agent_silent',
  'task_stuck',
  'authorization_needed',
  'notification_failed',
  'drill_failed',
] as const;
export type AlertType = (typeof ALERT_TYPES)[number];
export const AlertSchema = z
  .object({
    id: Id,
    createdAt: EpochMs,
    type: z.enum(ALERT_TYPES),
    severity: z.enum(['low', 'medium', 'high', 'critical']),
    taskId: Id.nullable(),
    agentId: Id.nullable(),
    gatewayId: Id.nullable(),
    message: z.string(),
    resolved: z.boolean(),
    resolvedAt: EpochMs.nullable(),
    resolvedBy: z.string().nullable(),
  })
  .meta({ id: 'Alert' });
export type Alert = z.infer<typeof AlertSchema>;
