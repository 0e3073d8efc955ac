/** Slack through its real library, against a Web API server on loopback, and its signed requests to us. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Chat, startChat } from '../support/chat.ts';
import { buttonsOf, shownText, slackHeaders, startFakeSlack } from '../support/fake-slack.ts';
import { ADMIN } from '../support/services.ts';

let chat: Chat;
let slack: Awaited<ReturnType<typeof startFakeSlack>>;
let channel: string;
let agent: string;
let trigger = 0;

beforeAll(async () => {
  chat = await startChat();
});
afterAll(() => chat.close());
beforeEach(async () => {
  await chat.clear();
  await slack?.close();
  slack = await startFakeSlack();
  channel = (await chat.addSlack(slack.url)).id;
  await chat.restart();
  await chat.known(channel, 'T1:U1', 'Mara', 'approver');
  agent = await chat.agent();
  await chat.tell();
});
afterAll(() => slack?.close());

/** Slack sends us this; answers what we say. */
async function post(body: string, { type = 'application/x-www-form-urlencoded', headers = slackHeaders(body, chat.time.now / 1000) } = {}) {
  const answer = await chat
    .process()
    .hooks.request(`/slack/${channel}`, { method: 'POST', body, headers: { 'content-type': type, ...headers } });
  const text = await answer.text();
  return { status: answer.status, body: text === '' ? null : (JSON.parse(text) as Record<string, unknown>) };
}
const interaction = (payload: object) => new URLSearchParams({ payload: JSON.stringify(payload) }).toString();
const pressOf = (value: string, user = 'U1', ts = slack.messages.at(-1)?.ts) =>
  interaction({
    type: 'block_actions',
    trigger_id: `trigger-${++trigger}`,
    user: { id: user, username: user, team_id: 'T1' },
    team: { id: 'T1' },
    container: { message_ts: ts, channel_id: 'C1' },
    actions: [{ value, action_id: value }],
  });
const event = (fields: object) =>
  JSON.stringify({ type: 'event_callback', team_id: 'T1', event: { type: 'message', user: 'U1', ...fields } });
const statusOf = async (id: string) => (await chat.approvals.get(id)).status;
const button = (text: string, index: number) => buttonsOf(slack.find(text))[index] ?? '';

describe('an approval on Slack', () => {
  it('is a card with the whole call, decided by a press under the name of the operator', async () => {
    const id = await chat.hold(agent, 'make release');
    await chat.tell();
    expect(slack.messages).toHaveLength(1);
    expect(shownText(slack.find('make release') ?? never())).toContain('waits: yellow');
    expect((await post(pressOf(button('make release', 0)))).status).toBe(200);
    expect(await chat.approvals.get(id)).toMatchObject({ status: 'approved', approver: 'Mara' });
    expect(shownText(slack.find('make release') ?? never())).toContain('approved by Mara');
    expect(buttonsOf(slack.find('make release'))).toEqual([]);
    await chat.tell();
    expect(slack.messages).toHaveLength(1);
  });

  it('that is red opens a form, and takes what is chosen or written there', async () => {
    const id = await chat.hold(agent, 'rm -r build', 'red');
    await chat.tell();
    await post(pressOf(button('rm -r', 0)));
    expect(await statusOf(id)).toBe('pending');
    const view = slack.forms.at(-1)?.view;
    const submit = (values: object) =>
      post(
        interaction({
          type: 'view_submission',
          user: { id: 'U1', team_id: 'T1' },
          view: { id: `V${++trigger}`, private_metadata: view?.private_metadata, state: { values } },
        }),
      );
    expect((await submit({})).body).toMatchObject({ response_action: 'errors' });
    expect(await statusOf(id)).toBe('pending');
    expect((await submit({ note: { note: { value: 'a build folder' } } })).body).toEqual({ response_action: 'clear' });
    expect(await chat.approvals.get(id)).toMatchObject({ status: 'approved', decision: 'a build folder', approver: 'Mara' });
    // The same form again, as Slack may send it: the outcome, nothing twice.
    expect((await submit({ note: { note: { value: 'a build folder' } } })).body).toMatchObject({
      errors: { note: expect.stringContaining('already approved by Mara') },
    });
  });

  it('that was decided answers a late press with the outcome, to who pressed alone', async () => {
    const id = await chat.hold(agent, 'make late');
    await chat.tell();
    const value = button('make late', 0);
    await chat.approvals.decide(ADMIN, id, 'denied', {});
    await post(pressOf(value));
    await chat.tell();
    expect(slack.messages.at(-1)).toMatchObject({ ephemeralFor: 'U1', text: expect.stringContaining('already denied by admin') });
    expect(shownText(slack.messages[0] ?? never())).toContain('denied by admin');
  });

  it('is decided by nobody else: unknown, from another workspace, a bot, a forged or an old request', async () => {
    const id = await chat.hold(agent, 'make secret');
    await chat.tell();
    const value = button('make secret', 0);
    await post(pressOf(value, 'U666'));
    await post(pressOf(value).replaceAll('T1', 'T2'));
    const now = chat.time.now / 1000;
    const body = pressOf(value);
    const right = slackHeaders(body, now);
    const forged = [
      slackHeaders(body, now, 'another secret'),
      slackHeaders(body, now - 301),
      slackHeaders(body, now + 301),
      { ...right, 'x-slack-request-timestamp': String(now - 1) },
      slackHeaders(`${body}&`, now),
      { ...right, 'x-slack-signature': '' },
      {},
    ];
    for (const headers of forged) expect((await post(body, { headers })).status).toBe(401);
    expect(await statusOf(id)).toBe('pending');
    const refused = await chat.db.selectFrom('audit_log').selectAll().where('action', '=', 'chat.refused').execute();
    expect(refused.map(({ details }) => details.externalId)).toEqual(['T1:U666', 'T2:U1']);
    expect((await post(body, { headers: right })).status).toBe(200);
    expect(await statusOf(id)).toBe('approved');
  });

  it('shows text that imitates a card, a mention or a link as text', async () => {
    await chat.hold(agent, '<!channel> *Approval 99 approved by Mara* <https://evil.example|Approve> `x` \u202e');
    await chat.tell();
    const message = slack.messages.at(-1);
    const literal = (message?.blocks ?? []).filter((block) => block.type === 'rich_text');
    expect(JSON.stringify(literal)).toContain('<!channel> *Approval 99 approved by Mara* <https://evil.example|Approve> `x` [U+202E]');
    // Nowhere else, and above all in no markdown.
    const rest = JSON.stringify([message?.text, (message?.blocks ?? []).filter((block) => block.type !== 'rich_text')]);
    expect(rest).not.toContain('evil');
    expect(rest).not.toContain('!channel');
    expect(buttonsOf(message)).toHaveLength(2);
  });
});

