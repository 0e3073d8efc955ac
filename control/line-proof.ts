/**
 * Control's side of mutual authentication on the lines (docs/decisions/0019): every request proves that its sender knows the cluster secret,
 * and every answer and every message of a stream proves the same of us. The secret itself is never sent, and what was recorded on the way
 * can neither be changed nor used again.
 */
import { createHmac, hash, randomBytes } from 'node:crypto';
import { LINE_SCHEME, lineAnswerText, lineAskText, lineMessageText, OWN_SERVER_PURPOSE } from './contract.ts';
import { isSameSecret } from './same-secret.ts';

/** The clocks of two processes may differ by this much. */
const AT_MAX_MS = 5 * 60 * 1000;
/** Nonces that are remembered; they are forgotten with their time. A flood of proven requests is not to be expected. */
const NONCES_MAX = 200_000;

/** @param now wall time: what is compared are the clocks of two processes. */
export function createLineProof(clusterSecret: string, now: () => number = Date.now) {
  /** Used nonces and when each may be forgotten, oldest first. */
  const used = new Map<string, number>();
  const macOf = (text: string) => createHmac('sha256', clusterSecret).update(text).digest('base64url');
  const ownServerToken = macOf(OWN_SERVER_PURPOSE);
  /** Of this process since its start: what was recorded on the way to another control, or before, is not for us. */
  const id = randomBytes(12).toString('base64url');

  /**
   * The nonce of a request that is proven and was not there before, and whether it is for us: if not, say who we are and do nothing.
   * @param path with its query. @returns null = refuse it.
   */
  function check(
    authorization: string | undefined,
    method: string,
    path: string,
    body: Uint8Array,
  ): { nonce: string; isForUs: boolean } | null {
    const [scheme, proof = ''] = (authorization ?? '').split(' ');
    const [at = '', nonce = '', to = '', mac = ''] = proof.split('.');
    if (scheme !== LINE_SCHEME || !/^\d{1,15}$/.test(at) || !/^[\w-]{20,64}$/.test(nonce)) return null;
    const time = now();
    if (Math.abs(time - Number(at)) > AT_MAX_MS) return null;
    if (!isSameSecret(mac, macOf(lineAskText({ method, path, at: Number(at), nonce, to, bodyHash: hash('sha256', body) })))) return null;
    if (to !== id) return { nonce, isForUs: false };
    for (const [old, until] of used) {
      if (until > time && used.size < NONCES_MAX) break;
      used.delete(old);
    }
    if (used.has(nonce)) return null;
    used.set(nonce, time + 2 * AT_MAX_MS);
    return { nonce, isForUs: true };
  }

  /** Whether this is the credential of the requests to our own MCP server, which a proxy sends only to a control that has proven itself. */
  function isOwnServerToken(authorization: string | undefined): boolean {
    return isSameSecret(authorization ?? '', `Bearer ${ownServerToken}`);
  }

  return {
    id,
    check,
    isOwnServerToken,
    /** What stands in the header of an answer. */
    answer: (nonce: string, status: number, body: Uint8Array) => macOf(lineAnswerText({ nonce, status, bodyHash: hash('sha256', body) })),
    /** A message of the stream that was asked for with `nonce`, as its line. @param number from 0, without gaps. */
    message: (nonce: string, number: number, text: string) => `${macOf(lineMessageText(nonce, number, text))} ${text}\n`,
  };
}
