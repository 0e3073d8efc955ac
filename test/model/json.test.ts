import { request as httpRequest } from 'node:http';
import { gzipSync } from 'node:zlib';
import { APIError as AnthropicError } from '@anthropic-ai/sdk';
import { APIError } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/world.ts';
import { json } from './provider.ts';
import { type ModelStage, PROVIDER_KEY, startModelStage } from './stage.ts';

let stage: ModelStage;
beforeAll(async () => {
  stage = await startModelStage();
}, 90_000);
afterAll(async () => stage?.close());

const completion = (usage: object | null = { prompt_tokens: 20, completion_tokens: 5, total_tokens: 25 }) => ({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1_700_000_000,
  model: 'test-model',
  choices: [
    { index: 0, message: { role: 'assistant', content: 'Hello \ud83d\ude00', refusal: null }, logprobs: null, finish_reason: 'stop' },
  ],
  ...(usage && { usage }),
  system_fingerprint: 'fp_1',
});
const message = {
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'test-claude',
  content: [{ type: 'text', text: 'Hello' }],
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage: { input_tokens: 100, cache_creation_input_tokens: 40, cache_read_input_tokens: 1_000, output_tokens: 7 },
};
const responsesAnswer = {
  id: 'resp_1',
  object: 'response',
  created_at: 1_700_000_000,
  status: 'completed',
  model: 'test-model',
  output: [
    {
      id: 'msg_1',
      type: 'message',
      status: 'completed',
      role: 'assistant',
      content: [{ type: 'output_text', text: 'Hi', annotations: [] }],
    },
  ],
  usage: {
    input_tokens: 30,
    input_tokens_details: { cached_tokens: 10 },
    output_tokens: 50,
    output_tokens_details: { reasoning_tokens: 40 },
    total_tokens: 80,
  },
};
const ask = (content = 'Hi') => ({ model: 'test-model', max_tokens: 100, messages: [{ role: 'user' as const, content }] });