describe('a message of which nobody knows whether Slack took it', () => {
  it('is looked for before it is said again, and only what our own bot has said counts', async () => {
    slack.loseAnswer();
    const id = await chat.hold(agent, 'make lost');
    await chat.tell();
    // It is found as it was said, and shows what has become of it since.
    await chat.approvals.decide(ADMIN, id, 'denied', {});
    chat.turn(1_000);
    await chat.tell();
    expect(slack.messages).toHaveLength(1);
    expect(shownText(slack.messages[0] ?? never())).toContain('denied by admin');

    slack.loseAnswer();
    await chat.hold(agent, 'make forged');
    await chat.tell();
    const taken = slack.messages.at(-1) ?? never();
    // Another bot repeats the mark of it, and the message itself is gone.
    slack.messages.splice(1, 1, { ...taken, by: 'B666', ts: '1800000000.000001' });
    chat.turn(2_000);
    await chat.tell();
    expect(slack.messages.slice(1).map(({ by }) => by)).toEqual(['B666', 'B1']);
  });

  it('is said again where the bot may not read the conversation', async () => {
    slack.loseAnswer();
    await chat.hold(agent, 'make blind');
    await chat.tell();
    chat.turn(1_000);
    slack.forbid('conversations.history');
    await chat.tell();
    expect(slack.messages).toHaveLength(2);
  });
});

describe('when Slack fails', () => {
  it('what waits for a minute arrives once, and a pause that it asks for is kept', async () => {
    slack.down(true);
    await chat.hold(agent, 'make one');
    for (let second = 0; second < 60; second++) {
      await chat.tell();
      chat.turn(1_000);
    }
    slack.down(false);
    slack.fail({ status: 429, headers: { 'retry-after': '30' }, body: { ok: false, error: 'ratelimited' } });
    chat.turn(60_000);
    await chat.tell();
    const before = slack.calls.length;
    chat.turn(29_999);
    await chat.tell();
    expect(slack.calls.length).toBe(before);
    chat.turn(1);
    await chat.tell();
    await chat.tell();
    expect(slack.messages).toHaveLength(1);
  });
});

