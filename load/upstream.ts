/**
 * The stub upstream of the bench, a process of its own: reads a body, answers about 285 bytes of JSON. Under /digest it answers with the
 * SHA-256 of what it received and with the headers, so that the bench can check what a proxy made of a request.
 */
import { hash } from 'node:crypto';
import { createServer } from 'node:http';
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

const server = createServer({ keepAliveTimeout: 120_000 }, (request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const body =
      request.url === '/digest' ? JSON.stringify({ sha256: hash('sha256', Buffer.concat(chunks)), headers: request.headers }) : ANSWER;
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
    response.end(body);
  });
});
server.listen(Number(process.env.PORT), '127.0.0.1', () => process.send?.({ ready: (server.address() as AddressInfo).port }));
process.on('SIGTERM', () => process.exit(0));
