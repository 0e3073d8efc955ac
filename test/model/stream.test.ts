import { request as httpRequest, type IncomingMessage } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ModelApi } from '../../policies/model-request.ts';
import type { Usage } from '../../policies/prices.ts';
import { until } from '../support/world.ts';
import { dataEvents, namedEvents, type Script, type SeenRequest, stream } from './provider.ts';
import { type ModelStage, type RecordedCall, startModelStage } from './stage.ts';
import { GOLDEN, type Golden, saidBy } from './streams.ts';

let stage: ModelStage;
let agent: { id: string; token: string };
beforeAll(async () => {
  stage = await startModelStage();
  await stage.patchPolicy({
    model: { prices: { 'test-search': { input: 1, output: 10, webSearch: 0.01, fileSearch: 0.0025, contextTokens: 1_000 } } },
    limits: { maxConcurrentPerAgent: 4_000 },
  });
  agent = await stage.agent({ autonomyLevel: 'lead', budgets: { dailyCap: 1_000 } });
}, 90_000);
afterAll(async () => stage?.close());

const PATHS: Record<ModelApi, string> = {
  chat: '/model/openai/v1/chat/completions',
  responses: '/model/openai/v1/responses',
  messages: '/model/anthropic/v1/messages',
};
const LIMIT = 1_000;

function bodyOf({ api, request }: Golden, more: object = {}): object {
  const input =
    api === 'responses' ? { input: 'Hi', max_output_tokens: LIMIT } : { messages: [{ role: 'user', content: 'Hi' }], max_tokens: LIMIT };
  return { model: 'test-model', ...input, stream: true, ...request, ...more };
}

function post(path: string, body: object, token: string, signal?: AbortSignal): Promise<Response> {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
  return fetch(`${stage.world.gateUrl}${path}`, { method: 'POST', headers, body: JSON.stringify(body), ...(signal && { signal }) });
}

/** A request on a connection of its own, which fetch would keep and use again whatever became of the last one. */
function postAlone(path: string, body: object, token: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
    const asked = httpRequest(`${stage.world.gateUrl}${path}`, { method: 'POST', headers, agent: false }, resolve);
    asked.on('error', reject);
    asked.end(JSON.stringify(body));
  });
}

function recordOf(response: Response): Promise<RecordedCall> {
  return recordBy(response.headers.get('x-mc-call'));
}

async function recordBy(id: unknown): Promise<RecordedCall> {
  const path = `/tool-calls/${id}`;
  const look = () => stage.world.api<RecordedCall>('GET', path);
  return (await until(look, ({ status, body }) => status === 200 && body.status !== 'running', 30_000)).body;
}

/** Micro-dollars by the prices of the stage: written out here, not computed by what is tested. */
function costOfSaid(usage: Usage): number {
  const {
    inputTokens = 0,
    cacheReadTokens: read = 0,
    cacheWriteTokens: written = 0,
    cacheWriteLongTokens: long = 0,
    outputTokens = 0,
  } = usage;
  const isSearch = usage.webSearches !== undefined;
  const cached = isSearch ? read + written : read * 0.1 + (written - long) * 1.25 + long * 2;
  const searches = (usage.webSearches ?? 0) * 10_000 + (usage.fileSearches ?? 0) * 2_500;
  return Math.max(0, Math.ceil(inputTokens - read - written + cached + outputTokens * 10 + searches - 1e-9));
}

/** A bound of what is reserved for any of the requests here. */
function reservedFor(golden: Golden): number {
  const rounds = golden.request !== undefined && 'tools' in golden.request ? 4 : 1;
  const choices = golden.request !== undefined && 'n' in golden.request ? 2 : 1;
  return rounds * (10_000 * 2) + choices * rounds * LIMIT * 10 + 40_000;
}

const SYNC = ': sync\n\n';

/** Sends so many chunks and a comment after them, and waits for the client to leave. */
function upTo(golden: Golden, count: number): Script {
  return stream([...golden.chunks.slice(0, count).map(({ text }) => text), SYNC], 'stay');
}

