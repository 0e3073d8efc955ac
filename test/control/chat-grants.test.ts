/** Approving for longer from a chat: spelled out, confirmed, never wider than the policy, and ended from there. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type Chat, startChat } from '../support/chat.ts';
import { type FakeMessage, startFakeTelegram } from '../support/fake-telegram.ts';
import { heldCall } from '../support/held-calls.ts';
import { ADMIN, usePolicy } from '../support/services.ts';

let chat: Chat;
let telegram: Awaited<ReturnType<typeof startFakeTelegram>>;
let channel: string;
let agent: { id: string; autonomy: 'specialist' };
const MARA = { id: 501, username: 'mara' };
const BO = { id: 502, username: 'bo' };

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
  const { id } = await chat.agents.create(ADMIN, { name: 'worker', autonomyLevel: 'specialist', workspace: '/workspace' });
  agent = { id, autonomy: 'specialist' };
  await chat.tell();
});
afterAll(() => telegram?.close());

/** A call as the policy of now judges it, held. */
const hold = async (command: string) => {
  const state = await chat.holds.open(heldCall(chat.policies.current().policy, agent, 'exec', { command }));
  await chat.tell();
  return state;
};
const labels = (message: FakeMessage | undefined) => (message?.buttons ?? []).map(({ text }) => text);
const data = (message: FakeMessage | undefined, label: string) =>
  message?.buttons.find(({ text }) => text.startsWith(label))?.callback_data ?? `no button ${label}`;
const press = async (message: FakeMessage | undefined, action: string, from: object = MARA) => {
  if (!message) throw new Error('there is no such message');
  telegram.push(telegram.press({ ...from }, message, action));
  await chat.listen();
  return telegram.answers.at(-1)?.text;
};
const LONGER = 'Approve, and like calls';

it('is asked for, read, confirmed, used, and ended, each on record', async () => {
  const { approvalId } = await hold('make a');
  const card = telegram.messages[0];
  expect(labels(card)).toEqual(['Approve once', 'Deny', 'Approve, and like calls for longer…']);
  await press(card, data(card, LONGER));
  expect(await chat.approvals.get(approvalId)).toMatchObject({ status: 'pending' });
  expect(card?.text).toContain('calls like it for 60 min?');
  expect(card?.text).toContain('For: worker, and no other agent');
  expect(card?.text).toMatch(/A: .*make a/);
  expect(card?.text).toMatch(/A means: \S/);
  expect(labels(card)[0]).toBe('Approve, and A for 60 min');
  // Whoever thinks better of it goes back, and comes again.
  await press(card, data(card, 'Back'));
  expect(labels(card)).toContain('Approve once');
  await press(card, data(card, LONGER));
  const confirm = data(card, 'Approve, and A');
  expect(await press(card, confirm)).toMatch(/^Approval 1 was approved by Mara\. Calls like it run too: standing grant \d+\.$/);
  expect(card).toMatchObject({ text: expect.stringContaining('approved by Mara'), buttons: [] });

  const { items } = await chat.grants.list({ status: 'active', limit: 10 });
  expect(items).toMatchObject([{ scope: { kind: 'agent', agentId: agent.id }, createdBy: { name: 'Mara' }, approvalId }]);
  expect(items[0]?.expiresAt).toBe(chat.time.now + 3_600_000);
  expect((await hold('make a')).status).toBe('approved');
  expect((await hold('make b')).status).toBe('pending');
  // The same press again makes no second grant.
  expect(await press(card, confirm)).toContain('was approved by Mara');
  expect((await chat.grants.list({ status: 'all', limit: 10 })).items).toHaveLength(1);

  const receipt = telegram.messages.find(({ text }) => text.startsWith('Standing grant'));
  expect(receipt?.text).toContain('Given by: Mara');
  expect(await press(receipt, data(receipt, 'End grant'))).toMatch(/was ended by Mara, after 1 calls/);
  expect(receipt).toMatchObject({ text: expect.stringContaining('ended by Mara'), buttons: [] });
  expect((await hold('make a')).status).toBe('pending');
  const record = await chat.db.selectFrom('audit_log').select('action').where('action', 'like', 'grant.%').orderBy('seq').execute();
  expect(record.map(({ action }) => action)).toEqual(['grant.made', 'grant.revoked']);
});

it('is not offered for what may not be granted, and a forged press of it is refused', async () => {
  await usePolicy(chat, { approvals: { twoPeople: ['exec'] } });
  const two = await hold('make a');
  await usePolicy(chat, {});
  const red = await hold('rm -rf /');
  const open = await hold('make "$TARGET"');
  for (const message of telegram.messages) expect(labels(message).join()).not.toContain(LONGER);
  for (const { approvalId } of [two, red, open]) {
    const asked = await press(telegram.messages[0], `l:${approvalId}`);
    expect(asked).toMatch(/\w/);
    await press(telegram.messages[0], `m:${'0'.repeat(16)}:${approvalId}`);
    expect(await chat.approvals.get(approvalId)).toMatchObject({ status: 'pending' });
  }
  expect((await chat.grants.list({ status: 'all', limit: 10 })).items).toEqual([]);
});

it('is confirmed only under the policy that was read, and by nobody who only stands in for another', async () => {
  const { approvalId } = await hold('make a');
  const card = telegram.messages[0];
  await press(card, data(card, LONGER));
  const confirm = data(card, 'Approve, and A');
  const bo = await chat.known(channel, String(BO.id), 'Bo', 'viewer');
  const away = await chat.operator('Ada', 'approver');
  await chat.db
    .updateTable('operators')
    .set({ away_until: chat.time.now + 60_000, deputy_id: bo })
    .where('id', '=', away)
    .execute();
  expect(await press(card, confirm, BO)).toContain('a deputy decides one request at a time');
  await usePolicy(chat, { approvals: { maxGrantMs: 0 } });
  expect(await press(card, confirm)).toContain('no longer, proposed');
  expect(await chat.approvals.get(approvalId)).toMatchObject({ status: 'pending', madeGrantId: null });
  await usePolicy(chat, {});
  expect((await chat.grants.list({ status: 'all', limit: 10 })).items).toEqual([]);
});
