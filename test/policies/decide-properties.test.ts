import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  AGENT_STATUSES,
  compilePolicy,
  type Decision,
  decide,
  type Facts,
  type Json,
  type JsonObject,
  type Policy,
  RISKS,
  VERDICTS,
} from '../../policies/index.ts';
import { calls, facts } from './arbitrary-calls.ts';
import { approvalOf, callOf, codesOf, DEFAULT_DOCUMENT, DEFAULT_POLICY, factsWith, policyWith } from './scene.ts';

// ---- what makes a judgement stricter --------------------------------------------------------------------------------------------------

const stricterFacts: readonly [string, (facts: Facts) => Facts][] = [
  ['emergency stop', (f) => ({ ...f, system: { ...f.system, estop: true } })],
  ['squad pause', (f) => ({ ...f, system: { ...f.system, squadPaused: true } })],
  ...AGENT_STATUSES.filter((status) => status !== 'active').map((status): [string, (facts: Facts) => Facts] => [
    status,
    (f) => ({ ...f, agent: { ...f.agent, status: f.agent.status === 'active' ? status : f.agent.status } }),
  ]),
  ['less autonomy', (f) => ({ ...f, agent: { ...f.agent, autonomy: f.agent.autonomy === 'lead' ? 'specialist' : 'intern' } })],
  ['a lower ceiling', (f) => ({ ...f, agent: { ...f.agent, toolPermissions: [] } })],
  ['deeper', (f) => ({ ...f, agent: { ...f.agent, depth: f.agent.depth + 1 } })],
  ['more children', (f) => ({ ...f, agent: { ...f.agent, children: f.agent.children + 1 } })],
  ['more active agents', (f) => ({ ...f, system: { ...f.system, activeAgents: f.system.activeAgents + 29 } })],
  ['a blocked task', (f) => ({ ...f, task: f.task && { ...f.task, status: 'blocked' } })],
  ['more retries', (f) => ({ ...f, history: { ...f.history, sameErrorRetries: f.history.sameErrorRetries + 1 } })],
  ['more comments', (f) => ({ ...f, history: { ...f.history, commentsIn30Min: 21 } })],
  [
    'more spent',
    (f) => ({ ...f, spend: { run: f.spend.run + 500_000, task: f.spend.task, agentDay: f.spend.agentDay + 500_000, fleetDay: 0 } }),
  ],
  ['a dearer call', (f) => ({ ...f, estimatedCost: f.estimatedCost === null ? null : f.estimatedCost + 500_000 })],
  ['a lower cap', (f) => ({ ...f, caps: { ...f.caps, run: 0 } })],
  ['a changed tool', (f) => ({ ...f, mcp: f.mcp && { ...f.mcp, changed: true } })],
  ['less trust', (f) => ({ ...f, mcp: f.mcp && { ...f.mcp, trusted: false } })],
  ['a destructive hint', (f) => ({ ...f, mcp: f.mcp && { ...f.mcp, annotations: { ...f.mcp.annotations, destructiveHint: true } } })],
  ['a private address', (f) => ({ ...f, network: { ...f.network, dns: { 'github.com': ['10.0.0.1'] } } })],
  ['a redirect', (f) => ({ ...f, network: { ...f.network, redirects: ['https://evil.example/'] } })],
  ['more labels', (f) => ({ ...f, run: { labels: ['untrusted', 'private', 'code'] } })],
  ['more calls', (f) => ({ ...f, rates: { callsLastMinute: 0, concurrent: 300 } })],
];

