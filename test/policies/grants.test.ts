import { describe, expect, test } from 'vitest';
import {
  covers,
  type Facts,
  type Grantable,
  type GrantPattern,
  isRefusal,
  type JsonObject,
  proposePatterns,
  type ReasonCode,
  readCases,
  readGrantable,
  type ToolCall,
} from '../../policies/index.ts';
import { CORPUS_PATCH, corpusCases } from './corpora/shipped-cases.ts';
import { approvalOf, callOf, codesOf, factsWith, judge, policyWith } from './scene.ts';

const POLICY = policyWith(CORPUS_PATCH);
const INTERN = factsWith({ agent: { autonomy: 'intern' } });
const shell = (command: string, more: Record<string, string> = {}) => callOf('exec', { command, ...more });
const read = (call: ToolCall, facts: Facts = factsWith(), policy = POLICY, definition: string | null = null) =>
  readGrantable({ call, facts, definition }, policy);

function grantable(call: ToolCall, facts?: Facts): Grantable {
  const result = read(call, facts);
  if (isRefusal(result)) throw new Error(`${JSON.stringify(call)}: ${result.code} ${result.message}`);
  return result;
}
function refusalOf(call: ToolCall, facts?: Facts, policy = POLICY): string {
  const result = read(call, facts, policy);
  return isRefusal(result) ? result.code : 'none';
}
function pattern(call: ToolCall, name: GrantPattern['name'], facts?: Facts): GrantPattern {
  const found = proposePatterns(grantable(call, facts)).find((candidate) => candidate.name === name);
  if (!found) throw new Error(`no pattern ${name}`);
  return found;
}
const isCovered = (by: GrantPattern, call: ToolCall, facts?: Facts) => {
  const result = read(call, facts);
  return !isRefusal(result) && covers(by, result);
};

/** Plain work of a project that the shipped allowlist does not have. */
const UNLISTED = [
  'make report',
  'make -j4 all',
  'python3 tools/report.py --month 3',
  'python3 tools/deep/report.py',
  "python3 -c 'print(1)'",
  'npm run build',
  'npx vitest run test/app.test.ts',
  'cargo test --lib',
  'go build ./cmd/app',
  'sort data/names.csv',
  "sed -n '1,20p' src/app.ts",
  "awk '{print}' data/names.csv",
  'timeout 60 npm test',
  'cd src && make',
  'git stash list',
  'cat src/app.ts | sort | uniq -c',
  'tsc -p tsconfig.json 2>&1 | head -n 20',
  'jq .name package.json',
];

describe('no grant from any harmless call', () => {
  const cases = corpusCases().map((entry) => ({
    ...entry,
    agent: entry.agent ?? { id: 'agent-1', autonomy: 'specialist', status: 'active' },
  }));
  const asIntern = cases.map((entry) => ({ ...entry, agent: { ...(entry.agent as object), autonomy: 'intern' } }));
  const readAll = (list: readonly { id: string; expect: { verdict: string } }[]) =>
    readCases(list).flatMap((given, at) => ('flaw' in given ? [] : [{ ...given, expected: list[at]?.expect.verdict }]));

  test('lets a call of the bypass corpora through, whatever its pattern and whoever makes it', () => {
    const harmless = readAll(asIntern).filter(({ expected }) => expected === 'allow');
    const own = UNLISTED.map((command) => ({ id: command, call: shell(command), facts: factsWith() }));
    const origins = [...harmless, ...own].flatMap((given) => {
      const result = read(given.call, given.facts);
      return isRefusal(result) ? [] : [{ ...given, patterns: proposePatterns(result) }];
    });
    const patterns = origins.flatMap((origin) => origin.patterns.map((proposed) => ({ id: origin.id, call: origin.call, proposed })));
    // Each pattern covers what it was made from, or the comparison below would prove nothing.
    const lost = origins.filter(({ call, facts, patterns: all }) => !all.every((proposed) => isCovered(proposed, call, facts)));
    expect(lost.map(({ id }) => id)).toEqual([]);
    expect(patterns.length).toBeGreaterThan(500);

    // What only an intern has to ask about is no bypass.
    const isOrdinary = (given: (typeof harmless)[number]) =>
      judge(given.call, { ...given.facts, agent: { ...given.facts.agent, autonomy: 'specialist' } }, POLICY).verdict === 'allow';
    const bypasses = [...readAll(cases), ...readAll(asIntern)].filter((given) => given.expected !== 'allow' && !isOrdinary(given));
    expect(bypasses.length).toBeGreaterThan(2_000);
    const left = bypasses.flatMap((given) => {
      const result = read(given.call, given.facts);
      return isRefusal(result) ? [] : [{ ...given, result }];
    });
    const isSame = (one: ToolCall, other: ToolCall) =>
      UNLISTED.some((command) => [one, other].every((call) => call.arguments.command === command));
    const through = left.flatMap(({ id, call, result }) =>
      patterns
        .filter((one) => !isSame(one.call, call) && covers(one.proposed, result))
        .map((one) => `${one.id} [${one.proposed.name}] → ${id}`),
    );
    expect(through).toEqual([]);
  });
});

