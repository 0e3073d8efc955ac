import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { applyPatch, compilePolicy, LIMITS, type PolicyError, parsePolicyText, TASK_TYPES } from '../../policies/index.ts';
import { callOf, codesOf, DEFAULT_DOCUMENT, DEFAULT_POLICY, DEFAULT_TEXT, factsWith, judge, policyWith } from './scene.ts';

function errorsOf(patch: unknown): readonly PolicyError[] {
  const compiled = compilePolicy(applyPatch(DEFAULT_DOCUMENT, patch));
  return 'errors' in compiled ? compiled.errors : [];
}

/** The shipped text with one edit, and what is wrong with it then. */
function errorsAfter(from: string, to: string): readonly PolicyError[] {
  const text = DEFAULT_TEXT.replace(from, to);
  expect(text).not.toBe(DEFAULT_TEXT);
  const parsed = parsePolicyText(text);
  if ('errors' in parsed) return parsed.errors;
  const compiled = compilePolicy(parsed.document, text);
  return 'errors' in compiled ? compiled.errors : [];
}

function lineOf(text: string, needle: string): number {
  return text.slice(0, text.indexOf(needle)).split('\n').length;
}

describe('the shipped policy', () => {
  test('compiles, and carries the figures of the plan', () => {
    expect(DEFAULT_POLICY.document.spawnLimits).toEqual({ maxActive: 30, maxPerParent: 3, maxDepth: 2, ttl: 6 * 3_600_000 });
    expect(DEFAULT_POLICY.document.loopDetection).toEqual({
      commentRateThreshold: 20,
      commentWindowMs: 1_800_000,
      reviewCycleLimit: 3,
      retryLimit: 3,
      pairExchangeLimit: 8,
      pairWindowMs: 600_000,
      retryWindowMs: 600_000,
    });
    const tasks = { content: 6, seo_research: 4, customer_research: 5, social: 2, email_marketing: 4, engineering: 8, docs: 3, ops: 3 };
    for (const type of TASK_TYPES) expect(DEFAULT_POLICY.capsFor('lead', type).task).toBe(tasks[type] * 1_000_000);
    expect(DEFAULT_POLICY.capsFor('intern', null)).toEqual({ run: 250_000, task: null, agentDay: 2_000_000, fleetDay: null });
  });

  test('has the numbers ready that others need', () => {
    expect(DEFAULT_POLICY).toMatchObject({
      holdInlineMs: 240_000,
      approvalTtlMs: 86_400_000,
      grantTtlMs: 900_000,
      snapshotMaxAgeMs: 30_000,
      maxConcurrentPerAgent: 256,
    });
    expect(DEFAULT_POLICY.priceOf('web_search')).toBeNull();
    expect(DEFAULT_POLICY.rateOf('web_search')).toBeNull();
  });

  test('is frozen through and through', () => {
    const isFrozen = (value: unknown): boolean =>
      typeof value !== 'object' || value === null || (Object.isFrozen(value) && Object.values(value).every(isFrozen));
    expect(isFrozen(DEFAULT_POLICY.document)).toBe(true);
    expect(Object.isFrozen(DEFAULT_POLICY)).toBe(true);
  });

  test('compiling does not change the document that was given', () => {
    const document = structuredClone(DEFAULT_DOCUMENT);
    compilePolicy(document);
    expect(document).toEqual(DEFAULT_DOCUMENT);
    expect(Object.isFrozen(document)).toBe(false);
  });

  test('sections that may be left out get their defaults', () => {
    const { autonomyRules, riskMap, allowlists, budgets, spawnLimits, loopDetection } = DEFAULT_DOCUMENT as Record<string, unknown>;
    const compiled = compilePolicy({ autonomyRules, riskMap, allowlists, budgets, spawnLimits, loopDetection });
    if ('errors' in compiled) throw new Error(JSON.stringify(compiled.errors));
    // Left out, a section is empty: which tools send and which files are code is for a document to say.
    expect(compiled.policy.document).toEqual(policyWith({ sequence: null }).document);
  });
});

