import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeGate, type Scripted } from './fake-gate.ts';
import { Host, type ToolCall } from './host.ts';
import { TestClock } from './test-clock.ts';

const TOKEN = 'mcg_0123456789abcdef';
const CTX = { agentId: 'main', sessionKey: 'agent:main:t1', runId: 'run-1' };

let gate: FakeGate;
let clock: TestClock;

beforeEach(async () => {
  gate = await FakeGate.start();
  clock = new TestClock();
});
afterEach(async () => {
  await gate.stop();
});

function host(config: Record<string, unknown> = {}, limits: Record<string, number> = {}): Host {
  return new Host({ proxyUrl: gate.url, token: TOKEN, ...config }).register({ clock, random: () => 0.5, limits });
}

function exec(command: string, callId = 'call-1', more: Record<string, unknown> = {}): ToolCall {
  return { toolName: 'exec', params: { command, ...more }, toolCallId: callId, runId: 'run-1' };
}

const isPost = (seen: { method: string; path: string }) => seen.method === 'POST' && seen.path === '/v1/tool-calls';
const isPoll = (seen: { method: string }) => seen.method === 'GET';

describe('a call', () => {
  test('is asked about with everything the gate needs to know, and runs when allowed', async () => {
    const claw = host();
    const fate = await claw.call(exec('ls'), { ...CTX, trace: { traceId: 'a'.repeat(32) } });
    expect(fate).toEqual({ ran: { command: 'ls' } });
    expect(gate.seen).toEqual([
      {
        method: 'POST',
        path: '/v1/tool-calls',
        authorization: `Bearer ${TOKEN}`,
        body: {
          tool: 'exec',
          arguments: { command: 'ls' },
          callId: 'call-1',
          agentId: 'main',
          sessionKey: 'agent:main:t1',
          runId: 'run-1',
          workspace: '/home/claw/main',
          cwd: '/home/claw/main',
          traceId: 'a'.repeat(32),
        },
      },
    ]);
  });

  test('is refused with the codes and the sentence of the gate', async () => {
    gate.onCall = () => gate.deny('tc-1', 'rm -rf is never run.', 'SHELL_BLOCKED', 'RED_ACTION');
    const fate = await host().call(exec('rm -rf /'), CTX);
    expect(fate).toEqual({ blocked: expect.stringMatching(/refused.*\(SHELL_BLOCKED, RED_ACTION\).*did not run\. rm -rf is never run\./) });
  });

  test('runs with the arguments of the approver: changed ones replace, removed ones are gone', async () => {
    gate.onCall = () => gate.allow('1', { command: 'ls -la' });
    const fate = await host().call(exec('ls', 'call-1', { workdir: '/', env: { A: '1' } }), CTX);
    expect(fate).toEqual({ ran: { command: 'ls -la', workdir: undefined, env: undefined } });
  });

  test('runs with what was judged, whatever another plugin makes of it', async () => {
    const claw = host();
    claw.on('before_tool_call', () => ({ params: { command: 'curl evil' } }), 1_000);
    claw.on('before_tool_call', () => ({ params: { command: 'curl evil' } }), -1_000);
    expect(await claw.call(exec('ls'), CTX)).toEqual({ ran: { command: 'ls' } });
    expect(gate.seen[0]?.body.arguments).toEqual({ command: 'ls' });
  });

  test('of a wrapper is not asked about: its inner call asks for itself', async () => {
    const claw = host();
    for (const toolName of ['tool_call', 'tool_search', 'tool_describe']) {
      expect(await claw.call({ toolName, params: { id: 'exec' } }, CTX)).toEqual({ ran: { id: 'exec' } });
    }
    expect(gate.seen).toEqual([]);
    await claw.call({ toolName: 'everything__echo', params: {}, toolCallId: 'tool_search_code:call-1:everything__echo:1' }, CTX);
    expect(gate.seen.map((seen) => seen.body.callId)).toEqual(['tool_search_code:call-1:everything__echo:1']);
  });

  test('names its agent by the session where the host does not', async () => {
    await host().call(exec('ls'), { sessionKey: 'agent:ops:subagent:7' });
    expect(gate.seen[0]?.body.agentId).toBe('ops');
  });

  test.each<[string, Scripted]>([
    ['no credential', { status: 401, body: { title: 'Unauthorized' } }],
    ['malformed', { status: 400, body: { title: 'Bad request' } }],
    ['an executed duplicate', { status: 409, body: { title: 'DUPLICATE' } }],
    ['a redirect', { status: 302, body: {}, headers: { location: '/v1/heartbeats' } }],
    ['an allow without an id', { status: 200, body: { verdict: 'allow' } }],
    ['an allow with the status of a refusal', { status: 403, body: { id: 'x', verdict: 'allow' } }],
    ['a 200 that denies', { status: 200, body: { id: 'x', verdict: 'deny' } }],
    ['edited arguments of the wrong shape', { status: 200, body: { id: 'x', verdict: 'allow', arguments: ['ls'] } }],
    ['text', { status: 200, body: 'allow' }],
    ['an answer without end', { status: 200, body: { id: 'x', verdict: 'allow', pad: 'x'.repeat(5_000) } }],
    ['a failure that lasts', { status: 500, body: { title: 'boom' } }],
    ['no judgement', { status: 503, body: { title: 'SNAPSHOT_STALE' } }],
    ['a broken connection', 'cut'],
  ])('does not run when the gate answers with %s', async (_name, scripted) => {
    gate.onCall = () => scripted;
    const fate = await host({}, { answerBytes: 4_096 }).call(exec('ls'), CTX);
    expect(fate).toEqual({ blocked: expect.stringContaining('did not run') });
  });

  test('does not run when nobody answers, and the model is told within a few seconds', async () => {
    await gate.stop();
    const before = clock.now();
    const fate = await host().call(exec('ls'), CTX);
    expect(fate).toEqual({ blocked: expect.stringContaining('could not be asked') });
    expect(clock.now() - before).toBeLessThanOrEqual(5_000);
  });

  test('does not run when the gate says nothing', async () => {
    gate.onCall = () => 'silence';
    const fate = await host({}, { requestMs: 30 }).call(exec('ls'), CTX);
    expect(fate).toEqual({ blocked: expect.stringContaining('no answer within 30 ms') });
  });

  test('survives a gate that is away for a moment', async () => {
    const answers: Scripted[] = ['cut', { status: 503, body: {} }, gate.allow('1')];
    gate.onCall = () => answers.shift() ?? 'cut';
    expect(await host().call(exec('ls'), CTX)).toEqual({ ran: { command: 'ls' } });
    expect(gate.count('POST', /^\/v1\/tool-calls$/)).toBe(3);
  });

  test('uses a token that was rotated in its file', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'mc-token-'));
    const tokenFile = path.join(folder, 'token');
    await writeFile(tokenFile, `${TOKEN}\n`);
    const claw = host({ tokenFile, token: undefined });
    await claw.call(exec('ls', 'call-1'), CTX);
    await writeFile(tokenFile, 'mcg_rotated_rotated\n');
    await claw.call(exec('ls', 'call-2'), CTX);
    await rm(folder, { recursive: true });
    expect(await claw.call(exec('ls', 'call-3'), CTX)).toEqual({ blocked: expect.stringContaining('did not run') });
    expect(gate.seen.map((seen) => seen.authorization)).toEqual([`Bearer ${TOKEN}`, 'Bearer mcg_rotated_rotated']);
  });
});

