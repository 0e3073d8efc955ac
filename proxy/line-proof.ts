/**
 * The proxy's side of mutual authentication on the line to control (docs/decisions/0019): what it sends proves that it knows the cluster
 * secret, and nothing is taken from a control that does not prove the same. The secret itself is never sent.
 */
import { createHmac, hash, randomBytes } from 'node:crypto';
import { LINE_SCHEME, lineAnswerText, lineAskText, lineMessageText, OWN_SERVER_PURPOSE } from '../control/contract.ts';
import { isSameSecret } from './same-secret.ts';

export interface LineProof {
  /** Of one request. @param path with its query. @param to the name of the control that is asked; empty = not known yet. */
  ask: (method: string, path: string, body: string | Buffer | null, to: string) => { authorization: string; nonce: string };
  /** Whether an answer to the request with this nonce is from a control of ours, and as that sent it. */
  isAnswer: (nonce: string, status: number, text: string, proof: string) => boolean;
  /** The text of a line of the stream; null where it is not the next one that a control of ours sent. @param number from 0, without gaps. */
  messageOf: (nonce: string, number: number, line: string) => string | null;
}

export function createLineProof(clusterSecret: string): LineProof {
  const macOf = (text: string) => createHmac('sha256', clusterSecret).update(text).digest('base64url');
  return {
    ask: (method, path, body, to) => {
      const [at, nonce] = [Date.now(), randomBytes(24).toString('base64url')];
      const mac = macOf(lineAskText({ method, path, at, nonce, to, bodyHash: hash('sha256', body ?? '') }));
      return { authorization: `${LINE_SCHEME} ${at}.${nonce}.${to}.${mac}`, nonce };
    },
    isAnswer: (nonce, status, text, proof) => isSameSecret(proof, macOf(lineAnswerText({ nonce, status, bodyHash: hash('sha256', text) }))),
    messageOf: (nonce, number, line) => {
      const end = line.indexOf(' ');
      const text = line.slice(end + 1);
      return end > 0 && isSameSecret(line.slice(0, end), macOf(lineMessageText(nonce, number, text))) ? text : null;
    },
  };
}

/** The credential for control's own MCP server, which tells nothing of the cluster secret. */
export function ownServerToken(clusterSecret: string): string {
  return createHmac('sha256', clusterSecret).update(OWN_SERVER_PURPOSE).digest('base64url');
}
