/** Command lines: the corpora, what is explained about them, where limits lie, and what must hold for any text. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileShellRules, readShell } from '../../policies/shell.ts';
import { readCommand, rulesOf, SHELL_CONTEXT, SHELL_RULES, verdictOf } from './corpora/default-rules.ts';
import corpus from './corpora/shell.json' with { type: 'json' };

type Case = string | { command: string; cwd: string };

function readCase(entry: Case) {
  return typeof entry === 'string' ? readCommand(entry) : readCommand(entry.command, { cwd: entry.cwd });
}

function casesOf(groups: Record<string, readonly Case[]>): [string, Case][] {
  return Object.entries(groups).flatMap(([group, cases]) =>
    cases.map((entry): [string, Case] => [`${group}: ${JSON.stringify(entry)}`, entry]),
  );
}

describe('the default list', () => {
  it.each(casesOf(corpus.benign))('allows %s', (_name, entry) => {
    const reading = readCase(entry);
    expect(reading.findings).toEqual([]);
    expect(reading.commands.every(({ verdict, argv }) => verdict === 'allowed' && argv !== null)).toBe(true);
    expect(reading.risk).toBeNull();
  });

  it.each(casesOf(corpus.blocked))('denies %s', (_name, entry) => {
    const reading = readCase(entry);
    expect(reading.findings.find(({ code }) => code === 'SHELL_BLOCKED')).toMatchObject({ verdict: 'deny', risk: 'red' });
    expect(reading.risk).toBe('red');
  });

  it.each(casesOf(corpus.red))('holds as red %s', (_name, entry) => {
    const reading = readCase(entry);
    expect(verdictOf(reading)).toBe('hold');
    expect(reading.risk).toBe('red');
  });

  it.each(casesOf(corpus.held))('holds %s', (_name, entry) => {
    expect(verdictOf(readCase(entry))).toBe('hold');
  });

  it('is long enough to mean something', () => {
    expect(casesOf(corpus.benign).length).toBeGreaterThanOrEqual(120);
    expect(Object.values(corpus).flatMap((groups) => casesOf(groups)).length).toBeGreaterThanOrEqual(300);
  });
});

describe('what is explained', () => {
  it('names the entry that let a command pass', () => {
    expect(readCommand('git --no-pager log -5 | head').commands.map(({ why }) => why)).toEqual(['matches "git log"', 'matches "head"']);
  });

  it('points at the words that caused a hold', () => {
    const command = 'cat README.md && find . -name x -delete';
    const held = readCommand(command).commands.find(({ verdict }) => verdict === 'held');
    expect(held?.text).toBe('find . -name x -delete');
    expect(held?.offending.map(([start, end]) => command.slice(start, end))).toEqual(['-delete']);
    expect(held?.why).toContain('-delete');
  });

  it('points at the program and the options of a blocked command, inside a literal inner command too', () => {
    const command = "timeout 5 bash -c 'ls; rm -r -f src'";
    const blocked = readCommand(command).commands.find(({ verdict }) => verdict === 'blocked');
    expect(blocked?.text).toBe('rm -r -f src');
    expect(blocked?.offending.map(([start, end]) => command.slice(start, end))).toEqual(['rm', '-r', '-f']);
    expect(blocked?.red).toBe(true);
  });

  it('lists every command with the words it would receive', () => {
    const argv = readCommand(`git commit -m "a b"'c' && ls {x,y}.md | head -n1`).commands.map((command) => command.argv);
    expect(argv).toEqual([
      ['git', 'commit', '-m', 'a bc'],
      ['ls', 'x.md', 'y.md'],
      ['head', '-n1'],
    ]);
  });

  it('says nothing about words that are not written in the command', () => {
    expect(readCommand('cat "$FILE"').commands[0]?.argv).toBeNull();
  });

  it('lists paths with their use and hosts with what became of them', () => {
    const reading = readCommand('node scripts/x.js https://evil.example/ ../x > output/a.txt');
    expect(reading.hosts).toMatchObject([{ host: 'evil.example', verdict: 'not_listed' }]);
    expect(reading.paths).toContainEqual(expect.objectContaining({ path: '/workspace/output/a.txt', use: 'write', verdict: 'inside' }));
  });

  it.each([
    ['cat /etc/passwd', 'FS_READ_OUTSIDE', 'allowlists.filesystem.read'],
    ['ls > src/x', 'FS_WRITE_OUTSIDE', 'allowlists.filesystem.write'],
    ['ls > config/x', 'FS_CONFIG_BLOCKED', 'allowlists.filesystem.writeBlocked'],
    ['cat .env', 'SECRETS', 'builtin.secrets'],
    ['npm publish', 'PROD_EXTERNAL', 'builtin.shell.external'],
    ['curl https://evil.example', 'NET_NOT_ALLOWLISTED', 'allowlists.network'],
    ['make', 'SHELL_NOT_ALLOWLISTED', 'allowlists.shell'],
    ['sudo ls', 'SHELL_BLOCKED', 'builtin.shell.blocked'],
  ])('gives %s the reason %s with the line of the policy it comes from', (command, code, policyPath) => {
    expect(readCommand(command).findings).toContainEqual(expect.objectContaining({ code, policyPath }));
  });

  it('refuses addresses of private machines outright', () => {
    expect(verdictOf(readCommand('curl http://169.254.169.254/latest/meta-data'))).toBe('deny');
    expect(verdictOf(readCommand('node scripts/get.js https://10.0.0.1/'))).toBe('deny');
    expect(verdictOf(readCommand('node scripts/get.js https://github.com/', { dns: { 'github.com': ['10.0.0.1'] } }))).toBe('deny');
  });
});

describe('facts about the disk', () => {
  const links = { symlinks: { '/workspace/src/link': '/etc', '/workspace/scripts/x.js': '/workspace/output/x.js' } };

  it('follows links out of the workspace, also below what is searched', () => {
    expect(verdictOf(readCommand('cat src/link/passwd', links))).toBe('hold');
    expect(verdictOf(readCommand('grep -rn root src', links))).toBe('hold');
    expect(verdictOf(readCommand('cat src/*/passwd.md', links))).toBe('hold');
    expect(verdictOf(readCommand('cat docs/a.md', links))).toBe('allow');
  });

  it('judges a script by where its link leads', () => {
    expect(verdictOf(readCommand('node scripts/x.js', links))).toBe('hold');
  });

  it('holds everything without a workspace', () => {
    expect(verdictOf(readCommand('ls', { workspace: null }))).toBe('hold');
    expect(verdictOf(readCommand('cat /workspace/a', { workspace: null }))).toBe('hold');
  });

  it('does not run what lies in a folder that agents may write', () => {
    expect(verdictOf(readCommand('git status', { cwd: '/workspace/output/repo' }))).toBe('hold');
    expect(verdictOf(readCommand('npm test', { cwd: '/workspace/docs' }))).toBe('hold');
    expect(verdictOf(readCommand('pytest memory/test_x.py'))).toBe('hold');
  });
});

