import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A tool call that the model makes. */
export interface Call {
  name: string;
  arguments: Record<string, unknown>;
}

/** What the model does when a user says something that matches: one entry per step, the calls of a step run in parallel. */
interface Script {
  name: string;
  when: RegExp;
  steps: Call[][];
  /** Awaited before the model answers with the step of that number; lets a test act between two steps. */
  before: (step: number) => Promise<void>;
}

interface ToolUse {
  id: string;
  type: 'function';
  function: { name: string; arguments: string };
}

interface Message {
  role: string;
  content?: unknown;
  tool_calls?: unknown[];
}

/** A tool result as the model was shown it. */
export interface Shown {
  /** Name of the script that was being played. */
  script: string;
  text: string;
}

/** What it says of every answer. */
export const USAGE = { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 };

const INTERNAL = 'BEGIN_OPENCLAW_INTERNAL_CONTEXT';

/**
 * A model of paper behind the OpenAI chat completions interface: it makes the tool calls that a test wrote down for what the
 * user said, one step per turn, and then answers with a sentence. It keeps every tool result that it was shown, because
 * "the model was told" is what several promises are about.
 */
export class ScriptedModel {
  readonly shown: Shown[] = [];
  /** Requests that were answered, with the credential that came with each. */
  readonly answered: { authorization: string }[] = [];
  readonly #scripts: Script[] = [];
  readonly #server: Server;
  #calls = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<ScriptedModel> {
    const server = createServer();
    const model = new ScriptedModel(server);
    server.on('request', (request, response) => void model.#serve(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return model;
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  /** Plays these steps when a user's message matches `when`; the latest script that matches wins. */
  script(name: string, when: RegExp, steps: Call[][], before: Script['before'] = async () => undefined): void {
    this.#scripts.push({ name, when, steps, before });
  }

  /** Tool results shown while that script was played, in order. */
  results(name: string): string[] {
    return this.shown.filter((shown) => shown.script === name).map((shown) => shown.text);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (request.method === 'GET') return send(response, { object: 'list', data: [{ id: 'scripted', object: 'model' }] });
    const body = JSON.parse(Buffer.concat(chunks).toString('utf8')) as { messages: Message[]; stream?: boolean };
    const turn = await this.#turn(body.messages);
    const usage = USAGE;
    this.answered.push({ authorization: request.headers.authorization ?? '' });
    if (body.stream !== true) {
      const message = { role: 'assistant', content: turn.text, ...(turn.calls.length === 0 ? {} : { tool_calls: turn.calls }) };
      send(response, {
        id: 'c',
        object: 'chat.completion',
        model: 'scripted',
        choices: [{ index: 0, message, finish_reason: turn.finish }],
        usage,
      });
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const chunk = (delta: unknown, finish: string | null, more: Record<string, unknown> = {}) =>
      response.write(
        `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', model: 'scripted', choices: [{ index: 0, delta, finish_reason: finish }], ...more })}\n\n`,
      );
    chunk({ role: 'assistant', content: turn.text }, null);
    if (turn.calls.length > 0) chunk({ tool_calls: turn.calls.map((call, index) => ({ index, ...call })) }, null);
    chunk({}, turn.finish);
    response.write(`data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', model: 'scripted', choices: [], usage })}\n\n`);
    response.end('data: [DONE]\n\n');
  }

  async #turn(messages: Message[]): Promise<{ text: string; calls: ToolUse[]; finish: string }> {
    const { script, after } = this.#playing(messages);
    const told = after.filter((message) => message.role === 'tool').map((message) => textOf(message.content));
    if (script !== null) this.#remember(script.name, told);
    const played = after.filter((message) => message.role === 'assistant' && (message.tool_calls?.length ?? 0) > 0).length;
    await script?.before(played);
    const step = script?.steps[played];
    if (step === undefined) return { text: `Done. ${told.at(-1)?.slice(0, 200) ?? ''}`, calls: [], finish: 'stop' };
    const calls = step.map((call) => ({
      id: `call_${process.pid}_${++this.#calls}`,
      type: 'function' as const,
      function: { name: call.name, arguments: JSON.stringify(call.arguments) },
    }));
    return { text: '', calls, finish: 'tool_calls' };
  }

  /** The script of the last thing a user said that has one, unless the model has already answered it. */
  #playing(messages: Message[]): { script: Script | null; after: Message[] } {
    for (let index = messages.length - 1; index >= 0; index--) {
      const message = messages[index];
      if (message === undefined) break;
      if (message.role === 'assistant' && (message.tool_calls?.length ?? 0) === 0) break;
      if (message.role !== 'user') continue;
      const said = textOf(message.content);
      const script = said.includes(INTERNAL) ? undefined : this.#scripts.findLast(({ when }) => when.test(said));
      if (script !== undefined) return { script, after: messages.slice(index + 1) };
    }
    return { script: null, after: [] };
  }

  #remember(script: string, told: string[]): void {
    const known = this.results(script).length;
    for (const text of told.slice(known)) this.shown.push({ script, text });
  }
}

function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content.map((part) => (typeof part === 'object' && part !== null && 'text' in part ? String(part.text) : '')).join('\n');
}

function send(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
