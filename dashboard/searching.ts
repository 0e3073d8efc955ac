/** Whether the search is open. Ctrl-K (or Command-K) opens it from everywhere, also out of a field; `/` is one of the single keys. */
import { signal } from '@lit-labs/signals';

export const searching = signal(false);

export function openSearch(): void {
  searching.set(true);
}

export function closeSearch(): void {
  searching.set(false);
}

/** Listens on the document. */
export function startSearchKey(): void {
  document.addEventListener('keydown', (event) => {
    if (event.key.toLowerCase() !== 'k' || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    if (document.querySelector('dialog:modal')) return;
    event.preventDefault();
    openSearch();
  });
}