describe('the list of an operator', () => {
  const read = (entries: readonly string[], command: string) =>
    verdictOf(readShell(command, rulesOf(compileShellRules(entries)), SHELL_CONTEXT));

  it('allows exactly the words of an entry that names no profile', () => {
    expect(read(['make build'], 'make build')).toBe('allow');
    expect(read(['make build'], 'make build -j4')).toBe('hold');
    expect(read(['make build'], 'make')).toBe('hold');
    expect(read(['make build'], './make build')).toBe('hold');
  });

  it('allows further plain operands behind a star, and neither options nor paths outside', () => {
    const list = ['npx prettier --check *'];
    expect(read(list, 'npx prettier --check src docs/a.md')).toBe('allow');
    expect(read(list, 'npx prettier --check --plugin=./evil.js src')).toBe('hold');
    expect(read(list, 'npx prettier --check ../other')).toBe('hold');
    expect(read(list, 'npx prettier --check .env')).toBe('hold');
  });

  it('knows scripts by name with their kin, scripts by folder, and folders whose tests may run though agents write them', () => {
    expect(read(['npm run build'], 'npm run build')).toBe('allow');
    expect(read(['npm run build'], 'npm run build:docs')).toBe('allow');
    expect(read(['npm run build'], 'npm run deploy')).toBe('hold');
    expect(read(['node tools/'], 'node tools/x.js')).toBe('allow');
    expect(read(['node tools/'], 'node scripts/x.js')).toBe('hold');
    expect(read(['pytest docs/'], 'pytest docs/test_a.py')).toBe('allow');
    expect(read(['pytest docs/'], 'pytest output/test_a.py')).toBe('hold');
  });

  it('follows cd where it is listed, also where it may have failed', () => {
    const list = ['cd', 'ls', 'cat', 'npm test'];
    expect(read(list, 'cd src && cat app.ts')).toBe('allow');
    expect(read(list, 'cd /workspace/packages/api && npm test')).toBe('allow');
    expect(read(list, 'cd src && cat ../../etc/passwd')).toBe('hold');
    expect(read(list, 'cd /tmp && ls')).toBe('hold');
    expect(read(list, 'cd src; cat ../a.md')).toBe('hold');
    expect(read(list, 'cd src/deep && cat ../a.md')).toBe('allow');
    expect(read(list, 'cd output && npm test')).toBe('hold');
    expect(read(list, 'cd - && ls')).toBe('hold');
    expect(read(list, 'cd "$X" && ls')).toBe('hold');
  });

  it('offers harmless forms of common tools for those who list them', () => {
    const list = ['ls', 'cat', 'wc', 'sort', 'uniq', 'cut', 'tr', 'sed -n', 'echo', 'git show', 'git branch'];
    for (const command of [
      'cat a | wc -l',
      'sort -u a.txt',
      'cut -d, -f1 a.csv | sort | uniq -c',
      "sed -n '10,20p' src/a.ts",
      'echo done',
      'git show HEAD:src/a.ts',
      'git branch -a',
    ]) {
      expect([command, read(list, command)]).toEqual([command, 'allow']);
    }
    for (const command of [
      'sort -o src/x a',
      'sort --compress-program=evil a',
      'uniq a src/x',
      "sed -n 'w src/x' a",
      "sed -n '1e date' a",
      'sed -i s/a/b/ x',
      'git show HEAD:.env',
      'git branch -D x',
      'git branch new',
      'echo $HOME',
      'wc --files0-from=x',
      'echo x > src/a',
    ]) {
      expect([command, read(list, command)]).toEqual([command, 'hold']);
    }
  });

  it.each([
    ['', 'empty'],
    ['rm -rf build', 'block list'],
    ['sudo ls', 'block list'],
    ['make $TARGET', 'plain word'],
    ['ls; make', 'plain word'],
    ['git status | cat', 'plain word'],
    ['ma\u200bke', 'invisible'],
  ])('refuses the entry %j', (entry, message) => {
    const compiled = compileShellRules(['ls', entry]);
    expect(compiled).toMatchObject({ errors: [{ index: 1, message: expect.stringContaining(message) }] });
  });

  it('refuses an entry that is there twice', () => {
    expect(compileShellRules(['ls', 'cat', 'ls'])).toMatchObject({ errors: [{ index: 2 }] });
  });

  it('allows nothing when it is empty, and still denies what is blocked', () => {
    expect(read([], 'ls')).toBe('hold');
    expect(read([], 'rm -rf x')).toBe('deny');
  });
});

