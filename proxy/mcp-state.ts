/**
 * What clients keep for us between requests: session ids and requestState. Sealed with a key that every proxy has from control, so that
 * any of them can take up a session after a restart, nobody else can make or read one, and none can be used by another agent or for
 * another server (MCP specification, Session Hijacking; MRTR, server requirements 4 and 5).
 */
import { createCipheriv, createDecipheriv, hash, randomBytes } from 'node:crypto';
import { canonicalJson, type Json, type JsonObject } from '../policies/index.ts';

/** A session of the handshake era. */
export interface SessionState {
  agentId: string;
  upstream: string;
  /** The server's own id of it; null where it gave none. */
  sid: string | null;
  /** Tells sessions apart. */
  nonce: string;
}

/** Where a request stands that the client was asked to make again. */
export interface RoundState {
  agentId: string;
  upstream: string;
  method: string;
  /** What the request was about; the repeat must be about the same. */
  subject: string;
  callId: string;
  /** The server's own state; null where it has none, or the round is ours. */
  state: string | null;
  /** What the client had answered before a hold came in between. */
  responses: Json;
  expiresAt: number;
}

const ROUND_PREFIX = 'mc1.';

export class StateSealer {
  readonly #key: Buffer;

  /** @param stateKey base64url, derived by control. */
  constructor(stateKey: string) {
    this.#key = Buffer.from(stateKey, 'base64url');
  }

  sealSession(session: SessionState): string {
    return this.#seal('session', session as unknown as JsonObject);
  }

  /** @returns null for what is not ours, or not this agent's or upstream's. */
  openSession(text: string, agentId: string, upstream: string): SessionState | null {
    const session = this.#open('session', text) as SessionState | null;
    return session?.agentId === agentId && session.upstream === upstream ? session : null;
  }

  sealRound(round: RoundState): string {
    return ROUND_PREFIX + this.#seal('round', round as unknown as JsonObject);
  }

  /** Whether a requestState claims to be ours. */
  isRound(text: string): boolean {
    return text.startsWith(ROUND_PREFIX);
  }

  openRound(text: string, agentId: string, upstream: string, now: number): RoundState | null {
    const round = this.#open('round', text.slice(ROUND_PREFIX.length)) as RoundState | null;
    return round?.agentId === agentId && round.upstream === upstream && round.expiresAt > now ? round : null;
  }

  #seal(purpose: string, content: JsonObject): string {
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce);
    cipher.setAAD(Buffer.from(purpose));
    return Buffer.concat([nonce, cipher.update(JSON.stringify(content), 'utf8'), cipher.final(), cipher.getAuthTag()]).toString(
      'base64url',
    );
  }

  #open(purpose: string, text: string): unknown {
    if (!/^[\w-]{40,65536}$/.test(text)) return null;
    const bytes = Buffer.from(text, 'base64url');
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, 12));
      decipher.setAAD(Buffer.from(purpose));
      decipher.setAuthTag(bytes.subarray(-16));
      return JSON.parse(Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]).toString('utf8'));
    } catch {
      return null;
    }
  }
}

/** What a request that may be repeated is about. */
export function subjectOf(method: string, params: JsonObject): string {
  const { name = null, uri = null, arguments: args = null } = params;
  return hash('sha256', canonicalJson([method, name, uri, args]));
}
