/**
 * What the two ends of a line prove to each other, and the texts that the proofs are over. The texts bind: a proof serves one request, one
 * answer, one place in a stream.
 */

/**
 * Mutual authentication on the lines (docs/decisions/0019). A request has `authorization: MC-Line {at}.{nonce}.{to}.{mac}`, its answer
 * `x-mc-proof: {mac}`, a message of the stream is `{mac} {json}`. Each mac is an HMAC-SHA-256 with the cluster secret over one of the
 * texts below, base64url.
 */
export const LINE_SCHEME = 'MC-Line';
export const LINE_PROOF_HEADER = 'x-mc-proof';
/**
 * Version of what proxy and control say to each other; raised where one end could not take what the other says. A control takes its own and the
 * one before, so controls are upgraded first; 0 = a proxy that does not say. New members and messages that may be passed over need no new one.
 */
export const LINE_VERSION = 1;
export const LINE_VERSION_HEADER = 'x-mc-line';
/** Answered to a proxy that speaks another version, with a sentence that names both: nothing was done, and its journal keeps what it has. */
export const OTHER_VERSION = 426;

/** What the credential for control's own MCP server is derived for. */
export const OWN_SERVER_PURPOSE = 'mission-control/own-server/v1';

/** The journal's lines come as they are in its file: a JSON text on each line. */
export const JSON_LINES = 'application/x-ndjson';

/**
 * What a request proves. `path` has its query, `to` is the name that the control which is asked has given itself at its start (empty while the
 * proxy does not know it), `bodyHash` is SHA-256 in hex, of nothing where there is no body.
 */
export function lineAskText({
  method,
  path,
  at,
  nonce,
  to,
  bodyHash,
}: Record<'method' | 'path' | 'nonce' | 'to' | 'bodyHash', string> & { at: number }): string {
  return JSON.stringify(['ask', method, path, at, nonce, to, bodyHash]);
}

/** Answered, proven, to a request that was meant for another control, or for this one before its last start: nothing was done. */
export const MISDIRECTED = 421;
export interface Misdirected {
  code: 'ANOTHER_CONTROL';
  /** Who is here: what `to` must be. */
  id: string;
}

/** What an answer proves: that it is the one to the request with this nonce. */
export function lineAnswerText({ nonce, status, bodyHash }: { nonce: string; status: number; bodyHash: string }): string {
  return JSON.stringify(['answer', nonce, status, bodyHash]);
}

/** What the answer to a stop proves that was sent straight to a proxy: that it is the one to this order. Its mac is in the same header. */
export function stopAnswerText(seal: string, bodyHash: string): string {
  return JSON.stringify(['stopped', seal, bodyHash]);
}

/** What a message of the stream proves: its place in the stream that was asked for with this nonce. */
export function lineMessageText(nonce: string, number: number, text: string): string {
  return `["message","${nonce}",${number}]\n${text}`;
}
