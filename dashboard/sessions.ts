/**
 * Coming in and going out: from the sign-in link, from a pasted token or from the cookie of last time; and the end of a session, whoever ended it.
 * While somebody is in, the store is live; when nobody is, it is empty.
 */
import type { Session } from '../control/contract.ts';
import * as api from './api.ts';
import type { EventLink } from './event-link.ts';
import { startLive } from './live.ts';
import { say } from './notices.ts';
import { go, place } from './routes.ts';
import { forget, presence } from './store.ts';
import { forgetUnsent, keepUnsentOf } from './unsent.ts';
import { ROLE_WORDS } from './words.ts';

let live: EventLink | null = null;
/** Where to go on after signing in again. */
let wanted: string | null = null;

/** Called once at start: uses the link's token if there is one, else the cookie. */
export async function enter(): Promise<void> {
  api.onSignedOut((refusal) => {
    // An answer to something that was asked before one went out says nothing new.
    if (presence.get().state === 'out') return;
    leaveLocally(refusal.code === 'HTTP_401' ? 'Your session has ended. Sign in to go on.' : refusal.message);
  });
  api.onRoleRefused(() => void refreshSession());
  const token = takeTokenFromLink();
  if (token !== null) {
    const refusal = await signIn(token);
    if (refusal === null) return;
    presence.set({ state: 'out', reason: refusal });
    return;
  }
  try {
    const session = await api.readSession();
    if (session) open(session);
    else leaveLocally(null);
  } catch (error) {
    presence.set({ state: 'out', reason: error instanceof Error ? error.message : String(error) });
  }
}

/** Signs in with a token; answers why not, or null when it worked. */
export async function signIn(token: string): Promise<string | null> {
  try {
    open(await api.signIn(token.trim()));
    if (place.get().name === 'sign-in') go(wanted ?? '/', { replace: true });
    wanted = null;
    return null;
  } catch (error) {
    if (error instanceof api.Refusal && error.status === 401) return 'This link or token is not valid. A sign-in link works once.';
    return error instanceof Error ? error.message : String(error);
  }
}

/** Signs out here and at the server. */
export async function signOut(): Promise<void> {
  try {
    await api.signOut();
  } catch {
    // The cookie may outlive an unreachable server; here nobody is signed in any more either way.
  }
  forgetUnsent();
  leaveLocally('You are signed out.');
}

export function retryNow(): void {
  live?.retryNow();
}

function open(session: Session): void {
  keepUnsentOf(session.operator.id);
  presence.set({ state: 'in', session });
  live ??= startLive(session.operator.id, () => void refreshSession());
}

/** Asks who one is now: an administrator may have changed the role while the page is open. Says so, and every control follows. */
async function refreshSession(): Promise<void> {
  const before = presence.get();
  if (before.state !== 'in') return;
  try {
    const session = await api.readSession();
    const now = presence.get();
    if (now.state !== 'in') return;
    if (session === null) return leaveLocally('Your session has ended. Sign in to go on.');
    const { name, role } = session.operator;
    if (role === now.session.operator.role && name === now.session.operator.name) return;
    presence.set({ state: 'in', session });
    if (role !== now.session.operator.role) say('race', `You are ${ROLE_WORDS[role]} now. What that role cannot do says so.`);
  } catch {
    // The server refuses all the same what the role may not do; the next refusal asks again.
  }
}

function leaveLocally(reason: string | null): void {
  live?.stop();
  live = null;
  forget();
  presence.set({ state: 'out', reason });
  if (place.get().name !== 'sign-in') {
    wanted = location.pathname + location.search;
    go('/sign-in', { replace: true });
  }
}

/** Reads `/sign-in#token=…` and takes the token out of the address bar and the history at once. */
function takeTokenFromLink(): string | null {
  if (place.get().name !== 'sign-in' || !location.hash) return null;
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  history.replaceState(null, '', '/sign-in');
  return token || null;
}
