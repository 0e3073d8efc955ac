/** The audit log as it is read and exported: rows, signed anchors, keys (SPEC 10). */
import { z } from 'zod';
import { ACTORS } from '../../policies/model.ts';
import { EpochMs, JsonRecord } from './parts.ts';

export const AuditRowSchema = z
  .object({
    seq: z.number().int(),
    at: EpochMs,
    actorType: z.enum(ACTORS),
    actorId: z.string().nullable(),
    action: z.string(),
    subjectType: z.string(),
    subjectId: z.string().nullable(),
    details: JsonRecord,
    prevHash: z.string(),
    hash: z.string(),
  })
  .meta({ id: 'AuditRow' });
export const AuditAnchorSchema = z
  .object({
    /** The row that was the last one then. */
    seq: z.number().int(),
    hash: z.string(),
    at: EpochMs,
    /** `seq` of the anchor before; 0 = the first. */
    previous: z.number().int(),
    keyId: z.string(),
    signature: z.string(),
  })
  .meta({ id: 'AuditAnchor', description: 'A signed head of the audit log (Ed25519).' });
export const AuditKeySchema = z.object({ keyId: z.string(), publicKeyPem: z.string() }).meta({ id: 'AuditKey' });
