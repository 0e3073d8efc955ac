/** Paths: the corpus, compiling of patterns, patterns of commands, and what must hold for any text. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  aimsAtSecret,
  compileFileRules,
  type FileContext,
  isGatePath,
  isSecretPath,
  readGlob,
  readPath,
  readTree,
} from '../../policies/filesystem.ts';
import { FILE_RULES, rulesOf } from './corpora/default-rules.ts';
import corpus from './corpora/paths.json' with { type: 'json' };

interface PathCase {
  path: string;
  use: string;
  verdict: string;
  secret?: boolean;
  cwd?: string;
  workspace?: string | null;
  symlinks?: Record<string, string>;
}

const HERE: FileContext = { workspace: '/workspace', cwd: null, symlinks: {} };

function contextOf({ cwd, workspace, symlinks }: PathCase): FileContext {
  return { cwd: cwd ?? null, workspace: workspace === undefined ? '/workspace' : workspace, symlinks: symlinks ?? {} };
}

const CASES = Object.entries(corpus as Record<string, PathCase[]>).flatMap(([group, cases]) =>
  cases.map((entry): [string, PathCase] => [`${group}: ${JSON.stringify(entry)}`, entry]),
);

describe('readPath', () => {
  it.each(CASES)('%s', (_name, entry) => {
    const reading = readPath(entry.path, entry.use === 'write' ? 'write' : 'read', contextOf(entry), FILE_RULES);
    expect({ verdict: reading.verdict, secret: reading.secret }).toEqual({ verdict: entry.verdict, secret: entry.secret ?? false });
    if (reading.verdict === 'inside')
      expect(reading.path).toMatch(/^\/(?:workspace|home\/me\/\.openclaw\/workspace|srv\/agents\/one)(?:\/|$)/);
  });

  it('is tried on enough paths', () => {
    expect(CASES.length).toBeGreaterThanOrEqual(80);
  });

  it('keeps to named folders where the list names some', () => {
    const rules = rulesOf(compileFileRules({ read: ['src/**', 'docs/*.md', '/usr/share/dict/*'], write: [], writeBlocked: [] }));
    const verdictOf = (path: string) => readPath(path, 'read', HERE, rules).verdict;
    expect(['src', 'src/a/b.ts', 'docs/a.md', '/usr/share/dict/words'].map(verdictOf)).toEqual(Array(4).fill('inside'));
    expect(['srcs/a', 'docs/a.txt', 'docs/a/b.md', 'README.md', '.', '/usr/share/dict', '/usr/share/dict/a/b'].map(verdictOf)).toEqual(
      Array(7).fill('outside'),
    );
  });

  it('lets ** stand for no segment or many, * and ? for a part of one', () => {
    const rules = rulesOf(compileFileRules({ read: ['a/**/z', 'log-?.txt', 'x*y*z'], write: [], writeBlocked: [] }));
    const verdictOf = (path: string) => readPath(path, 'read', HERE, rules).verdict;
    expect(['a/z', 'a/b/z', 'a/b/c/z', 'log-1.txt', 'xyz', 'xAyBz', 'xyyzz'].map(verdictOf)).toEqual(Array(7).fill('inside'));
    expect(['a', 'a/b', 'log-10.txt', 'log-.txt', 'xy/z', 'zyx'].map(verdictOf)).toEqual(Array(6).fill('outside'));
  });

  it('takes the folders of this installation for secret', () => {
    const rules = rulesOf(
      compileFileRules({ read: ['**'], write: ['**'], writeBlocked: [], gateRoots: ['/workspace/state', '/var/mc/keys'] }),
    );
    expect(readPath('state/audit.log', 'read', HERE, rules)).toMatchObject({ verdict: 'inside', secret: true });
    expect(readPath('/var/mc/keys/x', 'read', HERE, rules)).toMatchObject({ verdict: 'outside', secret: true });
    expect(readPath('states/x', 'read', HERE, rules)).toMatchObject({ verdict: 'inside', secret: false });
  });

  const anyPath = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc
      .array(fc.constantFrom('..', '.', '', 'a', 'output', 'config', '.env', '~', '%2e', 'workspace', '\u2025', '\\'), { maxLength: 8 })
      .map((segments) => segments.join('/')),
    fc
      .array(fc.constantFrom('..', '.', '', 'a', 'output', 'config', 'workspace'), { maxLength: 8 })
      .map((segments) => `/${segments.join('/')}`),
  );

  it('never throws, and says inside only of a canonical path below the workspace', () => {
    fc.assert(
      fc.property(anyPath, fc.constantFrom('read' as const, 'write' as const), (path, use) => {
        const reading = readPath(path, use, HERE, FILE_RULES);
        if (reading.verdict !== 'inside') return;
        const segments = (reading.path ?? '').split('/').slice(1);
        expect(segments[0]).toBe('workspace');
        expect(segments.some((segment) => segment === '' || segment === '.' || segment === '..')).toBe(false);
        if (use === 'write') expect(['output', 'docs', 'memory']).toContain(segments[1]);
      }),
      { numRuns: 5000 },
    );
  });

  it('agrees with itself about a path and its canonical form', () => {
    fc.assert(
      fc.property(anyPath, (path) => {
        const reading = readPath(path, 'read', HERE, FILE_RULES);
        if (reading.path === null) return;
        const again = readPath(reading.path, 'read', HERE, FILE_RULES);
        expect({ path: again.path, verdict: again.verdict }).toEqual({ path: reading.path, verdict: reading.verdict });
      }),
      { numRuns: 3000 },
    );
  });

  it('is quick on long input', () => {
    const long = [
      '../'.repeat(300_000),
      'a/'.repeat(500_000),
      '%2e'.repeat(300_000),
      `${'*'.repeat(2000)}`,
      'a'.repeat(1_000_000),
      '\\'.repeat(1_000_000),
    ];
    const start = process.cpuUsage();
    for (const path of long) expect(readPath(path, 'read', HERE, FILE_RULES).verdict).toMatch(/inside|outside/);
    expect(process.cpuUsage(start).user / 1000).toBeLessThan(250);
  });
});

