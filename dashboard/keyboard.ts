/**
 * The keys. Views bind what they can do while they are on the screen; the newest binding of a key wins; the `?` sheet lists what is bound.
 * Single keys rest while a field has focus, while a dialog is open, and when the user has switched them off.
 */
import { signal } from '@lit-labs/signals';
import { singleKeys } from './preferences.ts';
import { searching } from './searching.ts';

export interface Binding {
  /** A key as `event.key` names it, lower case ("a", "enter", "?"), or a sequence of two ("g a"). */
  keys: string;
  /** What it does, for the sheet. */
  label: string;
  /** Heading under which the sheet shows it. */
  group: string;
  run: () => void;
  /** Holding the key down repeats it (moving along a list); deciding never repeats. */
  repeats?: boolean;
}

const SEQUENCE_MS = 1_000;

const bound = signal<readonly Binding[]>([]);
let first: { key: string; at: number } | null = null;

/** Binds keys until the answered function is called. */
export function bindKeys(bindings: readonly Binding[]): () => void {
  bound.set([...bindings, ...bound.get()]);
  return () => bound.set(bound.get().filter((binding) => !bindings.includes(binding)));
}

/** Everything bound now, each key once, for the sheet. */
export function boundKeys(): Binding[] {
  const seen = new Set<string>();
  return bound.get().filter((binding) => !seen.has(binding.keys) && seen.add(binding.keys));
}

/** Listens on the document. */
export function startKeyboard(): void {
  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (searching.get() || !singleKeys.get() || isEditing(event.target) || document.querySelector('dialog[open]')) return;
    const binding = find(event.key.toLowerCase());
    if (!binding || (event.repeat && !binding.repeats)) return;
    // Enter and Space on a control are that control's own.
    if (event.key === 'Enter' && event.target instanceof Element && event.target.closest('a, button, summary, [role="button"]')) return;
    event.preventDefault();
    binding.run();
  });
}

function find(key: string): Binding | undefined {
  const started = first && Date.now() - first.at < SEQUENCE_MS ? first.key : null;
  first = null;
  const all = bound.get();
  const second = started === null ? undefined : all.find((binding) => binding.keys === `${started} ${key}`);
  if (second) return second;
  if (all.some((binding) => binding.keys.startsWith(`${key} `))) first = { key, at: Date.now() };
  return all.find((binding) => binding.keys === key);
}

function isEditing(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}