const stricterPolicies: readonly [string, Policy][] = (
  [
    ['no shell list', { allowlists: { shell: [] } }],
    ['a shorter shell list', { allowlists: { shell: ['ls', 'git status'] } }],
    ['no network list', { allowlists: { network: [] } }],
    ['nothing writable', { allowlists: { filesystem: { write: [] } } }],
    ['less readable', { allowlists: { filesystem: { read: ['docs/**'] } } }],
    ['more blocked', { allowlists: { filesystem: { writeBlocked: ['config/**', 'output/a'] } } }],
    ['shell is red', { riskMap: { shell_exec: 'red' } }],
    ['reading is red', { riskMap: { read_file: 'red', read_db: 'red' } }],
    ['fewer tools known', { riskMap: { web_search: null, network_call: null } }],
    ['specialists are held', { autonomyRules: { specialist: { yellow: 'hold', spawn: false } } }],
    ['green is denied', { autonomyRules: { lead: { green: 'deny' } } }],
    ['no money', { budgets: { perRun: { intern: 0, specialist: 0, lead: 0 } } }],
    ['no children', { spawnLimits: { maxPerParent: 0 } }],
    ['no retries', { loopDetection: { retryLimit: 0 } }],
    ['prices', { tools: { read_db: { priceUsd: 1 }, shell_exec: { priceUsd: 1 } } }],
    ['rates', { rates: { callsPerMinute: { '*': 0 } } }],
    ['an untrusted upstream', { upstreams: { w: { trusted: false } } }],
    ['a red upstream', { upstreams: { w: { risk: 'red' } } }],
  ] as const
).map(([name, patch]) => [name, policyWith(patch)]);

const rank = (decision: Decision) => VERDICTS.indexOf(decision.verdict);
const isApprovedOrNot = fc.boolean();

describe('a restriction never lets more through', () => {
  for (const [name, restrict] of stricterFacts)
    test(`facts: ${name}`, () => {
      fc.assert(
        fc.property(calls, facts, isApprovedOrNot, (call, before, isApproved) => {
          const known = { ...before, approval: isApproved ? approvalOf(call) : null };
          const [loose, strict] = [decide(call, known, DEFAULT_POLICY), decide(call, restrict(known), DEFAULT_POLICY)];
          expect(rank(strict)).toBeGreaterThanOrEqual(rank(loose));
          expect(RISKS.indexOf(strict.risk)).toBeGreaterThanOrEqual(RISKS.indexOf(loose.risk));
        }),
      );
    });

  for (const [name, policy] of stricterPolicies)
    test(`policy: ${name}`, () => {
      fc.assert(
        fc.property(calls, facts, isApprovedOrNot, (call, before, isApproved) => {
          const known = { ...before, approval: isApproved ? approvalOf(call) : null };
          expect(rank(decide(call, known, policy))).toBeGreaterThanOrEqual(rank(decide(call, known, DEFAULT_POLICY)));
        }),
      );
    });
});

describe('order does not matter', () => {
  test('of the entries of a document', () => {
    const shuffledPolicies = fc.infiniteStream(fc.nat()).map((stream) => {
      const document = shuffle(DEFAULT_DOCUMENT as Json, () => stream.next().value ?? 0);
      const compiled = compilePolicy(document);
      if ('errors' in compiled) throw new Error(JSON.stringify(compiled.errors));
      return compiled.policy;
    });
    fc.assert(
      fc.property(shuffledPolicies, calls, facts, (policy, call, known) => {
        // A reason may name the position of an entry; everything else is the same.
        const gist = ({ verdict, risk, reasons, estimatedCost }: Decision) => ({
          verdict,
          risk,
          estimatedCost,
          codes: reasons.map(({ code }) => code),
        });
        expect(gist(decide(call, known, policy))).toEqual(gist(decide(call, known, DEFAULT_POLICY)));
      }),
    );
  });

  test('of globs that match the same tool', () => {
    const globs = { 'w__*': 'green', 'w__get*': 'red', '*__get': 'yellow' } as const;
    const known = factsWith({ mcp: { server: 'w', trusted: false, annotations: {}, changed: false } });
    const one = decide(callOf('w__get'), known, policyWith({ riskMap: globs }));
    const other = decide(callOf('w__get'), known, policyWith({ riskMap: Object.fromEntries(Object.entries(globs).reverse()) }));
    expect(other).toEqual(one);
    expect(one.risk).toBe('red');
  });
});