describe('where a call works', () => {
  test('is what the session was spawned with, before the configuration of the agent', async () => {
    const claw = host();
    claw.sessions['agent:main:sub'] = { spawnedWorkspaceDir: '/srv/ws', spawnedCwd: '/srv/ws/app' };
    await claw.call(exec('ls'), { ...CTX, sessionKey: 'agent:main:sub' });
    expect(gate.seen[0]?.body).toMatchObject({ workspace: '/srv/ws', cwd: '/srv/ws/app' });
  });

  test('is the configured directory of the agent, else the workspace', async () => {
    const claw = host();
    claw.config = { agents: { entries: { ops: { cwd: '/srv/ops' } }, defaults: { cwd: '/srv/all' } } };
    await claw.call(exec('ls'), { ...CTX, agentId: 'ops' });
    await claw.call(exec('ls'), CTX);
    expect(gate.seen.map((seen) => seen.body.cwd)).toEqual(['/srv/ops', '/srv/all']);
  });

  test('follows the workdir that a command names, and only a command', async () => {
    const claw = host();
    await claw.call(exec('ls', 'a', { workdir: 'output' }), CTX);
    await claw.call(exec('ls', 'b', { workdir: '/etc' }), CTX);
    await claw.call({ toolName: 'read', params: { path: 'x', workdir: '/etc' }, toolCallId: 'c' }, CTX);
    expect(gate.seen.map((seen) => seen.body.cwd)).toEqual(['/home/claw/main/output', '/etc', '/home/claw/main']);
  });

  test('is left out where the host cannot say', async () => {
    const claw = new Host({ proxyUrl: gate.url, token: TOKEN }, { runtime: undefined }).register({ clock });
    await claw.call(exec('ls'), CTX);
    expect(gate.seen[0]?.body).not.toHaveProperty('workspace');
    expect(gate.seen[0]?.body).not.toHaveProperty('cwd');
  });
});

