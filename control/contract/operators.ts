/** People: operators with their roles and absences, and their sessions (SPEC 8.1). */
import { z } from 'zod';
import { EpochMs, Id, ROLES, Text } from './parts.ts';

export const OperatorSchema = z
  .object({
    id: Id,
    createdAt: EpochMs,
    name: z.string(),
    role: z.enum(ROLES),
    lastSeenAt: EpochMs.nullable(),
    /** Away until then, with a deputy who may decide approvals meanwhile; null = not away. */
    absence: z.object({ until: EpochMs, deputyId: Id, deputyName: z.string() }).nullable(),
  })
  .meta({ id: 'Operator' });
export const AbsenceSchema = z
  .object({ until: EpochMs, deputyId: Id })
  .strict()
  .meta({ id: 'Absence', description: 'until: at most 60 days from now.' });
export const OperatorCreateSchema = z
  .object({ name: Text(120).min(1), role: z.enum(ROLES) })
  .strict()
  .meta({ id: 'OperatorCreate' });
export const OperatorUpdateSchema = z
  .object({ name: Text(120).min(1).optional(), role: z.enum(ROLES).optional() })
  .strict()
  .meta({ id: 'OperatorUpdate' });

export const SessionCreateSchema = z
  .object({ token: Text(512).min(1) })
  .strict()
  .meta({ id: 'SessionCreate', description: 'A one-time sign-in token or an operator token.' });
export const SessionSchema = z
  .object({
    /** `isDeputy`: of somebody who is away, and so decides approvals although the role alone does not. */
    operator: z.object({ id: Id, name: z.string(), role: z.enum(ROLES), isDeputy: z.boolean().optional() }),
    /** Sent back as X-MC-CSRF with every request that changes something. */
    csrfToken: z.string(),
    /** When the cookie ends; null = signed in by a token, which ends when somebody revokes it. */
    expiresAt: EpochMs.nullable(),
  })
  .meta({ id: 'Session' });
export type Session = z.infer<typeof SessionSchema>;