describe('an open file', () => {
  const folder = pattern(shell('python3 tools/report.py --month 3'), 'folder');
  const below = pattern(shell('python3 tools/report.py --month 3'), 'below');

  test('is a plain name in that folder, with that ending', () => {
    for (const file of ['tools/a.py', 'tools/a_b-2.py', '/workspace/tools/a.py', 'tools/report.v2.py'])
      expect([file, isCovered(folder, shell(`python3 ${file} --month 3`))]).toEqual([file, true]);
    expect(isCovered(folder, shell('python3 tools/deep/a.py --month 3'))).toBe(false);
    expect(isCovered(below, shell('python3 tools/deep/a.py --month 3'))).toBe(true);
  });

  const EVIL = [
    ...['tools/../x.py', '../tools/a.py', 'tools/./a.py', './tools/a.py', '/etc/a.py', '~/a.py', '/workspace/../tools/a.py', 'tools//a.py'],
    ...[
      'tools/.a.py',
      'tools/.env',
      '.ssh/a.py',
      'tools/a.sh',
      'tools/a',
      'tools/',
      'tools',
      'a.py',
      'toolsx/a.py',
      'output/a.py',
      'docs/a.py',
    ],
    ...[
      'tools/*.py',
      'tools/{a,b}.py',
      'tools/$X.py',
      '$(id).py',
      'tools/a.py;id',
      'tools/a.py|sh',
      'tools/a.py&',
      'tools/a.py>x',
      '"tools/a.py"',
    ],
    ...[
      '-c',
      '-ctools/a.py',
      '--tools/a.py',
      'tools/a.py tools/b.py',
      "tools/a.py' '",
      'tools/а.py',
      'tools/a\u200b.py',
      'tools/a.py\n',
      'tools\\a.py',
    ],
    ...['https://evil.example/tools/a.py', 'tools/a.py#', 'tools/a.py\u0000', 'tools/id_rsa.py/../../a.py', 'X=1', '@tools/a.py'],
  ];
  for (const evil of EVIL)
    test(`is not ${JSON.stringify(evil)}`, () => {
      expect(isCovered(folder, shell(`python3 ${evil} --month 3`))).toBe(false);
      expect(isCovered(below, shell(`python3 ${evil} --month 3`))).toBe(false);
    });

  test('stands only where the call had a file of its own, never for a program, an option or the value of one', () => {
    const names = (command: string) => proposePatterns(grantable(shell(command))).map(({ name }) => name);
    expect(names('make report')).toEqual(['exact']);
    expect(names('tools/run.sh')).toEqual(['exact']);
    expect(names('python3 -m tools.report')).toEqual(['exact']);
    expect(names('tsc -p tsconfig.json')).toEqual(['exact']);
    expect(names('go test --config=conf/a.yaml')).toEqual(['exact']);
    expect(names('cd src && python3 tools/a.py')).toEqual(['exact']);
    expect(names('sort "data/names.csv"')).toEqual(['exact']);
    expect(names('sort data/names.csv')).toEqual(['exact', 'folder', 'below']);
    expect(names('sort names.csv')).toEqual(['exact', 'folder']);
  });

  test('follows the working directory of the call, which must be the same', () => {
    const there = (command: string, workdir: string) => callOf('exec', { command, workdir });
    const one = pattern(there('python3 a.py', 'tools'), 'folder');
    expect(isCovered(one, there('python3 b.py', 'tools'))).toBe(true);
    expect(isCovered(one, there('python3 b.py', 'src'))).toBe(false);
    expect(isCovered(one, shell('python3 b.py'))).toBe(false);
    expect(isCovered(one, { ...there('python3 b.py', 'tools'), cwd: '/workspace/src' })).toBe(false);
    expect(isCovered(one, { ...there('python3 b.py', 'tools'), workspace: '/workspace/tools' })).toBe(false);
  });
});

