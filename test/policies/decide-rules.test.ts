import { describe, expect, test } from 'vitest';
import { applyPatch, compilePolicy, type Facts, labelsOf, type Policy, type RunLabel, type ToolCall } from '../../policies/index.ts';
import { approvalOf, callOf, codesOf, DEFAULT_DOCUMENT, DEFAULT_POLICY, factsWith, fastest, judge, policyWith } from './scene.ts';

interface Rule {
  name?: string;
  when: string;
  effect: string;
  risk?: string;
  message?: string;
  overrides?: string;
}
const withRules = (...rules: Rule[]): Policy => policyWith({ rules });
const errorsOf = (...rules: unknown[]) => {
  const compiled = compilePolicy(applyPatch(DEFAULT_DOCUMENT, { rules }));
  return 'errors' in compiled ? compiled.errors : [];
};
const make = callOf('exec', { command: 'make all' });
const engineering = factsWith({ task: { id: 't', type: 'engineering', status: 'in_progress', assigneeIds: ['agent-1'] } });

describe('custom rules', () => {
  test.each<[string, string, boolean]>([
    ['by tool', 'call.tool == "exec"', true],
    ['by the plan’s name', 'call.mappedTool == "shell_exec"', true],
    ['by another tool', 'call.tool == "read"', false],
    ['by one of several', 'call.tool in ["read", "exec"]', true],
    ['by argument', 'call.arguments.command.startsWith("make ")', true],
    ['by an argument that may be absent', 'has(call.arguments.path) && call.arguments.path == "x"', false],
    ['by program', 'call.programs.exists(p, p == "make")', true],
    ['by agent', 'agent.autonomy == "specialist" && agent.depth == 0', true],
    ['by task', 'task.type == "engineering" && "agent-1" in task.assigneeIds', true],
    ['by spend', 'run.spendUsd + run.estimateUsd > 0.1', false],
    ['by glob', 'glob("mak? *", call.arguments.command)', true],
    ['by negation', '!(call.tool == "read") || task.type == ""', true],
    ['by risk', 'call.risk == "yellow"', true],
    ['by anything', 'true', true],
  ])('%s: %s', (_name, when, applies) => {
    const decision = judge(make, engineering, withRules({ when, effect: 'deny', message: 'Not today.' }));
    expect(decision.verdict).toBe(applies ? 'deny' : 'hold');
    if (applies) expect(decision.reasons).toContainEqual({ code: 'RULE', message: 'Not today.', policyPath: 'rules.0' });
  });

  describe('an allow does not lift what nobody has read', () => {
    const policy = withRules({ when: 'call.tool == "exec" && call.programs.exists(p, p == "make")', effect: 'allow' });
    const verdictOf = (command: string) => judge(callOf('exec', { command }), factsWith(), policy).verdict;
    const many = (count: number) => Array.from({ length: count }, (_, nth) => `make t${nth}`).join('; ');

    test('a command that stands behind more of them than are read, or than are told of', () => {
      expect(verdictOf(many(150))).toBe('allow');
      for (const count of [62, 150, 200, 400]) {
        expect(verdictOf(`${many(count)}; rm -rf /`)).toBe(count < 200 ? 'deny' : 'hold');
        expect(verdictOf(`${many(count)}; shutdown now`)).toBe('hold');
      }
    });

    test('a line that is too long, has too many words, or hides one command in another too deeply', () => {
      const behind = `${'env '.repeat(30)}rm -rf /`;
      const inside = `${'sh -c "$(echo '.repeat(20)}rm -rf /${')"'.repeat(20)}`;
      const deep = `${'( '.repeat(40)}rm -rf /${' )'.repeat(40)}`;
      for (const line of [`make ${'x'.repeat(40_000)}; rm -rf /`, `make ${'x '.repeat(3_000)}; rm -rf /`, behind, inside, deep]) {
        expect(['hold', 'deny']).toContain(verdictOf(`make; ${line}`));
      }
    });
  });

  test('hold adds to the other reasons, and an approval releases it', () => {
    const policy = withRules({ when: 'call.tool == "read_db"', effect: 'hold' });
    const call = callOf('read_db', { query: 'x' });
    expect(codesOf(judge(call, factsWith(), policy))).toEqual(['RULE']);
    expect(codesOf(judge(call, factsWith({ approval: approvalOf(call) }), policy))).toEqual(['APPROVED', 'RULE']);
  });

  test('a denial is not released by an approval', () => {
    const call = callOf('read_db', { query: 'x' });
    const policy = withRules({ when: 'true', effect: 'deny' });
    expect(judge(call, factsWith({ approval: approvalOf(call) }), policy).verdict).toBe('deny');
  });

  test('risk raises and never lowers', () => {
    const raised = judge(callOf('read_db'), factsWith(), withRules({ when: 'true', effect: 'risk', risk: 'red' }));
    expect(raised).toMatchObject({ verdict: 'hold', risk: 'red', classification: { risk: 'red' } });
    const lowered = judge(callOf('send_email'), factsWith(), withRules({ when: 'true', effect: 'risk', risk: 'green' }));
    expect(lowered).toMatchObject({ verdict: 'hold', risk: 'red' });
  });

  describe('allow', () => {
    const allow = withRules({ when: 'task.type == "engineering"', effect: 'allow', message: 'Engineers may.' });
    const override = withRules({ when: 'task.type == "engineering"', effect: 'allow', overrides: 'red' });

    test('lifts a miss of the shell and file lists', () => {
      expect(judge(make, engineering, allow)).toMatchObject({ verdict: 'allow', reasons: [{ code: 'RULE', message: 'Engineers may.' }] });
      expect(judge(callOf('write_file', { path: 'src/a' }), engineering, allow).verdict).toBe('allow');
      expect(judge(callOf('read_file', { path: '/usr/include/a.h' }), engineering, allow).verdict).toBe('allow');
      expect(judge(make, factsWith(), allow).verdict).toBe('hold');
    });

    test.each([
      ['a network miss', callOf('web_fetch', { url: 'https://new.example/' })],
      ['a red tool', callOf('send_email', {})],
      ['an unknown tool', callOf('frobnicate', {})],
      ['a secret file', callOf('read_file', { path: '.env' })],
    ])('does not lift %s, unless it overrides red', (_name, call) => {
      expect(judge(call, engineering, allow).verdict).toBe('hold');
      expect(judge(call, engineering, override).verdict).toBe('allow');
    });

    test.each([
      ['a blocked command', callOf('exec', { command: 'sudo ls' }), 'deny'],
      ['a private address', callOf('web_fetch', { url: 'http://10.0.0.1/' }), 'deny'],
      ['a tool of the gate', callOf('gateway', {}), 'hold'],
      ['the configuration', callOf('write_file', { path: 'config/a' }), 'hold'],
    ] as const)('never lifts %s', (_name, call, verdict) => {
      expect(judge(call, engineering, override).verdict).toBe(verdict);
    });

    test('never lifts a stop, a status, a loop, a cap, or the question an intern has to ask', () => {
      const facts = { ...engineering, approval: null };
      expect(judge(make, { ...facts, system: { ...facts.system, estop: true } }, override).verdict).toBe('deny');
      expect(judge(make, { ...facts, agent: { ...facts.agent, status: 'paused' } }, override).verdict).toBe('deny');
      expect(judge(make, { ...facts, history: { ...facts.history, reviewCycles: 9 } }, override).verdict).toBe('deny');
      expect(judge(make, { ...facts, estimatedCost: 9_000_000 }, override).verdict).toBe('hold');
      const intern = { ...facts, agent: { ...facts.agent, autonomy: 'intern' as const } };
      expect(codesOf(judge(make, intern, allow))).toEqual(['YELLOW_INTERN']);
      expect(codesOf(judge(callOf('send_email'), intern, override))).toEqual(['YELLOW_INTERN']);
    });

    test('is the only effect that lifts', () => {
      for (const rule of [{ effect: 'hold' }, { effect: 'deny' }, { effect: 'risk', risk: 'yellow' }])
        expect(codesOf(judge(make, engineering, withRules({ when: 'true', ...rule })))).toContain('SHELL_NOT_ALLOWLISTED');
    });

    test('loses against a rule that holds or denies', () => {
      const rules: Rule[] = [
        { when: 'call.tool == "exec"', effect: 'allow' },
        { when: 'call.mappedTool == "shell_exec"', effect: 'hold' },
      ];
      expect(judge(make, engineering, withRules(...rules)).verdict).toBe('hold');
      expect(judge(make, engineering, withRules(...rules.toReversed())).verdict).toBe('hold');
    });
  });

  test('a rule that fails refuses the call and says why', () => {
    const decision = judge(make, engineering, withRules({ when: 'call.tool == "exec" && call.arguments.path == "x"', effect: 'allow' }));
    expect(decision.verdict).toBe('deny');
    expect(decision.reasons.find(({ code }) => code === 'RULE')?.message).toContain('No such key');
    // For other tools the rule does not come to that.
    expect(
      judge(callOf('read_db'), engineering, withRules({ when: 'call.tool == "exec" && call.arguments.path == "x"', effect: 'deny' }))
        .verdict,
    ).toBe('allow');
  });

  test('names of prototypes are no arguments', () => {
    for (const key of ['constructor', 'toString', '__proto__', 'hasOwnProperty'])
      expect(judge(callOf('read_db'), factsWith(), withRules({ when: `"${key}" in call.arguments`, effect: 'deny' })).verdict).toBe(
        'allow',
      );
  });

  test('comprehensions walk what is bounded, and refuse what is not', () => {
    const one = withRules({ when: 'call.arguments.ids.exists(i, i == "x")', effect: 'deny' });
    const two = withRules({ when: 'call.arguments.ids.exists(i, call.arguments.ids.exists(j, i != j && i == "x"))', effect: 'deny' });
    const ids = (n: number) => callOf('read_db', { ids: Array.from({ length: n }, (_, i) => `id-${i}`) });
    expect(judge(ids(10_000), factsWith(), one).verdict).toBe('allow');
    expect(judge(ids(10_001), factsWith(), one).reasons[0]?.message).toContain('too large');
    expect(judge(ids(100), factsWith(), two).verdict).toBe('allow');
    expect(judge(ids(101), factsWith(), two).verdict).toBe('deny');
  });

  test('rules that name a tool, its plan’s name or none apply in the order of the document', () => {
    const policy = withRules(
      { when: 'task.type == "engineering"', effect: 'hold', message: 'first' },
      { when: 'call.mappedTool == "shell_exec"', effect: 'hold', message: 'second' },
      { when: 'call.tool in ["exec", "read"] && agent.depth == 0', effect: 'hold', message: 'third' },
      { when: 'call.tool == "exec" && agent.depth == 1', effect: 'hold', message: 'never' },
      { when: 'call.tool == "exec" || call.tool == "read"', effect: 'hold', message: 'fourth' },
    );
    const messages = judge(make, engineering, policy).reasons.filter(({ code }) => code === 'RULE');
    expect(messages.map(({ message }) => message)).toEqual(['first', 'second', 'third', 'fourth']);
  });

  test('200 rules for other tools take little time', () => {
    const rules = Array.from({ length: 200 }, (_, i) => ({ when: `call.tool == "tool_${i}" && call.arguments.a == ${i}`, effect: 'deny' }));
    const policy = withRules(...rules);
    const call = callOf('exec', { command: 'git status --short' });
    const thousand = (rules: Policy) => () => {
      for (let i = 0; i < 1_000; i++) judge(call, engineering, rules);
    };
    // 25 µs a call is the promise; here, that they cost less than the reading of the command does. In turns, so that both meet the same machine.
    const [many, none] = [thousand(policy), thousand(DEFAULT_POLICY)];
    const turns = Array.from({ length: 20 }, () => [fastest(many, 1), fastest(none, 1)] as const);
    const best = (which: 0 | 1) => Math.min(...turns.map((turn) => turn[which]));
    expect(best(0)).toBeLessThan(2 * best(1));
  });

  test.each([
    ['a syntax error', { when: 'call.tool ==', effect: 'deny' }, 'rules.0.when', /./],
    ['an unknown field', { when: 'call.tol == "x"', effect: 'deny' }, 'rules.0.when', /No such key: tol/],
    ['an unknown variable', { when: 'user.name == "x"', effect: 'deny' }, 'rules.0.when', /Unknown variable/],
    ['something that is not true or false', { when: 'size(call.tool)', effect: 'deny' }, 'rules.0.when', /true or false/],
    ['an argument of unknown type as the whole rule', { when: 'call.arguments.flag', effect: 'deny' }, 'rules.0.when', /true or false/],
    ['types that do not fit', { when: 'call.tool > 1', effect: 'deny' }, 'rules.0.when', /overload/],
    ['regular expressions', { when: 'call.tool.matches("(a+)+$")', effect: 'deny' }, 'rules.0.when', /matches\(\)/],
    ['growth', { when: 'cel.bind(x, "a", x == "a")', effect: 'deny' }, 'rules.0.when', /bind\(\)/],
    [
      'three loops in each other',
      { when: 'call.hosts.all(a, call.hosts.all(b, call.hosts.all(c, a == b && b == c)))', effect: 'deny' },
      'rules.0.when',
      /nests more than 2/,
    ],
    ['what is never true', { when: '1 == 2', effect: 'deny' }, 'rules.0.when', /never true/],
    ['a text too long', { when: `call.tool == "${'a'.repeat(2_000)}"`, effect: 'deny' }, 'rules.0.when', /longer than/],
    ['too deep', { when: `${'('.repeat(100)}true${')'.repeat(100)}`, effect: 'deny' }, 'rules.0.when', /./],
    ['risk without a risk', { when: 'true', effect: 'risk' }, 'rules.0.risk', /needs it/],
    ['a risk without the effect', { when: 'true', effect: 'deny', risk: 'red' }, 'rules.0.risk', /goes with/],
    ['an override that denies', { when: 'true', effect: 'deny', overrides: 'red' }, 'rules.0.overrides', /allow/],
    ['an unknown effect', { when: 'true', effect: 'permit' }, 'rules.0.effect', /allow/],
    ['an unknown key', { when: 'true', effect: 'deny', unless: 'x' }, 'rules.0.unless', /unknown key/],
    ['no expression', { effect: 'deny' }, 'rules.0.when', /./],
  ])('%s is refused when the policy is compiled', (_name, rule, path, message) => {
    const error = errorsOf(rule).find((candidate) => candidate.path === path);
    expect(error?.message).toMatch(message);
  });

  test('rules that can never be reached are refused', () => {
    expect(errorsOf({ when: 'true', effect: 'deny' }, { when: 'call.tool == "x"', effect: 'hold' })[0]).toMatchObject({
      path: 'rules.1.when',
      message: expect.stringContaining('never be reached'),
    });
    expect(errorsOf({ when: 'call.tool == "x"', effect: 'hold' }, { when: ' call.tool == "x" ', effect: 'hold' })[0]).toMatchObject({
      path: 'rules.1.when',
      message: expect.stringContaining('same as rule 0'),
    });
    expect(errorsOf({ when: 'call.tool == "x"', effect: 'hold' }, { when: 'call.tool == "x"', effect: 'deny' })).toEqual([]);
  });

  test.each<[string, string, boolean]>([
    ['src/*', 'src/a.ts', true],
    ['src/*', 'src/a/b.ts', false],
    ['src/**', 'src/a/b.ts', true],
    ['*.ts', 'a.ts', true],
    ['*.ts', 'src/a.ts', false],
    ['**.ts', 'src/a.ts', true],
    ['a?c', 'abc', true],
    ['a?c', 'a/c', false],
    ['', '', true],
    ['*', '', true],
    ['a.c', 'abc', false],
    ['[a]', 'a', false],
    ['**a**b**', 'xxaxxbxx', true],
    ['**a**b**', 'xxbxxaxx', false],
  ])('glob(%j, %j) is %s', (pattern, text, expected) => {
    const policy = withRules({ when: `glob(${JSON.stringify(pattern)}, call.arguments.x)`, effect: 'deny' });
    expect(judge(callOf('read_db', { x: text }), factsWith(), policy).verdict).toBe(expected ? 'deny' : 'allow');
  });

  test('glob takes no time that grows without bound', () => {
    const policy = withRules({ when: `glob("${'*a'.repeat(90)}", call.arguments.x)`, effect: 'deny' });
    const call = callOf('read_db', { x: 'a'.repeat(4_096) });
    expect(judge(call, factsWith(), policy).verdict).toBe('deny');
    expect(fastest(() => judge(call, factsWith(), policy))).toBeLessThan(150);
    expect(judge(callOf('read_db', { x: 'a'.repeat(4_097) }), factsWith(), policy).reasons[0]?.message).toContain('glob()');
  });
});