describe('a document with a mistake', () => {
  test.each([
    ['an unknown key', '\nspawnLimits:', '\nspawnLimit: 3\nspawnLimits:', 'spawnLimit:', /unknown key spawnLimit/],
    ['an unknown nested key', '  maxDepth: 2', '  maxDepth: 2\n  maxDeph: 3', 'maxDeph', /unknown key maxDeph/],
    ['an unknown risk', 'read_db: green', 'read_db: blue', 'read_db: blue', /green.*yellow.*red/],
    ['a negative budget', 'intern: 0.25', 'intern: -0.25', 'intern: -0.25', /amount in USD/],
    ['seven decimals', 'intern: 0.25', 'intern: 0.2500001', 'intern: 0.2500001', /six decimals/],
    [
      'red that runs by itself',
      'red: hold, spawn: true }\n  lead',
      'red: allow, spawn: true }\n  lead',
      'red: allow',
      /never allowed without a person/,
    ],
    ['a hold longer than OpenClaw waits', 'inlineMs: 240000', 'inlineMs: 400000', 'inlineMs: 400000', /300000/],
    ['a snapshot that never grows old', 'snapshotMaxAgeMs: 30000', 'snapshotMaxAgeMs: 99999999', 'snapshotMaxAgeMs', /120000/],
    ['a journal that may fail', 'journal: refuse', 'journal: allow', 'journal: allow', /nothing runs unrecorded/],
    ['a rule that does not parse', 'rules: []', 'rules:\n  - when: "call.tool =="\n    effect: deny', 'when:', /./],
    ['an unknown part of the sequence', '\nsequence:\n', '\nsequence:\n  distrusted: []\n', 'distrusted:', /unknown key/],
    ['an unknown time zone', 'timezone: UTC', 'timezone: Mars', 'timezone: Mars', /IANA/],
    ['an unknown class', 'tools: {}', 'tools: { x: { class: shell } }', 'class: shell', /shell_exec/],
  ])('%s: refused at its line', (_name, from, to, needle, message) => {
    const [error] = errorsAfter(from, to);
    const text = DEFAULT_TEXT.replace(from, to);
    expect(error?.message).toMatch(message);
    expect(error?.line).toBe(lineOf(text, needle));
    const line = text.split('\n')[(error?.line ?? 0) - 1] ?? '';
    expect(line.slice((error?.column ?? 0) - 1)).toMatch(new RegExp(`^${needle.split(':')[0]}`));
  });

  test('an unknown key is located at the key itself', () => {
    const [error] = errorsAfter('  maxDepth: 2', '  maxDepth: 2\n  maxDeph: 3');
    expect(error).toMatchObject({ path: 'spawnLimits.maxDeph', column: 3 });
  });

  test('an entry of a list is located at the entry', () => {
    const text = DEFAULT_TEXT.replace('    - output/**', '    - output/**\n      - ../up/**');
    const parsed = parsePolicyText(DEFAULT_TEXT.replace('      - output/**', '      - output/**\n      - ../up/**'));
    if ('errors' in parsed) throw new Error('does not parse');
    const compiled = compilePolicy(parsed.document, DEFAULT_TEXT.replace('      - output/**', '      - output/**\n      - ../up/**'));
    if ('policy' in compiled) throw new Error('was accepted');
    expect(compiled.errors[0]).toMatchObject({ path: 'allowlists.filesystem.write.1', line: lineOf(text, '- ../up/**') });
  });

  test.each([
    ['a section of the plan removed', { budgets: null }, 'budgets'],
    ['riskMap and tools that disagree', { tools: { read_db: { risk: 'red' } } }, 'riskMap.read_db'],
    ['a gate tool below red', { riskMap: { gateway: 'green' } }, 'riskMap.gateway'],
    ['a gate tool with a class', { tools: { plugins: { class: 'read_file' } } }, 'tools.plugins'],
    ['every unknown tool made green', { riskMap: { '*': 'green' } }, 'riskMap.*'],
    ['every tool given a class', { tools: { '**': { class: 'read_db' } } }, 'tools.**'],
    ['an entry for a wrapper', { riskMap: { tool_call: 'green' } }, 'riskMap.tool_call'],
    ['a tool name with a space', { riskMap: { 'read db': 'green' } }, 'riskMap.read db'],
    ['an upstream name in capitals', { upstreams: { GitHub: { trusted: true } } }, 'upstreams.GitHub'],
    ['a writable folder that is blocked', { allowlists: { filesystem: { write: ['config/**'] } } }, 'allowlists.filesystem.write.0'],
    ['a host with a path', { allowlists: { network: ['example.com/x'] } }, 'allowlists.network.0'],
    [
      'a bad pattern for one task type',
      { allowlists: { filesystem: { byTaskType: { docs: { write: ['../x'] } } } } },
      'allowlists.filesystem.byTaskType.docs.write.0',
    ],
  ])('%s', (_name, patch, path) => {
    expect(errorsOf(patch).map((error) => error.path)).toContain(path);
  });

  test('several mistakes are reported together', () => {
    expect(errorsOf({ budgets: { perRun: { intern: -1, lead: 'x' } }, holds: { inlineMs: 1e9 } }).length).toBe(3);
  });

  test.each([undefined, null, 1, 'x', [], [[]], {}, { riskMap: {} }, JSON.parse('{"__proto__":{"a":1}}')])(
    '%j is no policy',
    (document) => {
      const compiled = compilePolicy(document);
      expect('errors' in compiled && compiled.errors.length).toBeGreaterThan(0);
    },
  );

  test('a __proto__ in a map is refused, not followed', () => {
    const document = { ...(DEFAULT_DOCUMENT as object), riskMap: JSON.parse('{"read_db":"green","__proto__":{"evil":"green"}}') };
    const compiled = compilePolicy(document);
    expect('errors' in compiled || codesOf(judge(callOf('evil'), factsWith(), compiled.policy)).includes('UNKNOWN_TOOL')).toBe(true);
  });

  test('anything at all is answered, never thrown', () => {
    fc.assert(
      fc.property(fc.anything({ withDate: true, withMap: true, withSet: true, withBigInt: true }), (value) => {
        expect('errors' in compilePolicy(value)).toBe(true);
        expect('errors' in compilePolicy(applyPatch(DEFAULT_DOCUMENT, { rules: [value] }))).toBe(true);
      }),
    );
  });
});

