/**
 * Whether the search is open. Ctrl-K (or Command-K) opens it from everywhere, also out of a field; `/` is one of the single keys. What is
 * typed before its field is there is kept for it, and never taken as a key of the view.
 */
import { signal } from '@lit-labs/signals';

export const searching = signal(false);

let early = { text: '', entered: false };

export function openSearch(): void {
  early = { text: '', entered: false };
  searching.set(true);
}

/** What was typed while the search was still on its way, and whether Enter was pressed after it. */
export function typedEarly(): { text: string; entered: boolean } {
  return early;
}

export function closeSearch(): void {
  searching.set(false);
}

/** Listens on the document. */
export function startSearchKey(): void {
  document.addEventListener('keydown', (event) => {
    const typed = (event.key.length === 1 && !event.ctrlKey && !event.metaKey) || event.key === 'Enter';
    if (searching.get() && !document.querySelector('dialog:modal') && typed) {
      if (event.defaultPrevented) return;
      event.preventDefault();
      if (!early.entered) early = event.key === 'Enter' ? { ...early, entered: true } : { ...early, text: early.text + event.key };
      return;
    }
    if (event.key.toLowerCase() !== 'k' || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    if (document.querySelector('dialog:modal')) return;
    event.preventDefault();
    openSearch();
  });
}
