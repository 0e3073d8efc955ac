/**
 * How an upstream's secret is shown to it: as a bearer token, or as the header that the secret itself names ("X-Api-Key: …"). The one place
 * where that is decided, so that whoever forwards knows which header of an agent it takes the place of.
 */

/** A token of RFC 9110, a colon and a space, and what can be the value of a header. */
const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}): ([\x20-\x7e]+)$/;
/** These frame the message or say where it goes. */
const NEVER = new Set(['host', 'content-length', 'transfer-encoding', 'connection', 'upgrade', 'te', 'trailer', 'expect', 'via']);

/** Name and value of the header. */
export function secretHeader(secret: string): readonly [name: string, value: string] {
  const [, name, value] = HEADER.exec(secret) ?? [];
  if (name === undefined || value === undefined || NEVER.has(name.toLowerCase())) return ['authorization', `Bearer ${secret}`];
  return [name.toLowerCase(), value];
}