describe('a held call', () => {
  beforeEach(() => {
    gate.onCall = (body) => gate.hold(`tc-${body.callId}`);
  });

  test('waits and runs once a person approves', async () => {
    const fate = host().call(exec('deploy'), CTX);
    await gate.asked(isPoll);
    gate.decide('tc-call-1', gate.allow('call-1', { command: 'deploy --dry-run' }));
    expect(await fate).toEqual({ ran: { command: 'deploy --dry-run' } });
  });

  test('waits and is refused once a person denies', async () => {
    const fate = host().call(exec('deploy'), CTX);
    await gate.asked(isPoll);
    gate.decide('tc-call-1', gate.deny('tc-call-1', 'Not on a Friday.', 'APPROVAL_DENIED'));
    expect(await fate).toEqual({ blocked: expect.stringMatching(/APPROVAL_DENIED.*Not on a Friday/) });
  });

  test('ends its wait when the proxy says so, and the model learns what is pending', async () => {
    gate.onPollOver = (id) => gate.held(id, { waiting: false });
    const fate = await host({}, { pollMs: 1 }).call(exec('deploy'), CTX);
    expect(fate).toEqual({ blocked: expect.stringMatching(/approval 41 is pending\. Nothing has run\..*End your turn/s) });
    expect(gate.count('GET', /tool-calls/)).toBe(1);
  });

  test('ends its wait shortly after its own deadline, asked at a bearable pace', async () => {
    const before = clock.now();
    const fate = await host({ inlineMs: 10_000 }, { pollMs: 1 }).call(exec('deploy'), CTX);
    expect(fate).toEqual({ blocked: expect.stringContaining('approval 41 is pending') });
    expect(clock.now() - before).toBe(15_000);
    expect(gate.count('GET', /tool-calls/)).toBeLessThanOrEqual(17);
    expect(gate.count('POST', /cancel/)).toBe(0);
  });

  test('gives up before the host does, where an operator has shortened the hook', async () => {
    const config = { plugins: { entries: { 'mission-control': { hooks: { timeouts: { before_tool_call: 45_000 } } } } } };
    const claw = new Host({ proxyUrl: gate.url, token: TOKEN }, { config }).register({ clock, random: () => 0.5, limits: { pollMs: 1 } });
    const before = clock.now();
    expect(await claw.call(exec('deploy'), CTX)).toEqual({ blocked: expect.stringContaining('is pending') });
    expect(clock.now() - before).toBe(20_000);
  });

  test('asks OpenClaw for more time than it waits', () => {
    expect(host({ inlineMs: 240_000 }).hookOptions('before_tool_call')?.timeoutMs).toBe(270_000);
  });

  test('survives a restart of Mission Control', async () => {
    clock.auto = false;
    const fate = host().call(exec('deploy'), CTX);
    await gate.asked(isPoll);
    await gate.stop();
    await clock.asleep();
    await gate.start();
    clock.advance(5_000);
    await gate.asked(isPoll, 2);
    gate.decide('tc-call-1', gate.allow('call-1'));
    expect(await fate).toEqual({ ran: { command: 'deploy' } });
    expect(gate.count('POST', /cancel/)).toBe(0);
  });

  test('survives answers that make no sense while it is held', async () => {
    const odd: Scripted[] = ['cut', { status: 502, body: '<html>' }, { status: 200, body: 'allow' }, { status: 429, body: {} }];
    gate.onPollOver = (id) => {
      const next = odd.shift();
      if (next !== undefined) return next;
      return gate.allow(id.replace('tc-', ''));
    };
    expect(await host({}, { pollMs: 1 }).call(exec('deploy'), CTX)).toEqual({ ran: { command: 'deploy' } });
  });

  test('is refused when Mission Control no longer knows it', async () => {
    gate.onPollOver = () => ({ status: 404, body: { title: 'Not found' } });
    expect(await host({}, { pollMs: 1 }).call(exec('deploy'), CTX)).toEqual({ blocked: expect.stringContaining('did not run') });
  });

  test('is withdrawn when the run is aborted', async () => {
    const run = new AbortController();
    const fate = host().call(exec('deploy'), { ...CTX, abortSignal: run.signal });
    await gate.asked(isPoll);
    run.abort();
    expect(await fate).toEqual({ blocked: expect.stringContaining('aborted') });
    expect(gate.seen.at(-1)).toMatchObject({ method: 'POST', path: '/v1/tool-calls/tc-call-1/cancel' });
  });

  test('is withdrawn when the run was aborted before the first answer, even one that allows', async () => {
    const run = new AbortController();
    gate.onCall = (body) => {
      run.abort();
      return gate.allow(String(body.callId));
    };
    expect(await host().call(exec('deploy'), { ...CTX, abortSignal: run.signal })).toEqual({ blocked: expect.stringContaining('aborted') });
    expect(gate.count('POST', /tc-call-1\/cancel/)).toBe(1);
  });

  test('does not keep others from running', async () => {
    const claw = host();
    const first = claw.call(exec('deploy', 'held'), CTX);
    await gate.asked(isPoll);
    gate.onCall = (body) => gate.allow(String(body.callId));
    expect(await claw.call(exec('ls', 'free'), CTX)).toEqual({ ran: { command: 'ls' } });
    gate.decide('tc-held', gate.allow('held'));
    expect(await first).toEqual({ ran: { command: 'deploy' } });
  });
});