describe('all rules together', () => {
  const many = (count: number, when: (i: number) => string) =>
    policyWith({ rules: Array.from({ length: count }, (_, i) => ({ name: `r${i}`, when: when(i), effect: 'hold' })) });

  test('compare as much text as there is time for, and deny what is beyond', () => {
    const policy = many(200, (i) => `glob("/a/**/b/**/c/**d${i}**", call.arguments.x)`);
    const short = callOf('read_db', { x: '/a/x/b/y/c/z' });
    expect(judge(short, factsWith(), policy).verdict).toBe('allow');
    const long = callOf('read_db', { x: '/a/b/c'.repeat(600) });
    expect(judge(long, factsWith(), policy)).toMatchObject({ verdict: 'deny' });
    expect(judge(long, factsWith(), policy).reasons[0]?.message).toContain('more text than there is time for');
    expect(judge(short, factsWith(), policy).verdict).toBe('allow');
    expect(fastest(() => judge(long, factsWith(), policy))).toBeLessThan(100);
  });

  test('walk as many items as there is time for, and deny what is beyond', () => {
    const policy = many(100, (i) => `call.arguments.list.exists(x, x == "z${i}")`);
    const call = (count: number) => callOf('read_db', { list: Array.from({ length: count }, (_, i) => `a${i}`) });
    expect(judge(call(1_000), factsWith(), policy).verdict).toBe('allow');
    expect(judge(call(9_000), factsWith(), policy)).toMatchObject({ verdict: 'deny' });
    expect(fastest(() => judge(call(9_000), factsWith(), policy))).toBeLessThan(100);
  });

  test('walk over what was read in a command within the same bounds', () => {
    const policy = many(1, () => 'call.paths.all(p, call.paths.exists(q, p == q))');
    const call = (count: number) => callOf('exec', { command: `cat ${Array.from({ length: count }, (_, i) => `docs/${i}`).join(' ')}` });
    expect(judge(call(50), factsWith(), policy).verdict).toBe('hold');
    expect(judge(call(400), factsWith(), policy)).toMatchObject({ verdict: 'deny' });
  });
});

