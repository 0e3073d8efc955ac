/**
 * What a caller of a model is told by us and not by the provider, in the shape of the interface that it speaks: errors, and refusals
 * that look like a normal answer. A refusal by policy is never 401, 402, 403 or 429: on those OpenClaw takes the provider away from
 * every agent (SPEC 3.3).
 */
import type { ServerResponse } from 'node:http';
import type { ModelApi } from '../policies/model-request.ts';
import { openAiError } from './usage.ts';

/** Who made the shape of errors of a path. */
export type Shape = 'openai' | 'anthropic';

const ANTHROPIC_TYPES: Record<number, string> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  404: 'not_found_error',
  413: 'request_too_large',
  503: 'overloaded_error',
};

/** Answers with an error in the provider's shape. @param code stable, from the closed list of reasons or of this proxy. */
export function answerError(response: ServerResponse, shape: Shape, status: number, code: string, message: string): void {
  const type = ANTHROPIC_TYPES[status] ?? 'api_error';
  const body =
    shape === 'anthropic'
      ? { type: 'error', error: { type, message, code } }
      : { error: { ...openAiError({ code, message }), type: status === 400 ? 'invalid_request_error' : type } };
  send(response, status, 'application/json', JSON.stringify(body));
}

/** Answers a refusal as the model would: one message that says why. @param at epoch milliseconds. */
export function answerCompletion(
  response: ServerResponse,
  request: { api: ModelApi; model: string; stream: boolean },
  callId: string,
  text: string,
  at: number,
): void {
  if (request.stream) send(response, 200, 'text/event-stream; charset=utf-8', streamOf(request, callId, text, at));
  else send(response, 200, 'application/json', JSON.stringify(answerOf(request, callId, text, at)));
}

function answerOf({ api, model }: { api: ModelApi; model: string }, callId: string, text: string, at: number): object {
  const created = Math.floor(at / 1000);
  switch (api) {
    case 'chat': {
      const message = { role: 'assistant', content: text, refusal: null };
      const choices = [{ index: 0, message, logprobs: null, finish_reason: 'stop' }];
      return { id: `chatcmpl-${callId}`, object: 'chat.completion', created, model, choices, usage: CHAT_USAGE };
    }
    case 'responses':
      return responseOf(model, callId, created, 'completed', [itemOf(callId, 'completed', text)], RESPONSES_USAGE);
    case 'messages':
      return { ...messageOf(model, callId), content: [{ type: 'text', text }], stop_reason: 'end_turn' };
  }
}

function streamOf({ api, model }: { api: ModelApi; model: string }, callId: string, text: string, at: number): string {
  const created = Math.floor(at / 1000);
  switch (api) {
    case 'chat': {
      const chunk = (delta: object, finish: string | null) => ({
        id: `chatcmpl-${callId}`,
        object: 'chat.completion.chunk',
        created,
        model,
        choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
      });
      const chunks = [chunk({ role: 'assistant', content: text }, null), chunk({}, 'stop')];
      return `${chunks.map((each) => `data: ${JSON.stringify(each)}\n\n`).join('')}data: [DONE]\n\n`;
    }
    case 'responses': {
      const empty = responseOf(model, callId, created, 'in_progress', [], null);
      const item = itemOf(callId, 'completed', text);
      const part = { type: 'output_text', text, annotations: [], logprobs: [] };
      const at = { item_id: item.id, output_index: 0, content_index: 0 };
      return numbered([
        { type: 'response.created', response: empty },
        { type: 'response.in_progress', response: empty },
        { type: 'response.output_item.added', output_index: 0, item: { ...item, status: 'in_progress', content: [] } },
        { type: 'response.content_part.added', ...at, part: { ...part, text: '' } },
        { type: 'response.output_text.delta', ...at, delta: text, logprobs: [] },
        { type: 'response.output_text.done', ...at, text, logprobs: [] },
        { type: 'response.content_part.done', ...at, part },
        { type: 'response.output_item.done', output_index: 0, item },
        { type: 'response.completed', response: responseOf(model, callId, created, 'completed', [item], RESPONSES_USAGE) },
      ]);
    }
    case 'messages':
      return [
        { type: 'message_start', message: messageOf(model, callId) },
        { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
        { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } },
        { type: 'content_block_stop', index: 0 },
        { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 0 } },
        { type: 'message_stop' },
      ]
        .map((each) => `event: ${each.type}\ndata: ${JSON.stringify(each)}\n\n`)
        .join('');
  }
}

function numbered(events: readonly (Record<string, unknown> & { type: string })[]): string {
  return events.map((each, index) => `event: ${each.type}\ndata: ${JSON.stringify({ ...each, sequence_number: index })}\n\n`).join('');
}

function itemOf(callId: string, status: string, text: string) {
  return {
    id: `msg_${callId}`,
    type: 'message',
    status,
    role: 'assistant',
    content: [{ type: 'output_text', text, annotations: [], logprobs: [] }],
  };
}

function responseOf(model: string, callId: string, created_at: number, status: string, output: object[], usage: object | null): object {
  return {
    id: `resp_${callId}`,
    object: 'response',
    created_at,
    status,
    error: null,
    incomplete_details: null,
    instructions: null,
    metadata: {},
    model,
    output,
    parallel_tool_calls: false,
    tool_choice: 'auto',
    tools: [],
    usage,
  };
}

function messageOf(model: string, callId: string) {
  return {
    id: `msg_${callId}`,
    type: 'message',
    role: 'assistant',
    model,
    content: [] as object[],
    stop_reason: null as string | null,
    stop_sequence: null,
    usage: { input_tokens: 0, output_tokens: 0 },
  };
}

const CHAT_USAGE = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 };
const RESPONSES_USAGE = {
  input_tokens: 0,
  input_tokens_details: { cached_tokens: 0 },
  output_tokens: 0,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: 0,
};

function send(response: ServerResponse, status: number, type: string, text: string): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text), 'cache-control': 'no-store' });
  response.end(text);
}
