import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import type { ViewLoaders } from '../../control/broadcast.ts';
import { MISDIRECTED, type Misdirected, type StreamMessage } from '../../control/contract.ts';
import type { Emergency } from '../../control/emergency.ts';
import { createLineProof } from '../../proxy/line-proof.ts';
import { ADMIN, CLUSTER_SECRET, type Services, startServices } from '../support/services.ts';

let services: Services;
let stop: () => void;
beforeAll(async () => {
  services = await startServices();
  await services.broadcast.start({} as ViewLoaders);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  stop = services.line.start({ picture: () => ({ estop: false, stopId: null }) } as Emergency);
});
afterAll(async () => {
  stop();
  vi.useRealTimers();
  await services.close();
});

const proof = createLineProof(CLUSTER_SECRET);
/** What control calls itself; it says so to who does not know. */
let to = '';
async function ask(path: string, body?: object): Promise<Response> {
  const { authorization } = proof.ask(body ? 'POST' : 'GET', path, body ? JSON.stringify(body) : null, to);
  const headers = { authorization, 'content-type': 'application/json' };
  const answer = await services.line.routes().request(path, { headers, ...(body && { method: 'POST', body: JSON.stringify(body) }) });
  if (answer.status !== MISDIRECTED) return answer;
  ({ id: to } = (await answer.json()) as Misdirected);
  return ask(path, body);
}

/** A proxy that takes what is sent to it and confirms only what it is told to. */
async function silentProxy(proxyId: string) {
  const heard: StreamMessage[] = [];
  const reader = ((await ask(`/stream?proxyId=${proxyId}`)).body as ReadableStream<Uint8Array>).getReader();
  const ended = (async () => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return 'cut' as const;
      const lines = Buffer.from(value).toString().split('\n').filter(Boolean);
      heard.push(...lines.map((line) => JSON.parse(line.slice(line.indexOf(' '))) as StreamMessage));
    }
  })();
  await vi.waitFor(() => expect(heard.map(({ type }) => type)).toContain('picture'));
  const owed = () => heard.findLast((message) => message.type === 'mark')?.revision ?? 0;
  return { ended, owed, leave: () => reader.cancel(), confirm: () => ask('/applied', { proxyId, revision: owed() }) };
}

/** What an answer to a change waits for; time stands still unless it is turned. */
function answered() {
  const state = { isThere: false, all: Promise.resolve() };
  state.all = services.line.caughtUp().then(() => {
    state.isThere = true;
  });
  return state;
}

it('a change is answered once a proxy that is slow judges by it, however slow', async () => {
  const { id } = await services.agents.create(ADMIN, { name: 'slow' });
  const proxy = await silentProxy('slow');
  await services.agents.pause(ADMIN, id, null);
  const answer = answered();
  await vi.waitUntil(() => proxy.owed() > 0);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(answer.isThere).toBe(false);
  await proxy.confirm();
  await answer.all;
  expect(services.line.liveProxies()).toContain('slow');
  await proxy.leave();
});

it('a proxy that takes everything and confirms nothing holds up one change and is cut, not every one', async () => {
  const { id } = await services.agents.create(ADMIN, { name: 'stuck' });
  const proxy = await silentProxy('stuck');
  await services.agents.pause(ADMIN, id, null);
  const answer = answered();
  await vi.waitUntil(() => proxy.owed() > 0);
  await vi.advanceTimersByTimeAsync(3_000);
  await answer.all;
  expect(await proxy.ended).toBe('cut');
  await services.agents.restart(ADMIN, id, null);
  // No time passes: nothing is waited for.
  await answered().all;
});
