/**
 * The stub upstream of the bench, a process of its own: reads a body, answers about 285 bytes of JSON. Under /digest it answers with the
 * SHA-256 of what it received and with the headers, so that the bench can check what a proxy made of a request. It is a provider of models
 * as well: chat completions in one piece under /v1, as a stream of a hundred chunks under /stream/v1.
 */
import { hash } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const ANSWER = JSON.stringify({
  id: 'comment-000000000042',
  status: 'posted',
  createdAt: '2026-01-01T00:00:00.000Z',
  author: { id: 'agent-7', name: 'Research agent' },
  thread: { id: 'thread-12', title: 'Weekly report', open: true, participants: 4 },
  links: { self: '/comments/000000000042', thread: '/threads/12' },
  note: 'Thank you.',
});

const COMPLETION = JSON.stringify({
  id: 'chatcmpl-42',
  object: 'chat.completion',
  created: 1_700_000_000,
  model: 'bench-model',
  choices: [{ index: 0, message: { role: 'assistant', content: 'Thank you.', refusal: null }, logprobs: null, finish_reason: 'stop' }],
  usage: { prompt_tokens: 120, completion_tokens: 3, total_tokens: 123 },
});

const CHUNKS = Array.from({ length: 100 }, (_, index) => {
  const choice = { index: 0, delta: index === 99 ? {} : { content: 'word ' }, finish_reason: index === 99 ? 'stop' : null };
  return `data: ${JSON.stringify({ id: 'chatcmpl-42', object: 'chat.completion.chunk', created: 1, choices: [choice] })}\n\n`;
});
const LAST = `data: ${JSON.stringify({ id: 'chatcmpl-42', object: 'chat.completion.chunk', created: 1, choices: [], usage: { prompt_tokens: 120, completion_tokens: 99, total_tokens: 219 } })}\n\ndata: [DONE]\n\n`;

/** One chunk per turn of the loop, each a write of its own: a proxy that waits for several has less to do, and so has its client. */
function stream(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  let next = 0;
  const step = () => {
    const chunk = CHUNKS[next++];
    if (chunk === undefined) return void response.end(LAST);
    response.write(chunk);
    setImmediate(step);
  };
  step();
}

const server = createServer({ keepAliveTimeout: 120_000 }, (request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    if (request.url === '/stream/v1/chat/completions') return stream(response);
    const body =
      request.url === '/v1/chat/completions'
        ? COMPLETION
        : request.url === '/digest'
          ? JSON.stringify({ sha256: hash('sha256', Buffer.concat(chunks)), headers: request.headers })
          : ANSWER;
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
    response.end(body);
  });
});
server.listen(Number(process.env.PORT), '127.0.0.1', () => process.send?.({ ready: (server.address() as AddressInfo).port }));
process.on('SIGTERM', () => process.exit(0));
