/**
 * Crashes under traffic: agents call, a person decides, outcomes come in, and the product is killed in the middle of it, after a
 * number of answers that the seed decides (sometimes again while it starts). After every restart what was answered before the crash
 * is compared with what the product knows; what was left open is taken up again. The same seed gives the same choices; the order
 * in which answers cross is the machine's.
 */
import { type GateBody, gateOf } from '../support/calls.ts';
import { type Answer, newAgent, startWorld, until, type World } from '../support/world.ts';

/** What an agent wants to do once, and everything it was answered about it. */
interface Action {
  tool: string;
  arguments: Record<string, unknown>;
  callId: string;
  isHeld: boolean;
  id: string | null;
  approvalId: string | null;
  /** A decision that was answered with 200. */
  decision: 'approved' | 'denied' | null;
  allowed: boolean;
  /** Output of an outcome that was answered with 200. */
  outcome: string | null;
}

export interface CrashReport {
  rounds: number;
  actions: number;
  allowed: number;
  held: number;
  kills: number;
  violations: string[];
}

const WORKERS = 6;
const PRICE = 0.1;
const CAP = 1;
const PRICED = 'priced_tool';
/** Answers between a start and the kill, at the most. */
const ANSWERS_MAX = 120;

/** Runs the rounds on a world of their own. @param seed decides every choice. */
export async function runCrashRounds({ seed, rounds }: { seed: number; rounds: number }): Promise<CrashReport> {
  const random = randomFrom(seed);
  const world = await startWorld();
  const report: CrashReport = { rounds, actions: 0, allowed: 0, held: 0, kills: 0, violations: [] };
  const told: { agentId: string; actions: Action[] }[] = [];
  try {
    const policy = await world.api<{ id: string }>('POST', '/policies', {
      patch: { riskMap: { [PRICED]: 'green' }, tools: { [PRICED]: { priceUsd: PRICE } }, budgets: { perRun: { specialist: 100 } } },
      note: 'chaos',
    });
    await world.api('POST', `/policies/${policy.body.id}/activate`, { note: 'chaos' });
    for (let round = 0; round < rounds; round++) {
      const agent = await newAgent(world, { budgets: { dailyCap: CAP } });
      const actions = await traffic(world, agent.token, round, random, report);
      told.push({ agentId: agent.id, actions });
      await restart(world, random, report);
      await takeUp(world, agent.token, actions, report);
      await compare(world, agent.id, actions, report);
    }
    for (const { agentId, actions } of told) await compare(world, agentId, actions, report);
    const audit = await world.api('GET', '/audit/verify');
    if (audit.body.ok !== true) report.violations.push(`the audit chain does not verify: ${JSON.stringify(audit.body)}`);
  } finally {
    await world.close();
  }
  for (const { actions } of told) {
    report.actions += actions.length;
    report.allowed += actions.filter((action) => action.allowed).length;
    report.held += actions.filter((action) => action.isHeld).length;
  }
  return report;
}

/** Workers call and decide until enough has been answered; then the kill comes, whatever they are in the middle of. */
async function traffic(world: World, token: string, round: number, random: () => number, report: CrashReport): Promise<Action[]> {
  const actions: Action[] = [];
  const killAfter = 5 + Math.floor(random() * ANSWERS_MAX);
  let answers = 0;
  let killing: Promise<void> | null = null;
  const count = <T>(answer: T): T => {
    answers++;
    if (answers === killAfter) {
      report.kills++;
      killing = world.kill();
    }
    return answer;
  };
  const work = async (worker: number): Promise<void> => {
    for (let index = 0; killing === null; index++) {
      const action = newAction(`${round}-${worker}-${index}`, random);
      actions.push(action);
      await drive(world, token, action, random, report, count).catch(() => {}); // the product died under it
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, (_, worker) => work(worker)));
  await killing;
  return actions;
}