describe('sequence rules', () => {
  const policy = DEFAULT_POLICY;
  const decided = (call: ToolCall, facts: Facts) => judge(call, facts, policy);
  const after = (...labels: RunLabel[]) => factsWith({ run: { labels } });
  const labels = (tool: string, args = {}) => {
    const call = callOf(tool, args);
    return labelsOf(call, decided(call, factsWith()).classification, policy);
  };

  test.each([
    ['web_fetch', { url: 'https://github.com/x' }, ['untrusted']],
    ['web_search', { query: 'x' }, ['untrusted']],
    ['w__get', {}, ['untrusted']],
    ['read_db', { query: 'x' }, ['private']],
    ['access_secrets', {}, ['private']],
    ['read_file', { path: '.env' }, ['private']],
    ['read_file', { path: 'docs/a.md' }, []],
    ['write_file', { path: 'output/conftest.py' }, ['code']],
    ['write_file', { path: 'output/deep/test_x.py' }, ['code']],
    ['write_file', { path: 'src/a.test.ts' }, ['code']],
    ['write_file', { path: 'scripts/run' }, ['code']],
    ['write_file', { path: 'output/scripts.md' }, []],
    ['write_file', { path: 'package.json' }, ['code']],
    ['apply_patch', { input: '*** Begin Patch\n*** Add File: docs/vite.config.ts\n+x\n*** End Patch' }, ['code']],
    ['post_comment', { text: 'x' }, []],
  ])('%s %j adds %j', (tool, args, expected) => {
    expect(labels(tool, args)).toEqual(expected);
  });

  const outside = [
    callOf('web_fetch', { url: 'https://github.com/x' }),
    callOf('web_search', { query: 'x' }),
    callOf('git_push', { remote: 'origin', branch: 'fix' }),
    callOf('install_deps', { packages: ['zod'] }),
  ];
  test('what would send outside is held once both labels stand, and not before', () => {
    for (const call of outside) {
      expect(decided(call, after()).verdict).toBe('allow');
      expect(decided(call, after('untrusted')).verdict).toBe('allow');
      expect(decided(call, after('private')).verdict).toBe('allow');
      expect(decided(call, after('untrusted', 'private'))).toMatchObject({ verdict: 'hold', reasons: [{ code: 'SEQUENCE' }] });
    }
  });

  test('what stays inside goes on', () => {
    for (const call of [
      callOf('read_file', { path: 'a' }),
      callOf('write_file', { path: 'output/a' }),
      callOf('post_comment', { text: 'x' }),
      callOf('exec', { command: 'git status' }),
    ])
      expect(decided(call, after('untrusted', 'private')).verdict).toBe('allow');
  });

  test('a run that wrote code does not start its runner by itself', () => {
    for (const command of ['npm test', 'pytest', 'node scripts/build.js', 'git status && npm run lint']) {
      expect(decided(callOf('exec', { command }), after()).verdict).toBe('allow');
      expect(codesOf(decided(callOf('exec', { command }), after('code')))).toContain('SEQUENCE');
    }
    expect(decided(callOf('exec', { command: 'git diff' }), after('code')).verdict).toBe('allow');
  });

  test('an approval releases the sequence for one call', () => {
    const call = callOf('exec', { command: 'npm test' });
    expect(codesOf(decided(call, { ...after('code'), approval: approvalOf(call) }))).toEqual(['APPROVED', 'SEQUENCE']);
  });

  test('a run that is started by another one begins without labels, so starting it counts as sending', () => {
    const call = callOf('sessions_spawn', { task: 'x' });
    expect(decided(call, after('private')).verdict).toBe('allow');
    expect(codesOf(decided(call, after('untrusted', 'private')))).toEqual(['SEQUENCE']);
  });

  test('a policy without lists has no sequence rules', () => {
    const without = policyWith({ sequence: null });
    for (const call of outside) expect(judge(call, after('untrusted', 'private', 'code'), without).verdict).toBe('allow');
  });

  test('model calls are left alone', () => {
    const strict = policyWith({ sequence: { outside: ['*'] } });
    expect(judge(callOf('read_db'), after('untrusted', 'private'), strict).verdict).toBe('hold');
    expect(judge(callOf('model_call'), { ...after('untrusted', 'private', 'code'), estimatedCost: 1 }, strict).verdict).toBe('allow');
  });
});
