/** Telegram through its real library, against a Bot API server on loopback: what is said there, and what people do there. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Principal } from '../../control/auth.ts';
import { type Chat, GROUP, startChat } from '../support/chat.ts';
import { startFakeTelegram } from '../support/fake-telegram.ts';
import { ADMIN, usePolicy } from '../support/services.ts';

let chat: Chat;
let telegram: Awaited<ReturnType<typeof startFakeTelegram>>;
let channel: string;
let agent: string;
const MARA = { id: 501, username: 'mara' };
const HUMAN: Principal = { kind: 'human', id: 'admin', name: 'admin', role: 'admin', csrfToken: null };
const STRANGER = { id: 666, username: 'admin' };

beforeAll(async () => {
  chat = await startChat();
});
afterAll(() => chat.close());
beforeEach(async () => {
  await chat.clear();
  await telegram?.close();
  telegram = await startFakeTelegram();
  channel = (await chat.addTelegram(telegram.url)).id;
  await chat.restart();
  await chat.known(channel, String(MARA.id), 'Mara', 'approver');
  agent = await chat.agent();
  await chat.tell();
});
afterAll(() => telegram?.close());

const statusOf = async (id: string) => (await chat.approvals.get(id)).status;
const card = (text: string) => {
  const found = telegram.find(text);
  if (!found) throw new Error(`no message shows ${text}: ${JSON.stringify(telegram.messages.map((message) => message.text))}`);
  return found;
};
const button = (text: string, label: string) => card(text).buttons.find((one) => one.text.startsWith(label))?.callback_data ?? '';
const audit = async (action: string) => chat.db.selectFrom('audit_log').selectAll().where('action', '=', action).execute();

describe('an approval on Telegram', () => {
  it('is a card with the whole call, decided by a press under the name of the operator, told once', async () => {
    const id = await chat.hold(agent, 'make release && git push');
    await chat.tell();
    const [shown] = telegram.messages;
    expect(telegram.messages).toHaveLength(1);
    expect(shown?.chat).toBe(GROUP);
    expect(shown?.text).toContain('make release && git push');
    expect(shown?.text).toContain('waits: yellow');
    expect(shown?.text).toContain('[link https://mc.example.com/approvals/');
    telegram.push(telegram.press(MARA, card('make release'), button('make release', 'Approve')));
    await chat.listen();
    expect(await chat.approvals.get(id)).toMatchObject({ status: 'approved', approver: 'Mara' });
    expect(telegram.answers.at(-1)).toMatchObject({ text: expect.stringContaining('approved by Mara'), alert: false });
    expect(shown).toMatchObject({ text: expect.stringContaining('approved by Mara'), buttons: [] });
    expect((await audit('approval.approved'))[0]?.details).toMatchObject({ via: 'telegram:Telegram' });
    await chat.tell();
    await chat.tell();
    expect(telegram.messages).toHaveLength(1);
  });

  it('that is red takes a reason: a ready-made one, or a note written as a reply, by who was asked', async () => {
    const first = await chat.hold(agent, 'curl https://example.com | sh', 'red');
    await chat.tell();
    telegram.push(telegram.press(MARA, card('curl'), button('curl', 'Deny')));
    await chat.listen();
    expect(await statusOf(first)).toBe('pending');
    telegram.push(telegram.press(MARA, card('curl'), button('curl', 'Deny: Wrong target')));
    await chat.listen();
    expect(await chat.approvals.get(first)).toMatchObject({ status: 'denied', decision: 'Wrong target' });

    const second = await chat.hold(agent, 'drop table customers', 'red');
    await chat.tell();
    telegram.push(telegram.press(MARA, card('drop table'), button('drop table', 'Approve')));
    await chat.listen();
    telegram.push(telegram.press(MARA, card('drop table'), button('drop table', 'Write')));
    await chat.listen();
    const prompt = card('Reply to this message');
    expect(prompt.forceReply).toBe(true);
    const reply = { chat: { id: GROUP, type: 'supergroup', title: 'Ops' }, reply_to_message: { message_id: prompt.message_id } };
    telegram.push(telegram.message(STRANGER, 'do it', reply));
    await chat.listen();
    expect(await statusOf(second)).toBe('pending');
    telegram.push(telegram.message(MARA, 'the table is a copy', reply));
    await chat.listen();
    expect(await chat.approvals.get(second)).toMatchObject({ status: 'approved', decision: 'the table is a copy', approver: 'Mara' });
  });

  it('decided elsewhere changes its card, and a press that comes late hears the outcome', async () => {
    const id = await chat.hold(agent, 'make docs');
    await chat.tell();
    const data = button('make docs', 'Approve');
    await chat.approvals.decide(ADMIN, id, 'denied', { note: 'not today' });
    await chat.tell();
    expect(card('make docs')).toMatchObject({ text: expect.stringContaining('denied by admin'), buttons: [] });
    telegram.push(telegram.press(MARA, card('make docs'), data));
    telegram.push(telegram.press(MARA, card('make docs'), data));
    await chat.listen();
    expect(telegram.answers.slice(-2)).toEqual([
      expect.objectContaining({ text: expect.stringContaining('already denied by admin'), alert: true }),
      expect.objectContaining({ text: expect.stringContaining('already denied by admin') }),
    ]);
    expect(await statusOf(id)).toBe('denied');
  });

  it('is decided by nobody who is not known, has too small a role, or has lost it; that is on record', async () => {
    const id = await chat.hold(agent, 'make secret');
    await chat.tell();
    const data = button('make secret', 'Approve');
    await chat.known(channel, '502', 'Vic', 'viewer');
    for (const from of [STRANGER, { id: 502, username: 'vic' }, { ...MARA, is_bot: true }]) {
      telegram.push(telegram.press(from, card('make secret'), data));
    }
    telegram.push(telegram.press(MARA, card('make secret'), `x:${data}`));
    telegram.push(telegram.press(MARA, card('make secret'), data.replace(/.$/, 'zz')));
    await chat.db.updateTable('operators').set({ role: 'viewer' }).where('name', '=', 'Mara').execute();
    telegram.push(telegram.press(MARA, card('make secret'), data));
    await chat.listen();
    expect(await statusOf(id)).toBe('pending');
    expect((await audit('chat.refused')).map(({ details }) => details.externalId)).toEqual(['666', '502', '501']);
    expect(card('make secret').buttons).not.toEqual([]);
  });

  it('shows text that imitates a card as text, hidden characters by name, and takes no approval of what it cannot show whole', async () => {
    const forged =
      '</pre><b>Approval 99 approved by Mara</b><a href="https://evil.example">Approve</a>\u202e &amp; @mara https://evil.example';
    await chat.hold(agent, forged);
    await chat.tell();
    const shown = card('Approval 99');
    expect(shown.text).toContain('</pre><b>Approval 99 approved by Mara</b><a href="https://evil.example">Approve</a>[U+202E] &amp; @mara');
    expect(shown.text).not.toContain('[link https://evil.example');
    expect(shown.buttons.map(({ text }) => text)).toEqual(['Approve once', 'Deny']);
    expect(shown.buttons.every(({ url }) => url === undefined)).toBe(true);

    // Everything around the call at its longest: still one message, with what is left of the call and without Approve.
    const task = await chat.tasks.create(ADMIN, { title: '<&'.repeat(150), type: 'engineering' });
    await chat.hold(agent, `true ${'x'.repeat(3_500)}`, 'red', { cwd: `/${'<"'.repeat(900)}`, taskId: task.id });
    await chat.tell();
    expect(telegram.last()?.text).toContain('Not all is shown');
    expect(telegram.last()?.buttons.map(({ text }) => text)).toEqual(['Deny']);

    await chat.hold(agent, `echo ${'<&"'.repeat(3_000)}`);
    await chat.tell();
    const folded = telegram.last();
    expect(folded?.text).toContain('Not all is shown');
    expect(folded?.buttons.map(({ text }) => text)).toEqual(['Deny']);
  });

  it('that needs two people counts them on its card, takes one once, and lets the deputy of one who is away be the second', async () => {
    await usePolicy(chat, { approvals: { twoPeople: ['exec'] } });
    const bo = await chat.known(channel, '504', 'Bo', 'viewer');
    const id = await chat.hold(agent, 'make two');
    await chat.tell();
    const data = button('make two', 'Approve');
    expect(card('make two').text).toContain('nobody yet (0 of 2 people)');
    const press = async (from: object) => {
      telegram.push(telegram.press({ ...from }, card('make two'), data));
      await chat.listen();
      return telegram.answers.at(-1)?.text;
    };
    expect(await press(MARA)).toBe('Mara approved; 1 more must approve as well.');
    expect(card('make two').text).toContain('Mara (1 of 2 people)');
    expect(await press(MARA)).toContain("needs another person's approval");
    expect(await press({ id: 504, username: 'bo' })).toContain('needs the role approver');
    const away = await chat.operator('Ada', 'approver');
    await chat.db
      .updateTable('operators')
      .set({ away_until: chat.time.now + 60_000, deputy_id: bo })
      .where('id', '=', away)
      .execute();
    expect(await press({ id: 504, username: 'bo' })).toContain('was approved by Bo');
    expect(await statusOf(id)).toBe('approved');
    await usePolicy(chat, {});
  });

  it('that nobody decides says so with a message of its own', async () => {
    const id = await chat.hold(agent, 'make late');
    await chat.tell();
    chat.turn(25 * 60 * 60 * 1000);
    await chat.holds.sweep();
    await chat.tell();
    expect(await statusOf(id)).toBe('expired');
    expect(card('make late').text).toContain('expired without a decision');
    expect(telegram.messages[0]?.text).toContain('expired, nobody decided');
  });
});

describe('when Telegram fails', () => {
  it('everything waits for it, in order, for as long as it is away, and arrives once', async () => {
    telegram.down(true);
    const first = await chat.hold(agent, 'make one');
    await chat.hold(agent, 'make two');
    await chat.approvals.decide(ADMIN, first, 'approved', {});
    const attemptsAt: number[] = [];
    for (let second = 0; second < 60; second++) {
      const before = (await chat.notifications.list({ limit: 10 })).items.reduce((sum, one) => sum + one.attempts, 0);
      await chat.tell();
      const after = (await chat.notifications.list({ limit: 10 })).items.reduce((sum, one) => sum + one.attempts, 0);
      if (after > before) attemptsAt.push(second);
      chat.turn(1_000);
    }
    // The pause between attempts doubles.
    expect(attemptsAt).toEqual([0, 1, 3, 7, 15, 31]);
    expect((await chat.channels.get(channel)).health.state).toBe('failing');
    telegram.down(false);
    chat.turn(60_000);
    await chat.tell();
    await chat.tell();
    expect(telegram.messages.map(({ text }) => text.split('\n')[0])).toEqual(['Approval 1: approved by admin', 'Approval 2 waits: yellow']);
    expect((await chat.channels.get(channel)).health.state).toBe('ok');
  });

  it('from the start, it is asked again with growing pauses, and used once it is there', async () => {
    await chat.channels.update(ADMIN, channel, { name: 'Another name' }, null);
    telegram.down(true);
    for (let second = 0; second < 60; second++) {
      await chat.tell();
      chat.turn(1_000);
    }
    expect(telegram.refused()).toBe(6);
    telegram.down(false);
    chat.turn(60_000);
    await chat.hold(agent, 'make it');
    await chat.tell();
    expect(telegram.messages).toHaveLength(1);
  });

  it('a pause that it asks for is kept to the second', async () => {
    await chat.hold(agent, 'make much');
    telegram.fail({
      status: 429,
      body: { ok: false, error_code: 429, description: 'Too Many Requests: retry after 37', parameters: { retry_after: 37 } },
    });
    await chat.tell();
    const before = telegram.calls.length;
    chat.turn(36_999);
    await chat.tell();
    expect(telegram.calls.length).toBe(before);
    chat.turn(1);
    await chat.tell();
    expect(telegram.messages).toHaveLength(1);
  });

  it('what it refuses is dead, in a list with its reason and an alert; a person tries it again', async () => {
    await chat.hold(agent, 'make dead');
    telegram.fail({ status: 403, body: { ok: false, error_code: 403, description: 'Forbidden: bot was kicked' } });
    await chat.tell();
    chat.turn(60_000);
    await chat.tell();
    const { items } = await chat.notifications.list({ state: 'dead', limit: 10 });
    expect(items).toMatchObject([{ state: 'dead', lastError: expect.stringContaining('bot was kicked'), attempts: 1 }]);
    expect((await chat.alerts.list({ resolved: false, limit: 10 })).items).toMatchObject([
      { type: 'notification_failed', severity: 'high' },
    ]);
    expect(await chat.notifications.retry(ADMIN, items[0]?.id ?? '')).toMatchObject({ state: 'waiting' });
    await chat.tell();
    expect(telegram.messages).toHaveLength(1);
    expect((await chat.alerts.list({ resolved: false, limit: 10 })).items).toEqual([]);
    await expect(chat.notifications.retry(ADMIN, items[0]?.id ?? '')).rejects.toMatchObject({ code: 'NOT_DEAD' });
  });
});

describe('people on Telegram', () => {
  const inGroup = { chat: { id: GROUP, type: 'supergroup', title: 'Ops' } };

  it('who are strangers get one answer a minute, and cannot fill the record', async () => {
    for (let turn = 0; turn < 30; turn++) telegram.push(telegram.message(STRANGER, turn % 2 === 0 ? '/status' : '/help'));
    await chat.listen();
    await chat.listen();
    expect(telegram.messages.map(({ chat: where }) => where)).toEqual([STRANGER.id]);
    expect(await audit('chat.refused')).toHaveLength(1);
    chat.turn(60_000);
    telegram.push(telegram.message(STRANGER, '/approvals'));
    await chat.listen();
    expect(telegram.messages).toHaveLength(2);
  });

  it('are known by a code that they send in private, once and in time', async () => {
    const nina = await chat.operator('Nina', 'operator');
    const { code, instruction } = await chat.identities.issueCode(ADMIN, nina, channel);
    expect(instruction).toBe(`Open a private chat with @mc_bot in Telegram and send: /link ${code}`);
    telegram.push(telegram.message({ id: 502, username: 'nina' }, `/link ${code}`, inGroup));
    await chat.listen();
    expect(telegram.last()?.text).toContain('Send the code in a private chat');
    const sent = telegram.push(telegram.message({ id: 502, username: 'nina' }, `/start ${code}`));
    telegram.push(telegram.message(STRANGER, `/link ${code}`));
    await chat.listen();
    expect(telegram.messages.slice(-2).map(({ chat: where, text }) => [where, text])).toEqual([
      [502, 'You are Nina here now, with the role operator.'],
      [666, 'This code opens nothing: it is wrong, used, or older than ten minutes.'],
    ]);
    // The same update again, as after a kill before it was noted: the same answer, and not said twice.
    await chat.db.updateTable('channels').set({ inbound_cursor: 0 }).execute();
    telegram.push(sent);
    const before = telegram.messages.length;
    await chat.listen();
    expect(telegram.messages).toHaveLength(before);
    const { code: late } = await chat.identities.issueCode(ADMIN, nina, channel);
    chat.turn(10 * 60 * 1000);
    expect(await chat.identities.link(channel, { externalId: '777', name: 'x' }, late)).toBeNull();
    for (let attempt = 0; attempt < 5; attempt++) await chat.identities.link(channel, { externalId: '888', name: 'x' }, `WRONG${attempt}`);
    const { code: good } = await chat.identities.issueCode(ADMIN, nina, channel);
    expect(await chat.identities.link(channel, { externalId: '888', name: 'x' }, good)).toBe('ignored');
  });

  it('read how things stand, pause, and stop after a confirmation that only who asked can give', async () => {
    const nina = { id: 502, username: 'nina' };
    await chat.known(channel, '502', 'Nina', 'operator');
    await chat.hold(agent, 'make waiting');
    await chat.tell();
    for (const [from, text] of [
      [nina, '/status@mc_bot'],
      [nina, '/status@another_bot'],
      [nina, '/approvals'],
      [nina, '/pause lunch'],
      [MARA, '/stop'],
      [STRANGER, '/status'],
      [nina, '/frobnicate'],
      [nina, '/stop'],
    ] as const) {
      telegram.push(telegram.message(from, text, inGroup));
    }
    await chat.listen();
    const said = telegram.messages.map(({ text }) => text.split('\n')[0]);
    expect(said.filter((text) => text === 'Mission Control')).toHaveLength(1);
    expect(telegram.find('Wait for a decision')?.text).toContain('Wait for a decision: 1');
    expect(said.filter((text) => text === 'Approval 1 waits: yellow')).toHaveLength(2);
    expect(said).toContain('This needs the role operator or higher; Mara is approver.');
    expect(said.filter((text) => text?.startsWith('You are not known here'))).toHaveLength(1);
    expect(said.some((text) => text?.startsWith('There is no command "frobnicate"'))).toBe(true);
    expect(chat.stops).toEqual(['pause by Nina']);

    const question = telegram.find('Stop everything?') ?? never();
    const data = question.buttons[0]?.callback_data ?? '';
    await chat.known(channel, '503', 'Otto', 'admin');
    telegram.push(telegram.press(MARA, question, data));
    telegram.push(telegram.press({ id: 503, username: 'otto' }, question, data));
    await chat.listen();
    expect(telegram.answers.at(-1)?.text).toBe('Only who asked for the stop confirms it.');
    expect(chat.stops).toEqual(['pause by Nina']);
    telegram.push(telegram.press(nina, question, data));
    await chat.listen();
    expect(chat.stops).toEqual(['pause by Nina', 'Nina']);
    expect(question).toMatchObject({ text: 'Stopped. 1 of 1 proxies confirmed.', buttons: [] });
    chat.turn(2 * 60 * 1000 + 1);
    telegram.push(telegram.press(nina, question, data));
    await chat.listen();
    expect(chat.stops).toHaveLength(2);
  });

  it('have a topic for each task, both ways; ours is the canonical thread, also after theirs is gone', async () => {
    await chat.channels.update(ADMIN, channel, { topics: true }, null);
    const task = await chat.tasks.create(ADMIN, { title: 'Ship it', type: 'engineering', assigneeIds: [agent] });
    const worker = { type: 'agent' as const, id: agent, name: 'worker' };
    await chat.messages.post(worker, { taskId: task.id, content: 'Done </pre><a href="https://evil.example">x</a> @nobody' });
    await chat.tell();
    const [[topic, opened] = never()] = [...telegram.topics];
    expect(opened).toEqual({ name: 'Ship it', closed: false });
    expect(telegram.last()).toMatchObject({
      thread: topic,
      text: expect.stringContaining('Done </pre><a href="https://evil.example">x</a> @nobody'),
    });

    const here = { ...inGroup, message_thread_id: topic, is_topic_message: true };
    const sent = telegram.push(telegram.message(MARA, 'Thanks, go on', here));
    telegram.push(telegram.message(STRANGER, 'I approve everything', here));
    telegram.push(telegram.message({ ...MARA, is_bot: true }, 'I approve everything', here));
    telegram.push(
      telegram.message(MARA, 'I approve everything', { ...here, sender_chat: { id: GROUP, type: 'supergroup', title: 'Ops' } }),
    );
    telegram.push({ edited_message: telegram.message(MARA, 'Stop', here).message });
    await chat.listen();
    await chat.db.updateTable('channels').set({ inbound_cursor: 0 }).execute();
    telegram.push(sent);
    await chat.listen();
    const comments = async () => (await chat.messages.list({ taskId: task.id, limit: 10 })).items.map(({ authorName }) => authorName);
    expect(await comments()).toEqual(['Mara', 'worker']);

    await chat.tasks.update(HUMAN, ADMIN, task.id, { title: 'Ship it now' }, null);
    await chat.process().reconciler.tick();
    expect(opened?.name).toBe('Ship it now');
    await chat.tasks.move(HUMAN, ADMIN, task.id, { to: 'canceled', reason: 'no' });
    await chat.process().reconciler.tick();
    expect(opened?.closed).toBe(true);

    // Somebody deletes the topic: what is said next opens another one, with what was said before.
    telegram.dropTopic(topic ?? 0);
    await chat.messages.post(worker, { taskId: task.id, content: 'One thing more' });
    for (let pass = 0; pass < 3; pass++) await chat.tell();
    const [[fresh] = never()] = [...telegram.topics];
    expect(telegram.messages.filter(({ thread }) => thread === fresh).map(({ text }) => text.split('\n').at(-1))).toEqual([
      expect.stringContaining('Done'),
      'One thing more',
    ]);
    // A comment that the feed never brought there is found by comparing.
    await chat.db.deleteFrom('notifications').where('kind', '=', 'comment').execute();
    chat.turn(61_000);
    await chat.process().reconciler.tick();
    await chat.process().reconciler.tick();
    await chat.tell();
    expect(telegram.messages.filter(({ thread }) => thread === fresh)).toHaveLength(4);
    expect(await comments()).toEqual(['worker', 'Mara', 'worker']);
  });

  it('are told in private when somebody names them, and when an approval waits too long', async () => {
    const task = await chat.tasks.create(ADMIN, { title: 'Ship it', type: 'engineering', assigneeIds: [agent] });
    await chat.messages.post({ type: 'agent', id: agent, name: 'worker' }, { taskId: task.id, content: '@Mara look here' });
    await chat.tell();
    expect(telegram.messages.map(({ chat: where, text }) => [where, text.split('\n')[0]])).toEqual([
      [MARA.id, `You are named on task ${task.number}`],
    ]);
    await chat.hold(agent, 'make slow');
    await chat.tell();
    const { remindAfterMs } = chat.policies.current().policy.document.approvals;
    chat.turn(remindAfterMs);
    await chat.holds.sweep();
    await chat.tell();
    const reminders = telegram.messages.filter(({ text }) => text.startsWith('Reminder: Approval'));
    expect(reminders.map(({ chat: where }) => where).toSorted((a, b) => a - b)).toEqual([GROUP, MARA.id]);
    telegram.push(telegram.press(MARA, reminders[1] ?? never(), reminders[1]?.buttons[0]?.callback_data ?? ''));
    await chat.listen();
    await chat.tell();
    // Every card of it shows the outcome.
    expect(telegram.messages.filter(({ text }) => text.includes('make slow')).map(({ text }) => text.split('\n')[0])).toEqual(
      Array(3).fill(expect.stringMatching(/^Approval \d+: approved by Mara$/)),
    );
  });

  it('see a card twice at most where an answer was lost on the way, and both hear of the one decision', async () => {
    telegram.loseAnswer();
    const id = await chat.hold(agent, 'make twice');
    await chat.tell();
    chat.turn(1_000);
    await chat.tell();
    const cards = telegram.messages.filter(({ text }) => text.includes('make twice'));
    expect(cards).toHaveLength(2);
    const data = cards[0]?.buttons[0]?.callback_data ?? '';
    for (const one of cards) telegram.push(telegram.press(MARA, one, data));
    await chat.listen();
    expect(await statusOf(id)).toBe('approved');
    expect(cards.map(({ buttons }) => buttons)).toEqual([[], []]);
    expect(await audit('approval.approved')).toHaveLength(1);
  });
});

function never(): never {
  throw new Error('there is none');
}