describe('the official clients through the model entry point', () => {
  it('get a chat completion as the provider gave it, byte for byte, and its cost is in the record', async () => {
    const agent = await stage.agent();
    const text = `  ${JSON.stringify(completion(), null, 3)}\n`;
    stage.provider.script = json(text, 200, { 'x-request-id': 'req_7', 'openai-processing-ms': '12' });
    const raw = await stage.openai(agent.token).chat.completions.create(ask()).asResponse();
    expect(await raw.text()).toBe(text);
    expect(raw.headers.get('x-request-id')).toBe('req_7');
    expect(raw.headers.get('x-mc-output-limit')).toBeNull();

    const [call] = await stage.calls(agent.id, 1);
    expect(raw.headers.get('x-mc-call')).toBe(call?.id);
    expect(call).toMatchObject({ status: 'success', cost: 0.00007, output: 'stop' });
    expect(call?.modelCall).toEqual({
      provider: 'openai',
      model: 'test-model',
      usage: { inputTokens: 20, outputTokens: 5 },
      isEstimated: false,
      priceEntry: 'policy: test-*',
    });
  });

  it('send what they sent, with the key of the provider in place of the agent’s token', async () => {
    const agent = await stage.agent();
    stage.provider.script = json(completion(), 200, { 'set-cookie': 'session=1' });
    const headers = { 'openai-organization': 'org-mine', cookie: 'session=0', 'x-forwarded-for': '10.0.0.1', 'x-mc-run': 'r' };
    const { response } = await stage.openai(agent.token, headers).chat.completions.create(ask()).withResponse();
    expect(response.headers.get('set-cookie')).toBeNull();
    const seen = stage.provider.seen.at(-1);
    for (const name of Object.keys(headers)) expect(seen?.headers[name]).toBeUndefined();
    expect(seen).toMatchObject({ method: 'POST', path: '/v1/chat/completions' });
    expect(seen?.text).toBe(JSON.stringify(ask()));
    expect(seen?.headers.authorization).toBe(`Bearer ${PROVIDER_KEY}`);
    expect(JSON.stringify(seen?.headers)).not.toContain(agent.token);

    stage.provider.script = json(message);
    const asked = { model: 'test-claude', max_tokens: 50, messages: [{ role: 'user', content: 'Hi' }] };
    await fetch(`${stage.world.gateUrl}/model/anthropic/v1/messages?beta=true`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': agent.token, 'anthropic-version': '2023-06-01' },
      body: JSON.stringify(asked),
    });
    const other = stage.provider.seen.at(-1);
    expect(other).toMatchObject({
      path: '/v1/messages?beta=true',
      headers: { 'x-api-key': PROVIDER_KEY, 'anthropic-version': '2023-06-01' },
    });
    expect(other?.headers.authorization).toBeUndefined();
  });

  it('get messages, with cached reads and writes priced', async () => {
    const agent = await stage.agent();
    stage.provider.script = json(message);
    const answer = await stage
      .anthropic(agent.token)
      .messages.create({ model: 'test-claude', max_tokens: 50, messages: [{ role: 'user', content: 'Hi' }] });
    expect(answer.content).toEqual(message.content);
    const [call] = await stage.calls(agent.id, 1);
    expect(call?.modelCall?.usage).toEqual({ inputTokens: 1_140, cacheReadTokens: 1_000, cacheWriteTokens: 40, outputTokens: 7 });
    // 100 × 1 + 1,000 × 0.1 + 40 × 1.25 + 7 × 10 micro-dollars.
    expect(call?.cost).toBe(0.00032);
  });

  it('get responses, with reasoning counted once', async () => {
    const agent = await stage.agent();
    stage.provider.script = json(responsesAnswer);
    const answer = await stage.openai(agent.token).responses.create({ model: 'test-model', input: 'Hi', max_output_tokens: 500 });
    expect(answer.output_text).toBe('Hi');
    const [call] = await stage.calls(agent.id, 1);
    expect(call?.modelCall?.usage).toEqual({ inputTokens: 30, cacheReadTokens: 10, outputTokens: 50, reasoningTokens: 40 });
    expect(call?.cost).toBe(0.000521);
  });

  it('get the provider’s own errors, which cost nothing, and none of its key', async () => {
    const agent = await stage.agent();
    const error = {
      error: {
        message: `Incorrect API key provided: ${PROVIDER_KEY}.`,
        type: 'invalid_request_error',
        param: null,
        code: 'invalid_api_key',
      },
    };
    stage.provider.script = json(error, 401);
    const refused = stage.openai(agent.token).chat.completions.create(ask());
    await expect(refused).rejects.toMatchObject({
      status: 401,
      code: 'invalid_api_key',
      message: expect.not.stringContaining(PROVIDER_KEY),
    });

    stage.provider.script = json({ type: 'error', error: { type: 'rate_limit_error', message: 'slow down' } }, 429, { 'retry-after': '7' });
    const limited = await stage
      .anthropic(agent.token)
      .messages.create({ model: 'test-claude', max_tokens: 5, messages: [{ role: 'user', content: 'Hi' }] })
      .catch((caught: unknown) => caught);
    expect(limited).toBeInstanceOf(AnthropicError);
    expect(limited).toMatchObject({ status: 429 });
    expect((limited as AnthropicError).headers?.get('retry-after')).toBe('7');
    for (const call of await stage.calls(agent.id, 2))
      expect(call).toMatchObject({ status: 'failed', cost: 0, modelCall: { usage: null, isEstimated: false } });
  });

  it('are not asked again by us, and their own retries are calls of their own', async () => {
    const agent = await stage.agent();
    const before = stage.provider.seen.length;
    stage.provider.script = json({ error: { message: 'try again' } }, 500);
    const client = stage.openai(agent.token).withOptions({ maxRetries: 2 });
    await expect(client.chat.completions.create(ask())).rejects.toBeInstanceOf(APIError);
    expect(stage.provider.seen.length - before).toBe(3);
    expect(await stage.calls(agent.id, 3)).toHaveLength(3);
  });
});

