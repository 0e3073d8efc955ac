/** Mutual authentication on the lines: what proves what, what does not, and that a control that cannot prove itself is not followed. */
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, it, vi } from 'vitest';
import { LINE_PROOF_HEADER, MISDIRECTED } from '../../control/contract.ts';
import { createLineProof as atControl } from '../../control/line-proof.ts';
import { createLineProof as atProxy, ownServerToken } from '../../proxy/line-proof.ts';
import { Uplink } from '../../proxy/uplink.ts';

const SECRET = 'cluster-secret-of-these-tests';
const PATH = '/internal/v1/hello';
const bytes = (text: string) => new TextEncoder().encode(text);

it('a request proves itself once, as it was sent, and within its time', () => {
  let now = Date.now();
  const control = atControl(SECRET, () => now);
  const ask = () => atProxy(SECRET).ask('POST', PATH, '{"a":1}', control.id);
  const { authorization, nonce } = ask();
  expect(authorization).not.toContain(SECRET);
  expect(control.check(authorization, 'GET', PATH, bytes('{"a":1}'))).toBeNull();
  expect(control.check(authorization, 'POST', `${PATH}?x`, bytes('{"a":1}'))).toBeNull();
  expect(control.check(authorization, 'POST', PATH, bytes('{"a":2}'))).toBeNull();
  for (const other of [undefined, '', authorization.replace('MC-Line', 'Bearer'), authorization.replace(/ \d/, ' 9'), `${authorization}A`])
    expect(control.check(other, 'POST', PATH, bytes('{"a":1}')), other).toBeNull();
  expect(atControl('another-secret', () => now).check(authorization, 'POST', PATH, bytes('{"a":1}'))).toBeNull();
  expect(control.check(authorization, 'POST', PATH, bytes('{"a":1}'))).toEqual({ nonce, isForUs: true });
  expect(control.check(authorization, 'POST', PATH, bytes('{"a":1}'))).toBeNull();
  for (const wrong of [-6, 6]) {
    now = Date.now() + wrong * 60_000;
    expect(control.check(ask().authorization, 'POST', PATH, bytes('{"a":1}'))).toBeNull();
  }
  // A used one is remembered for as long as its time could still be right.
  now = Date.now();
  const late = ask().authorization;
  expect(control.check(late, 'POST', PATH, bytes('{"a":1}'))).not.toBeNull();
  now += 4 * 60_000;
  expect(control.check(late, 'POST', PATH, bytes('{"a":1}'))).toBeNull();
});

it('a request for one control does nothing at another, nor at the same after a start anew, and says nothing about its secret', () => {
  const [one, two] = [atControl(SECRET), atControl(SECRET)];
  const { authorization, nonce } = atProxy(SECRET).ask('POST', PATH, '{}', one.id);
  expect(two.check(authorization, 'POST', PATH, bytes('{}'))).toEqual({ nonce, isForUs: false });
  expect(one.check(authorization.replace(one.id, two.id), 'POST', PATH, bytes('{}'))).toBeNull();
  expect(one.check(authorization, 'POST', PATH, bytes('{}'))).toEqual({ nonce, isForUs: true });
});

it('a proxy learns who a control is from its own word, and again after each start of it', async () => {
  let control = atControl(SECRET);
  const done: string[] = [];
  const there = await listen(async (request, response) => {
    const body = await text(request);
    const asked = control.check(request.headers.authorization, request.method ?? '', request.url ?? '', bytes(body));
    const [status, answer] = asked?.isForUs
      ? [200, '{"redeemed":true}']
      : [MISDIRECTED, JSON.stringify({ code: 'ANOTHER_CONTROL', id: control.id })];
    if (asked?.isForUs) done.push(body);
    response.writeHead(status, { [LINE_PROOF_HEADER]: control.answer(asked?.nonce ?? '', status, bytes(answer)) }).end(answer);
  });
  const uplink = new Uplink({ controlUrl: there.url, clusterSecret: SECRET, timeoutMs: 2_000 });
  await uplink.redeem('approval-1', 'call-1');
  control = atControl(SECRET);
  await uplink.redeem('approval-1', 'call-2');
  expect(done).toEqual(['{"callId":"call-1"}', '{"callId":"call-2"}']);
  await uplink.close();
  await there.close();
});

