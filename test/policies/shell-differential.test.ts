/**
 * What is judged is what runs: the words that were judged are the words that a program receives from the real bash. Benign
 * commands are generated, those that are allowed are run with fake programs that record what they are given.
 */

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCommand, verdictOf } from './corpora/default-rules.ts';

/** 10,000 in the run before a release: `MC_DIFFERENTIAL_RUNS=10000 npx vitest run test/policies/shell-differential.test.ts`. */
const RUNS = Number(process.env.MC_DIFFERENTIAL_RUNS ?? 200);

const PROGRAMS = ['ls', 'cat', 'head', 'tail', 'grep', 'find', 'git', 'npm', 'pytest', 'node'];

let folder: string;
let workspace: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mission-control-differential-'));
  workspace = join(folder, 'workspace');
  for (const name of ['bin', 'workspace/output', 'workspace/docs', 'workspace/memory']) mkdirSync(join(folder, name), { recursive: true });
  for (const name of PROGRAMS) {
    // One file per process, so that the two ends of a pipe do not mix their records.
    const recorder = `#!/bin/bash\nprintf '%s\\0' ${name} "$@" > "$RECORD/$$"\n`;
    writeFileSync(join(folder, 'bin', name), recorder);
    chmodSync(join(folder, 'bin', name), 0o755);
  }
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What the programs received, one list of words per program, in no particular order. */
function runInBash(command: string): string[][] {
  const record = join(folder, 'record');
  mkdirSync(record);
  spawnSync('/bin/bash', ['-f', '-c', command], { cwd: workspace, env: { PATH: join(folder, 'bin'), RECORD: record, LC_ALL: 'C.UTF-8' } });
  const ran = readdirSync(record).map((name) => readFileSync(join(record, name), 'utf8').split('\0').slice(0, -1));
  rmSync(record, { recursive: true });
  return ran;
}

const plain = fc.constantFrom(
  'a',
  'b.txt',
  'src/x.ts',
  'x=y',
  'a:b',
  '100%',
  'HEAD~1',
  'a@b',
  'Größe',
  '-n',
  '--',
  '+x',
  'if',
  'then',
  'a,b',
  '}',
  ']',
  '!',
);
const text = fc.string({
  unit: fc.constantFrom('a', ' ', '$', '\\', '*', '{', '}', ',', '#', ';', '|', '&', '~', '!', '(', 'é', '\n', '\t'),
  maxLength: 8,
});
const word = fc.oneof(
  plain,
  text.filter((value) => !value.includes("'")).map((value) => `'${value}'`),
  text.map((value) => `"${value.replace(/[\\$"`]/g, '\\$&')}"`),
  text.filter((value) => !/[\n']/.test(value)).map((value) => [...value].map((c) => (/[\wé]/.test(c) ? c : `\\${c}`)).join('') || "''"),
  fc.constantFrom('{a,b}', 'x{1..3}', 'p{a,{b,c}}q', "$'a\\tb'", "$'\\x41'", '""', '\\{a,b}', "{'a b',c}", '{a}', '{,x}'),
);
const words = fc.array(
  fc.tuple(
    fc.constantFrom(' ', '  ', ' \\\n '),
    fc.array(word, { minLength: 1, maxLength: 2 }).map((pieces) => pieces.join('')),
  ),
  { maxLength: 4 },
);
const start = fc.constantFrom(
  'ls',
  'cat',
  'head -n 3',
  'grep -e x',
  'git log',
  'git commit -m',
  'git add',
  'npm test --',
  'pytest',
  "l's'",
  '"git" diff',
  'node scripts/x.js',
);
const redirection = fc.constantFrom(
  '',
  '',
  '',
  ' 2>&1',
  ' >/dev/null',
  ' > output/x',
  ' >>memory/y',
  ' 2> output/err 1>&2',
  ' </dev/null',
  " <<'E'\nrm -rf $x\nE\n",
  ' <<< "a b"',
  ' # c',
);
const simple = fc
  .tuple(start, words, redirection)
  .map(([program, rest, end]) => program + rest.map(([gap, value]) => gap + value).join('') + end);
const line = fc
  .tuple(simple, fc.array(fc.tuple(fc.constantFrom(' && ', ' | ', '; ', '\n', '|', ' ;'), simple), { maxLength: 2 }))
  .map(([first, more]) => first + more.map(([join, next]) => join + next).join(''));

describe('an allowed command', () => {
  it('hands to every program exactly the words that were judged, and touches no other file', { timeout: 20 * 60_000 }, () => {
    let compared = 0;
    const generated = fc.sample(line, { numRuns: RUNS * 8, seed: 20_261_123 });
    for (const command of generated) {
      if (compared >= RUNS) break;
      const reading = readCommand(command);
      if (verdictOf(reading) !== 'allow') continue;
      compared++;
      const judged = reading.commands.map(({ argv }) => JSON.stringify(argv)).sort();
      const ran = runInBash(command)
        .map((argv) => JSON.stringify(argv))
        .sort();
      // The fake programs succeed, so that everything behind && runs too.
      expect({ command, argv: ran }).toEqual({ command, argv: judged });
    }
    expect(compared).toBe(RUNS);
    expect(readdirSync(workspace).sort()).toEqual(['docs', 'memory', 'output']);
  });
});
