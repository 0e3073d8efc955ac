/**
 * A rival of the bench: the shortest pass-through proxy that node's own http module makes, without any policy. With node's default agent
 * (AGENT=default), which keeps connections and sets a timeout on each request, or with one that only keeps connections (AGENT=own).
 */
import { Agent, createServer, globalAgent, request as httpRequest } from 'node:http';

const upstreamPort = Number(process.env.UPSTREAM_PORT);
const agent = process.env.AGENT === 'own' ? new Agent({ keepAlive: true }) : globalAgent;

const server = createServer({ keepAliveTimeout: 120_000 }, (request, response) => {
  const { method, url, headers } = request;
  const outgoing = httpRequest({ host: '127.0.0.1', port: upstreamPort, method, path: url, headers, agent }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  outgoing.on('error', () => response.destroy());
  response.on('close', () => outgoing.destroy());
  request.pipe(outgoing);
});
server.listen(Number(process.env.PORT), '127.0.0.1', () => process.send?.({ ready: true }));
process.on('SIGTERM', () => process.exit(0));