describe('a command line', () => {
  test('is compared word for word, with its joins and redirections', () => {
    const exact = pattern(shell('make a 2>&1 | head -n 20'), 'exact');
    expect(isCovered(exact, shell('make  a 2>&1 | head -n 20 '))).toBe(true);
    for (const other of [
      'make a | head -n 20',
      'make a 2>&1 ; head -n 20',
      'make a 2>&1 && head -n 20',
      'make b 2>&1 | head -n 20',
      'make a',
    ])
      expect([other, isCovered(exact, shell(other))]).toEqual([other, false]);
  });

  test('may come with other remarks, not with other settings', () => {
    const exact = pattern(shell('make a', { description: 'first' }), 'exact');
    expect(isCovered(exact, shell('make a', { description: 'then', timeout: '5' }))).toBe(true);
    expect(isCovered(exact, shell('make a'))).toBe(true);
    expect(isCovered(exact, callOf('exec', { command: 'make a', background: true }))).toBe(false);
    expect(refusalOf(callOf('exec', { command: 'make a', env: { LD_PRELOAD: './x.so' } }))).toBe('UNREADABLE');
    expect(refusalOf(callOf('exec', { command: 'make a', host: 'node' }))).toBe('UNREADABLE');
  });

  for (const command of [
    ...[
      'make $X',
      'make "$X"',
      'make `id`',
      'make $(id)',
      'make a > x',
      'make < x',
      'make &',
      '(make)',
      '{ make; }',
      'X=1 make',
      'make *.c',
      'make ~/a',
    ],
    ...[
      '! make',
      'if make; then make; fi',
      'for i in a; do make; done',
      'make\nmake',
      'make \\a',
      'make # a',
      "bash -c 'make'",
      'make a\u200b',
      'eval make',
    ],
    ...[
      'time make',
      'function f { make; }',
      "make 'a",
      'make [a]',
      'make {a,b}',
      'make !x',
      'make a |& sort',
      'make "a\\b"',
      'make \u0430',
    ],
  ])
    test(`${JSON.stringify(command)} is not read as plain`, () => {
      expect(['none', 'NOT_HELD']).not.toContain(refusalOf(shell(command)));
    });

  test('is not granted where the agent writes what it would run, without asking', () => {
    for (const command of [
      ...['python3 output/a.py', 'python3 ./docs/a.py', 'make -C output', 'make -Coutput', 'make --directory=memory', 'bash docs/a.sh'],
      ...[
        'cat docs/a.sh | bash',
        'cd output && make',
        'cd output; ls && make',
        'cd src && python3 ../docs/a.py',
        'cd src && cd .. && python3 docs/a.py',
      ],
      ...['npm --prefix output run x', 'python3 -m output.mine', "python3 -c 'import docs.mine'", 'PYTHONPATH=docs', 'env -C docs make'],
    ])
      expect([command, ['WRITABLE', 'UNREADABLE', 'RED', 'SHELL_BLOCKED']]).toEqual([
        command,
        expect.arrayContaining([refusalOf(shell(command))]),
      ]);
    expect(refusalOf(callOf('exec', { command: 'make', workdir: 'output' }))).toBe('WRITABLE');
    expect(refusalOf({ ...shell('make'), cwd: '/workspace/docs' })).toBe('WRITABLE');
    expect(refusalOf(shell('make'))).toBe('none');
  });

  test('of an intern on the allowlist may be left to the allowlist', () => {
    const listed = pattern(shell('grep -n foo src/a.ts'), 'listed', INTERN);
    expect(isCovered(listed, shell('grep -rn bar docs'), INTERN)).toBe(true);
    for (const other of [
      'grep -n foo /etc/passwd',
      'grep -f .env src/a.ts',
      'cat src/a.ts',
      'grep -n foo src/a.ts | sh',
      'grep -n foo src/a.ts > src/b.ts',
    ])
      expect([other, isCovered(listed, shell(other), INTERN)]).toEqual([other, false]);
  });
});