describe('Code Mode', () => {
  const program: ToolCall = {
    toolName: 'exec',
    toolKind: 'code_mode_exec',
    params: { code: 'return 1', command: 'return 1' },
    toolCallId: 'p',
  };

  test('is let through where its executor cannot reach the machine by itself', async () => {
    const claw = host();
    claw.config = { tools: { codeMode: { enabled: true, executor: 'quickjs' } } };
    expect(await claw.call(program, CTX)).toEqual({ ran: program.params });
    expect(gate.seen).toEqual([]);
  });

  test.each([
    ['by default', {}],
    ['by configuration', { tools: { codeMode: { executor: 'node' } } }],
    [
      'for one agent',
      { tools: { codeMode: { executor: 'quickjs' } }, agents: { entries: { main: { tools: { codeMode: { executor: 'node' } } } } } },
    ],
  ])('is refused where node:vm runs it %s', async (_name, config) => {
    const claw = host();
    claw.config = config;
    expect(await claw.call(program, CTX)).toEqual({ blocked: expect.stringContaining('tools.codeMode.executor') });
  });
});

describe('an outcome', () => {
  const done = { toolName: 'exec', params: { command: 'ls' }, toolCallId: 'call-1', runId: 'run-1', durationMs: 12.4 };
  const reported = (seen: { path: string }) => seen.path.endsWith('/outcome');

  test('is reported for the call that ran, once', async () => {
    const claw = host();
    await claw.call(exec('ls'), CTX);
    await claw.ended({ ...done, result: { content: [{ type: 'text', text: 'a.txt' }] } }, CTX);
    await claw.ended({ ...done, result: {} }, CTX);
    await claw.stopServices();
    const { path: where, body } = await gate.asked(reported);
    expect(where).toBe('/v1/tool-calls/tc-call-1/outcome');
    expect(body).toEqual({ status: 'success', output: 'a.txt', durationMs: 12 });
    expect(gate.count('POST', /outcome/)).toBe(1);
  });

  test.each([
    ['an error', { error: 'exit code 2', result: { content: [{ type: 'text', text: 'no such file' }] } }, 'exit code 2'],
    ['a rejection by OpenClaw', { result: { content: [{ type: 'text', text: 'vetoed' }], details: { status: 'blocked' } } }, 'vetoed'],
  ])('says that the call failed after %s', async (_name, event, error) => {
    const claw = host();
    await claw.call(exec('ls'), CTX);
    await claw.ended({ ...done, ...event }, CTX);
    expect((await gate.asked(reported)).body).toMatchObject({ status: 'failed', error });
  });

  test('is not reported for a call that was refused', async () => {
    gate.onCall = () => gate.deny('tc-call-1', 'no', 'RED_ACTION');
    const claw = host();
    await claw.call(exec('ls'), CTX);
    await claw.ended({ ...done, result: { details: { status: 'blocked' } } }, CTX);
    await claw.stopServices();
    expect(gate.count('POST', /outcome/)).toBe(0);
  });

  test('is told apart by run: models repeat their call ids', async () => {
    const claw = host();
    gate.onCall = (body) => gate.allow(String(body.runId));
    await claw.call({ ...exec('ls'), runId: 'run-1' }, CTX);
    await claw.call({ ...exec('ls'), runId: 'run-2' }, { ...CTX, runId: 'run-2' });
    await claw.ended({ ...done, runId: 'run-2' }, { ...CTX, runId: 'run-2' });
    expect((await gate.asked(reported)).path).toBe('/v1/tool-calls/tc-run-2/outcome');
  });

  test('is cut to a bearable size, never inside a character', async () => {
    const claw = host({}, { outputBytes: 100 });
    await claw.call(exec('ls'), CTX);
    await claw.ended({ ...done, result: { content: [{ type: 'text', text: 'ü'.repeat(100) }] } }, CTX);
    const { output } = (await gate.asked(reported)).body;
    expect(output).toBe(`${'ü'.repeat(50)}\n[cut: 100 more bytes]`);
  });

  test('is reported again until it is taken', async () => {
    const answers: Scripted[] = ['cut', { status: 503, body: {} }, { status: 200, body: {} }];
    gate.onOutcome = () => answers.shift() ?? 'cut';
    const claw = host();
    await claw.call(exec('ls'), CTX);
    await claw.ended({ ...done, result: {} }, CTX);
    await gate.asked(reported, 3);
    expect(answers).toEqual([]);
  });

  test('that is not wanted does not stop the next', async () => {
    gate.onOutcome = (id) => ({ status: id === 'tc-a' ? 404 : 200, body: {} });
    const claw = host();
    for (const callId of ['a', 'b']) {
      await claw.call(exec('ls', callId), CTX);
      await claw.ended({ ...done, toolCallId: callId, result: {} }, CTX);
    }
    await gate.asked((seen) => seen.path.includes('tc-b/outcome'));
    expect(gate.count('POST', /outcome/)).toBe(2);
  });

  test('queue is bounded', async () => {
    gate.onOutcome = () => 'silence';
    const claw = host({}, { outcomeQueue: 3 });
    for (let n = 1; n <= 5; n++) {
      await claw.call(exec('ls', `c${n}`), CTX);
      await claw.ended({ ...done, toolCallId: `c${n}`, result: {} }, CTX);
    }
    expect(claw.lines.filter((line) => line.includes('is lost'))).toHaveLength(2);
  });
});