it('a control that answers late is waited for at a start, and not in the middle of the work', async () => {
  const control = atControl(SECRET);
  let asked = 0;
  const there = await listen(async (request, response) => {
    const body = await text(request);
    const known = control.check(request.headers.authorization, request.method ?? '', request.url ?? '', bytes(body));
    const [status, answer] = known?.isForUs
      ? [200, '{"cursor":7}']
      : [MISDIRECTED, JSON.stringify({ code: 'ANOTHER_CONTROL', id: control.id })];
    // The first requests that it understands are never answered.
    if (known?.isForUs && ++asked < 3) return;
    response.writeHead(status, { [LINE_PROOF_HEADER]: control.answer(known?.nonce ?? '', status, bytes(answer)) }).end(answer);
  });
  const uplink = new Uplink({ controlUrl: there.url, clusterSecret: SECRET, timeoutMs: 100 });
  expect(await uplink.hello('proxy-1')).toEqual({ cursor: 7 });
  asked = 0;
  await expect(uplink.redeem('approval-1', 'call-1')).rejects.toMatchObject({ code: 'CONTROL_UNAVAILABLE' });
  await uplink.close();
  await there.close();
  const nowhere = new Uplink({ controlUrl: there.url, clusterSecret: SECRET, timeoutMs: 100 });
  await expect(nowhere.hello('proxy-1')).rejects.toMatchObject({ code: 'CONTROL_UNAVAILABLE' });
  await nowhere.close();
});

it('an answer proves that it is the one to this request, a message that it is the next of this stream', () => {
  const [control, proxy] = [atControl(SECRET), atProxy(SECRET)];
  const mac = control.answer('nonce-1', 200, bytes('{}'));
  expect(proxy.isAnswer('nonce-1', 200, '{}', mac)).toBe(true);
  for (const [nonce, status, text, given] of [
    ['nonce-2', 200, '{}', mac],
    ['nonce-1', 404, '{}', mac],
    ['nonce-1', 200, '[]', mac],
    ['nonce-1', 200, '{}', ''],
  ] as const)
    expect(proxy.isAnswer(nonce, status, text, given)).toBe(false);
  const line = control.message('nonce-1', 3, '{"type":"beat"}').trimEnd();
  expect(proxy.messageOf('nonce-1', 3, line)).toBe('{"type":"beat"}');
  for (const [nonce, number, given] of [
    ['nonce-1', 4, line],
    ['nonce-2', 3, line],
    ['nonce-1', 3, line.replace('beat', 'mark')],
    ['nonce-1', 3, '{"type":"beat"}'],
    ['nonce-1', 3, ''],
  ] as const)
    expect(proxy.messageOf(nonce, number, given)).toBeNull();
  expect(control.isOwnServerToken(`Bearer ${ownServerToken(SECRET)}`)).toBe(true);
  expect(control.isOwnServerToken(`Bearer ${SECRET}`)).toBe(false);
});

it('a control that does not know the secret is neither believed nor followed, whatever it repeats, and does not learn it', async () => {
  const seen: string[] = [];
  const genuine = atControl(SECRET);
  let recorded = '';
  const rogue = await listen((request, response) => {
    seen.push(JSON.stringify([request.url, request.headers]));
    // What a genuine control once answered to another request.
    const [, nonce = ''] = (request.headers.authorization ?? '').split('.');
    recorded ||= genuine.message(nonce, 0, '{"type":"beat","at":1}');
    if (request.url?.includes('/stream')) {
      if (seen.filter((entry) => entry.includes('/stream')).length === 1)
        response.end(atControl('guessed-secret').message(nonce, 0, '{"type":"beat","at":1}'));
      else response.end(recorded);
    } else response.setHeader(LINE_PROOF_HEADER, genuine.answer('another-nonce', 200, bytes('{}'))).end('{}');
  });
  const uplink = new Uplink({ controlUrl: rogue.url, clusterSecret: SECRET, timeoutMs: 2_000 });
  await expect(uplink.hello('proxy-1')).rejects.toMatchObject({
    code: 'CONTROL_UNAVAILABLE',
    message: expect.stringContaining('does not prove'),
  });
  await expect(uplink.held('call-1')).rejects.toMatchObject({ code: 'CONTROL_UNAVAILABLE' });
  const [messages, lost]: [unknown[], unknown[]] = [[], []];
  const following = uplink.follow(
    'proxy-1',
    (message) => messages.push(message),
    (error) => lost.push(error),
  );
  await vi.waitFor(() => expect(lost.length).toBeGreaterThan(2));
  await uplink.close();
  await following;
  await rogue.close();
  expect(messages).toEqual([]);
  expect(seen.join()).not.toContain(SECRET);
});

async function listen(handler: RequestListener<typeof IncomingMessage>): Promise<{ url: string; close: () => Promise<void> }> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
