import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const css = readFileSync(new URL('../../dashboard/tokens.css', import.meta.url), 'utf8');
const BASE = blockOf(':root {');
const MORE = blockOf(':root[data-contrast="more"] {');
const SCHEMES = ['light', 'dark'] as const;
const SURFACES = ['canvas', 'panel', 'sunken', 'raised', 'hover'];
const INKS = ['ink', 'ink-2', 'ink-3', 'you', 'voice', 'green', 'amber', 'red'];
const EDGES = ['line', 'line-2', 'you-line', 'voice-line', 'green-line', 'amber-line', 'red-line'];
const MARKS = ['green-mark', 'amber-mark', 'red-mark'];

describe.each(SCHEMES)('in %s', (scheme) => {
  it('every text is read on every surface: 4.5:1, in high contrast 7:1', () => {
    for (const [tokens, least] of [
      [BASE, 4.5],
      [new Map([...BASE, ...MORE]), 7],
    ] as const) {
      for (const ink of INKS)
        for (const surface of SURFACES.filter((one) => one !== 'hover' || least === 7))
          expect([ink, surface, ratio(tokens, ink, surface, scheme) >= least]).toEqual([ink, surface, true]);
      for (const tint of ['you', 'voice', 'green', 'amber', 'red'])
        expect([tint, ratio(tokens, tint, `${tint}-soft`, scheme) >= least]).toEqual([tint, true]);
      expect(ratio(tokens, 'on-stop', 'stop', scheme)).toBeGreaterThanOrEqual(least);
    }
  });

  it('in high contrast every edge and mark stands out from the panel', () => {
    const tokens = new Map([...BASE, ...MORE]);
    for (const edge of [...EDGES, ...MARKS]) expect([edge, ratio(tokens, edge, 'panel', scheme) >= 4.5]).toEqual([edge, true]);
    expect(ratio(tokens, 'on-stop', 'you-solid', scheme)).toBeGreaterThanOrEqual(7);
  });
});

it('chosen by hand, high contrast is the one that the system asks for', () => {
  expect(blockOf(':root:not([data-contrast="standard"]) {')).toEqual(MORE);
});

/** The custom properties of one block. */
function blockOf(head: string): Map<string, string> {
  const from = css.indexOf(head);
  if (from < 0) throw new Error(`tokens.css has no ${head}`);
  const text = css.slice(from, css.indexOf('}', from));
  return new Map([...text.matchAll(/--([\w-]+): ([^;]+);/g)].map(([, name, value]) => [name ?? '', value ?? '']));
}

/** The contrast of two tokens by WCAG 2.2. */
function ratio(tokens: ReadonlyMap<string, string>, one: string, other: string, scheme: (typeof SCHEMES)[number]): number {
  const [dim, bright] = [one, other].map((name) => luminance(tokens.get(name) ?? '', scheme)).sort((a, b) => a - b);
  return ((bright ?? 0) + 0.05) / ((dim ?? 0) + 0.05);
}

function luminance(value: string, scheme: (typeof SCHEMES)[number]): number {
  const colours = value.match(/#[0-9a-f]{6}/g);
  const colour = colours?.[colours.length > 1 && scheme === 'dark' ? 1 : 0];
  if (colour === undefined) throw new Error(`no colour in "${value}"`);
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