describe('a result that the gate has no record of', () => {
  const done = { ...exec('ls'), durationMs: 1 };
  const failed = { ...done, error: 'arguments do not fit the schema' };
  const noted = (seen: { path: string }) => seen.path === '/v1/unasked';
  const call = { agentId: 'main', sessionKey: 'agent:main:t1', runId: 'run-1', callId: 'call-1', tool: 'exec' };

  test('is explained where OpenClaw rejected the call before its hooks', async () => {
    await host().ended(failed, CTX);
    expect((await gate.asked(noted)).body).toEqual({ ...call, why: 'rejected' });
  });

  test('is explained where the gate could not be asked', async () => {
    gate.onCall = () => ({ status: 400, body: { detail: 'too deep' } });
    const claw = host();
    await claw.call(exec('ls'), CTX);
    await claw.ended(failed, CTX);
    expect((await gate.asked(noted)).body).toEqual({ ...call, why: 'refused' });
    await claw.stopServices();
    expect(gate.count('POST', /unasked/)).toBe(1);
  });

  test('is explained for a program whose calls are asked about one by one, and for looking tools up', async () => {
    const claw = host();
    claw.config = { tools: { codeMode: { executor: 'quickjs' } } };
    await claw.call({ toolName: 'exec', toolKind: 'code_mode_exec', params: { code: '1' }, toolCallId: 'call-1', runId: 'run-1' }, CTX);
    expect((await gate.asked(noted)).body).toEqual({ ...call, why: 'program' });
    await claw.ended({ ...done, toolName: 'tool_search', toolCallId: 'call-2' }, CTX);
    expect((await gate.asked(noted, 2)).body).toEqual({ ...call, callId: 'call-2', tool: 'tool_search', why: 'program' });
  });

  test('is not explained for a call that has one, nor for one that ran without having been asked about', async () => {
    gate.onCall = (body) => (body.callId === 'no' ? gate.deny('tc-no', 'no', 'RED_ACTION') : gate.allow(String(body.callId)));
    const claw = host();
    await claw.call(exec('rm', 'no'), CTX);
    await claw.ended({ ...failed, toolCallId: 'no' }, CTX);
    await claw.call(exec('ls'), CTX);
    await claw.ended(failed, CTX);
    await claw.ended({ ...done, toolCallId: 'unseen', result: { content: [] } }, CTX);
    await claw.ended({ ...done, toolName: 'tool_call', toolCallId: 'wrapped', result: { content: [] } }, CTX);
    await gate.asked((seen) => seen.path.endsWith('/outcome'));
    await claw.stopServices();
    expect(gate.count('POST', /unasked/)).toBe(0);
  });
});