describe('usage', () => {
  it('of zero is zero, and one that is missing is an estimate that says so', async () => {
    const agent = await stage.agent();
    stage.provider.script = json(completion({ prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }));
    await stage.openai(agent.token).chat.completions.create(ask());
    const [zero] = await stage.calls(agent.id, 1);
    expect(zero).toMatchObject({ cost: 0, modelCall: { usage: { inputTokens: 0, outputTokens: 0 }, isEstimated: false } });

    stage.provider.script = json(completion(null));
    await stage.openai(agent.token).chat.completions.create(ask());
    const [missing] = await stage.calls(agent.id, 2);
    expect(missing).toMatchObject({ modelCall: { usage: null, isEstimated: true } });
    // Not below "Hello 😀", not above 100 tokens of output and the bound of the input.
    expect(missing?.cost).toBeGreaterThan(0.00006);
    expect(missing?.cost).toBeLessThan(0.0018);
  });
});

describe('an answer that cannot be metered', () => {
  it('because it is compressed, though we asked for none of that, costs what was reserved', async () => {
    const agent = await stage.agent();
    stage.provider.script = (response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' });
      response.end(gzipSync(JSON.stringify(completion())));
    };
    const answer = await stage.openai(agent.token).chat.completions.create(ask());
    expect(answer.choices[0]?.message.content).toBe('Hello 😀');
    expect(stage.provider.seen.at(-1)?.headers['accept-encoding']).toBe('identity');
    const [call] = await stage.calls(agent.id, 1);
    expect(call).toMatchObject({ status: 'success', modelCall: { usage: null, isEstimated: true } });
    // 100 tokens of output, and the bound of the input.
    expect(call?.cost).toBeGreaterThan(0.0015);
  });

  it('because it is larger than allowed breaks off, and what came of it is paid for', async () => {
    const agent = await stage.agent();
    const { body } = await stage.world.api<{ items: { id: string; name: string }[] }>('GET', '/upstreams');
    const id = body.items.find(({ name }) => name === 'openai')?.id;
    await stage.world.api('PATCH', `/upstreams/${id}`, { limits: { responseMaxBytes: 2_000 } });
    stage.provider.script = json({ ...completion(), padding: 'x'.repeat(5_000) });
    const seen = await until(
      () =>
        stage
          .openai(agent.token)
          .chat.completions.create(ask())
          .then(
            () => null,
            (caught: unknown) => caught,
          ),
      (outcome) => outcome !== null,
    );
    expect(seen).toBeInstanceOf(Error);
    await stage.world.api('PATCH', `/upstreams/${id}`, { limits: { responseMaxBytes: 32 * 1024 * 1024 } });
    const calls = await stage.calls(agent.id, 1);
    expect(calls.some(({ status, modelCall }) => status === 'failed' && modelCall?.isEstimated === true)).toBe(true);
  });
});

