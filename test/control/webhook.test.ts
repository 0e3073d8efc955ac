/** Webhooks: every event, signed, with an id by which a repeat is dropped. */
import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { dailyStandup } from '../../control/workers/standup.ts';
import { type Chat, startChat } from '../support/chat.ts';
import { close, listen, urlOf } from '../support/fake-telegram.ts';
import { ADMIN } from '../support/services.ts';

interface Received {
  headers: Record<string, string>;
  text: string;
  body: { type: string; id: string; data: Record<string, Record<string, unknown>> };
}

let chat: Chat;
let received: Received[] = [];
let answers: { status: number; headers?: Record<string, string> }[] = [];
const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const text = Buffer.concat(chunks).toString('utf8');
    received.push({ headers: request.headers as Record<string, string>, text, body: JSON.parse(text) });
    const { status, headers } = answers.shift() ?? { status: 204 };
    response.writeHead(status, headers).end();
  });
});

beforeAll(async () => {
  await listen(server);
  chat = await startChat();
});
afterAll(async () => {
  await chat.close();
  await close(server);
});
beforeEach(async () => {
  await chat.clear();
  [received, answers] = [[], []];
});

const add = () =>
  chat.channels.create(ADMIN, { kind: 'webhook', name: 'Hook', destination: `${urlOf(server)}/in?key=1`, allowPrivate: true });

describe('a webhook', () => {
  it('gets what happens to an approval in order, each signed over its id, its time and its bytes', async () => {
    const { secret } = await add();
    const agent = await chat.agent();
    const id = await chat.hold(agent, 'make release');
    await chat.approvals.decide(ADMIN, id, 'approved', { note: 'fine' });
    await chat.tell();
    await chat.tell();
    expect(received.map(({ body }) => body.type)).toEqual(['approval_pending', 'approval_decided']);
    expect(received[1]?.body.data.approval).toMatchObject({ id, status: 'approved', decision: 'fine' });
    const key = Buffer.from((secret ?? '').replace('whsec_', ''), 'base64');
    for (const { headers, text, body } of received) {
      expect(headers['webhook-id']).toBe(body.id);
      expect(headers['webhook-timestamp']).toBe(String(Math.floor(chat.time.now / 1000)));
      const signed = createHmac('sha256', key).update(`${body.id}.${headers['webhook-timestamp']}.${text}`).digest('base64');
      expect(headers['webhook-signature']).toBe(`v1,${signed}`);
    }
  });

  it('is told of critical alerts, the standup and mentions, and of nothing that nobody wants to hear', async () => {
    const { id } = await add();
    await chat.db.transaction().execute(async (tx) => {
      await chat.alerts.raise(tx, { type: 'gate_missing', severity: 'critical', message: 'no gate' });
      await chat.alerts.raise(tx, { type: 'task_stuck', severity: 'medium', message: 'stuck' });
    });
    await chat.tell();
    expect(received.map(({ body }) => [body.type, body.data.alert?.message])).toEqual([['alert', 'no gate']]);
    await chat.channels.update(ADMIN, id, { events: ['standup'] }, null);
    await chat.hold(await chat.agent(), 'make quiet');
    await chat.tell();
    expect(received).toHaveLength(1);
    // Whenever it is now: by the next morning there is one about the day before, and it is told once.
    const standup = dailyStandup({ ...chat, clock: () => chat.time.now, activePolicy: chat.policies.current, published: () => {} });
    chat.time.now += 24 * 60 * 60 * 1000;
    await standup.tick();
    chat.time.now += 10 * 60 * 60 * 1000;
    await standup.tick();
    await chat.tell();
    await chat.tell();
    const told = received.slice(1).map(({ body }) => [body.type, body.data.document?.title, body.data.document?.body]);
    expect(told.length).toBeGreaterThan(0);
    expect(new Set(told.map(([, title]) => title)).size).toBe(told.length);
    for (const one of told) expect(one).toEqual(['standup', expect.stringMatching(/^Standup for \d{4}-/), expect.stringContaining('#')]);
  });

  it('that answers with an error gets the same id again; one that says no is dead', async () => {
    await add();
    const agent = await chat.agent();
    answers = [{ status: 500 }, { status: 503, headers: { 'retry-after': '20' } }, { status: 200 }];
    await chat.hold(agent, 'make one');
    for (const wait of [1_000, 19_999]) {
      await chat.tell();
      chat.turn(wait);
    }
    await chat.tell();
    expect(received).toHaveLength(2);
    chat.turn(1);
    await chat.tell();
    expect(new Set(received.map(({ body }) => body.id)).size).toBe(1);
    expect(received).toHaveLength(3);
    answers = [{ status: 410 }];
    await chat.hold(agent, 'make two');
    await chat.tell();
    expect((await chat.notifications.list({ state: 'dead', limit: 5 })).items).toMatchObject([{ lastError: 'the webhook answered 410' }]);
  });
});

describe('the settings of a channel', () => {
  it('never show a secret, and need it again where it would go to another host', async () => {
    const made = await add();
    expect(made.secret).toMatch(/^whsec_/);
    const text = JSON.stringify([await chat.channels.list(), await chat.db.selectFrom('channels').selectAll().execute()]);
    expect(text).not.toContain((made.secret ?? '').slice(6, 30));
    const audit = JSON.stringify(await chat.db.selectFrom('audit_log').selectAll().execute());
    expect(audit).not.toContain('key=1');
    await expect(chat.channels.update(ADMIN, made.id, { destination: 'https://evil.example/' }, null)).rejects.toMatchObject({
      code: 'SECRET_NEEDED',
    });
    await chat.channels.update(ADMIN, made.id, { destination: `${urlOf(server)}/other` }, null);
  });

  it('are refused where they cannot work', async () => {
    const mistakes = [
      [{ kind: 'webhook', destination: 'http://127.0.0.1/' }, 'BAD_ADDRESS'],
      [{ kind: 'webhook', destination: 'https://10.0.0.1/' }, 'PRIVATE_ADDRESS'],
      [{ kind: 'webhook', destination: 'https://user:pw@example.com/' }, 'BAD_ADDRESS'],
      [{ kind: 'webhook', destination: 'https://example.com/', secret: 'short' }, 'BAD_SECRET'],
      [{ kind: 'telegram', destination: '-100', apiRoot: 'http://127.0.0.1:1', token: 't' }, 'BAD_ADDRESS'],
      [{ kind: 'telegram', destination: 'ops', token: 't' }, 'BAD_DESTINATION'],
      [{ kind: 'telegram', destination: '-100' }, 'TOKEN_NEEDED'],
      [{ kind: 'slack', destination: 'C1', token: 't' }, 'TOKEN_NEEDED'],
      [{ kind: 'slack', destination: '#ops', token: 't', secret: 's' }, 'BAD_DESTINATION'],
    ] as const;
    for (const [input, code] of mistakes) {
      await expect(chat.channels.create(ADMIN, { name: 'x', ...input }), JSON.stringify(input)).rejects.toMatchObject({ code });
    }
  });

  it('end with the channel: what waited is dead, and nobody is known there', async () => {
    const { id } = await add();
    answers = [{ status: 500 }];
    await chat.hold(await chat.agent(), 'make one');
    await chat.tell();
    await chat.channels.remove(ADMIN, id);
    await chat.tell();
    expect(received).toHaveLength(1);
    expect((await chat.notifications.list({ limit: 5 })).items).toMatchObject([{ state: 'dead', lastError: 'the channel was removed' }]);
  });
});
