/**
 * Every family of rules of the matchers earns its place: it is taken out of a copy of the code, and some case of the corpora
 * must then come out wrong. A family that nobody misses is either dead or untested.
 */

import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import FAMILIES from './corpora/rule-families.json' with { type: 'json' };

/** Judges the corpora with the copies of the code in the folders it is given, and prints how many cases come out wrong in each. */
const JUDGE = `
import { readFileSync } from 'node:fs';
const load = (name) => JSON.parse(readFileSync(new URL('./test/policies/corpora/' + name, import.meta.url), 'utf8').replaceAll('\\u00a6', '').replaceAll('\\\\u00a6', ''));
const shell = load('shell.json'), paths = load('paths.json'), urls = load('urls.json'), texts = load('redaction.json');
const flat = (groups) => Object.values(groups).flat();
for (const folder of JSON.parse(readFileSync(0, 'utf8'))) {
  const from = (file) => import(folder + '/' + file);
  const { readCommand, verdictOf, FILE_RULES, NETWORK_RULES } = await from('test/policies/corpora/default-rules.ts');
  const { readPath } = await from('policies/filesystem.ts');
  const { readUrl } = await from('policies/network.ts');
  const { redact } = await from('policies/secrets.ts');
  let wrong = 0;
  const check = (judge) => { try { if (!judge()) wrong++; } catch { wrong++; } };
  const read = (entry) => typeof entry === 'string' ? readCommand(entry) : readCommand(entry.command, { cwd: entry.cwd });
  for (const entry of flat(shell.benign)) check(() => verdictOf(read(entry)) === 'allow');
  for (const entry of flat(shell.blocked)) check(() => read(entry).findings.some(({ code }) => code === 'SHELL_BLOCKED'));
  for (const entry of flat(shell.red)) check(() => { const reading = read(entry); return verdictOf(reading) === 'hold' && reading.risk === 'red'; });
  for (const entry of flat(shell.held)) check(() => verdictOf(read(entry)) === 'hold');
  for (const { path, use, verdict, secret, cwd, workspace, symlinks } of flat(paths)) check(() => {
    const reading = readPath(path, use, { cwd: cwd ?? null, workspace: workspace === undefined ? '/workspace' : workspace, symlinks: symlinks ?? {} }, FILE_RULES);
    return reading.verdict === verdict && reading.secret === (secret ?? false);
  });
  for (const { url, verdict, dns } of flat(urls)) check(() => readUrl(url, { dns: dns ?? {} }, NETWORK_RULES).verdict === verdict);
  for (const { value, secrets } of flat(texts.secret)) check(() => { const written = JSON.stringify(redact(value).value); return !secrets.some((secret) => written.includes(JSON.stringify(secret).slice(1, -1))); });
  for (const value of flat(texts.ordinary)) check(() => redact(value).value === value);
  console.log(JSON.stringify([folder, wrong]));
}
`;

const ROOT = new URL('../../', import.meta.url).pathname;

let folder: string;
let wrongIn: ReadonlyMap<string, number>;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mission-control-ablation-'));
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  cpSync(join(ROOT, 'package.json'), join(folder, 'package.json'));
  const copies = ['whole', ...FAMILIES.map((_, i) => `without-${i}`)].map((name) => join(folder, name));
  for (const [i, copy] of copies.entries()) {
    const change = FAMILIES[i - 1];
    copyCode(copy);
    if (change !== undefined) takeOut(copy, change);
  }
  mkdirSync(join(folder, 'test/policies/corpora'), { recursive: true });
  cpSync(join(ROOT, 'test/policies/corpora'), join(folder, 'test/policies/corpora'), { recursive: true });
  writeFileSync(join(folder, 'judge.mjs'), JUDGE);
  const { stdout, stderr, status } = spawnSync(process.execPath, [join(folder, 'judge.mjs')], {
    input: JSON.stringify(copies),
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  if (status !== 0) throw new Error(`The judge failed: ${stderr}`);
  wrongIn = new Map(
    stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as [string, number]),
  );
}, 180_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function copyCode(copy: string): void {
  mkdirSync(join(copy, 'policies'), { recursive: true });
  mkdirSync(join(copy, 'test/policies/corpora'), { recursive: true });
  for (const name of readdirSync(join(ROOT, 'policies')))
    if (/\.(?:ts|yaml)$/.test(name)) cpSync(join(ROOT, 'policies', name), join(copy, 'policies', name));
  cpSync(join(ROOT, 'test/policies/corpora/default-rules.ts'), join(copy, 'test/policies/corpora/default-rules.ts'));
}

interface Edit {
  text: string;
  instead: string;
}

/** Some families stand behind one another: then both are taken out. */
function takeOut(copy: string, { family, file, also, ...edit }: Edit & { family: string; file: string; also?: Edit }): void {
  const path = join(copy, 'policies', file);
  for (const { text, instead } of also === undefined ? [edit] : [edit, also]) {
    // The text of a family must stand in one place, however it is broken into lines.
    const words = text.split(/\s+/).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    const pieces = readFileSync(path, 'utf8').split(new RegExp(words.join('\\s+')));
    if (pieces.length !== 2) throw new Error(`"${family}": "${text}" occurs ${pieces.length - 1} times in ${file}; it must occur once.`);
    writeFileSync(path, pieces.join(instead));
  }
}

describe('the corpora', () => {
  it('are judged as they say by the whole code', () => {
    expect(wrongIn.get(join(folder, 'whole'))).toBe(0);
  });

  it.each(FAMILIES.map(({ family }, i): [string, number] => [family, i]))('notice the absence of: %s', (_name, i) => {
    expect(wrongIn.get(join(folder, `without-${i}`))).toBeGreaterThan(0);
  });
});