describe('an approval', () => {
  const hard: readonly (readonly [string, (facts: Facts) => Facts])[] = stricterFacts.slice(0, 6);
  test.each(hard)('never beats: %s', (_name, restrict) => {
    fc.assert(
      fc.property(calls, facts, (call, before) => {
        const decision = decide(call, restrict({ ...before, approval: approvalOf(call) }), DEFAULT_POLICY);
        expect(decision.verdict).toBe('deny');
        expect(codesOf(decision)).not.toContain('APPROVED');
      }),
    );
  });

  test('never turns a deny into anything else', () => {
    fc.assert(
      fc.property(calls, facts, (call, before) => {
        const without = decide(call, before, DEFAULT_POLICY);
        fc.pre(without.verdict === 'deny');
        expect(decide(call, { ...before, approval: approvalOf(call) }, DEFAULT_POLICY).verdict).toBe('deny');
      }),
    );
  });

  test('that fits a held call within its caps releases it, and says what it released', () => {
    fc.assert(
      fc.property(calls, facts, (call, before) => {
        const free = { ...before, spend: { run: 0, task: 0, agentDay: 0, fleetDay: 0 }, estimatedCost: 0 };
        const held = decide(call, free, DEFAULT_POLICY);
        fc.pre(held.verdict === 'hold');
        const released = decide(call, { ...free, approval: approvalOf(call) }, DEFAULT_POLICY);
        expect(released.verdict).toBe('allow');
        expect(codesOf(released)).toEqual(['APPROVED', ...codesOf(held)]);
      }),
    );
  });

  test('with any flaw releases nothing', () => {
    const flaws: fc.Arbitrary<Partial<NonNullable<Facts['approval']>>> = fc.constantFrom<Partial<NonNullable<Facts['approval']>>[]>(
      { status: 'pending' },
      { status: 'denied' },
      { status: 'expired' },
      { status: 'withdrawn' },
      { approverType: 'agent' },
      { approverType: 'system' },
      { approverType: 'unknown' },
      { approver: 'agent-1' },
      { agentId: 'agent-2' },
      { agentId: '' },
      { tool: 'other' },
      { arguments: { other: 1 } },
      { uses: 1 },
      { ageMs: DEFAULT_POLICY.grantTtlMs + 1 },
    );
    fc.assert(
      fc.property(calls, facts, flaws, (call, before, flaw) => {
        const without = decide(call, before, DEFAULT_POLICY);
        const flawed = decide(call, { ...before, approval: approvalOf(call, flaw) }, DEFAULT_POLICY);
        expect(rank(flawed)).toBeGreaterThanOrEqual(rank(without));
        expect(codesOf(flawed)).not.toContain('APPROVED');
      }),
    );
  });

  test('is bound to every argument', () => {
    const args = fc.dictionary(fc.string({ minLength: 1, maxLength: 8 }), fc.jsonValue({ maxDepth: 2 }), {
      maxKeys: 5,
    }) as fc.Arbitrary<JsonObject>;
    fc.assert(
      fc.property(args, args, (approved, asked) => {
        const call = callOf('send_email', asked);
        const decision = decide(call, factsWith({ approval: approvalOf(callOf('send_email', approved)) }), DEFAULT_POLICY);
        fc.pre(!codesOf(decision).includes('MALFORMED'));
        const isSame = JSON.stringify(sorted(approved)) === JSON.stringify(sorted(asked));
        expect(codesOf(decision).includes('APPROVED')).toBe(isSame);
      }),
    );
  });
});

