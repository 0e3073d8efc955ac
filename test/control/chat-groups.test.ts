/** Requests that are alike in chats: one card for all of them, decided with one press as far as it shows them, and nothing newer. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Chat, GROUP, startChat } from '../support/chat.ts';
import { buttonsOf, shownText, slackHeaders, startFakeSlack } from '../support/fake-slack.ts';
import { type FakeMessage, startFakeTelegram } from '../support/fake-telegram.ts';
import { ADMIN, usePolicy } from '../support/services.ts';

let chat: Chat;
let telegram: Awaited<ReturnType<typeof startFakeTelegram>>;
let slack: Awaited<ReturnType<typeof startFakeSlack>>;
let onTelegram: string;
let onSlack: string;
let agent: string;
let trigger = 0;
const MARA = { id: 501, username: 'mara' };
const BO = { id: 502, username: 'bo' };

beforeAll(async () => {
  chat = await startChat();
});
afterAll(() => chat.close());
beforeEach(async () => {
  await chat.clear();
  await Promise.all([telegram?.close(), slack?.close()]);
  [telegram, slack] = await Promise.all([startFakeTelegram(), startFakeSlack()]);
  onTelegram = (await chat.addTelegram(telegram.url)).id;
  onSlack = (await chat.addSlack(slack.url)).id;
  await chat.restart();
  await chat.known(onTelegram, String(MARA.id), 'Mara', 'approver');
  await chat.known(onTelegram, String(BO.id), 'Bo', 'viewer');
  await chat.known(onSlack, 'T1:U1', 'Nina', 'approver');
  agent = await chat.agent();
  await chat.tell();
});
afterAll(() => Promise.all([telegram?.close(), slack?.close()]));

const hold = (commands: readonly string[], risk: 'yellow' | 'red' = 'yellow') =>
  commands.reduce<Promise<string[]>>(async (ids, command) => [...(await ids), await chat.hold(agent, command, risk)], Promise.resolve([]));
const shows = (count: number, of = 'git show') => Array.from({ length: count }, (_, index) => `${of} commit-${index}`);
const statuses = async (ids: readonly string[]) => (await chat.approvals.findSeveral(ids)).map(({ status }) => status);
/** Says what is due, with the pause between changes of a card over. */
const tellLater = async () => {
  chat.turn(3_000);
  await chat.tell();
};
const data = (message: FakeMessage | undefined, label: string) => {
  const found = message?.buttons.find(({ text }) => text.startsWith(label))?.callback_data;
  if (found === undefined) throw new Error(`no button "${label}": ${JSON.stringify(message)}`);
  return found;
};
const press = async (message: FakeMessage | undefined, action: string, from: object = MARA) => {
  if (!message) throw new Error('there is no such message');
  telegram.push(telegram.press({ ...from }, message, action));
  await chat.listen();
  return telegram.answers.at(-1);
};
const pressSlack = async (value: string | undefined, ts: string | undefined) => {
  const payload = {
    type: 'block_actions',
    trigger_id: `trigger-${++trigger}`,
    user: { id: 'U1', username: 'nina', team_id: 'T1' },
    team: { id: 'T1' },
    container: { message_ts: ts, channel_id: 'C1' },
    actions: [{ value, action_id: value }],
  };
  const body = new URLSearchParams({ payload: JSON.stringify(payload) }).toString();
  const headers = { 'content-type': 'application/x-www-form-urlencoded', ...slackHeaders(body, chat.time.now / 1000) };
  return (await chat.process().hooks.request(`/slack/${onSlack}`, { method: 'POST', body, headers })).status;
};