describe('a budget', () => {
  it('lowers the limit to what it still pays for, and says so', async () => {
    const agent = await stage.agent({ budgets: { dailyCap: 0.01 } });
    stage.provider.script = json(completion());
    const { response } = await stage
      .openai(agent.token)
      .chat.completions.create({ ...ask(), max_tokens: 5_000 })
      .withResponse();
    const sent = Number(stage.provider.seen.at(-1)?.body.max_tokens);
    // 10,000 micro-dollars less the bound of the input (about 600), at 10 a token.
    expect(sent).toBeGreaterThan(900);
    expect(sent).toBeLessThan(1_000);
    expect(response.headers.get('x-mc-output-limit')).toBe(String(sent));
  });

  it('gives a request without a limit one', async () => {
    const agent = await stage.agent({ budgets: { dailyCap: 0.5 } });
    stage.provider.script = json(completion());
    const { max_tokens: _, ...open } = ask();
    await stage.openai(agent.token).chat.completions.create(open);
    // The upstream is named after OpenAI, whose newer models know no other member.
    expect(stage.provider.seen.at(-1)?.body).toMatchObject({ ...open, max_completion_tokens: 16_384 });

    // A model whose answers are known to be short gets no more than those.
    await stage.patchPolicy({ model: { prices: { 'test-old': { input: 1, output: 10, outputTokens: 4_096 } } } });
    await stage.openai(agent.token).chat.completions.create({ ...open, model: 'test-old' });
    expect(stage.provider.seen.at(-1)?.body.max_completion_tokens).toBe(4_096);
  });

  it('that pays for nothing refuses with 400 in the provider’s shape, and nothing is sent', async () => {
    const agent = await stage.agent({ budgets: { dailyCap: 0.0001 } });
    const before = stage.provider.seen.length;
    const refused = await stage
      .openai(agent.token)
      .chat.completions.create(ask())
      .catch((caught: unknown) => caught);
    expect(refused).toMatchObject({ status: 400, code: 'BUDGET_DAILY', type: 'invalid_request_error' });
    const asked = { model: 'test-claude', max_tokens: 50, messages: [{ role: 'user' as const, content: 'Hi' }] };
    const other = await stage
      .anthropic(agent.token)
      .messages.create(asked)
      .catch((caught: unknown) => caught);
    expect(other).toMatchObject({ status: 400, error: { type: 'error', error: { type: 'invalid_request_error' } } });
    expect(stage.provider.seen.length).toBe(before);
    const [call] = await stage.calls(agent.id, 2);
    expect(call).toMatchObject({ verdict: 'deny', status: 'blocked', reasons: [{ code: 'BUDGET_DAILY' }] });
  });

  it('is never passed by requests at once: what is reserved for one is not there for the next', async () => {
    const agent = await stage.agent({ budgets: { dailyCap: 0.01 } });
    stage.provider.script = async (response, seen) => {
      await new Promise((resolve) => setTimeout(resolve, 30));
      const used = Number(seen.body.max_tokens);
      json(completion({ prompt_tokens: 600, completion_tokens: used, total_tokens: 600 + used }))(response, seen);
    };
    await Promise.allSettled(
      Array.from({ length: 20 }, () => stage.openai(agent.token).chat.completions.create({ ...ask(), max_tokens: 200 })),
    );
    const calls = await stage.calls(agent.id, 20);
    const spent = calls.reduce((sum, { cost }) => sum + Math.round((cost ?? 0) * 1e6), 0);
    expect(spent).toBeLessThanOrEqual(10_000);
    expect(calls.some(({ status }) => status === 'success')).toBe(true);
    const shown = async () => (await stage.world.api<{ todaySpend: number }>('GET', `/agents/${agent.id}`)).body.todaySpend;
    expect(await until(shown, (value) => Math.round(value * 1e6) === spent)).toBeCloseTo(spent / 1e6, 6);
  });

  it('can refuse with a normal answer instead, by policy', async () => {
    await stage.patchPolicy({ model: { refuseAs: 'completion' } });
    const agent = await stage.agent({ budgets: { dailyCap: 0.0001 } });
    const chat = await stage.openai(agent.token).chat.completions.create(ask());
    expect(chat.choices[0]?.message.content).toContain('BUDGET_DAILY');
    const response = await stage.openai(agent.token).responses.create({ model: 'test-model', input: 'Hi' });
    expect(response.output_text).toContain('BUDGET_DAILY');
    const asked = { model: 'test-claude', max_tokens: 50, messages: [{ role: 'user' as const, content: 'Hi' }] };
    const said = await stage.anthropic(agent.token).messages.create(asked);
    expect(said.content[0]).toMatchObject({ type: 'text', text: expect.stringContaining('BUDGET_DAILY') });
    const streamed = await stage.anthropic(agent.token).messages.stream(asked).finalText();
    expect(streamed).toContain('BUDGET_DAILY');
    const final = await stage.openai(agent.token).responses.stream({ model: 'test-model', input: 'Hi' }).finalResponse();
    expect(final.output_text).toContain('BUDGET_DAILY');
    const chunks = stage.openai(agent.token).chat.completions.stream(ask());
    expect((await chunks.finalChatCompletion()).choices[0]?.message.content).toContain('BUDGET_DAILY');
    await stage.patchPolicy({ model: { refuseAs: 'error' } });
  });
});