describe('a conversation on Slack', () => {
  it('knows who sends the code in a direct message, once', async () => {
    const nina = await chat.operator('Nina', 'operator');
    const { code, instruction } = await chat.identities.issueCode(ADMIN, nina, channel);
    expect(instruction).toContain(`link ${code}`);
    const dm = (text: string, ts: string, user = 'U2') =>
      post(event({ text, ts, user, channel: `D${user}`, channel_type: 'im' }), { type: 'application/json' });
    await dm(`link ${code}`, '1.1');
    await dm(`link ${code}`, '1.2', 'U666');
    await chat.tell();
    expect(slack.messages.map(({ channel: where, text }) => [where, text])).toEqual([
      ['DU2', expect.stringContaining('You are Nina here now')],
      ['DU666', expect.stringContaining('opens nothing')],
    ]);
    expect(await chat.identities.find(channel, 'T1:U2')).toMatchObject({ name: 'Nina', role: 'operator' });
    expect(await chat.identities.find(channel, 'T1:U666')).toBeNull();
  });

  it('stops everything after a confirmation of who asked, with the role for it', async () => {
    await chat.known(channel, 'T1:U2', 'Nina', 'operator');
    const command = (text: string, user: string) =>
      post(
        new URLSearchParams({
          command: '/mission-control',
          text,
          user_id: user,
          team_id: 'T1',
          channel_id: 'C1',
          trigger_id: `t${++trigger}`,
        }).toString(),
      );
    expect((await command('stop', 'U1')).body).toMatchObject({ text: expect.stringContaining('needs the role operator') });
    const asked = await command('stop', 'U2');
    const [value = ''] = buttonsOf({ blocks: asked.body?.blocks } as never);
    await post(pressOf(value, 'U1'));
    expect(chat.stops).toEqual([]);
    await post(pressOf(value, 'U2'));
    expect(chat.stops).toEqual(['Nina']);
    chat.turn(121_000);
    await post(pressOf(value, 'U2'));
    expect(chat.stops).toEqual(['Nina']);
    expect((await command('status', 'U1')).body).toMatchObject({ text: 'Mission Control' });
  });

  it('listens to a signed request once, however often it comes, in any process, until its signature is too old', async () => {
    await chat.known(channel, 'T1:U2', 'Nina', 'operator');
    const form = { command: '/mission-control', text: 'pause', user_id: 'U2', team_id: 'T1', channel_id: 'C1', trigger_id: 'same' };
    const body = new URLSearchParams(form).toString();
    const headers = slackHeaders(body, chat.time.now / 1000);
    const answers = await Promise.all([post(body, { headers }), post(body, { headers })]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    await chat.restart();
    chat.turn(299_000);
    expect(await post(body, { headers })).toEqual({ status: 200, body: null });
    expect(chat.stops).toEqual(['pause by Nina']);
    chat.turn(2_000);
    expect((await post(body, { headers })).status).toBe(401);
    // The person again: Slack signs that anew.
    expect((await post(body)).body).toMatchObject({ text: expect.stringContaining('paused') });
    expect(chat.stops).toEqual(['pause by Nina', 'pause by Nina']);
    expect(await chat.db.selectFrom('chat_requests').selectAll().execute()).toHaveLength(1);
  });

  it('has a thread for each task, both ways, and nobody of the outside in it', async () => {
    await chat.channels.update(ADMIN, channel, { topics: true }, null);
    const task = await chat.tasks.create(ADMIN, { title: 'Ship <!here> it', type: 'engineering', assigneeIds: [agent] });
    await chat.messages.post({ type: 'agent', id: agent, name: 'worker' }, { taskId: task.id, content: 'Done <!channel> *soon*' });
    await chat.tell();
    const [root, first] = slack.messages;
    expect(shownText(root ?? never())).toContain('Ship <!here> it');
    expect(first).toMatchObject({ thread: root?.ts });
    expect(shownText(first ?? never())).toContain('Done <!channel> *soon*');
    expect((await chat.tasks.get(task.id)).threadRef).toBe(`slack:${root?.ts}`);

    const say = (text: string, more: object) =>
      post(event({ text, channel: 'C1', channel_type: 'channel', thread_ts: root?.ts, ...more }), { type: 'application/json' });
    await say('Thanks &amp; go on', { ts: '5.1' });
    await say('Thanks &amp; go on', { ts: '5.1' });
    await say('I approve everything', { ts: '5.2', user: 'U666' });
    await say('I approve everything', { ts: '5.3', bot_id: 'B1' });
    await say('I approve everything', { ts: '5.4', subtype: 'message_changed' });
    const { items } = await chat.messages.list({ taskId: task.id, limit: 10 });
    expect(items.map(({ authorName, content }) => [authorName, content])).toEqual([
      ['Mara', 'Thanks & go on'],
      ['worker', 'Done <!channel> *soon*'],
    ]);
    // What was said there is not said there again.
    await chat.tell();
    expect(slack.messages.filter(({ ephemeralFor }) => ephemeralFor === null)).toHaveLength(2);
  });
});

function never(): never {
  throw new Error('there is no such message');
}
