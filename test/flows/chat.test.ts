/** People decide from everywhere at once, on the product as its user starts it: dashboard, command line, Telegram and Slack. */
import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GateBody, gateOf } from '../support/calls.ts';
import { CHILD_ENV } from '../support/child-env.ts';
import { buttonsOf, SIGNING_SECRET, SLACK_TOKEN, slackHeaders, startFakeSlack } from '../support/fake-slack.ts';
import { BOT_TOKEN, startFakeTelegram } from '../support/fake-telegram.ts';
import { type Answer, newAgent, startWorld, until, type World } from '../support/world.ts';

const ROOT = join(import.meta.dirname, '..', '..');
/** About what a decision takes: whoever comes next is still a rival. */
const LEAD_MS = 60;
const MARA = { id: 501, username: 'mara' };

let world: World;
let telegram: Awaited<ReturnType<typeof startFakeTelegram>>;
let slack: Awaited<ReturnType<typeof startFakeSlack>>;
let telegramId: string;
let slackId: string;
let agent: Awaited<ReturnType<typeof newAgent>>;
let gate: ReturnType<typeof gateOf>;
let update = 1_000;

beforeAll(async () => {
  [telegram, slack] = await Promise.all([startFakeTelegram(), startFakeSlack()]);
  // Chats reach us by a name of the outside; here they are played by the test.
  world = await startWorld({ MC_CONTROL_URL: 'https://mc.example.com' });
  const add = async (fields: object) => {
    const made = await world.api<{ id: string }>('POST', '/channels', { allowPrivate: true, ...fields });
    expect(made.status, JSON.stringify(made.body)).toBe(201);
    return made.body.id;
  };
  telegramId = await add({
    kind: 'telegram',
    name: 'Telegram',
    destination: '-1001',
    apiRoot: telegram.url,
    token: BOT_TOKEN,
    mode: 'webhook',
  });
  slackId = await add({ kind: 'slack', name: 'Slack', destination: 'C1', apiRoot: slack.url, token: SLACK_TOKEN, secret: SIGNING_SECRET });
  await until(
    () => telegram.webhooks.length,
    (count) => count === 1,
  );
  const person = async (name: string) => {
    const made = await world.api<{ id: string }>('POST', '/operators', { name, role: 'approver' });
    const code = async (channelId: string) =>
      (await world.api<{ code: string }>('POST', `/operators/${made.body.id}/chat-identities`, { channelId })).body.code;
    return { code };
  };
  const mara = await person('Mara');
  await fromTelegram(telegram.message(MARA, `/link ${await mara.code(telegramId)}`));
  const nina = await person('Nina');
  const text = `link ${await nina.code(slackId)}`;
  const event = { type: 'message', user: 'U1', text, channel: 'D1', channel_type: 'im', ts: '1.1' };
  await fromSlack(JSON.stringify({ type: 'event_callback', team_id: 'T1', event }), 'application/json');
  agent = await newAgent(world);
  gate = gateOf(world, agent.token);
});
afterAll(async () => {
  await world?.close();
  await Promise.all([telegram.close(), slack.close()]);
});

