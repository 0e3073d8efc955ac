/**
 * Canaries (SPEC 10): calls that control makes to prove a way in on which nothing comes. Each carries a claim that control has sealed, for one
 * agent and one way in, for a minute, once. It goes the whole way of a call and is always refused by admission: before any judgement,
 * reservation or upstream, so that it costs nothing and can open nothing, whoever sends it.
 */
import { createHmac } from 'node:crypto';
import { type AgentPicture, CANARY_PREFIX, type CanaryClaim, CanaryClaimSchema } from '../control/contract.ts';
import { isSameSecret } from './same-secret.ts';

/** Used claims are remembered for as long as they could be used again. */
const USED_MAX = 10_000;

export class Canaries {
  readonly #clusterSecret: string;
  /** Nonce → when it may be forgotten, oldest first. */
  readonly #used = new Map<string, number>();

  constructor(clusterSecret: string) {
    this.#clusterSecret = clusterSecret;
  }

  /** What a token claims; null where it is none of ours or its time is over. @param now epoch milliseconds. */
  read(token: string, now: number): CanaryClaim | null {
    const [text = '', seal = ''] = token.slice(CANARY_PREFIX.length).split('.');
    const right = createHmac('sha256', this.#clusterSecret).update(`canary\n${text}`).digest('base64url');
    if (!token.startsWith(CANARY_PREFIX) || !isSameSecret(seal, right)) return null;
    const claim = CanaryClaimSchema.parse(JSON.parse(Buffer.from(text, 'base64url').toString('utf8')));
    return claim.expiresAt > now ? claim : null;
  }

  /** Takes the single use of a claim. @returns false where it was used, or for another way in. */
  take({ canary }: AgentPicture, entry: CanaryClaim['entry'] | 'mission-control', now: number): boolean {
    if (canary === undefined || canary.entry !== (entry === 'mission-control' ? 'mcp' : entry)) return false;
    for (const [nonce, until] of this.#used) {
      if (until > now && this.#used.size < USED_MAX) break;
      this.#used.delete(nonce);
    }
    if (this.#used.has(canary.nonce)) return false;
    this.#used.set(canary.nonce, canary.expiresAt);
    return true;
  }
}