describe('like requests in a chat', () => {
  it('63 of them, 45 alike, are six cards at most in each chat, changed and not sent again as more come', async () => {
    const others = ['python3 -c', 'node --test', 'curl -s', 'docker ps -a'].flatMap((of) => shows(4, of));
    const commands = [...shows(45), ...others, 'make docs', 'make docs'.concat(' all')];
    expect(commands).toHaveLength(63);
    for (const [index, command] of commands.entries()) {
      await chat.hold(agent, command);
      if (index % 3 === 0) await chat.tell();
      chat.turn(100);
    }
    await tellLater();
    expect(telegram.messages.length).toBeLessThanOrEqual(6);
    expect(slack.messages.length).toBeLessThanOrEqual(6);
    const card = telegram.find('git show');
    expect(card?.text).toContain('45 like requests wait: yellow');
    for (const command of shows(45)) expect(card?.text).toContain(command);
    // One change every three seconds, however many come.
    expect(card?.edits).toBeLessThanOrEqual(4);
  });

  it('are approved with one press, each for itself, and every chat shows it', async () => {
    const ids = await hold(shows(5));
    await chat.tell();
    const card = telegram.messages[0];
    expect(telegram.messages).toHaveLength(1);
    expect(card?.buttons.map(({ text }) => text)).toEqual([
      'Approve all 5',
      'Deny all 5',
      ...[1, 2, 3, 4, 5].map((number) => `Open ${number}`),
    ]);
    expect((await press(card, data(card, 'Approve')))?.text).toBe('5 approved.');
    expect(await statuses(ids)).toEqual(Array(5).fill('approved'));
    expect(card).toMatchObject({ text: expect.stringContaining('5 (1, 2, 3, 4, 5) by Mara'), buttons: [] });
    await tellLater();
    expect(shownText(slack.messages[0] ?? never())).toContain('all decided or over');
    expect(buttonsOf(slack.messages[0])).toEqual([]);
    const decisions = await chat.db.selectFrom('audit_log').selectAll().where('action', '=', 'approval.approved').execute();
    expect(decisions.map(({ details }) => details.via)).toEqual(Array(5).fill('telegram:Telegram'));
    // What comes now has a card of its own.
    await hold(['git show later']);
    await tellLater();
    expect(telegram.messages).toHaveLength(2);
    expect(telegram.last()?.text).toContain('waits: yellow');
  });

  it('that come after the card was shown stay, whoever presses it late', async () => {
    const [first, second] = await hold(shows(2));
    await chat.tell();
    const card = telegram.messages[0];
    const early = data(card, 'Approve all 2');
    const slackEarly = buttonsOf(slack.messages[0])[1];
    const [third] = await hold(['git show newer']);
    await tellLater();
    expect(card?.text).toContain('git show newer');
    await press(card, early);
    expect(await statuses([first ?? '', second ?? '', third ?? ''])).toEqual(['approved', 'approved', 'pending']);
    expect(card?.text).toContain('git show newer');
    // The same stale buttons again, there and elsewhere: the outcome, and nothing else.
    expect(await press(card, early)).toMatchObject({ alert: true, text: expect.stringContaining('already approved by Mara') });
    expect(await pressSlack(slackEarly, slack.messages[0]?.ts)).toBe(200);
    await chat.tell();
    expect(slack.messages.find(({ ephemeralFor }) => ephemeralFor === 'U1')?.text).toContain('already approved by Mara');
    expect(await statuses([third ?? ''])).toEqual(['pending']);
    await tellLater();
    expect(await pressSlack(buttonsOf(slack.messages[0])[0], slack.messages[0]?.ts)).toBe(200);
    expect(await chat.approvals.get(third ?? '')).toMatchObject({ status: 'approved', approver: 'Nina' });
  });

  it('that do not stand there whole are not approved with the others', async () => {
    const long = `git show ${'x'.repeat(500)}`;
    const ids = await hold(['git show short', long, 'git show two\nlines', 'git show tail']);
    await chat.tell();
    const card = telegram.messages[0];
    expect(card?.text).toContain('2  (not in one line: open it)');
    await press(card, data(card, 'Approve the 2 shown in whole'));
    expect(await statuses(ids)).toEqual(['approved', 'pending', 'pending', 'approved']);
    expect((await press(card, data(card, 'Open 2')))?.text).toBe('Approval 2 follows.');
    const opened = telegram.last();
    expect(opened?.text).toContain(long);
    await press(opened, data(opened, 'Approve once'));
    await tellLater();
    await press(card, data(card, 'Deny all 1'));
    expect(await statuses(ids)).toEqual(['approved', 'approved', 'denied', 'approved']);
  });

  it('more than fit are listed as far as they do, and the rest follows', async () => {
    const ids = await hold(shows(20, `git show ${'y'.repeat(150)}`));
    await tellLater();
    const card = telegram.messages[0];
    expect(card?.text).toMatch(/\d+ more; they follow when these are decided/);
    await press(card, data(card, 'Deny the'));
    const denied = (await statuses(ids)).filter((status) => status === 'denied').length;
    expect(denied).toBeGreaterThan(5);
    expect(denied).toBeLessThan(20);
    await press(card, data(card, 'Deny'));
    expect((await statuses(ids)).every((status) => status === 'denied')).toBe(true);
  });

  it('that are red are never approved together: denied with a reason, or opened', async () => {
    const ids = await hold(shows(3, 'git push --force'), 'red');
    await hold(shows(2, 'git push --force'));
    await chat.tell();
    expect(telegram.messages).toHaveLength(2);
    const card = telegram.messages[0];
    expect(card?.text).toContain('3 like requests wait: RED');
    expect(card?.buttons.some(({ text }) => text.startsWith('Approve'))).toBe(false);
    const forged = data(card, 'Deny all 3: Wrong').replace('g:d:0', 'g:a:0');
    await press(card, forged);
    expect(await statuses(ids)).toEqual(['pending', 'pending', 'pending']);
    await press(card, data(card, 'Open 2'));
    const opened = telegram.last();
    await press(opened, data(opened, 'Approve once'));
    await press(opened, data(opened, 'Approve: Checked'));
    await press(card, data(card, 'Deny all 2: Wrong target'));
    expect(await statuses(ids)).toEqual(['denied', 'approved', 'denied']);
    expect(await chat.approvals.get(ids[0] ?? '')).toMatchObject({ decision: 'Wrong target' });
  });

  it('need two people where one of them does, and nobody without the role', async () => {
    await usePolicy(chat, { approvals: { twoPeople: ['exec'] } });
    const ids = await hold(shows(3));
    await chat.tell();
    const card = telegram.messages[0];
    expect((await press(card, data(card, 'Approve all'), BO))?.text).toContain('needs the role approver');
    expect((await press(card, data(card, 'Approve all')))?.text).toBe('3 approved; another person must approve each as well.');
    expect(card?.text).toContain('Mara (2 people for each)');
    expect((await press(card, data(card, 'Approve all')))?.text).toContain("needs another person's approval");
    expect(await statuses(ids)).toEqual(['pending', 'pending', 'pending']);
    await tellLater();
    await pressSlack(buttonsOf(slack.messages[0])[0], slack.messages[0]?.ts);
    expect(await statuses(ids)).toEqual(['approved', 'approved', 'approved']);

    // What a first person has edited since is not approved by who saw it as it was.
    const [plain, edited] = await hold(shows(2));
    await tellLater();
    const other = telegram.last();
    const stale = data(other, 'Approve all 2');
    await chat.approvals.decide(ADMIN, edited ?? '', 'approved', { arguments: { command: 'git show edited' } });
    expect((await press(other, stale))?.text).toBe('1 approved; another person must approve each as well.');
    expect((await chat.approvals.get(edited ?? '')).approvedBy).toHaveLength(1);
    expect((await chat.approvals.get(plain ?? '')).approvedBy).toHaveLength(1);
    expect(other?.text).toContain('git show edited');
    await usePolicy(chat, {});
  });

  it('are told apart where they are of another agent, task or folder', async () => {
    await hold(shows(2));
    await chat.hold(await chat.agent(), 'git show mine');
    await chat.hold(agent, 'git show there', 'yellow', { cwd: '/elsewhere' });
    await chat.tell();
    expect(telegram.messages).toHaveLength(3);
  });

  it('are reminded of, and expire, as one', async () => {
    await hold(shows(10));
    await chat.tell();
    chat.turn(chat.policies.current().policy.document.approvals.remindAfterMs);
    await chat.holds.sweep();
    await chat.tell();
    expect(telegram.messages.filter(({ text, chat: where }) => text.startsWith('Reminder: 10 like') && where === GROUP)).toHaveLength(1);
    expect(telegram.messages.filter(({ chat: where }) => where === MARA.id)).toHaveLength(1);
    chat.turn(25 * 60 * 60 * 1000);
    await chat.holds.sweep();
    await tellLater();
    await tellLater();
    expect(telegram.messages.filter(({ text }) => text.includes('expired without a decision'))).toHaveLength(1);
    const cards = telegram.messages.filter(({ text }) => text.startsWith('10 like requests'));
    expect(cards.every(({ buttons }) => buttons.length === 0)).toBe(true);
  });

  it('on a message that we do not know of, because its answer was lost, are decided once and shown there too', async () => {
    telegram.loseAnswer();
    const ids = await hold(shows(2));
    await chat.tell();
    chat.turn(1_000);
    await chat.tell();
    const [unknown, known] = telegram.messages;
    await press(known, data(known, 'Approve all 2'));
    await press(unknown, data(unknown, 'Deny all 2'));
    expect(await statuses(ids)).toEqual(['approved', 'approved']);
    expect([unknown, known].map((card) => card?.text.split('\n')[0])).toEqual(Array(2).fill('2 like requests: all decided or over'));
  });

  it('of a text that imitates lines and buttons stay lines of text', async () => {
    const forged = 'git show a</pre><b>9  git show b</b>\u202e';
    await hold([forged, 'git show c']);
    await chat.tell();
    const card = telegram.messages[0];
    expect(card?.text).toContain('1  git show a</pre><b>9  git show b</b>[U+202E]');
    expect(card?.buttons.map(({ text }) => text)).toEqual(['Approve all 2', 'Deny all 2', 'Open 1', 'Open 2']);
    expect(chat.chatErrors).toEqual([]);
  });

  it('that were decided in the dashboard meanwhile leave the others on the card', async () => {
    const ids = await hold(shows(3));
    await chat.tell();
    const card = telegram.messages[0];
    const stale = data(card, 'Approve all 3');
    await chat.approvals.decide(ADMIN, ids[1] ?? '', 'denied', {});
    expect((await press(card, stale))?.text).toBe('2 approved. 1 had been decided: Approval 2 was already denied by admin.');
    expect(card?.text).toContain('1 (2) by admin');
  });
});

function never(): never {
  throw new Error('there is none');
}