function fromTelegram(fields: object, secret = String(telegram.webhooks.at(-1)?.secret_token)): Promise<Response> {
  return fetch(`${world.controlUrl}/chat/telegram/${telegramId}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-telegram-bot-api-secret-token': secret },
    body: JSON.stringify({ update_id: ++update, ...fields }),
  });
}

function fromSlack(body: string, type = 'application/x-www-form-urlencoded'): Promise<Response> {
  const headers = { 'content-type': type, ...slackHeaders(body, Math.floor(Date.now() / 1000)) };
  return fetch(`${world.controlUrl}/chat/slack/${slackId}`, { method: 'POST', headers, body });
}

const press = (approvalId: string) =>
  fromTelegram(
    telegram.press(
      MARA,
      { message_id: 1, chat: -1001, text: '', thread: null, buttons: [], forceReply: false, edits: 0 },
      `d:a:${approvalId}`,
    ),
  );
const pressSlack = (approvalId: string) =>
  fromSlack(
    new URLSearchParams({
      payload: JSON.stringify({
        type: 'block_actions',
        trigger_id: `t-${++update}`,
        user: { id: 'U1', team_id: 'T1' },
        team: { id: 'T1' },
        container: { channel_id: 'C1' },
        actions: [{ value: `d:d:${approvalId}` }],
      }),
    }).toString(),
  );

const mcEnv = () => ({ ...CHILD_ENV, MC_CONTROL_URL: world.controlUrl, MC_DATA_DIR: world.dataDir, MC_KEY_DIR: world.keyDir });

function mc(args: readonly string[]): Promise<{ code: number; out: string; errors: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, ['cli.ts', 'approvals', ...args], { cwd: ROOT, env: mcEnv() }, (error, out, errors) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, errors }),
    );
  });
}

const hold = async (command: string) => {
  const held = await gate.exec(command);
  expect(held.status, JSON.stringify(held.body)).toBe(202);
  return held.body;
};
const numberOf = async (id: string) => (await world.api<{ number: number }>('GET', `/approvals/${id}`)).body.number;

describe('the command line', () => {
  it('lists, shows, approves and denies by number, with exit codes that a script can use', async () => {
    const [first, second] = [await hold('make first\u202e'), await hold('make second')];
    const [one, two] = [await numberOf(first.approvalId), await numberOf(second.approvalId)];
    const [listed, shown] = await Promise.all([mc(['list', '--json']), mc(['show', String(one)])]);
    expect((JSON.parse(listed.out) as { number: number }[]).map(({ number }) => number)).toEqual([one, two]);
    expect(shown.out).toContain('make first[U+202E]');
    expect(shown.out).not.toContain('\u202e');
    const [approved, denied] = await Promise.all([
      mc(['approve', String(one)]),
      mc(['deny', second.approvalId, '--note', 'not now', '--json']),
    ]);
    expect(approved).toMatchObject({ code: 0, out: `Approval ${one} is approved.\n` });
    expect(JSON.parse(denied.out)).toMatchObject({ status: 'denied', decision: 'not now', approver: 'Command line' });
    const [late, unknown] = await Promise.all([mc(['deny', String(one)]), mc(['show', '99999'])]);
    expect(late).toMatchObject({ code: 3, out: expect.stringContaining('already approved by Command line') });
    expect(unknown).toMatchObject({ code: 1, errors: expect.stringContaining('no approval 99999') });
  });

  it('watches: what begins to wait and how it ends', async () => {
    const watching = spawn(process.execPath, ['cli.ts', 'approvals', 'watch', '--json'], { cwd: ROOT, env: mcEnv() });
    let out = '';
    watching.stdout.on('data', (chunk) => {
      out += chunk;
    });
    const told = () =>
      out
        .trim()
        .split('\n')
        .filter((line) => line.includes('make watched'))
        .map((line) => (JSON.parse(line) as { status: string }).status);
    const held = await hold('make watched');
    await until(told, (statuses) => statuses.length === 1, 20_000);
    await world.api('POST', `/approvals/${held.approvalId}/approve`, {});
    await until(told, (statuses) => statuses.length === 2, 20_000);
    const ended = new Promise((resolve) => watching.once('exit', resolve));
    watching.kill('SIGINT');
    expect(await ended).toBe(0);
    expect(told()).toEqual(['pending', 'approved']);
  });
});

describe('one approval decided at once from dashboard, command line, Telegram and Slack', () => {
  it('has one winner and three polite outcomes, a hundred times', async () => {
    const link = new URL(world.signInLink());
    const token = link.hash.replace('#token=', '');
    const session = await fetch(`${world.controlUrl}/api/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token }),
    });
    const cookie = session.headers.get('set-cookie')?.split(';')[0] ?? '';
    const { csrfToken } = (await session.json()) as { csrfToken: string };
    const cli = readFileSync(join(world.keyDir, 'cli-token'), 'utf8').trim();
    const winners = new Map<string, number>();
    // Most of them ten at a time and all at the same moment; the last twenty by themselves, each way with a lead in turn: one that has
    // a step more to do before it decides would otherwise always be the last.
    for (let round = 0; round < 100; round += round < 80 ? 10 : 1) {
      await Promise.all(
        Array.from({ length: round < 80 ? 10 : 1 }, async (_, index) => {
          const { approvalId } = await hold(`make race-${round + index}`);
          const rivals: (() => Promise<{ status: number; code?: string }>)[] = [
            async () => {
              const answer = await fetch(`${world.controlUrl}/api/approvals/${approvalId}/approve`, {
                method: 'POST',
                headers: { cookie, 'x-mc-csrf': csrfToken, 'content-type': 'application/json' },
                body: '{}',
              });
              return { status: answer.status, code: ((await answer.json()) as { code?: string }).code ?? '' };
            },
            async () => {
              const answer: Answer<{ code?: string }> = await world.api('POST', `/approvals/${approvalId}/deny`, {}, cli);
              return { status: answer.status, code: answer.body.code ?? '' };
            },
            async () => ({ status: (await press(approvalId)).status }),
            async () => ({ status: (await pressSlack(approvalId)).status }),
          ];
          const first = (round + index) % 4;
          const turned = [...rivals.slice(first), ...rivals.slice(0, first)];
          const answers = await Promise.all(turned.map((rival, place) => sleep(round < 80 ? 0 : place * LEAD_MS).then(rival)));
          const { body } = await world.api<{ approver: string; status: string }>('GET', `/approvals/${approvalId}`);
          winners.set(body.approver, (winners.get(body.approver) ?? 0) + 1);
          for (const { status, code } of answers) expect([status, code ?? ''].join(' ')).toMatch(/^(200 |409 DECIDED)/);
          const rows = await world.api<{ items: { action: string }[] }>('GET', `/audit?subjectId=${approvalId}`);
          const decisions = (rows.body.items ?? []).filter(({ action }) => action === 'approval.approved' || action === 'approval.denied');
          expect(decisions).toHaveLength(1);
        }),
      );
    }
    expect([...winners.values()].reduce((sum, count) => sum + count, 0)).toBe(100);
    // Nobody is always the last: each of them is a real rival.
    expect([...winners.keys()].toSorted()).toEqual(['Administrator', 'Command line', 'Mara', 'Nina']);
    // Everyone who was late was told, and every card shows what was decided.
    await until(
      () => telegram.messages.filter(({ text, buttons }) => text.includes('make race-') && buttons.length === 0).length,
      (count) => count === 100,
      30_000,
    );
    await until(
      () =>
        slack.messages.filter((message) => JSON.stringify(message.blocks).includes('make race-') && buttonsOf(message).length === 0).length,
      (count) => count === 100,
      30_000,
    );
    const ranOut = telegram.answers.filter(({ text }) => /already (approved|denied) by/.test(text)).length;
    expect(ranOut + (winners.get('Mara') ?? 0)).toBe(100);
  });
});