describe('a stream that its client leaves after any chunk', () => {
  /** By the mark that the request carries. */
  const scripts = new Map<string, Script>();
  const aborts = new Map<string, Promise<number>>();

  it(`is recorded as the provider has said up to there: ${GOLDEN.length} streams, every chunk`, async () => {
    stage.provider.script = (response, seen: SeenRequest) => {
      const mark = String(seen.body.user);
      aborts.set(mark, seen.aborted);
      return scripts.get(mark)?.(response, seen);
    };
    // A partial line at the end of what came would swallow the comment.
    const cuts = GOLDEN.flatMap((golden) => golden.chunks.map((_, index) => ({ golden, count: index + 1 }))).filter(
      ({ golden, count }) => !(golden.ends === 'break' && count === golden.chunks.length),
    );
    let exact = 0;
    let estimated = 0;
    const leave = async ({ golden, count }: (typeof cuts)[number]) => {
      const mark = `${golden.api} ${golden.name} ${count}`;
      scripts.set(mark, upTo(golden, count));
      const response = await postAlone(PATHS[golden.api], bodyOf(golden, { user: mark }), agent.token);
      expect(response.statusCode, mark).toBe(200);
      let text = '';
      for await (const chunk of response.setEncoding('utf8')) {
        text += chunk;
        if (text.endsWith(SYNC)) break;
      }
      const leftAt = Date.now();
      response.destroy();
      const call = await recordBy(response.headers['x-mc-call']);
      expect(((await aborts.get(mark)) ?? 0) - leftAt, mark).toBeLessThan(1_000);
      const { usage, isExact } = saidBy(golden, count);
      expect(call.modelCall?.usage ?? null, mark).toEqual(usage);
      expect(call.modelCall?.isEstimated, mark).toBe(!isExact);
      const cost = Math.round((call.cost ?? Number.NaN) * 1e6);
      if (isExact) {
        exact++;
        expect(cost, mark).toBe(costOfSaid(usage ?? {}));
      } else {
        estimated++;
        expect(cost, mark).toBeGreaterThanOrEqual(costOfSaid(usage ?? {}));
        expect(cost, mark).toBeLessThanOrEqual(reservedFor(golden));
        expect(cost, mark).toBeGreaterThan(0);
      }
    };
    const queue = [...cuts];
    const worker = async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) await leave(next);
    };
    await Promise.all(Array.from({ length: 12 }, worker));
    expect(exact + estimated).toBe(cuts.length);
    expect(cuts.length).toBeGreaterThan(400);
    expect(exact).toBeGreaterThan(100);
    console.log(`cut after ${cuts.length} chunks: ${exact} exact, ${estimated} estimated`);
  }, 240_000);

  it('and one that comes to its end is passed on whole, its cost exact', async () => {
    for (const golden of GOLDEN) {
      if (golden.ends === 'break') continue;
      stage.provider.script = stream(golden.chunks.map(({ text }) => text));
      const more = golden.api === 'chat' ? { stream_options: { include_usage: true } } : {};
      const response = await post(PATHS[golden.api], bodyOf(golden, more), agent.token);
      expect(await response.text(), golden.name).toBe(golden.chunks.map(({ text }) => text).join(''));
      const call = await recordOf(response);
      const { usage, isExact } = saidBy(golden, golden.chunks.length);
      expect(call.modelCall?.usage ?? null, golden.name).toEqual(usage);
      if (isExact) expect(Math.round((call.cost ?? Number.NaN) * 1e6), golden.name).toBe(costOfSaid(usage ?? {}));
      expect(call.status, golden.name).toBe(golden.ends === 'error' ? 'failed' : 'success');
    }
  }, 60_000);

  it('is read on for the exact figure where the policy says so', async () => {
    await stage.patchPolicy({ model: { onDisconnect: 'drain' } });
    const golden = GOLDEN.find(({ api, name }) => api === 'messages' && name === 'plain text');
    if (!golden) throw new Error('no such stream');
    const gate = Promise.withResolvers<void>();
    stage.provider.script = async (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(golden.chunks[0]?.text ?? '');
      await gate.promise;
      for (const { text } of golden.chunks.slice(1)) response.write(text);
      response.end();
    };
    const leaving = new AbortController();
    const response = await post(PATHS.messages, bodyOf(golden), agent.token, leaving.signal);
    leaving.abort();
    await until(
      () => stage.world.api<{ status: string }>('GET', `/tool-calls/${response.headers.get('x-mc-call')}`),
      ({ body }) => body.status === 'running',
    );
    gate.resolve();
    const call = await recordOf(response);
    expect(call).toMatchObject({
      status: 'failed',
      cost: 0.000095,
      modelCall: { isEstimated: false, usage: { inputTokens: 25, outputTokens: 7 } },
    });
    await stage.patchPolicy({ model: { onDisconnect: 'abort' } });
  });
});

describe('a stream that the provider breaks', () => {
  it('breaks for the client too, and what was delivered is paid for by an estimate', async () => {
    for (const golden of GOLDEN.filter(({ ends }) => ends === 'break')) {
      stage.provider.script = stream(
        golden.chunks.map(({ text }) => text),
        'break',
      );
      const response = await post(PATHS[golden.api], bodyOf(golden), agent.token);
      await expect(response.text()).rejects.toThrow();
      const call = await recordOf(response);
      expect(call).toMatchObject({ status: 'failed', modelCall: { isEstimated: true } });
      expect(call.cost).toBeGreaterThan(0);
    }
  });
});