describe('compileFileRules', () => {
  it.each([
    ['', 'empty'],
    ['~/x', 'tilde'],
    ['../x', '".."'],
    ['a/./b', '"."'],
    ['a//b', 'empty segment'],
    ['a/b**', 'segment of its own'],
    ['{a,b}', 'only *, ** and ?'],
    ['a\\b', 'only *, ** and ?'],
    ['a\u200bb', 'invisible'],
  ])('refuses the pattern %j', (pattern, message) => {
    const compiled = compileFileRules({ read: ['**'], write: ['docs/**', pattern], writeBlocked: [] });
    expect(compiled).toMatchObject({ errors: [{ index: ['write', 1], message: expect.stringContaining(message) }] });
  });

  it('refuses a folder that is both open and blocked, and folders of ours that are not absolute', () => {
    expect(compileFileRules({ read: [], write: ['config/**'], writeBlocked: ['config/**'] })).toMatchObject({
      errors: [{ index: ['write', 0] }],
    });
    expect(compileFileRules({ read: [], write: [], writeBlocked: [], gateRoots: ['data'] })).toMatchObject({
      errors: [{ index: ['gateRoots', 0] }],
    });
  });
});

describe('patterns of commands', () => {
  const star = { kind: 'star' } as const;
  const one = { kind: 'one' } as const;
  const glob = (...tokens: Parameters<typeof readGlob>[1]) => {
    const { verdict, secret } = readGlob(
      tokens.map((token) => (typeof token === 'string' ? token : token.kind === 'star' ? '*' : '?')).join(''),
      tokens,
      HERE,
      FILE_RULES,
    );
    return `${verdict}${secret ? ' secret' : ''}`;
  };

  it('stay inside and away from secrets by their literal parts', () => {
    expect(glob('src/', star, '.ts')).toBe('inside');
    expect(glob('src/', star, '/', star, '.md')).toBe('inside');
    expect(glob('package', star, '.json')).toBe('inside');
    expect(glob(star)).toBe('inside secret');
    expect(glob('certs/', star)).toBe('inside secret');
    expect(glob('.e', star)).toBe('inside secret');
    expect(glob('.en', one)).toBe('inside secret');
    expect(glob('id_', star)).toBe('inside secret');
    expect(glob('id_', star, '.md')).toBe('inside');
    expect(glob('.s', star, '/config')).toBe('inside secret');
    expect(glob(star, '/.ssh/x')).toBe('inside secret');
    expect(glob('../', star, '.md')).toBe('outside');
    expect(glob('/etc/', star, '.md')).toBe('outside');
    expect(glob('src/', star, '/../', star, '.md')).toBe('outside');
    expect(glob('.', star, '/a.md')).toBe('outside');
  });

  it('know when they are aimed at secrets', () => {
    expect(['*.pem', '.env*', 'id_*', '**/.ssh/*', '*.key', '.e[n]v', 'cred*', '.npmrc'].map(aimsAtSecret)).toEqual(Array(8).fill(true));
    expect(['*', '*.ts', '*.json', '.*', '*/.*', '*test*', 'src/*', 'server*', 'env.ts'].map(aimsAtSecret)).toEqual(Array(9).fill(false));
  });

  it('see links below the folders they walk', () => {
    const context = { ...HERE, symlinks: { '/workspace/src/out': '/etc' } };
    expect(readTree('src', context, FILE_RULES).verdict).toBe('outside');
    expect(readTree('docs', context, FILE_RULES).verdict).toBe('inside');
    expect(readTree('.', context, FILE_RULES)).toMatchObject({ verdict: 'outside', isRoot: true });
  });
});

describe('the gate', () => {
  it('is made of its own state, configuration and keys, wherever they are', () => {
    for (const path of [
      '/home/me/.openclaw/openclaw.json',
      '/home/me/.openclaw',
      '/x/openclaw.json',
      '/srv/app/mission-control.yaml',
      '/srv/app/data-keys/digest',
      '/etc/mission-control/x',
    ]) {
      expect([path, isGatePath(path), isSecretPath(path)]).toEqual([path, true, true]);
    }
    for (const path of [
      '/home/me/.openclaw/workspace/a.md',
      '/home/me/.openclaw/workspace-ops/a.md',
      '/workspace/openclaw.md',
      '/workspace/data/x',
    ]) {
      expect([path, isGatePath(path), isSecretPath(path)]).toEqual([path, false, false]);
    }
  });
});
