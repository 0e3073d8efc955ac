/**
 * By which names we are asked, and from which pages. A page of another site may reach us by a name that it controls (DNS rebinding), or
 * send a browser's requests here; nobody else uses a name that we do not know.
 */
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';

/** Why a request comes from somewhere else than it should, in one sentence; null = it does not. */
export function foreignHost(request: IncomingMessage, hostNames: readonly string[]): string | null {
  const isOwnName = (host: string) => host === 'localhost' || host === '127.0.0.1' || host === '::1' || hostNames.includes(host);
  const host = hostOf(`http://${request.headers.host ?? ''}`);
  if (host === null || !(isIP(host) !== 0 || isOwnName(host)))
    return "This host name is not one of Mission Control's. Name it in MC_HOST_NAMES if it is.";
  const { origin } = request.headers;
  if (origin === undefined) return null;
  const from = hostOf(origin);
  return from !== null && (isOwnName(from) || from === host) ? null : 'This request comes from a page of another site.';
}

function hostOf(url: string): string | null {
  return URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '') : null;
}