describe('the official clients', () => {
  const plain = (api: ModelApi) => {
    const golden = GOLDEN.find((each) => each.api === api && each.name === 'plain text');
    if (!golden) throw new Error('no such stream');
    stage.provider.script = stream(golden.chunks.map(({ text }) => text));
  };
  const chatRequest = { model: 'test-model', max_tokens: LIMIT, messages: [{ role: 'user' as const, content: 'Hi' }] };

  it('stream a chat completion, and see no usage that they did not ask for', async () => {
    plain('chat');
    const own = await stage.agent();
    const chunks = [];
    for await (const chunk of await stage.openai(own.token).chat.completions.create({ ...chatRequest, stream: true })) chunks.push(chunk);
    expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe('Hello!');
    expect(chunks.every((chunk) => chunk.usage === undefined && chunk.choices.length > 0)).toBe(true);
    expect(stage.provider.seen.at(-1)?.body.stream_options).toEqual({ include_usage: true });
    const [call] = await stage.calls(own.id, 1);
    expect(call?.modelCall?.usage).toEqual({ inputTokens: 20, outputTokens: 3 });

    const asked = stage.openai(agent.token).chat.completions.stream({ ...chatRequest, stream_options: { include_usage: true } });
    expect(await asked.totalUsage()).toMatchObject({ prompt_tokens: 20, completion_tokens: 3 });
  });

  it('stream tools', async () => {
    const golden = GOLDEN.find(({ api, name }) => api === 'chat' && name === 'a tool');
    stage.provider.script = stream(golden?.chunks.map(({ text }) => text) ?? []);
    const final = await stage.openai(agent.token).chat.completions.stream(chatRequest).finalChatCompletion();
    expect(final.choices[0]?.message.tool_calls?.[0]).toMatchObject({ function: { name: 'weather', arguments: '{"city":"Ulm"}' } });

    const other = GOLDEN.find(({ api, name }) => api === 'messages' && name === 'a tool');
    stage.provider.script = stream(other?.chunks.map(({ text }) => text) ?? []);
    const said = await stage
      .anthropic(agent.token)
      .messages.stream({ ...chatRequest, model: 'test-claude' })
      .finalMessage();
    expect(said.content[1]).toMatchObject({ type: 'tool_use', name: 'weather', input: { city: 'Ulm' } });
  });

  it('stream responses and messages', async () => {
    plain('responses');
    const types: string[] = [];
    for await (const event of await stage
      .openai(agent.token)
      .responses.create({ model: 'test-model', input: 'Hi', stream: true, max_output_tokens: LIMIT }))
      types.push(event.type);
    expect(types.at(-1)).toBe('response.completed');
    plain('messages');
    expect(
      await stage
        .anthropic(agent.token)
        .messages.stream({ ...chatRequest, model: 'test-claude' })
        .finalText(),
    ).toBe('Hello');
  });
});

describe('a stream that would pass its cap', () => {
  const head = { id: 'chatcmpl-9', object: 'chat.completion.chunk', created: 1, model: 'test-model' };
  const words = Array.from({ length: 2_000 }, () => ({
    ...head,
    choices: [{ index: 0, delta: { content: 'word ' }, finish_reason: null }],
  }));
  /** 100 tokens at ten micro-dollars, and the bound of the input. */
  const poor = () => stage.agent({ budgets: { dailyCap: 0.0018 } });

  it('is ended like one that reached its limit, and no more is recorded than the cap', async () => {
    const own = await poor();
    stage.provider.script = stream(dataEvents(...words, '[DONE]'));
    const asked = { model: 'test-model', messages: [{ role: 'user' as const, content: 'Hi' }] };
    const chunks = [];
    for await (const chunk of await stage.openai(own.token).chat.completions.create({ ...asked, stream: true })) chunks.push(chunk);
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('length');
    const limit = Number(stage.provider.seen.at(-1)?.body.max_completion_tokens);
    expect(chunks.length - 1).toBe(limit);
    const [call] = await stage.calls(own.id, 1);
    expect(call).toMatchObject({ status: 'success', output: 'cut at the budget', modelCall: { isEstimated: true } });
    expect(call?.cost).toBeLessThanOrEqual(0.0018);
    await stage.provider.seen.at(-1)?.aborted;
  });

  it('of messages and of responses too', async () => {
    const one = await poor();
    const start = {
      type: 'message_start',
      message: { id: 'msg_9', type: 'message', role: 'assistant', model: 'm', content: [], usage: { input_tokens: 9, output_tokens: 1 } },
    };
    const block = { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } };
    const delta = { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'word ' } };
    stage.provider.script = stream(namedEvents(start, block, ...Array.from({ length: 2_000 }, () => delta)));
    const said = await stage
      .anthropic(one.token)
      .messages.stream({ model: 'test-claude', max_tokens: 5_000, messages: [{ role: 'user', content: 'Hi' }] })
      .finalMessage();
    expect(said.stop_reason).toBe('max_tokens');
    expect(Number(stage.provider.seen.at(-1)?.body.max_tokens)).toBeLessThan(200);
    expect((await stage.calls(one.id, 1))[0]?.cost).toBeLessThanOrEqual(0.0018);

    const two = await poor();
    const begun = {
      type: 'response.created',
      sequence_number: 0,
      response: { id: 'resp_9', object: 'response', status: 'in_progress', output: [] },
    };
    const part = {
      type: 'response.output_text.delta',
      sequence_number: 1,
      item_id: 'i',
      output_index: 0,
      content_index: 0,
      delta: 'word ',
    };
    stage.provider.script = stream(namedEvents(begun, ...Array.from({ length: 2_000 }, () => part)));
    const types: string[] = [];
    for await (const event of await stage.openai(two.token).responses.create({ model: 'test-model', input: 'Hi', stream: true }))
      types.push(event.type);
    expect(types.at(-1)).toBe('response.incomplete');
    expect((await stage.calls(two.id, 1))[0]?.cost).toBeLessThanOrEqual(0.0018);
  });

  it('is cut as soon as the provider itself charges more than there is', async () => {
    const own = await poor();
    const charged = words.map((word, index) => ({
      ...word,
      usage: { prompt_tokens: 20, completion_tokens: (index + 1) * 50, total_tokens: 20 + (index + 1) * 50 },
    }));
    stage.provider.script = stream(dataEvents(...charged, '[DONE]'));
    const asked = { model: 'test-model', messages: [{ role: 'user' as const, content: 'Hi' }] };
    const chunks = [];
    for await (const chunk of await stage.openai(own.token).chat.completions.create({ ...asked, stream: true })) chunks.push(chunk);
    expect(chunks.length).toBeLessThan(6);
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('length');
  });
});

