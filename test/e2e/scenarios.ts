import assert from 'node:assert/strict';
import { readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { launchBrowser } from '../setup/chromium.ts';
import { until } from './child.ts';
import type { Approval } from './mission-control.ts';
import { type Call, USAGE } from './scripted-model.ts';
import type { Stage } from './stage.ts';
import { WORK_SCENARIOS } from './work.ts';

/** A promise of the product, shown on the real thing. Returns a few words with what was measured. */
export interface Scenario {
  id: string;
  promise: string;
  play: (stage: Stage) => Promise<string>;
}

const exec = (command: string): Call => ({ name: 'exec', arguments: { command } });
/** A tool that is not among those the model is shown at once: it is called through OpenClaw's `tool_call`. */
const deferred = (id: string, args: Record<string, unknown> = {}): Call => ({ name: 'tool_call', arguments: { id, args } });

export const SCENARIOS: readonly Scenario[] = [
  { id: 'a', promise: 'a green call runs unheld', play: greenRuns },
  {
    id: 'b',
    promise: 'exec outside the allowlist is held, approved by a click, runs once, its output is recorded',
    play: approvedRunsOnce,
  },
  { id: 'b2', promise: 'the approver\u2019s edit is what runs', play: editedRuns },
  { id: 'c', promise: 'a denial reaches the model with its reason', play: denialIsTold },
  { id: 'd', promise: 'a late approval reaches the agent, the repeated call runs once', play: lateApprovalRunsOnce },
  { id: 'e', promise: 'a deferred built-in is judged and counted once', play: deferredCountsOnce },
  { id: 'f', promise: 'a sub-agent\u2019s exec is judged', play: subAgentIsJudged },
  { id: 'f2', promise: 'a tool call inside a Code Mode program is judged', play: codeModeIsJudged },
  { id: 'g', promise: 'a run aborted while held is withdrawn and never runs', play: abortWithdraws },
  { id: 'h', promise: 'with Mission Control stopped every call is blocked', play: stoppedBlocks },
  { id: 'h2', promise: 'a held call survives kill -9 of Mission Control and runs once', play: heldSurvivesKill },
  { id: 'k', promise: 'an MCP call through tool_call is judged, approved and counted once by both gates', play: mcpCountsOnce },
  { id: 'k2', promise: 'an MCP call that is approved late runs once, or never', play: lateMcpRunsOnce },
  ...WORK_SCENARIOS,
  { id: 'i', promise: 'a missing plugin raises a critical alert within 30 s', play: missingPluginAlerts },
  {
    id: 'm',
    promise: 'models go through Mission Control: an agent over its cap is told so, the other goes on, every cost is in the record',
    play: modelsAreMetered,
  },
  { id: 'j', promise: 'undo gives OpenClaw its configuration back, byte for byte', play: undoRestores },
];

async function greenRuns(stage: Stage): Promise<string> {
  await writeFile(path.join(stage.openclaw.workspace, 'main', 'note.txt'), 'the green note\n');
  const session = await stage.turn('green', [{ name: 'read', arguments: { path: 'note.txt' } }]);
  const [shown] = await stage.told('green');
  assert.match(shown ?? '', /the green note/);
  const call = await recorded(stage, session, 'success');
  assert.equal(call.verdict, 'allow');
  assert.equal(await pendingCount(stage), 0);
  return `${call.tool} ${call.verdict}`;
}

async function approvedRunsOnce(stage: Stage): Promise<string> {
  const session = await stage.turn('approved', [exec('echo ran >> approved.txt && wc -l < approved.txt')]);
  const approval = await stage.missionControl.pendingApproval(session);
  assert.equal(approval.tool, 'exec');
  assert.ok(
    approval.preview?.commands.some(({ text, verdict }) => text.includes('echo ran') && verdict !== 'blocked'),
    'the parsed command is shown',
  );
  assert.equal(await stage.file('approved.txt'), null, 'nothing ran before the decision');
  const decidedAt = await approveByClick(stage, approval);
  const [shown] = await stage.told('approved');
  const took = Date.now() - decidedAt;
  assert.equal((shown ?? '').trim(), '1');
  assert.equal(await stage.file('approved.txt'), 'ran\n');
  const call = await recorded(stage, session, 'success');
  assert.match(call.output ?? '', /1/);
  return `decision to result ${took} ms`;
}

async function editedRuns(stage: Stage): Promise<string> {
  const session = await stage.turn('edited', [{ name: 'exec', arguments: { command: 'echo original > edited.txt', timeoutSeconds: 30 } }]);
  const approval = await stage.missionControl.pendingApproval(session);
  const edit = { command: 'echo changed > edited.txt' };
  await stage.missionControl.post(`/api/approvals/${approval.id}/approve`, { note: 'changed by the e2e run', arguments: edit });
  await stage.told('edited');
  assert.equal(await stage.file('edited.txt'), 'changed\n');
  return 'changed command ran';
}

async function denialIsTold(stage: Stage): Promise<string> {
  const session = await stage.turn('denied', [exec('echo ran > denied.txt')]);
  const approval = await stage.missionControl.pendingApproval(session);
  await stage.missionControl.post(`/api/approvals/${approval.id}/deny`, { note: 'Not on a Friday.' });
  const [shown] = await stage.told('denied');
  assert.match(shown ?? '', /APPROVAL_DENIED/);
  assert.match(shown ?? '', /Not on a Friday/);
  assert.equal(await stage.file('denied.txt'), null);
  await recorded(stage, session, 'blocked');
  return 'told: APPROVAL_DENIED and the note';
}

async function lateApprovalRunsOnce(stage: Stage): Promise<string> {
  return withInlineWait(stage, 4_000, async () => {
    const call = exec('echo late >> late.txt');
    const session = await stage.turn('late', [call]);
    const [pending] = await stage.told('late');
    assert.match(pending ?? '', /is pending/);
    assert.match(pending ?? '', /Nothing has run/);
    const approval = await stage.missionControl.pendingApproval(session);
    assert.match(pending ?? '', new RegExp(`approval ${approval.number} `));
    assert.equal(await stage.file('late.txt'), null);

    // Whatever Mission Control says to the agent about this approval makes the model repeat the call, twice.
    stage.model.script('repeat', new RegExp(`\\b${approval.number}\\b[^]*approved|approved[^]*\\b${approval.number}\\b`, 'i'), [
      [call],
      [call],
    ]);
    const decidedAt = Date.now();
    await approve(stage, approval);
    const [first] = await stage.told('repeat');
    const took = Date.now() - decidedAt;
    assert.doesNotMatch(first ?? '', /Mission Control/);
    const [, second] = await stage.told('repeat', 2);
    assert.match(second ?? '', /is pending/, 'the grant works once');
    assert.equal(await stage.file('late.txt'), 'late\n');
    await denyAll(stage);
    return `decision to result through the session ${took} ms`;
  });
}

async function deferredCountsOnce(stage: Stage): Promise<string> {
  const session = await stage.turn('deferred', [deferred('sessions_list')]);
  await stage.told('deferred');
  await recorded(stage, session, 'success');
  const calls = await stage.missionControl.calls(session);
  assert.deepEqual(
    calls.map(({ tool }) => tool),
    ['sessions_list'],
  );
  return 'one record for tool_call and sessions_list';
}

async function mcpCountsOnce(stage: Stage): Promise<string> {
  const session = await stage.turn('mcp', [deferred('counting-main__write', { text: 'both gates' })]);
  const approval = await stage.missionControl.pendingApproval(session);
  assert.equal(approval.tool, 'counting__write', 'the gate knows the tool by its canonical name');
  assert.equal(stage.counting.runs.get('write:both gates'), undefined);
  await approve(stage, approval);
  const [shown] = await stage.told('mcp');
  assert.match(shown ?? '', /write both gates/);
  assert.equal(stage.counting.runs.get('write:both gates'), 1);
  const call = await recorded(stage, session, 'success');
  const { items } = await stage.missionControl.get<{ items: { tool: string; id: string }[] }>('/api/tool-calls?limit=100');
  assert.deepEqual(
    items.filter(({ tool }) => tool === 'counting__write').map(({ id }) => id),
    [call.id],
    'one record for both gates',
  );
  const alerts = await stage.missionControl.get<{ items: { type: string }[] }>('/api/alerts?resolved=false&limit=100');
  assert.ok(!alerts.items.some(({ type }) => type === 'gate_missing'), 'the second gate has seen the first');
  return 'one approval, one record, one run at the server';
}

async function lateMcpRunsOnce(stage: Stage): Promise<string> {
  return withInlineWait(stage, 4_000, async () => {
    const call = deferred('counting-main__write', { text: 'late' });
    const session = await stage.turn('mcplate', [call]);
    const [pending] = await stage.told('mcplate');
    assert.match(pending ?? '', /is pending/);
    const approval = await stage.missionControl.pendingApproval(session);
    stage.model.script('mcprepeat', new RegExp(`\\b${approval.number}\\b[^]*granted|granted[^]*\\b${approval.number}\\b`, 'i'), [
      [call],
      [call],
    ]);
    await approve(stage, approval);
    const [first] = await stage.told('mcprepeat');
    assert.match(first ?? '', /write late/);
    const [, second] = await stage.told('mcprepeat', 2);
    assert.match(second ?? '', /is pending/, 'the grant works once');
    assert.equal(stage.counting.runs.get('write:late'), 1);
    await denyAll(stage);
    return 'one run at the server after the late approval, none for the repeat';
  });
}

async function subAgentIsJudged(stage: Stage): Promise<string> {
  const { items } = await stage.missionControl.get<{ items: { id: string; externalId: string | null; autonomyLevel: string }[] }>(
    '/api/agents',
  );
  const main = items.find((agent) => agent.externalId === 'main');
  assert.ok(main, 'connect registered the agent main');
  await stage.missionControl.patch(`/api/agents/${main.id}`, { autonomyLevel: 'lead' });
  stage.model.script('child', /#child\b/, [[exec('echo child > child.txt')]]);
  await stage.turn('parent', [deferred('sessions_spawn', { task: 'Please do #child', mode: 'run' })]);
  const approval = await until('the sub-agent\u2019s call to be held', 60_000, async () => {
    const page = await stage.missionControl.get<{ items: Approval[] }>('/api/approvals?status=pending&limit=100');
    return page.items.find(({ sessionKey }) => sessionKey?.includes(':subagent:'));
  });
  assert.equal(await stage.file('child.txt'), null);
  await approve(stage, approval);
  await stage.told('child');
  assert.equal(await stage.file('child.txt'), 'child\n');
  const team = await stage.missionControl.get<{ items: { id: string; parentId: string | null; depth: number }[] }>('/api/agents');
  const child = team.items.find(({ parentId }) => parentId === main.id);
  assert.deepEqual([child?.depth, approval.agentId], [1, child?.id], 'the sub-agent is an agent of its own, under its parent');
  await stage.missionControl.patch(`/api/agents/${main.id}`, { autonomyLevel: main.autonomyLevel });
  return `held in ${approval.sessionKey?.replace(/[0-9a-f-]{36}/, '…')}`;
}

async function codeModeIsJudged(stage: Stage): Promise<string> {
  const program = 'return await exec({ command: "echo nested > nested.txt" })';
  stage.model.script('program', /#program\b/, [[{ name: 'exec', arguments: { code: program } }]]);
  const session = await stage.say('Please do #program', 'agent:ops:e2e-code');
  const approval = await stage.missionControl.pendingApproval(session);
  assert.equal(await stage.file('nested.txt', 'ops'), null);
  await stage.missionControl.post(`/api/approvals/${approval.id}/deny`, { note: 'Not from a program.' });
  const [shown] = await stage.told('program');
  assert.match(shown ?? '', /Not from a program/);
  assert.equal(await stage.file('nested.txt', 'ops'), null);
  return 'the nested call was held and denied';
}

async function abortWithdraws(stage: Stage): Promise<string> {
  const session = await stage.turn('aborted', [exec('echo ran > aborted.txt')]);
  const approval = await stage.missionControl.pendingApproval(session);
  const abortedAt = Date.now();
  await stage.abort(session);
  await until('the approval to be withdrawn', 10_000, async () => (await approvalNow(stage, approval)).status === 'withdrawn');
  const took = Date.now() - abortedAt;
  await assert.rejects(approve(stage, approval), /409/);
  assert.equal(await stage.file('aborted.txt'), null);
  return `withdrawn after ${took} ms`;
}

async function stoppedBlocks(stage: Stage): Promise<string> {
  // The run starts while Mission Control is there, and finds it gone at its second call.
  const gone = Promise.withResolvers<void>();
  const steps = [
    [{ name: 'ls', arguments: { path: '.' } }],
    [{ name: 'read', arguments: { path: 'note.txt' } }],
    [exec('echo ran > stopped.txt')],
  ];
  stage.model.script('stopped', /#stopped\b/, steps, async (step) => (step === 1 ? gone.promise : undefined));
  await stage.say('Please do #stopped');
  await stage.told('stopped');
  await stage.missionControl.stop();
  gone.resolve();
  const [, read, written] = await stage.told('stopped', 3, 90_000);
  assert.match(read ?? '', /could not be asked/);
  assert.match(written ?? '', /could not be asked/);
  assert.equal(await stage.file('stopped.txt'), null);

  // A run that would start now is not started at all.
  stage.model.script('notstarted', /#notstarted\b/, [[exec('echo ran > notstarted.txt')]]);
  await stage.say('Please do #notstarted');
  await stage.missionControl.start();
  await stage.gateIs('live', 60_000);
  assert.deepEqual(stage.model.results('notstarted'), []);
  assert.equal(await stage.file('notstarted.txt'), null);
  return 'two calls blocked, one run not started';
}

async function heldSurvivesKill(stage: Stage): Promise<string> {
  const session = await stage.turn('killed', [exec('echo ran >> killed.txt')]);
  const approval = await stage.missionControl.pendingApproval(session);
  await stage.missionControl.kill();
  await stage.missionControl.start();
  assert.equal((await approvalNow(stage, approval)).status, 'pending');
  await approve(stage, approval);
  await stage.told('killed');
  assert.equal(await stage.file('killed.txt'), 'ran\n');
  await recorded(stage, session, 'success');
  await stage.gateIs('live', 60_000);
  return 'same approval, one run';
}

async function missingPluginAlerts(stage: Stage): Promise<string> {
  const folder = path.join(path.dirname(stage.openclaw.configFile), 'mission-control', 'plugin');
  await stage.openclaw.stop();
  await rename(folder, `${folder}.gone`);
  await stage.openclaw.start();
  const upAt = Date.now();
  const alert = await until('the alert about the missing gate', 90_000, async () => {
    const { items } = await stage.missionControl.get<{ items: { type: string; severity: string; resolved: boolean }[] }>(
      '/api/alerts?resolved=false&limit=100',
    );
    return items.find(({ type }) => type === 'gate_missing');
  });
  const took = Date.now() - upAt;
  assert.equal(alert.severity, 'critical');
  assert.ok(took <= 30_000, `the alert took ${took} ms`);
  await stage.openclaw.stop();
  await rename(`${folder}.gone`, folder);
  await stage.openclaw.start();
  await stage.gateIs('live', 60_000);
  return `critical ${Math.round(took / 100) / 10} s after the gateway was up`;
}

/** USD per million tokens. */
const PRICE = { input: 3, output: 15 };

async function modelsAreMetered(stage: Stage): Promise<string> {
  const { missionControl, model, openclaw } = stage;
  const upstream = { name: 'paper', kind: 'model', url: model.baseUrl, secret: 'sk-paper', allowPrivate: true };
  await missionControl.post('/api/upstreams', upstream);
  const policy = await missionControl.post<{ id: string }>('/api/policies', {
    patch: { model: { prices: { scripted: { ...PRICE, contextTokens: 128_000 } } } },
    note: 'a price for the scripted model',
  });
  await missionControl.post(`/api/policies/${policy.id}/activate`, { note: 'a price for the scripted model' });
  const { items: agents } = await missionControl.get<{ items: { id: string; externalId: string | null }[] }>('/api/agents');
  const idOf = (externalId: string) => agents.find((agent) => agent.externalId === externalId)?.id ?? '';
  await missionControl.patch(`/api/agents/${idOf('main')}`, { budgets: { dailyCap: 50, perRunCap: 20 } });
  await missionControl.patch(`/api/agents/${idOf('ops')}`, { budgets: { dailyCap: 0.0001 } });
  const task = (agent: string, sessionKey: string) =>
    missionControl.post('/api/tasks', { title: `Money of ${agent}`, type: 'ops', assigneeIds: [idOf(agent)], sessionKey, budget: 50 });
  const [rich, poor] = ['agent:main:e2e-money', 'agent:ops:e2e-money'];
  await task('main', rich);
  await task('ops', poor);
  await missionControl.command('openclaw', 'connect', '--config', openclaw.configFile, '--yes');

  // OpenClaw takes a new configuration up by itself; from then on only our key reaches the provider.
  await writeFile(path.join(openclaw.workspace, 'main', 'note.txt'), 'a note about money\n');
  const steps = [[{ name: 'read', arguments: { path: 'note.txt' } }]];
  model.script('money0', /#money0\b/, steps);
  let takenUp = 0;
  await until('OpenClaw to ask models through Mission Control', 60_000, async () => {
    model.script('settle', /#settle\b/, []);
    await stage.say('Please do #settle', rich);
    takenUp = model.answered.findIndex(({ authorization }) => authorization === 'Bearer sk-paper');
    if (takenUp < 0) await new Promise((resolve) => setTimeout(resolve, 2_000));
    return takenUp >= 0;
  });

  for (const name of ['money1', 'money2']) model.script(name, new RegExp(`#${name}\\b`), steps);
  model.script('poor', /#poor\b/, steps);
  await stage.say('Please do #money1', rich);
  await stage.told('money1');
  await stage.say('Please do #poor', poor);
  const refusal = await until('the refusal of the poor agent', 60_000, async () => {
    const denied = (await modelCalls(stage)).find((call) => call.agentId === idOf('ops'));
    return denied?.reasons[0]?.code;
  });
  assert.equal(refusal, 'BUDGET_DAILY');
  await until('OpenClaw to say why', 30_000, async () => (await stage.log()).includes('BUDGET_DAILY'));
  // The provider is not taken away from the other one.
  await stage.say('Please do #money2', rich);
  await stage.told('money2');
  assert.deepEqual(model.results('poor'), []);

  const served = model.answered.slice(takenUp);
  assert.ok(
    served.every(({ authorization }) => authorization === 'Bearer sk-paper'),
    'only our key reached the provider',
  );
  const calls = await until('the record to be whole', 30_000, async () => {
    const ended = (await modelCalls(stage)).filter(({ status }) => status === 'success');
    return ended.length >= model.answered.length - takenUp ? ended : null;
  });
  const each = (USAGE.prompt_tokens * PRICE.input + USAGE.completion_tokens * PRICE.output) / 1e6;
  assert.ok(
    calls.every(({ cost }) => cost === each),
    `every call costs ${each}: ${JSON.stringify(calls.map(({ cost }) => cost))}`,
  );
  assert.equal(calls.length, model.answered.length - takenUp);
  const attributed = calls.filter(({ taskId }) => taskId !== null).length / calls.length;
  assert.ok(attributed >= 0.95, `${attributed} of the cost belongs to a task`);
  return `${calls.length} calls at ${each} USD, ${Math.round(attributed * 100)} % attributed, refused: ${refusal}`;
}

interface ModelCall {
  agentId: string;
  tool: string;
  status: string;
  taskId: string | null;
  cost: number | null;
  reasons: { code: string }[];
}

async function modelCalls(stage: Stage): Promise<ModelCall[]> {
  const { items } = await stage.missionControl.get<{ items: ModelCall[] }>('/api/tool-calls?limit=200');
  return items.filter(({ tool }) => tool === 'model_call');
}

async function undoRestores(stage: Stage): Promise<string> {
  await stage.missionControl.command('openclaw', 'connect', '--config', stage.openclaw.configFile, '--undo', '--yes');
  assert.equal(await readFile(stage.openclaw.configFile, 'utf8'), stage.unconnected);
  return 'same bytes';
}

/** A person finds the call in the inbox of a real browser, reads the command and clicks. @returns when it was clicked. */
async function approveByClick(stage: Stage, approval: Approval): Promise<number> {
  const browser = await launchBrowser();
  try {
    const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
    const link = (await stage.missionControl.command('sign-in')).trim();
    await page.goto(link);
    await page.waitForURL((url) => !url.pathname.startsWith('/sign-in'));
    await page.goto(new URL(`/approvals/${approval.id}`, link).href);
    await page.getByRole('heading', { name: /^Run echo/ }).waitFor();
    const button = page.getByRole('button', { name: /^Approve/ }).first();
    await button.waitFor();
    const clickedAt = Date.now();
    await button.click();
    await until('the click to be the decision', 10_000, async () => {
      const { status } = await stage.missionControl.get<Approval>(`/api/approvals/${approval.id}`);
      return status === 'approved';
    });
    return clickedAt;
  } finally {
    await browser.close();
  }
}

async function approve(stage: Stage, approval: Approval): Promise<void> {
  await stage.missionControl.post(`/api/approvals/${approval.id}/approve`, { note: 'approved by the e2e run' });
}

async function approvalNow(stage: Stage, approval: Approval): Promise<Approval> {
  return stage.missionControl.get<Approval>(`/api/approvals/${approval.id}`);
}

async function denyAll(stage: Stage): Promise<void> {
  const { items } = await stage.missionControl.get<{ items: Approval[] }>('/api/approvals?status=pending&limit=100');
  for (const { id } of items) await stage.missionControl.post(`/api/approvals/${id}/deny`, { note: 'end of the scenario' });
}

async function pendingCount(stage: Stage): Promise<number> {
  return (await stage.missionControl.get<{ items: Approval[] }>('/api/approvals?status=pending&limit=100')).items.length;
}

/** The one call of a session, once its record says that it ended so. */
async function recorded(stage: Stage, session: string, status: string) {
  return until(`the record of ${session} to say ${status}`, 20_000, async () => {
    const calls = await stage.missionControl.calls(session);
    assert.ok(calls.length <= 1, `${calls.length} records for one call`);
    return calls.find((call) => call.status === status);
  });
}

/** Runs `work` under a policy whose inline wait is short, and puts the former policy back. */
async function withInlineWait(stage: Stage, inlineMs: number, work: () => Promise<string>): Promise<string> {
  const activate = async (ms: number) => {
    const policy = await stage.missionControl.post<{ id: string }>('/api/policies', {
      patch: { holds: { inlineMs: ms } },
      note: `wait ${ms} ms`,
    });
    await stage.missionControl.post(`/api/policies/${policy.id}/activate`, { note: `wait ${ms} ms` });
  };
  await activate(inlineMs);
  try {
    return await work();
  } finally {
    await activate(240_000);
  }
}