describe('a run', () => {
  test('starts when the gate lets it', async () => {
    expect(await host().run(CTX)).toEqual({ outcome: 'pass' });
    expect(gate.seen[0]).toMatchObject({ path: '/v1/runs/check', body: { agentId: 'main', sessionKey: 'agent:main:t1', runId: 'run-1' } });
  });

  test('does not start when refused, with the code and the sentence', async () => {
    const reasons = [{ code: 'BUDGET_DAILY', message: 'The budget of today is spent.', policyPath: 'budgets' }];
    gate.onRunCheck = () => ({
      status: 200,
      body: { allowed: false, reasons, message: 'The budget of today is spent; it resets at midnight.' },
    });
    expect(await host().run(CTX)).toEqual({
      outcome: 'block',
      reason: 'BUDGET_DAILY',
      message: expect.stringContaining('resets at midnight'),
    });
  });

  test.each<[string, Scripted]>([
    ['breaks the connection', 'cut'],
    ['fails', { status: 500, body: {} }],
    ['answers something else', { status: 200, body: { allowed: 'yes' } }],
    ['does not know us', { status: 401, body: {} }],
  ])('does not start when the gate %s', async (_name, scripted) => {
    gate.onRunCheck = () => scripted;
    expect(await host().run(CTX)).toMatchObject({ outcome: 'block', reason: expect.any(String), message: expect.any(String) });
  });
});

