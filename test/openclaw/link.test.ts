import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connectGateway, type GatewayLink, type LinkState, type SessionEvent } from '../../control/link.ts';
import { FakeOpenClaw } from './fake-openclaw.ts';
import { TestClock } from './test-clock.ts';

let gateway: FakeOpenClaw;
let clock: TestClock;
let link: GatewayLink | null;
let states: LinkState[];
let watchers: Set<() => void>;
let heard: SessionEvent[];
let active: string[][];

beforeEach(async () => {
  gateway = await FakeOpenClaw.start();
  clock = new TestClock();
  clock.auto = false;
  link = null;
  states = [];
  watchers = new Set();
});
afterEach(async () => {
  await link?.close();
  await gateway.stop();
});

function connect(token = gateway.token, url = gateway.url): GatewayLink {
  const onState = (state: LinkState) => {
    states.push(state);
    for (const watch of [...watchers]) watch();
  };
  heard = [];
  active = [];
  link = connectGateway({
    ...{ url, token, clock, random: () => 0.5, onState },
    onSession: (event) => heard.push(event),
    onActive: (sessions) => active.push([...sessions]),
  });
  return link;
}

/** Resolves when the link has been in this state for the nth time. */
async function became(state: LinkState['state'], count = 1): Promise<LinkState> {
  for (;;) {
    const found = states.filter((seen) => seen.state === state)[count - 1];
    if (found !== undefined) return found;
    await new Promise<void>((resolve) => {
      const watch = () => {
        watchers.delete(watch);
        resolve();
      };
      watchers.add(watch);
    });
  }
}

describe('connecting', () => {
  test('introduces itself as an operator with no more rights than it needs', async () => {
    const started = connect();
    expect(started.state().state).toBe('connecting');
    expect(await became('connected')).toMatchObject({ error: null, version: '2026.9.6' });
    expect((await gateway.request('connect')).params).toMatchObject({
      minProtocol: 4,
      maxProtocol: 4,
      role: 'operator',
      scopes: ['operator.read', 'operator.write'],
      auth: { token: 'operator-token' },
    });
  });

  test('with a wrong token says so and tries again slowly', async () => {
    connect('wrong');
    expect((await became('unauthorized')).error).toContain('token mismatch');
    await clock.asleep();
    clock.advance(30_000);
    expect(link?.state().state).toBe('unauthorized');
    clock.advance(30_000);
    await became('unauthorized', 2);
    expect(gateway.asked).toHaveLength(2);
  });

  test('gives up a gateway that does not greet, and tries again', async () => {
    gateway.mute = true;
    connect();
    await clock.asleep();
    clock.advance(10_000);
    expect((await became('down')).error).toContain('no greeting within 10000 ms');
    gateway.mute = false;
    await clock.asleep();
    clock.advance(500);
    await became('connected');
  });

  test('tries ever more slowly while nobody is there, then quickly again after it worked', async () => {
    await gateway.stop();
    connect();
    for (const [n, wait] of [375, 750, 1_500, 3_000].entries()) {
      expect((await became('down', n + 1)).error).toContain('cannot reach 127.0.0.1');
      await clock.asleep();
      clock.advance(wait - 1);
      expect(link?.state().state).toBe('down');
      clock.advance(1);
    }
    await became('down', 5);
    await gateway.start();
    await clock.asleep();
    clock.advance(30_000);
    await became('connected');
    await gateway.stop();
    await became('down', 6);
    await clock.asleep();
    await gateway.start();
    clock.advance(375);
    await became('connected', 2);
  });

  test('ends a connection that has fallen silent', async () => {
    gateway.tickIntervalMs = 1_000;
    connect();
    await became('connected');
    await clock.asleep();
    clock.advance(2_000);
    gateway.broadcast(JSON.stringify({ type: 'event', event: 'tick', payload: {} }));
    await link?.agents();
    clock.advance(2_499);
    expect(link?.state().state).toBe('connected');
    await clock.asleep();
    clock.advance(1);
    expect((await became('down')).error).toContain('silent for 3 s');
  });

  test('survives frames that make no sense', async () => {
    connect();
    await became('connected');
    for (const frame of ['', '{', '[]', 'null', '{"type":"res"}', '{"type":"odd","id":1}', '{"type":"res","id":"unknown","ok":true}']) {
      gateway.broadcast(frame);
    }
    gateway.reply = () => ({ payload: { agents: [] } });
    expect(await link?.agents()).toEqual({ ok: true, value: [] });
  });

  test('ends for good when closed', async () => {
    connect();
    await became('connected');
    await link?.close();
    expect(link?.state()).toMatchObject({ state: 'down', error: 'closed' });
    clock.advance(600_000);
    expect(states.filter((state) => state.state === 'connecting')).toEqual([]);
  });
});