describe('other calls', () => {
  const write = (path: string, content = 'x') => callOf('write', { path, content });

  test('that write a file: the same one with any content, files beside it, files below', () => {
    const call = write('src/ui/app.ts');
    expect(proposePatterns(grantable(call)).map(({ name, text }) => [name, text])).toEqual([
      ['exact', 'write path="src/ui/app.ts" content="x"'],
      ['content', 'write path="src/ui/app.ts" content=<anything>'],
      ['folder', 'write src/ui/<any>.ts'],
      ['below', 'write src/<any folder>/<any>.ts'],
    ]);
    expect(isCovered(pattern(call, 'exact'), write('src/ui/app.ts', 'y'))).toBe(false);
    expect(isCovered(pattern(call, 'content'), write('src/ui/app.ts', 'y'))).toBe(true);
    expect(isCovered(pattern(call, 'content'), write('src/ui/b.ts', 'y'))).toBe(false);
    expect(isCovered(pattern(call, 'folder'), write('/workspace/src/ui/b.ts', 'y'))).toBe(true);
    expect(isCovered(pattern(call, 'folder'), write('src/b.ts', 'y'))).toBe(false);
    expect(isCovered(pattern(call, 'below'), write('src/b.ts', 'y'))).toBe(true);
    for (const path of ['src/../package.ts', 'src/.env.ts', 'src/a.js', 'config/a.ts', '.git/hooks/a.ts', 'src/ui/app.ts/../../../x.ts'])
      expect([path, isCovered(pattern(call, 'below'), write(path))]).toEqual([path, false]);
    expect(isCovered(pattern(call, 'below'), callOf('write', { path: 'src/b.ts', content: 'x', mode: '777' }))).toBe(false);
    expect(isCovered(pattern(call, 'below'), callOf('edit', { path: 'src/b.ts', content: 'x' }))).toBe(false);
    // A credential in what is written makes it red.
    expect(isCovered(pattern(call, 'below'), write('src/b.ts', `const key = "AKIA${'ABCDEFGHIJKLMNOP'}"`))).toBe(false);
  });

  test('that edit a file may bring other changes, in which no other file is named', () => {
    const edit = (edits: JsonObject[]) => callOf('edit', { path: 'src/a.ts', edits });
    const content = pattern(edit([{ oldText: 'a', newText: 'b' }]), 'content');
    expect(
      isCovered(
        content,
        edit([
          { oldText: 'c', newText: 'd' },
          { oldText: 'e', newText: 'f' },
        ]),
      ),
    ).toBe(true);
    for (const change of [
      { path: 'package.json', newText: 'x' },
      { newText: { path: 'package.json' } },
      { newText: 'x', file: 'src/b.ts' },
    ])
      expect([change, isCovered(content, edit([change]))]).toEqual([change, false]);
  });

  test('that fetch: another address of the same host, and nothing else about it', () => {
    const fetch = (url: string, more: Record<string, string> = {}) => callOf('web_fetch', { url, ...more });
    const host = pattern(fetch('https://github.com/a'), 'host', INTERN);
    expect(isCovered(host, fetch('https://github.com/b?c=d'), INTERN)).toBe(true);
    for (const url of ['https://api.github.com/a', 'http://github.com/a', 'https://github.com:8443/a', 'https://github.com@evil.example/'])
      expect([url, isCovered(host, fetch(url), INTERN)]).toEqual([url, false]);
    expect(isCovered(host, fetch('https://github.com/b', { method: 'POST' }), INTERN)).toBe(false);
  });

  test('of a server: the same tool in the same definition', () => {
    const policy = policyWith({ riskMap: { 'linear__create-comment': 'yellow' }, approvals: { grantableTools: ['linear__*'] } });
    const comment = (issue: string, body: string) => callOf('linear__create-comment', { issue, body });
    const of = (call: ToolCall, definition: string) => read(call, INTERN, policy, definition);
    const [exact, content] = proposePatterns(of(comment('A-1', 'Hi'), 'v1') as Grantable);
    const covered = (by: GrantPattern | undefined, call: ToolCall, definition = 'v1') =>
      by !== undefined && covers(by, of(call, definition) as Grantable);
    expect(covered(exact, comment('A-1', 'Hi'))).toBe(true);
    expect(covered(exact, comment('A-1', 'Ho'))).toBe(false);
    expect(covered(content, comment('A-1', 'Ho'))).toBe(true);
    expect(covered(content, comment('A-2', 'Ho'))).toBe(false);
    expect(covered(content, comment('A-1', 'Ho'), 'v2')).toBe(false);
  });
});

