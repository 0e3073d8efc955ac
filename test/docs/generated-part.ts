/** Parts of documents that are made from the code: between `<!-- generated: name -->` and `<!-- end -->`. `UPDATE_DOCS=1` writes them anew. */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'vitest';

/** Expects that part of docs/`file` to be `expected`. */
export function expectGenerated(file: string, name: string, expected: string): void {
  const url = new URL(`../../docs/${file}`, import.meta.url);
  const text = readFileSync(url, 'utf8');
  const block = new RegExp(`(<!-- generated: ${name} -->\\n)([\\s\\S]*?)(<!-- end -->)`);
  if (process.env.UPDATE_DOCS === '1')
    writeFileSync(
      url,
      text.replace(block, (_all, start, _old, end) => `${start}${expected}\n${end}`),
    );
  expect(block.exec(readFileSync(url, 'utf8'))?.[2]?.trim(), `${file} is old: UPDATE_DOCS=1 npx vitest run test/docs`).toBe(
    expected.trim(),
  );
}

/** A Markdown table. */
export function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
