/** Telling people with the database on a PostgreSQL server, which plans a statement once it has seen it a few times. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Chat, startChat } from '../support/chat.ts';
import { startFakeTelegram } from '../support/fake-telegram.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';

const MARA = { id: 501, username: 'mara' };
let server: PostgresServer;
let chat: Chat;
let telegram: Awaited<ReturnType<typeof startFakeTelegram>>;
beforeAll(async () => {
  server = await startPostgres();
  chat = await startChat(await server.createDatabase());
  telegram = await startFakeTelegram();
});
afterAll(async () => {
  await chat?.close();
  await telegram?.close();
  await server?.close();
});

it('opens, tells and decides the twentieth approval like the first', async () => {
  const channel = (await chat.addTelegram(telegram.url)).id;
  await chat.known(channel, String(MARA.id), 'Mara', 'approver');
  const agent = await chat.agent();
  await chat.tell();
  for (let round = 0; round < 20; round++) {
    const id = await chat.hold(agent, `make round-${round}.`);
    await chat.tell();
    const card = telegram.find(`round-${round}.`);
    if (!card) throw new Error(`round ${round} was not told`);
    telegram.push(telegram.press(MARA, card, card.buttons[round % 2]?.callback_data ?? ''));
    await chat.listen();
    expect((await chat.approvals.get(id)).status).toBe(round % 2 === 0 ? 'approved' : 'denied');
    expect(card.buttons).toEqual([]);
  }
  expect(telegram.messages).toHaveLength(20);
  expect(chat.chatErrors).toEqual([]);
});
