/** The one message at the bottom of the screen: what was done, what was not and why, and the way on. A newer one takes its place. */
import { signal } from '@lit-labs/signals';

export interface Notice {
  id: number;
  /** `done` ticks, `race` says somebody was first, `refused` says no. */
  kind: 'done' | 'race' | 'refused';
  text: string;
  action: { label: string; run: () => void } | null;
}

export const notice = signal<Notice | null>(null);

let count = 0;

/** Shows a message; it leaves by itself. */
export function say(kind: Notice['kind'], text: string, action: Notice['action'] = null): void {
  notice.set({ id: ++count, kind, text, action });
}

export function dismiss(): void {
  notice.set(null);
}