describe('a kill between decision, telling and running', () => {
  it('loses no decision, tells it once on each channel, and runs the call once', async () => {
    const held: GateBody[] = [];
    for (const name of ['told', 'half', 'decided']) {
      held.push(await hold(`make killed-${name}`));
      await until(
        () =>
          telegram.find(`killed-${name}`) !== undefined &&
          slack.messages.some((one) => JSON.stringify(one.blocks).includes(`killed-${name}`)),
        Boolean,
      );
    }
    const [told, half, decided] = held.map((one) => () => world.api('POST', `/approvals/${one.approvalId}/approve`, {}));
    const isTold = (name: string) => telegram.find(`killed-${name}`)?.buttons.length === 0;
    const shown = () => slack.messages.filter((one) => JSON.stringify(one.blocks).includes('make killed-'));
    // One is told everywhere, one on the chat that is there, one not at all: then the product dies, and nothing has run yet.
    await told?.();
    await until(() => isTold('told') && shown().filter((one) => buttonsOf(one).length === 0).length === 1, Boolean);
    slack.down(true);
    await half?.();
    await until(() => isTold('half'), Boolean);
    await decided?.();
    await world.kill();
    slack.down(false);
    await world.start();
    for (const { id } of held) {
      const [first, second] = [await gate.poll(id), await gate.poll(id)];
      expect([first.body.verdict, second.body.verdict]).toEqual(['allow', 'allow']);
      expect((await gate.end(id)).status).toBe(200);
      expect((await gate.poll(id)).status).toBe(409);
    }
    await until(
      () => shown().filter((one) => buttonsOf(one).length === 0).length,
      (count) => count === 3,
      20_000,
    );
    await until(() => isTold('decided'), Boolean);
    const cards = telegram.messages.filter(({ text }) => text.includes('make killed-'));
    expect([cards.length, shown().length]).toEqual([3, 3]);
    expect(cards.every(({ text, edits }) => edits === 1 && text.includes('approved by admin'))).toBe(true);
  });
});

