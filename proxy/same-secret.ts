/**
 * Whether two secrets are the same (the proxy's side; control/same-secret.ts is control's). The only comparison of secrets there is: it takes
 * as long whatever differs, so that nobody can guess one from the time that a refusal takes.
 */
import { hash, timingSafeEqual } from 'node:crypto';

/** @param given what somebody has sent, of any length. @param right what it has to be. */
export function isSameSecret(given: string, right: string): boolean {
  // Hashes are of one length, which tells nothing of that of the secret.
  return timingSafeEqual(hash('sha256', given, 'buffer'), hash('sha256', right, 'buffer'));
}