describe('a stream that flows for long', () => {
  it('keeps its reservation beyond the time after which it would count as spent', async () => {
    await stage.patchPolicy({ limits: { reservationTtlMs: 2_500 } });
    const own = await stage.agent();
    const golden = GOLDEN.find(({ api, name }) => api === 'chat' && name === 'plain text');
    if (!golden) throw new Error('no such stream');
    const before = await stage.metric('mc_proxy_reservations');
    stage.provider.script = upTo(golden, 3);
    const leaving = new AbortController();
    const response = await post(PATHS.chat, bodyOf(golden), own.token, leaving.signal);
    const begunAt = Date.now();
    await until(
      () => stage.metric('mc_proxy_reservations'),
      (open) => open === before + 1 && Date.now() - begunAt > 5_000,
    );
    leaving.abort();
    await recordOf(response);
    await until(
      () => stage.metric('mc_proxy_reservations'),
      (open) => open === before,
    );
    await stage.patchPolicy({ limits: { reservationTtlMs: 600_000 } });
  });
});

describe('a stop', () => {
  it('ends the streams of the agent with an error of the protocol, within a second', async () => {
    const own = await stage.agent();
    const golden = GOLDEN.find(({ api, name }) => api === 'chat' && name === 'plain text');
    if (!golden) throw new Error('no such stream');
    stage.provider.script = upTo(golden, 3);
    const response = await post(PATHS.chat, bodyOf(golden), own.token);
    let text = '';
    let pressedAt = 0;
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk).toString('utf8');
      if (!text.endsWith(SYNC) || pressedAt > 0) continue;
      pressedAt = Date.now();
      void stage.world.api('POST', `/agents/${own.id}/quarantine`, { reason: 'test' });
    }
    expect(Date.now() - pressedAt).toBeLessThan(1_000);
    expect(text).toContain('"code":"AGENT_QUARANTINED"');
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
    const call = await recordOf(response);
    expect(call).toMatchObject({ status: 'failed', modelCall: { isEstimated: true } });
    expect(call.error).toContain('quarantined');
  });
});

describe('what survives kill -9', () => {
  it('a stream under way counts as what was reserved for it, once', async () => {
    const own = await stage.agent({ budgets: { dailyCap: 0.02 } });
    const golden = GOLDEN.find(({ api, name }) => api === 'messages' && name === 'plain text');
    if (!golden) throw new Error('no such stream');
    stage.provider.script = upTo(golden, 4);
    const response = await post(PATHS.messages, bodyOf(golden), own.token);
    await response.body?.getReader().read();
    await stage.world.kill();
    await stage.world.start();
    const [call] = await stage.calls(own.id, 1);
    expect(call).toMatchObject({ status: 'unknown', modelCall: { isEstimated: true } });
    expect(call?.cost).toBeGreaterThan(0.01);
    const spent = await stage.world.api<{ todaySpend: number }>('GET', `/agents/${own.id}`);
    expect(spent.body.todaySpend).toBe(call?.cost);
  }, 60_000);
});