describe('an agent', () => {
  it('approves by no route: not with its own token, not as a chat, not by what it writes', async () => {
    const held = await hold('make mine');
    const approve = (token: string) => world.api('POST', `/approvals/${held.approvalId}/approve`, { note: 'I may' }, token);
    expect((await approve(agent.token)).status).toBe(403);
    const body = telegram.press(
      MARA,
      { message_id: 1, chat: -1001, text: '', thread: null, buttons: [], forceReply: false, edits: 0 },
      `d:a:${held.approvalId}`,
    );
    for (const secret of ['', 'x'.repeat(43), agent.token]) expect((await fromTelegram(body, secret)).status).toBe(401);
    for (const path of [`/chat/slack/${slackId}`, `/chat/slack/nobody`, `/chat/telegram/${slackId}`, '/chat/telegram/nobody']) {
      const answer = await fetch(`${world.controlUrl}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${agent.token}` },
        body: '{}',
      });
      expect(answer.status, path).toBe(401);
    }
    for (const [method, path] of [
      ['GET', '/channels'],
      ['POST', '/channels'],
      ['GET', '/notifications'],
      ['POST', `/operators/${agent.id}/chat-identities`],
    ] as const) {
      expect((await world.api(method, path, method === 'POST' ? {} : undefined, agent.token)).status, path).toBe(403);
    }
    // A bot of the agent's in the same chat, and words that would be a decision if words could be one.
    const bot = { id: 777, username: 'agent_bot', is_bot: true };
    await fromTelegram(
      telegram.press(
        bot,
        { message_id: 1, chat: -1001, text: '', thread: null, buttons: [], forceReply: false, edits: 0 },
        `d:a:${held.approvalId}`,
      ),
    );
    await fromTelegram(telegram.message(bot, `/approve ${held.approvalId}`, { chat: { id: -1001, type: 'supergroup', title: 'Ops' } }));
    await fromTelegram(telegram.message(MARA, `Approval: approved by Mara`, { chat: { id: -1001, type: 'supergroup', title: 'Ops' } }));
    const task = await world.api<{ id: string }>('POST', '/tasks', { title: 't', type: 'engineering', assigneeIds: [agent.id] });
    const comment = { taskId: task.body.id, content: `@Mara approve ${held.approvalId} /approve` };
    expect((await world.api('POST', '/messages', comment, agent.token)).status).toBe(201);
    expect((await world.api('GET', `/approvals/${held.approvalId}`)).body).toMatchObject({ status: 'pending' });
    expect((await gate.poll(held.id)).body.verdict).toBe('hold');
  });
});

describe('the emergency stop from a chat', () => {
  it('is asked for, confirmed by who asked, holds for every call, and is told everywhere', async () => {
    const oda = { id: 502, username: 'oda' };
    const made = await world.api<{ id: string }>('POST', '/operators', { name: 'Oda', role: 'operator' });
    const code = await world.api<{ code: string }>('POST', `/operators/${made.body.id}/chat-identities`, { channelId: telegramId });
    await fromTelegram(telegram.message(oda, `/link ${code.body.code}`));
    const held = await hold('make before-the-stop');
    const inGroup = { chat: { id: -1001, type: 'supergroup', title: 'Ops' } };
    await fromTelegram(telegram.message(oda, '/stop', inGroup));
    const question = await until(
      () => telegram.find('Stop everything?'),
      (message) => message !== undefined,
    );
    if (!question) throw new Error('nothing was asked');
    const data = question.buttons[0]?.callback_data ?? '';
    const stopped = async () => (await world.api<{ estop: boolean }>('GET', '/emergency')).body.estop;
    await fromTelegram(telegram.press(MARA, question, data));
    expect(await stopped()).toBe(false);
    expect((await gate.note()).body.verdict).toBe('allow');

    await fromTelegram(telegram.press(oda, question, data));
    expect(await stopped()).toBe(true);
    const { proxies } = (await world.api<{ proxies: unknown[] }>('GET', '/overview')).body;
    expect(question).toMatchObject({ text: `Stopped. ${proxies.length} of ${proxies.length} proxies confirmed.`, buttons: [] });
    const refused = await gate.note();
    expect([refused.body.verdict, refused.body.reasons[0]?.code]).toEqual(['deny', 'ESTOP']);
    expect((await world.api('GET', `/approvals/${held.approvalId}`)).body).toMatchObject({ status: 'withdrawn' });
    const isTold = () => [
      telegram.messages.filter(({ text }) => text.startsWith('Everything is stopped')).length,
      slack.messages.filter((message) => message.text.startsWith('Everything is stopped')).length,
    ];
    await until(isTold, ([first, second]) => first === 1 && second === 1);
    expect((await world.api('POST', '/emergency/resume', { note: 'the test is over' })).status).toBe(200);
    expect(await stopped()).toBe(false);
  });
});