describe('any text', () => {
  const soup = fc
    .array(
      fc.constantFrom(
        'ls',
        ' ',
        'cat',
        'a',
        '/',
        '..',
        '-',
        '"',
        "'",
        '\\',
        '\n',
        '$',
        '(',
        ')',
        '{',
        '}',
        ',',
        '`',
        '|',
        '&',
        ';',
        '<',
        '>',
        '*',
        '?',
        '[',
        ']',
        '#',
        '~',
        '=',
        '!',
        'rm -rf',
        'EOF',
        '<<',
        'if ',
        'for ',
        'coproc ',
        'function ',
        'time ',
        '\u0000',
        '\u202e',
      ),
      { maxLength: 60 },
    )
    .map((pieces) => pieces.join(''));

  it('is read without throwing and with a verdict', () => {
    fc.assert(
      fc.property(fc.oneof(soup, fc.string({ unit: 'binary', maxLength: 200 })), (command) => {
        const reading = readCommand(command);
        expect(reading.findings.length > 0 || reading.commands.every(({ verdict }) => verdict === 'allowed')).toBe(true);
        for (const { span, offending } of reading.commands) {
          for (const [start, end] of [span, ...offending]) expect(0 <= start && start <= end && end <= command.length).toBe(true);
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('has its commands within it, also where the parser looks beyond its end', () => {
    expect(readCommand('<<`\\').commands.map(({ span }) => span)).toEqual([[0, 4]]);
  });

  it('is never allowed once something unlisted or blocked stands beside it', () => {
    const benign = fc.constantFrom(
      ...casesOf(corpus.benign).flatMap(([, entry]) => (typeof entry === 'string' && !/[#\n]/.test(entry) ? [entry] : [])),
    );
    fc.assert(
      fc.property(benign, fc.constantFrom(' && ', '; ', ' | ', '\n', ' || '), (command, join) => {
        expect(verdictOf(readCommand(`${command}${join}make`))).toBe('hold');
        expect(verdictOf(readCommand(`make${join}${command}`))).toBe('hold');
        expect(verdictOf(readCommand(`${command}${join}rm -rf src`))).toBe('deny');
      }),
    );
  });

  it('is not allowed by a shorter list where the longer one held it', () => {
    const entries = ['ls', 'cat', 'git status', 'npm test', 'find'];
    fc.assert(
      fc.property(fc.subarray(entries), fc.constantFrom(...casesOf(corpus.benign).map(([, entry]) => entry)), (list, entry) => {
        const command = typeof entry === 'string' ? entry : entry.command;
        const shorter = verdictOf(readShell(command, rulesOf(compileShellRules(list)), SHELL_CONTEXT));
        const longer = verdictOf(readShell(command, rulesOf(compileShellRules(entries)), SHELL_CONTEXT));
        expect(shorter === 'allow' && longer !== 'allow').toBe(false);
      }),
    );
  });

  it('with half a character in it is held', () => {
    expect(verdictOf(readCommand('cat \udc00x'))).toBe('hold');
  });

  const long = 1_000_000;
  it.each([
    ['one word', 'a'.repeat(long)],
    ['ten thousand parentheses', `${'('.repeat(10_000)}ls${')'.repeat(10_000)}`],
    ['ten thousand substitutions', '$('.repeat(10_000)],
    ['ten thousand backticks', '`'.repeat(10_000)],
    ['braces', '{a,b}'.repeat(6000)],
    ['open braces', '{'.repeat(30_000)],
    ['constants in constants', 'a=x;'.concat('a=$a$a;'.repeat(4000))],
    ['coprocesses', 'coproc '.repeat(4000)],
    ['here-documents', '<<a '.repeat(8000)],
    ['wrappers', 'env '.repeat(8000)],
    ['shells in shells', 'sh -c '.repeat(5000)],
    ['pipes', 'ls|'.repeat(10_000)],
    ['words', 'ls '.repeat(10_000)],
    ['patterns', `ls ${'*a'.repeat(15_000)}`],
    ['redirections', `ls ${'>a '.repeat(10_000)}`],
    ['containers', `docker run ${'rm -rf '.repeat(4000)}`],
  ])('made of %s is judged in bounded time', (_name, command) => {
    readCommand(command);
    const start = process.cpuUsage();
    expect(verdictOf(readCommand(command))).not.toBe('allow');
    // The bound is 50 ms on a quiet machine; the factor is for one that others use, and for the compiler's own threads.
    expect(process.cpuUsage(start).user / 1000).toBeLessThan(250);
  });
});

describe('compiled rules', () => {
  it('do not change the reading of a command by being used before', () => {
    const first = readShell('ls && cat .env', SHELL_RULES, SHELL_CONTEXT);
    readShell('cd src; X=rm; $X -rf /', SHELL_RULES, SHELL_CONTEXT);
    expect(readShell('ls && cat .env', SHELL_RULES, SHELL_CONTEXT)).toEqual(first);
  });
});