function newAction(name: string, random: () => number): Action {
  const kind = random();
  const [tool, args, isHeld] =
    kind < 0.25
      ? (['post_comment', { text: name }, false] as const)
      : kind < 0.45
        ? (['exec', { command: `ls docs/${name}` }, false] as const)
        : kind < 0.65
          ? ([PRICED, { n: name }, false] as const)
          : (['exec', { command: `make part-${name}` }, true] as const);
  return { tool, arguments: args, callId: name, isHeld, id: null, approvalId: null, decision: null, allowed: false, outcome: null };
}

async function drive(
  world: World,
  token: string,
  action: Action,
  random: () => number,
  report: CrashReport,
  count: <T>(answer: T) => T,
): Promise<void> {
  const gate = gateOf(world, token);
  note(action, count(await gate.call(action.tool, action.arguments, { callId: action.callId })), report);
  if (!action.allowed && action.approvalId !== null) {
    const choice = random();
    if (choice > 0.85) return; // nobody decides
    const verdict = choice < 0.55 ? 'approve' : 'deny';
    const decided = count(await world.api('POST', `/approvals/${action.approvalId}/${verdict}`, { note: 'chaos' }));
    if (decided.status === 200) action.decision = verdict === 'approve' ? 'approved' : 'denied';
    note(action, count(await gate.poll(action.id ?? '', 1_000)), report);
  }
  if (action.allowed && random() < 0.8) await end(world, token, action, report, count);
}

async function end(world: World, token: string, action: Action, report: CrashReport, count: <T>(answer: T) => T): Promise<void> {
  const output = `output of ${action.callId}`;
  const answer = count(await gateOf(world, token).end(action.id ?? '', { output }));
  // 409: an outcome that was sent before the crash was recorded, and its answer was lost.
  if (answer.status === 200 || answer.status === 409) action.outcome = output;
  else report.violations.push(`${action.callId}: an outcome of an allowed call was answered ${answer.status}`);
}

/** Takes down an answer about an action, and whether it may have been given. */
function note(action: Action, answer: Answer<GateBody>, report: CrashReport): void {
  const { id, verdict, approvalId } = answer.body;
  if (answer.status === 503) return;
  if (action.id !== null && id !== undefined && id !== '' && action.id !== id) {
    report.violations.push(`${action.callId}: was ${action.id} and is now ${id}`);
  }
  action.id ??= id ?? null;
  if (approvalId && action.approvalId !== null && approvalId !== action.approvalId) {
    // What it was approved for may not pay for it any more: then it is asked about anew, and what was decided is another approval's.
    if (action.tool !== PRICED) report.violations.push(`${action.callId}: approval ${action.approvalId} has become ${approvalId}`);
    action.decision = null;
  }
  if (approvalId) action.approvalId = approvalId;
  if (verdict !== 'allow') return;
  if (action.outcome !== null) report.violations.push(`${action.callId}: allowed again after its outcome`);
  if (action.decision === 'denied') report.violations.push(`${action.callId}: allowed although it was denied`);
  action.allowed = true;
}

/** Starts again; now and then it is killed while it starts. */
async function restart(world: World, random: () => number, report: CrashReport): Promise<void> {
  while (random() < 0.25) {
    const starting = world.start().catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, random() * 2_000));
    report.kills++;
    await world.kill();
    await starting;
  }
  await world.start();
}

/** Every caller comes back with what it had in hand, as its client would: the same call again, the outcome again. */
async function takeUp(world: World, token: string, actions: readonly Action[], report: CrashReport): Promise<void> {
  const gate = gateOf(world, token);
  for (const action of actions) {
    if (action.outcome === null && !action.allowed)
      note(action, await gate.call(action.tool, action.arguments, { callId: action.callId }), report);
    else if (action.outcome === null && action.id !== null) note(action, await gate.poll(action.id), report);
    if (action.decision === 'approved' && action.id !== null && action.outcome === null) note(action, await gate.poll(action.id), report);
    if (action.allowed && action.outcome === null) await end(world, token, action, report, (answer) => answer);
    if (action.outcome !== null && action.id !== null) {
      const again = await gate.poll(action.id);
      if (again.status !== 409) report.violations.push(`${action.callId}: a poll after the outcome was answered ${again.status}`);
    }
  }
}