describe('the text of a policy', () => {
  test.each([
    ['a key said twice', 'a: 1\na: 2\n', 2],
    ['a broken flow', 'a: [1, 2\nb: 3\n', 2],
    ['a tab as indentation', 'a:\n\tb: 1\n', 2],
  ])('%s', (_name, text, line) => {
    const parsed = parsePolicyText(text);
    if ('document' in parsed) throw new Error('was accepted');
    expect(parsed.errors[0]?.line).toBeGreaterThanOrEqual(line - 1);
    expect(parsed.errors[0]?.column).toBeGreaterThan(0);
  });

  test('aliases are refused: a policy says each thing where it stands', () => {
    expect(parsePolicyText('a: &x [1]\nb: *x\n')).toHaveProperty('errors');
  });

  test('a text too long is refused before it is read', () => {
    expect(parsePolicyText(' '.repeat(LIMITS.textLength + 1))).toHaveProperty('errors');
  });

  test('any text is answered, never thrown', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        const parsed = parsePolicyText(text);
        if ('document' in parsed) compilePolicy(parsed.document, text);
      }),
    );
  });
});

describe('applyPatch', () => {
  // The examples of RFC 7396, appendix A.
  test.each([
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ a: 'foo' }, null, null],
    [{ a: 'foo' }, 'bar', 'bar'],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])('%j with %j is %j', (document, patch, result) => {
    expect(applyPatch(document, patch)).toEqual(result);
  });

  test('changes neither argument, and no prototype', () => {
    const patch = JSON.parse('{"__proto__":{"polluted":true},"a":{"b":2}}');
    const document = Object.freeze({ a: Object.freeze({ b: 1 }) });
    const merged = applyPatch(document, patch) as Record<string, unknown>;
    expect(merged.a).toEqual({ b: 2 });
    expect(document).toEqual({ a: { b: 1 } });
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    expect(Object.getPrototypeOf(merged)).toBe(Object.prototype);
  });
});

describe('overlays', () => {
  test('the agent’s lists win over those of the task type, which win over the common ones', () => {
    const policy = policyWith({
      allowlists: { filesystem: { byTaskType: { engineering: { write: ['src/**'] } }, byAgent: { 'agent-1': { write: ['lib/**'] } } } },
    });
    const task = { id: 't', type: 'engineering' as const, status: 'in_progress' as const, assigneeIds: [] };
    const write = (path: string, agentId: string) =>
      judge(callOf('write_file', { path }), factsWith({ task, agent: { id: agentId } }), policy).verdict;
    expect([write('src/a', 'agent-2'), write('lib/a', 'agent-2')]).toEqual(['allow', 'hold']);
    expect([write('src/a', 'agent-1'), write('lib/a', 'agent-1')]).toEqual(['hold', 'allow']);
  });

  test('an overlay cannot write where it is blocked', () => {
    const policy = policyWith({ allowlists: { filesystem: { byTaskType: { ops: { write: ['**'] } } } } });
    const task = { id: 't', type: 'ops' as const, status: 'in_progress' as const, assigneeIds: [] };
    expect(judge(callOf('write_file', { path: 'config/a' }), factsWith({ task }), policy).verdict).toBe('hold');
    expect(judge(callOf('write_file', { path: 'src/a' }), factsWith({ task }), policy).verdict).toBe('allow');
  });
});

describe('prices', () => {
  const policy = policyWith({
    tools: { web_search: { priceUsd: 0.01 }, shell_exec: { priceUsd: 0.000001 }, 'gh__*': { priceUsd: 0.5 }, gh__list: { priceUsd: 0 } },
    upstreams: { gh: { priceUsd: 3 }, db: { priceUsd: 0.25 } },
  });
  test.each([
    ['web_search', 10_000],
    ['exec', 1],
    ['gh__create', 500_000],
    ['gh__list', 0],
    ['db__query', 250_000],
    ['read_db', null],
    ['__proto__', null],
  ])('%s costs %s', (tool, micros) => {
    expect(policy.priceOf(tool)).toBe(micros);
  });
});
