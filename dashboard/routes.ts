/**
 * Where one is: the address bar as a signal. Every place has an address of its own, so that back, reload and a link sent to a colleague work.
 * `?task=` opens the drawer of a task over any place, `?call=` that of one call over both.
 */
import { signal } from '@lit-labs/signals';

export type PlaceName =
  | 'landing'
  | 'overview'
  | 'board'
  | 'approvals'
  | 'grants'
  | 'agents'
  | 'feed'
  | 'alerts'
  | 'upstreams'
  | 'policies'
  | 'spend'
  | 'audit'
  | 'incident'
  | 'settings'
  | 'health'
  | 'start'
  | 'sign-in'
  | 'nowhere';

export interface Place {
  name: PlaceName;
  /** The object shown there, e.g. an approval; null = the list. */
  id: string | null;
  /** The call whose drawer is open. */
  call: string | null;
  /** The task whose drawer is open, under that of a call. */
  task: string | null;
}

const PLACES: Record<string, PlaceName> = {
  '': 'landing',
  overview: 'overview',
  board: 'board',
  approvals: 'approvals',
  grants: 'grants',
  agents: 'agents',
  feed: 'feed',
  alerts: 'alerts',
  upstreams: 'upstreams',
  policies: 'policies',
  spend: 'spend',
  audit: 'audit',
  incident: 'incident',
  settings: 'settings',
  health: 'health',
  start: 'start',
  'sign-in': 'sign-in',
};

/** Reads an address. Unknown ones are `nowhere`, which says so. */
function parsePlace(url: URL): Place {
  const [, first = '', second, ...rest] = url.pathname.split('/');
  const name = rest.length > 0 ? 'nowhere' : (PLACES[first] ?? 'nowhere');
  return {
    name,
    id: second ? decodeURIComponent(second) : null,
    call: url.searchParams.get('call'),
    task: url.searchParams.get('task'),
  };
}

export const place = signal<Place>(parsePlace(new URL(location.href)));

/** Goes to an address of ours. `replace`: without a step in the history, for moving along a list. */
export function go(path: string, options: { replace?: boolean } = {}): void {
  if (path === location.pathname + location.search) return;
  history[options.replace ? 'replaceState' : 'pushState'](null, '', path);
  place.set(parsePlace(new URL(location.href)));
}

/** Opens or closes the drawer of a call over the present place. */
export function openCall(id: string | null): void {
  openDrawer('call', id);
}

/** Opens or closes the drawer of a task over the present place. */
export function openTask(id: string | null): void {
  openDrawer('task', id);
}

function openDrawer(kind: 'call' | 'task', id: string | null): void {
  const url = new URL(location.href);
  if (id === null) url.searchParams.delete(kind);
  else url.searchParams.set(kind, id);
  go(url.pathname + url.search);
}

/** Follows the history and turns clicks on our own links into moves without a reload. */
export function startRouter(): void {
  addEventListener('popstate', () => place.set(parsePlace(new URL(location.href))));
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const anchor = event.target instanceof Element ? event.target.closest('a') : null;
    if (!anchor?.href || anchor.target || anchor.hasAttribute('download') || anchor.origin !== location.origin) return;
    if (parsePlace(new URL(anchor.href)).name === 'nowhere') return;
    event.preventDefault();
    go(anchor.pathname + anchor.search);
  });
}
