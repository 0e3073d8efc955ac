/** Keeps the tokens of upstreams fresh (control/upstream-oauth.ts). One process at a time, so that no refresh token is used twice. */
import type { UpstreamOAuthService } from '../upstream-oauth.ts';
import type { Worker } from './loop.ts';

export function tokenRefresher({ upstreamOAuth }: { upstreamOAuth: UpstreamOAuthService }): Worker {
  return { name: 'token-refresher', everyMs: 2_000, tick: upstreamOAuth.renewDue };
}