/** Asks for a path as it is written; fetch would tidy it. @returns the code of the refusal. */
function postRaw(path: string, headers: Record<string, string>): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = httpRequest(stage.world.gateUrl, { method: 'POST', path, headers }, async (answer) => {
      let text = '';
      for await (const chunk of answer) text += chunk;
      resolve((JSON.parse(text) as { error: { code: string } }).error.code);
    });
    asked.on('error', reject);
    asked.end('{}');
  });
}

describe('what is not taken', () => {
  const post = (path: string, body: string, headers: Record<string, string>) =>
    fetch(`${stage.world.gateUrl}${path}`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body });
  const codeOf = async (answer: Response) => ((await answer.json()) as { error: { code: string } }).error.code;

  it('is a request without a credential, with a wrong one, with two, or with a gateway’s', async () => {
    const agent = await stage.agent();
    const path = '/model/openai/v1/chat/completions';
    const body = JSON.stringify(ask());
    const gateway = await stage.world.api<{ token: string }>('POST', '/gateways', { name: 'g' });
    const wrong: Record<string, string>[] = [
      {},
      { authorization: 'Bearer mca_wrong' },
      { authorization: `Bearer ${agent.token}`, 'x-api-key': 'mca_other' },
      { authorization: 'Bearer mca_other', 'x-api-key': agent.token },
      { authorization: `Bearer ${gateway.body.token}` },
    ];
    for (const headers of wrong) expect((await post(path, body, headers)).status).toBe(401);
  });

  it('is a price that nobody knows, and what cannot be bounded', async () => {
    const agent = await stage.agent();
    const client = stage.openai(agent.token);
    await expect(client.chat.completions.create({ ...ask(), model: 'unheard-of' })).rejects.toMatchObject({
      status: 400,
      code: 'PRICE_UNKNOWN',
      message: expect.stringContaining('the price of unheard-of at openai is not known'),
    });
    const search = client.responses.create({ model: 'test-model', input: 'Hi', tools: [{ type: 'web_search' }] });
    await expect(search).rejects.toMatchObject({ status: 400, code: 'PRICE_UNKNOWN', message: expect.stringContaining('max_tool_calls') });
  });

  it('is a body that two readers could read in two ways', async () => {
    const agent = await stage.agent();
    const headers = { authorization: `Bearer ${agent.token}` };
    const before = stage.provider.seen.length;
    const bodies = [
      '{"model":"test-model","max_tokens":9,"max_tokens":9000,"messages":[]}',
      '[1]',
      '{',
      '{"model":"test-model","n":0.5,"messages":[]}',
    ];
    for (const body of bodies) expect((await post('/model/openai/v1/chat/completions', body, headers)).status).toBe(400);
    expect(stage.provider.seen.length).toBe(before);
  });

  it('is a path that nobody meters, unless the policy says so; lists of models pass', async () => {
    const agent = await stage.agent();
    const client = stage.openai(agent.token);
    stage.provider.script = json({ object: 'list', data: [{ id: 'test-model', object: 'model', created: 1, owned_by: 'x' }] });
    expect((await client.models.list()).data).toHaveLength(1);
    expect(stage.provider.seen.at(-1)).toMatchObject({ path: '/v1/models', headers: { authorization: `Bearer ${PROVIDER_KEY}` } });
    await expect(client.embeddings.create({ model: 'e', input: 'x' })).rejects.toMatchObject({ status: 400 });
    const headers = { authorization: `Bearer ${agent.token}` };
    for (const path of ['/v1/%63hat/completions', '/v1/x/../chat/completions', '/v1/./chat/completions', '/v1//chat/completions'])
      expect(await postRaw(`/model/openai${path}`, headers)).toBe('BAD_PATH');

    await stage.patchPolicy({ model: { otherPaths: 'relay' } });
    stage.provider.script = json({ object: 'list', data: [], model: 'e', usage: { prompt_tokens: 1, total_tokens: 1 } });
    await client.embeddings.create({ model: 'e', input: 'x', encoding_format: 'float' });
    await stage.patchPolicy({ model: { otherPaths: 'refuse' } });
  });

  it('is what a stopped agent asks', async () => {
    const agent = await stage.agent();
    await stage.world.api('POST', `/agents/${agent.id}/pause`, { reason: 'test' });
    await expect(stage.openai(agent.token).chat.completions.create(ask())).rejects.toMatchObject({ status: 400, code: 'AGENT_PAUSED' });
  });

  it('is a provider that does not answer: the caller gets 502, and nothing that was not sent costs', async () => {
    const agent = await stage.agent();
    await stage.world.api('POST', '/upstreams', { name: 'gone', kind: 'model', url: 'http://127.0.0.1:1', allowPrivate: true });
    const answer = await post('/model/gone/v1/chat/completions', JSON.stringify(ask()), { authorization: `Bearer ${agent.token}` });
    expect(answer.status).toBe(502);
    expect(await codeOf(answer)).toBe('UPSTREAM_UNAVAILABLE');
    const [call] = await stage.calls(agent.id, 1);
    expect(call).toMatchObject({ cost: 0, status: 'failed' });
  });
});