describe('the end of a run', () => {
  test('is reported, without a word of the conversation', async () => {
    const claw = host();
    await claw.runEnded({ success: true, durationMs: 12.4 }, CTX);
    await claw.runEnded({ runId: 'run-2', success: false, error: 'the model is away' }, { sessionKey: 'agent:main:t1' });
    await gate.asked((seen) => seen.path === '/v1/runs/end', 2);
    expect(gate.seen.filter(({ path }) => path === '/v1/runs/end').map(({ body }) => body)).toEqual([
      { agentId: 'main', sessionKey: 'agent:main:t1', runId: 'run-1', status: 'success', durationMs: 12 },
      { agentId: 'main', sessionKey: 'agent:main:t1', runId: 'run-2', status: 'failed', error: 'the model is away' },
    ]);
  });
});

describe('a sub-agent', () => {
  test('is reported when it begins and ends, under the session that started it', async () => {
    const claw = host();
    const [once, lasting] = ['agent:main:subagent:1', 'agent:main:subagent:2'];
    const ctx = (childSessionKey: string) => ({ runId: 'r', childSessionKey, requesterSessionKey: 'agent:main:t1' });
    await claw.subagent(
      'subagent_spawned',
      { childSessionKey: once, agentId: 'main', mode: 'run', label: 'a helper', runId: 'r' },
      ctx(once),
    );
    await claw.subagent('subagent_spawned', { childSessionKey: lasting, agentId: 'main', mode: 'session', runId: 'r' }, ctx(lasting));
    await claw.subagent('subagent_ended', { targetSessionKey: lasting, targetKind: 'subagent', reason: 'subagent-complete' }, ctx(lasting));
    await claw.subagent('subagent_spawned', { childSessionKey: 'agent:main:subagent:3', agentId: 'main' }, {});
    await gate.asked((seen) => seen.path === '/v1/spawns', 3);
    const parent = { agentId: 'main', sessionKey: 'agent:main:t1' };
    expect(gate.seen.filter(({ path }) => path === '/v1/spawns').map(({ body }) => body)).toEqual([
      { ...parent, childSessionKey: once, label: 'a helper', state: 'began' },
      { ...parent, childSessionKey: lasting, lasting: true, state: 'began' },
      { ...parent, childSessionKey: lasting, state: 'ended' },
    ]);
  });
});