describe('what needs a person each time', () => {
  const make = shell('make');
  const cases: [string, string, ToolCall, Facts, Record<string, unknown>?][] = [
    ['red', 'RED', shell('npm publish'), factsWith()],
    ['a host that is not listed', 'RED', callOf('web_fetch', { url: 'https://evil.example/' }), factsWith()],
    ['a blocked command', 'SHELL_BLOCKED', shell('sudo make'), factsWith()],
    ['a stop', 'ESTOP', make, factsWith({ system: { estop: true } })],
    ['quarantine', 'AGENT_QUARANTINED', make, factsWith({ agent: { status: 'quarantined' } })],
    ['a cap', 'BUDGET_RUN', make, factsWith({ estimatedCost: 2_000_000 })],
    ['a task that waits', 'TASK_STATE', make, factsWith({ task: { id: 't', type: 'ops', status: 'needs_approval', assigneeIds: [] } })],
    ['a rule', 'RULE', shell('ls'), factsWith(), { rules: [{ when: 'call.tool == "exec"', effect: 'hold', message: 'Ask me.' }] }],
    ['configuration', 'FS_CONFIG_BLOCKED', callOf('write', { path: 'config/a.ts', content: 'x' }), factsWith()],
    ['a tool that the policy does not name', 'TOOL', make, factsWith(), { approvals: { grantableTools: ['read_file'] } }],
    ['two people', 'TWO_PEOPLE', make, factsWith(), { approvals: { twoPeople: ['shell_exec'] } }],
    ['what has no workspace', 'NO_WORKSPACE', { ...make, workspace: null }, factsWith()],
    ['a wrapped call', 'WRAPPED', callOf('tool_call', { id: 'exec', args: { command: 'make' } }), factsWith()],
    ['typing into a program', 'UNREADABLE', callOf('process', { action: 'write', sessionId: 'x', data: 'make' }), factsWith()],
  ];
  for (const [what, code, call, facts, patch] of cases)
    test(`${what} (${code})`, () => {
      expect(refusalOf(call, facts, policyWith(patch ?? {}))).toBe(code);
    });

  test('a reason that the grant was not asked about', () => {
    const exact = pattern(make, 'exact');
    expect(isCovered(exact, make)).toBe(true);
    expect(isCovered(exact, make, INTERN)).toBe(false);
    expect(isCovered(pattern(make, 'exact', INTERN), make)).toBe(true);
    const labelled = factsWith({ run: { labels: ['code'] } });
    const test = shell('npm test && make');
    expect(isCovered(pattern(test, 'exact'), test)).toBe(true);
    expect(isCovered(pattern(test, 'exact'), test, labelled)).toBe(false);
  });
});

describe('an approval that a standing grant gave', () => {
  const approved = (call: ToolCall, releases: readonly ReasonCode[], more: Parameters<typeof factsWith>[0] = {}) =>
    judge(call, factsWith({ ...more, approval: { ...approvalOf(call), releases } }));

  test('releases the reasons that it answers, and no others', () => {
    expect(approved(shell('make'), ['SHELL_NOT_ALLOWLISTED'])).toMatchObject({ verdict: 'allow' });
    const other = approved(shell('make'), ['YELLOW_INTERN']);
    expect([other.verdict, codesOf(other)]).toEqual(['hold', ['SHELL_NOT_ALLOWLISTED', 'APPROVAL_INVALID']]);
  });

  test('never releases what a link turns out to lead elsewhere', () => {
    const call = callOf('write', { path: 'src/a.ts', content: 'x' });
    const links = { files: { symlinks: { '/workspace/src/a.ts': '/workspace/.ssh/id_rsa' } } };
    expect(approved(call, ['FS_WRITE_OUTSIDE']).verdict).toBe('allow');
    expect(approved(call, ['FS_WRITE_OUTSIDE', 'SECRETS', 'RED_ACTION'], links)).toMatchObject({ verdict: 'hold', risk: 'red' });
    const away = { files: { symlinks: { '/workspace/src/a.ts': '/srv/other/a.ts' } } };
    expect(approved(call, ['FS_WRITE_OUTSIDE'], away).verdict).toBe('hold');
    expect(refusalOf(call, factsWith(away))).toBe('LINK');
    const above = { files: { symlinks: { '/workspace': '/srv/workspace' } } };
    expect(approved(call, ['FS_WRITE_OUTSIDE'], above).verdict).toBe('allow');
    // A person who looked at this very call may.
    expect(judge(call, factsWith({ ...links, approval: approvalOf(call) })).verdict).toBe('allow');
  });
});