describe('a model call', () => {
  it('belongs to the task, run and session that its headers name, to its trace’s, or to the agent’s current task', async () => {
    const agent = await stage.agent();
    const other = await stage.agent();
    const task = await stage.world.api<{ id: string }>('POST', '/tasks', { title: 'T', type: 'docs', assigneeIds: [agent.id] });
    stage.provider.script = json(completion());
    const named = { 'x-mc-task': task.body.id, 'x-mc-run': 'run-1', 'x-mc-session': 'agent:a:s1' };
    await stage.openai(agent.token, named).chat.completions.create(ask());
    const [byHeader] = await stage.calls(agent.id, 1);
    expect(byHeader).toMatchObject({ taskId: task.body.id, runId: 'run-1', sessionKey: 'agent:a:s1' });

    const traceId = 'a'.repeat(32);
    await stage.world.gate('POST', '/v1/runs/check', { runId: 'run-2', sessionKey: 's2', taskId: task.body.id, traceId }, agent.token);
    const traced = { traceparent: `00-${traceId}-${'b'.repeat(16)}-01` };
    await stage.openai(agent.token, traced).chat.completions.create(ask());
    const [byTrace] = await stage.calls(agent.id, 2);
    expect(byTrace).toMatchObject({ taskId: task.body.id, runId: 'run-2', sessionKey: 's2' });

    // A sub-agent asks with the entry of the agent that started it; its trace tells them apart.
    const child = await stage.agent({ parentId: agent.id });
    const childTrace = 'c'.repeat(32);
    await stage.world.gate('POST', '/v1/runs/check', { runId: 'run-3', sessionKey: 's3', traceId: childTrace }, child.token);
    await stage.openai(agent.token, { traceparent: `00-${childTrace}-${'b'.repeat(16)}-01` }).chat.completions.create(ask());
    const [byChild] = await stage.calls(child.id, 1);
    expect(byChild).toMatchObject({ runId: 'run-3', sessionKey: 's3' });

    // The trace of another agent is none of its own, and another's task is refused.
    await stage.openai(other.token, traced).chat.completions.create(ask());
    const [foreign] = await stage.calls(other.id, 1);
    expect(foreign).toMatchObject({ taskId: null, runId: null });
    await expect(stage.openai(other.token, named).chat.completions.create(ask())).rejects.toMatchObject({
      status: 400,
      code: 'FOREIGN_TASK',
    });
  });
});
