import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { applyPatch, diffDocuments } from '../../policies/index.ts';
import { callOf, DEFAULT_DOCUMENT, factsWith, judge, patchOf, profile } from './scene.ts';

const folder = new URL('../../policies/profiles/', import.meta.url);
const files = readdirSync(folder);

const engineering = factsWith({ task: { id: 't', type: 'engineering', status: 'in_progress', assigneeIds: ['agent-1'] } });
const docs = factsWith({ task: { id: 't', type: 'docs', status: 'in_progress', assigneeIds: ['agent-1'] } });
const write = (path: string) => callOf('write_file', { path });
const exec = (command: string) => callOf('exec', { command });

describe('the profiles', () => {
  test.each(files)('%s compiles over the shipped policy and says what it costs or is for', (file) => {
    profile(file.replace('.yaml', ''));
    expect(readFileSync(new URL(file, folder), 'utf8')).toMatch(/^# .{40,}/);
  });

  test('engineering opens src and test for engineering tasks, and takes the runners off the list', () => {
    const policy = profile('engineering');
    for (const path of ['src/a.ts', 'test/a.test.ts', 'output/a']) expect(judge(write(path), engineering, policy).verdict).toBe('allow');
    expect(judge(write('src/a.ts'), docs, policy).verdict).toBe('hold');
    expect(judge(write('config/a'), engineering, policy).verdict).toBe('hold');
    for (const command of ['npm test', 'node scripts/a.js', 'pytest', 'eslint src'])
      expect(judge(exec(command), engineering, policy).verdict).toBe('hold');
    expect(judge(exec('git add src/a.ts && git commit -m x'), engineering, policy).verdict).toBe('allow');
  });

  test('read-only research reads, searches and takes notes', () => {
    const policy = profile('read-only-research');
    for (const call of [
      callOf('read_file', { path: 'src/a' }),
      callOf('web_search', { query: 'x' }),
      write('output/notes.md'),
      exec('grep -rn x docs'),
    ])
      expect(judge(call, factsWith(), policy).verdict).toBe('allow');
    for (const call of [
      write('docs/a'),
      exec('npm test'),
      callOf('git_commit', { message: 'x' }),
      callOf('install_deps', { packages: ['zod'] }),
    ])
      expect(judge(call, factsWith(), policy).verdict).toBe('hold');
  });

  test('strict, balanced and lenient differ in what interns and specialists may do, never in what is red', () => {
    const verdict = (name: string, autonomy: 'intern' | 'specialist', call: ReturnType<typeof callOf>) =>
      judge(call, factsWith({ agent: { autonomy } }), profile(name)).verdict;
    const names = ['strict', 'balanced', 'lenient'];
    expect(names.map((name) => verdict(name, 'intern', write('output/a')))).toEqual(['hold', 'hold', 'allow']);
    expect(names.map((name) => verdict(name, 'specialist', write('output/a')))).toEqual(['hold', 'allow', 'allow']);
    expect(names.map((name) => verdict(name, 'specialist', callOf('web_search', { query: 'x' })))).toEqual(['hold', 'allow', 'allow']);
    for (const name of names)
      for (const call of [callOf('send_email', { to: 'a@b.example' }), write('config/a'), exec('make')])
        expect(verdict(name, 'specialist', call), name).toBe('hold');
  });

  test('balanced is the way back from strict and from lenient, and changes nothing that is shipped', () => {
    for (const name of ['strict', 'lenient']) {
      const there = applyPatch(DEFAULT_DOCUMENT, patchOf(name));
      expect(diffDocuments(DEFAULT_DOCUMENT, there)).not.toEqual([]);
      expect(diffDocuments(DEFAULT_DOCUMENT, applyPatch(there, patchOf('balanced')))).toEqual([]);
    }
    expect(diffDocuments(DEFAULT_DOCUMENT, applyPatch(DEFAULT_DOCUMENT, patchOf('balanced')))).toEqual([]);
  });

  test('locked down lets only green run, whoever asks', () => {
    const policy = profile('locked-down');
    for (const autonomy of ['intern', 'specialist', 'lead'] as const) {
      const facts = factsWith({ agent: { autonomy } });
      for (const call of [callOf('read_file', { path: 'a' }), callOf('read_db'), callOf('post_comment', { text: 'x' })])
        expect(judge(call, facts, policy).verdict).toBe('allow');
      for (const call of [
        exec('ls'),
        write('output/a'),
        callOf('web_search', { query: 'x' }),
        callOf('web_fetch', { url: 'https://github.com/' }),
      ])
        expect(judge(call, facts, policy).verdict).toBe('hold');
      expect(judge(callOf('sessions_spawn', { task: 'x' }), facts, policy).verdict).toBe('deny');
    }
  });
});