interface CallRow {
  id: string;
  status: string;
  verdict: string;
  output: string | null;
  approvalId: string | null;
  cost: number | null;
}
interface ApprovalRow {
  id: string;
  status: string;
  approver: string | null;
  redeemedBy: string | null;
  estimatedCost: number;
  reasons: { code: string }[];
}

/** What the product knows against what it said. */
async function compare(world: World, agentId: string, actions: readonly Action[], report: CrashReport): Promise<void> {
  const wrong = (action: Action, what: string) => report.violations.push(`${action.callId} (${action.id}): ${what}`);
  const ended = actions.filter((action) => action.outcome !== null).length;
  const calls = await until(
    () => all<CallRow>(world, `/tool-calls?agentId=${agentId}`),
    (rows) => rows.filter((row) => row.status === 'success').length >= ended,
  ).catch((error) => {
    report.violations.push(`outcomes that were acknowledged are missing: ${String(error).slice(0, 300)}`);
    return all<CallRow>(world, `/tool-calls?agentId=${agentId}`);
  });
  const approvals = new Map((await all<ApprovalRow>(world, `/approvals?status=all&agentId=${agentId}`)).map((row) => [row.id, row]));
  const byId = new Map(calls.map((row) => [row.id, row]));
  for (const action of actions) {
    const row = action.id === null ? undefined : byId.get(action.id);
    if (action.allowed && !row) wrong(action, 'was allowed and is not in the record');
    if (action.allowed && row && !['running', 'success'].includes(row.status))
      wrong(action, `was allowed and its record says ${row.status}`);
    if (action.outcome !== null && row?.output !== action.outcome) wrong(action, `its acknowledged outcome is ${row?.output}`);
    if (action.isHeld && action.allowed) {
      const approval = approvals.get(row?.approvalId ?? '');
      if (approval?.status !== 'approved' || approval.approver === null) wrong(action, `ran under an approval that is ${approval?.status}`);
      if (approval?.redeemedBy !== action.id) wrong(action, `ran under a grant that ${approval?.redeemedBy} took`);
    }
    const decided = approvals.get(action.approvalId ?? '');
    if (action.decision !== null && decided?.status !== action.decision)
      wrong(action, `was ${action.decision} and its approval says ${decided?.status}`);
  }
  const ran = calls.filter((row) => row.approvalId !== null && ['running', 'success', 'failed', 'unknown'].includes(row.status));
  if (new Set(ran.map((row) => row.approvalId)).size !== ran.length)
    report.violations.push(`agent ${agentId}: one approval let two calls run`);
  const { body } = await world.api<{ todaySpend: number }>('GET', `/agents/${agentId}`);
  const cost = Math.round(calls.reduce((sum, row) => sum + (row.cost ?? 0), 0) * 1e6) / 1e6;
  const allowances = [...approvals.values()]
    .filter((row) => row.status === 'approved' && row.redeemedBy !== null && row.reasons.some(({ code }) => code.startsWith('BUDGET_')))
    .reduce((sum, row) => sum + row.estimatedCost, 0);
  const cap = Math.round((CAP + allowances) * 1e6) / 1e6;
  if (body.todaySpend > cap) report.violations.push(`agent ${agentId}: spent ${body.todaySpend} of ${cap}`);
  if (body.todaySpend !== cost) report.violations.push(`agent ${agentId}: its calls cost ${cost}, its spend says ${body.todaySpend}`);
}

async function all<T>(world: World, path: string): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | null = null;
  do {
    const page: Answer<{ items: T[]; nextCursor: string | null }> = await world.api(
      'GET',
      `${path}&limit=500${cursor ? `&cursor=${cursor}` : ''}`,
    );
    items.push(...page.body.items);
    cursor = page.body.nextCursor;
  } while (cursor !== null);
  return items;
}

/** Mulberry32: small, and the same everywhere. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 4_294_967_296;
  };
}