describe('purity', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  test('the same inputs give the same decision, and stay as they were', () => {
    fc.assert(
      fc.property(calls, facts, (call, known) => {
        const [frozenCall, frozenFacts] = [freeze(structuredClone(call)), freeze(structuredClone(known))];
        const first = decide(frozenCall, frozenFacts, DEFAULT_POLICY);
        expect(decide(call, known, policyWith({}))).toEqual(first);
        expect(frozenCall).toEqual(call);
      }),
      { numRuns: 50 },
    );
  });

  test('no clock and no chance is asked', () => {
    const forbidden = () => {
      throw new Error('impure');
    };
    vi.spyOn(Date, 'now').mockImplementation(forbidden);
    vi.spyOn(Math, 'random').mockImplementation(forbidden);
    vi.spyOn(performance, 'now').mockImplementation(forbidden);
    for (const tool of ['exec', 'read', 'send_email', 'frobnicate'])
      decide(callOf(tool, { command: 'ls', path: 'a' }), factsWith(), DEFAULT_POLICY);
  });

  const folder = new URL('../../policies/', import.meta.url);
  const sources = readdirSync(folder).filter((file) => file.endsWith('.ts'));
  test.each(sources)('policies/%s names no clock, I/O, environment or randomness, and imports only what may be imported', (file) => {
    const text = readFileSync(new URL(file, folder), 'utf8').replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
    expect(text).not.toMatch(
      /\bDate\.now\b|new Date\(\)|\bMath\.random\b|\bperformance\.|\bprocess\.|\bglobalThis\b|\bcrypto\.|\bsetTimeout\b|\bsetInterval\b|\bfetch\(|\brequire\(|\bimport\(/,
    );
    const imported = [...text.matchAll(/(?:^|\s)(?:import|export)[^'"]*?from\s*['"]([^'"]+)['"]/g)].map((match) => match[1] ?? '');
    const allowed = /^(?:\.\/[a-z-]+\.ts|zod|yaml|@pydantic\/genai-prices|unbash|@marcbachmann\/cel-js|ipaddr\.js)$/;
    expect(imported.filter((name) => !allowed.test(name))).toEqual([]);
  });
});

describe('whatever comes', () => {
  test('is answered, never thrown', () => {
    const args = fc.oneof(
      fc.object({ maxDepth: 4 }),
      fc.dictionary(
        fc.constantFrom('command', 'path', 'url', 'input', 'files', 'branch', 'remote', 'query', 'env', 'action'),
        fc.anything(),
      ),
    );
    const tool = fc.oneof(
      fc.string(),
      fc.constantFrom(
        'exec',
        'process',
        'read',
        'ls',
        'write',
        'apply_patch',
        'browser',
        'web_fetch',
        'git_push',
        'git_commit',
        'install_deps',
        'read_db',
        'tool_call',
        'create_doc',
        'destructive_shell',
      ),
    );
    fc.assert(
      fc.property(tool, args, (name, given) => {
        const decision = decide(callOf(name, given as JsonObject), factsWith(), DEFAULT_POLICY);
        expect(VERDICTS).toContain(decision.verdict);
        expect(decision.reasons.length).toBeGreaterThan(0);
        expect(decision.reasons.length).toBeLessThan(60);
      }),
      { numRuns: 500 },
    );
  });

  test('impossible numbers in the facts refuse instead of passing every cap', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, -1, 0.5])
      for (const change of [
        { spend: { run: bad } },
        { caps: { agentDay: bad } },
        { estimatedCost: bad },
        { agent: { depth: bad } },
        { history: { reviewCycles: bad } },
        { rates: { concurrent: bad } },
        { system: { activeAgents: bad } },
      ])
        expect(codesOf(decide(callOf('read_db'), factsWith(change), DEFAULT_POLICY))).toEqual(['MALFORMED']);
    const call = callOf('send_email', { to: 'x' });
    for (const flaw of [{ ageMs: Number.NaN }, { uses: Number.NaN }, { allowance: -1 }])
      expect(decide(call, factsWith({ approval: approvalOf(call, flaw) }), DEFAULT_POLICY).verdict).toBe('deny');
  });
});

// ---- helpers --------------------------------------------------------------------------------------------------------------------------

/** Lists and keys in another order; the order of a list of this document never means anything. */
function shuffle(value: Json, next: () => number): Json {
  const mix = <T>(items: T[]): T[] => {
    const rest = [...items];
    const mixed: T[] = [];
    while (rest.length > 0) mixed.push(...rest.splice(next() % rest.length, 1));
    return mixed;
  };
  if (Array.isArray(value)) return mix(value).map((item) => shuffle(item, next));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(mix(Object.entries(value)).map(([key, item]) => [key, shuffle(item, next)]));
}

function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.entries(value)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => [key, sorted(item)]);
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const item of Object.values(value)) freeze(item);
    Object.freeze(value);
  }
  return value;
}