describe('what happens in sessions', () => {
  test('is told from each connect on, with what runs at that moment', async () => {
    gateway.active = ['agent:main:t1'];
    connect();
    expect((await became('connected', 2)).followsSessions).toBe(true);
    expect(active).toEqual([['agent:main:t1']]);
    gateway.change({ sessionKey: 'agent:main:t1', agentId: 'main', phase: 'end', runId: 'r1', clientRunId: 'c1', session: { odd: true } });
    gateway.change({ sessionKey: 'agent:main:t2', phase: 'message', agentId: 7 });
    gateway.change({ sessionKey: 'agent:main:t3', reason: 'delete' });
    gateway.change({ reason: 'profile-identity' });
    gateway.reply = () => ({ payload: { agents: [] } });
    await link?.agents();
    expect(heard).toEqual([
      { sessionKey: 'agent:main:t1', agentId: 'main', what: 'ended', runIds: ['r1', 'c1'] },
      { sessionKey: 'agent:main:t2', agentId: null, what: 'sign', runIds: [] },
      { sessionKey: 'agent:main:t3', agentId: null, what: 'removed', runIds: [] },
    ]);
    await gateway.stop();
    expect((await became('down')).followsSessions).toBe(false);
  });

  test('is asked for again where the gateway was too slow to answer', async () => {
    gateway.isDeaf = true;
    connect();
    await became('connected');
    await gateway.request('sessions.subscribe');
    await clock.asleep();
    clock.advance(20_000);
    gateway.isDeaf = false;
    // Its tick is later than this, and it has said nothing yet: one frame keeps the connection.
    gateway.reply = () => ({ payload: { agents: [] } });
    await link?.agents();
    await clock.asleep();
    clock.advance(30_000);
    expect((await became('connected', 2)).followsSessions).toBe(true);
  });

  test('is not told by every gateway, and that is seen', async () => {
    gateway.active = null;
    connect();
    await became('connected');
    await gateway.request('sessions.subscribe');
    gateway.reply = () => ({ payload: { agents: [] } });
    expect(await link?.agents()).toEqual({ ok: true, value: [] });
    expect(link?.state()).toMatchObject({ state: 'connected', followsSessions: false });
    expect(active).toEqual([]);
  });
});

describe('a request', () => {
  test('for the roster gives agents with their workspaces', async () => {
    gateway.reply = () => ({
      payload: {
        defaultId: 'main',
        agents: [
          { id: 'main', workspace: '/w/main', model: {} },
          { id: 'ops', name: 'Ops' },
        ],
      },
    });
    connect();
    await became('connected');
    expect(await link?.agents()).toEqual({
      ok: true,
      value: [
        { id: 'main', name: null, workspace: '/w/main' },
        { id: 'ops', name: 'Ops', workspace: null },
      ],
    });
  });

  test('says a message into a session under the caller\u2019s own key', async () => {
    gateway.reply = ({ params }) => ({ payload: { runId: params.idempotencyKey, status: 'started' } });
    connect();
    await became('connected');
    expect(await link?.sendToSession('agent:main:t1', 'Approval 41 is approved.', 'ap-41')).toEqual({ ok: true, value: 'ap-41' });
    expect((await gateway.request('chat.send')).params).toEqual({
      sessionKey: 'agent:main:t1',
      message: 'Approval 41 is approved.',
      idempotencyKey: 'ap-41',
    });
  });

  test('to abort also clears what is queued behind the run', async () => {
    gateway.reply = () => ({ payload: { ok: true, abortedRunId: 'r1', status: 'aborted' } });
    connect();
    await became('connected');
    expect(await link?.abortRuns('agent:main:t1')).toEqual({ ok: true, value: true });
    expect((await gateway.request('sessions.abort')).params).toEqual({ key: 'agent:main:t1', clearQueued: true });
  });

  test('is answered with the reason when nothing is connected', async () => {
    await gateway.stop();
    connect();
    await became('down');
    expect(await link?.sendToSession('s', 't', 'k')).toMatchObject({ ok: false, problem: 'down' });
  });

  test('that the gateway refuses comes back with its words', async () => {
    gateway.reply = () => ({ error: { code: 'INVALID_REQUEST', message: 'unknown session' } });
    connect();
    await became('connected');
    expect(await link?.abortRuns('nope')).toEqual({
      ok: false,
      problem: 'refused',
      message: 'sessions.abort: INVALID_REQUEST unknown session',
    });
  });

  test('that is answered in another shape is not taken for success', async () => {
    gateway.reply = () => ({ payload: { fine: true } });
    connect();
    await became('connected');
    expect(await link?.sendToSession('s', 't', 'k')).toMatchObject({ ok: false, problem: 'refused' });
  });

  test('that is never answered says that its effect is unknown', async () => {
    gateway.reply = () => 'silence';
    connect();
    await became('connected');
    const sent = link?.sendToSession('s', 't', 'k');
    await gateway.request('chat.send');
    clock.advance(20_000);
    expect(await sent).toMatchObject({ ok: false, problem: 'timeout' });
  });

  test('under way when the connection breaks does not hang', async () => {
    gateway.reply = () => 'silence';
    connect();
    await became('connected');
    const sent = link?.sendToSession('s', 't', 'k');
    await gateway.request('chat.send');
    await gateway.stop();
    expect(await sent).toMatchObject({ ok: false, problem: 'timeout' });
  });

  test('is turned away when too many are under way', async () => {
    gateway.reply = () => 'silence';
    connect();
    // Once for the link, once for the sessions that it follows: from here on nothing else is under way.
    await became('connected', 2);
    const many = Array.from({ length: 256 }, (_, n) => link?.sendToSession('s', 't', String(n)));
    expect(await link?.agents()).toMatchObject({ ok: false, problem: 'busy' });
    await gateway.request('chat.send', 256);
    clock.advance(20_000);
    expect(await Promise.all(many)).toHaveLength(256);
    gateway.reply = () => ({ payload: { agents: [] } });
    expect(await link?.agents()).toEqual({ ok: true, value: [] });
  });
});
