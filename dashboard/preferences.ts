/** What this browser remembers for its user: colour theme, contrast, and whether single keys act. Kept locally, never sent. */
import { signal } from '@lit-labs/signals';

export type Theme = 'system' | 'light' | 'dark';
/** `system`: as the system asks for. */
export type Contrast = 'system' | 'standard' | 'more';

const THEME = 'mc.theme';
const CONTRAST = 'mc.contrast';
const KEYS = 'mc.keys';

export const theme = signal<Theme>(readTheme());
export const contrast = signal<Contrast>(readContrast());
/** Single-key shortcuts can be switched off (WCAG 2.1.4). */
export const singleKeys = signal(read(KEYS) !== 'off');

export type Side = 'agents' | 'feed';
const SIDES = 'mc.folded';
/** Side panels of the board that are folded away. */
export const foldedSides = signal<ReadonlySet<Side>>(
  new Set((read(SIDES) ?? '').split(' ').filter((side) => side === 'agents' || side === 'feed')),
);

/** Folds a side panel, or opens it again. */
export function foldSide(side: Side): void {
  const folded = new Set(foldedSides.get());
  if (!folded.delete(side)) folded.add(side);
  foldedSides.set(folded);
  write(SIDES, [...folded].join(' '));
}

const FIRST_STEPS = 'mc.first-steps';
/** Whether this browser shows the first steps of an installation only when asked for. */
export const firstStepsHidden = signal(read(FIRST_STEPS) === 'hidden');

export function hideFirstSteps(hidden: boolean): void {
  firstStepsHidden.set(hidden);
  write(FIRST_STEPS, hidden ? 'hidden' : 'shown');
}

/** What was typed over a version of the policy and not saved, or null. */
export function keptDraft(version: string): string | null {
  return read(`mc.policy.${version}`);
}

export function keepDraft(version: string, text: string): void {
  write(`mc.policy.${version}`, text);
}

export function forgetDraft(version: string): void {
  try {
    localStorage.removeItem(`mc.policy.${version}`);
  } catch {
    // Nothing was kept either.
  }
}

export function setTheme(value: Theme): void {
  theme.set(value);
  write(THEME, value);
  applyTheme();
}

export function setSingleKeys(on: boolean): void {
  singleKeys.set(on);
  write(KEYS, on ? 'on' : 'off');
}

export function setContrast(value: Contrast): void {
  contrast.set(value);
  write(CONTRAST, value);
  applyTheme();
}

/** Puts theme and contrast on the document; what is not chosen the system decides. */
export function applyTheme(): void {
  const chosen = document.documentElement.dataset;
  for (const [name, value] of [
    ['theme', theme.get()],
    ['contrast', contrast.get()],
  ] as const) {
    if (value === 'system') delete chosen[name];
    else chosen[name] = value;
  }
}

function readTheme(): Theme {
  const value = read(THEME);
  return value === 'light' || value === 'dark' ? value : 'system';
}

function readContrast(): Contrast {
  const value = read(CONTRAST);
  return value === 'standard' || value === 'more' ? value : 'system';
}

/** A browser that keeps nothing (private mode, blocked storage) works with the defaults. */
function read(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function write(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Not remembered; it still holds until the page is closed.
  }
}