describe('the heartbeat', () => {
  const beats = () => gate.count('POST', /heartbeats/);

  test('says who lives, from the start and then again and again, until the gateway stops', async () => {
    clock.auto = false;
    const claw = host();
    claw.config = { agents: { entries: { main: {}, ops: {} } } };
    expect(beats()).toBe(0);
    claw.startServices();
    const { body, authorization } = await gate.asked((seen) => seen.path === '/v1/heartbeats');
    expect(body).toEqual({ pluginVersion: '0.1.0', openclawVersion: '2026.9.6', agents: ['main', 'ops'] });
    expect(authorization).toBe(`Bearer ${TOKEN}`);
    await clock.asleep();
    clock.advance(10_000);
    await gate.asked((seen) => seen.path === '/v1/heartbeats', 2);
    await clock.asleep();
    await claw.stopServices();
    clock.advance(60_000);
    expect(beats()).toBe(2);
  });

  test('goes on when the gate is away, and says so once in the log', async () => {
    clock.auto = false;
    gate.onHeartbeat = () => ({ status: 503, body: {} });
    const claw = host();
    claw.startServices();
    for (let n = 2; n <= 4; n++) {
      await clock.asleep();
      clock.advance(10_000);
      await gate.asked((seen) => seen.path === '/v1/heartbeats', n);
    }
    await claw.stopServices();
    expect(claw.lines.filter((line) => line.includes('does not answer'))).toHaveLength(1);
  });

  test('is silent where the gate hook could not be placed', () => {
    const services: unknown[] = [];
    const on = () => {
      throw new Error('no hooks today');
    };
    new Host({ proxyUrl: gate.url, token: TOKEN }, { on, registerService: (service: unknown) => services.push(service) }).register({
      clock,
    });
    expect(services).toEqual([]);
  });

  test('is silent where OpenClaw only looks at the plugin', () => {
    const claw = new Host({ proxyUrl: gate.url, token: TOKEN }, { registrationMode: 'discovery' }).register({ clock });
    claw.startServices();
    expect(beats()).toBe(0);
  });
});

describe('start-up', () => {
  test.each([
    ['no configuration', {}],
    ['no token', { proxyUrl: 'http://127.0.0.1:3100' }],
    ['an address that is none', { proxyUrl: 'localhost', token: TOKEN }],
    ['another protocol', { proxyUrl: 'ftp://127.0.0.1', token: TOKEN }],
    ['credentials in the address', { proxyUrl: 'http://a:b@127.0.0.1', token: TOKEN }],
    ['a relative token file', { proxyUrl: 'http://127.0.0.1:3100', tokenFile: 'token' }],
    ['an impossible wait', { proxyUrl: 'http://127.0.0.1:3100', token: TOKEN, inlineMs: 900_000 }],
  ])('with %s refuses every call and says why', async (_name, config) => {
    const claw = new Host(config).register({ clock });
    expect(await claw.call(exec('ls'), CTX)).toEqual({ blocked: expect.stringContaining('cannot be asked') });
    expect(claw.lines).toEqual([expect.stringContaining('every tool call is refused')]);
    claw.startServices();
    expect(gate.seen).toEqual([]);
  });

  test('never throws, whatever it is started with', () => {
    const throwing = new Proxy(
      {},
      {
        get() {
          throw new Error('not available in this mode');
        },
      },
    );
    const hostile = [
      { pluginConfig: throwing },
      { logger: throwing },
      { on: undefined },
      { registerService: throwing },
      { logger: undefined },
    ];
    for (const overrides of hostile) {
      expect(() => new Host({ proxyUrl: gate.url, token: TOKEN }, overrides).register({ clock })).not.toThrow();
    }
  });

  test('carries one version everywhere', async () => {
    const folder = path.join(import.meta.dirname, '../../proxy/openclaw');
    const read = async (name: string) => JSON.parse(await readFile(path.join(folder, name), 'utf8')) as { version: string };
    const claw = host();
    claw.startServices();
    const { body } = await gate.asked((seen) => seen.path === '/v1/heartbeats');
    await claw.stopServices();
    expect([(await read('package.json')).version, (await read('openclaw.plugin.json')).version]).toEqual([
      body.pluginVersion,
      body.pluginVersion,
    ]);
  });
});

test('the first request is the only one for an allowed call', async () => {
  await host().call(exec('ls'), CTX);
  expect(gate.seen.filter(isPost)).toHaveLength(1);
  expect(gate.seen).toHaveLength(1);
});
