/** The generated parts of the documents equal what the code says. `UPDATE_DOCS=1 npx vitest run policy-docs` writes them anew. */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { LIMITS, REASON_CODES, REASON_MEANINGS, TRANSITIONS } from '../../policies/index.ts';
import { OPENCLAW_NAMES } from '../../policies/tools.ts';

const row = (...cells: string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
const table = (head: string[], rows: string[][]) =>
  [row(...head), row(...head.map(() => '---')), ...rows.map((cells) => row(...cells))].join('\n');

/** Where nearly every state leads: said below the picture, which would be a web otherwise. */
const EVERYWHERE = new Set(['needs_approval', 'blocked', 'canceled']);
const diagram = [
  '```mermaid',
  'stateDiagram-v2',
  '  [*] --> INBOX',
  ...TRANSITIONS.filter(({ to }) => !EVERYWHERE.has(to)).map(({ from, to }) => `  ${from.toUpperCase()} --> ${to.toUpperCase()}`),
  '  CANCELED --> [*]',
  '```',
].join('\n');

const TABLES: Record<string, Record<string, string>> = {
  'STATE_MACHINE.md': {
    diagram,
    transitions: table(
      ['from', 'to', 'who', 'requires'],
      TRANSITIONS.map(({ from, to, actors, requires }) => [
        from.toUpperCase(),
        to.toUpperCase(),
        actors.join(', '),
        requires.join(', ') || '–',
      ]),
    ),
  },
  'POLICY_V1.md': {
    names: table(
      ['OpenClaw', 'judged as'],
      [...OPENCLAW_NAMES].map(([name, mapped]) => [`\`${name}\``, mapped]),
    ),
    reasons: table(
      ['code', 'meaning', 'effect', 'release'],
      REASON_CODES.map((code) => [
        `\`${code}\``,
        REASON_MEANINGS[code].meaning,
        REASON_MEANINGS[code].effect,
        REASON_MEANINGS[code].release,
      ]),
    ),
    limits: table(
      ['value', 'least', 'most'],
      Object.entries(LIMITS).flatMap(([name, bounds]) =>
        typeof bounds === 'number' ? [] : [[name, String(bounds.min), String(bounds.max)]],
      ),
    ),
  },
};

describe('the documents', () => {
  for (const [file, tables] of Object.entries(TABLES))
    for (const [name, expected] of Object.entries(tables))
      test(`${file} has the ${name} as they are in the code`, () => {
        const url = new URL(`../../docs/${file}`, import.meta.url);
        const text = readFileSync(url, 'utf8');
        const block = new RegExp(`(<!-- generated: ${name} -->\\n)([\\s\\S]*?)(<!-- end -->)`);
        if (process.env.UPDATE_DOCS === '1')
          writeFileSync(
            url,
            text.replace(block, (_all, start, _old, end) => `${start}${expected}\n${end}`),
          );
        expect(block.exec(readFileSync(url, 'utf8'))?.[2]?.trim()).toBe(expected);
      });
});
