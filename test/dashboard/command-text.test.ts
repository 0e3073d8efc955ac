import { describe, expect, it } from 'vitest';
import { layOutCommands } from '../../dashboard/elements/command-text.ts';
import type { CommandReading } from '../../policies/model.ts';

/** A reading of `text` where it stands in `line`, with these words of it offending. */
function reading(line: string, text: string, offending: string[] = []): CommandReading {
  const start = line.indexOf(text);
  return {
    text,
    span: [start, start + text.length],
    argv: text.split(' '),
    verdict: offending.length ? 'held' : 'allowed',
    red: false,
    why: '',
    offending: offending.map((word) => [line.indexOf(word, start), line.indexOf(word, start) + word.length]),
  };
}

describe('a parsed command line', () => {
  it('shows one row per command with the operator before it', () => {
    const line = 'cd web && npm test | tee log; ls';
    const rows = layOutCommands(
      line,
      ['cd web', 'npm test', 'tee log', 'ls'].map((text) => reading(line, text)),
    );
    expect(rows.map((row) => [row.operator, row.reading.text])).toEqual([
      ['', 'cd web'],
      ['&&', 'npm test'],
      ['|', 'tee log'],
      [';', 'ls'],
    ]);
  });

  it('marks the offending words, neighbours as one', () => {
    const line = 'npm publish --access public --tag next';
    const [row] = layOutCommands(line, [reading(line, line, ['npm', 'publish', '--tag'])]);
    expect(row?.parts).toEqual([
      { text: 'npm publish', offending: true },
      { text: ' --access public ', offending: false },
      { text: '--tag', offending: true },
      { text: ' next', offending: false },
    ]);
  });

  it('indents what runs inside another command and gives it no operator', () => {
    const line = 'sh -c "curl x" && ls';
    const rows = layOutCommands(line, [reading(line, 'sh -c "curl x"'), reading(line, 'curl x', ['curl']), reading(line, 'ls')]);
    expect(rows.map((row) => [row.depth, row.operator])).toEqual([
      [0, ''],
      [1, ''],
      [0, '&&'],
    ]);
  });

  it('marks a held command as a whole where its place in the line is not known', () => {
    const line = 'echo hi';
    const [row] = layOutCommands('something else', [reading(line, 'echo hi', ['echo'])]);
    expect(row?.parts).toEqual([{ text: 'echo hi', offending: true }]);
    expect(layOutCommands(null, [reading(line, 'echo hi')])[0]?.parts).toEqual([{ text: 'echo hi', offending: false }]);
  });

  it('never loses or doubles a character, wherever the marks are', () => {
    const line = 'a bb ccc dddd';
    for (let from = 0; from < line.length; from++) {
      for (let to = from; to <= line.length + 3; to++) {
        const [row] = layOutCommands(line, [
          {
            ...reading(line, line),
            offending: [
              [from, to],
              [from + 1, to + 1],
            ],
          },
        ]);
        expect(row?.parts.map((part) => part.text).join('')).toBe(line);
      }
    }
  });
});
