/** Stands between the browser and the product and breaks the event stream on demand; everything else passes as it is. */
import { createServer, type ServerResponse, request as send } from 'node:http';

export interface FaultProxy {
  url: string;
  cutEvents(): void;
  allowEvents(): void;
  close(): Promise<void>;
}

export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const { hostname, port } = new URL(target);
  const streams = new Set<ServerResponse>();
  let eventsAllowed = true;
  const server = createServer((request, response) => {
    const isEvents = request.url?.startsWith('/api/events') === true;
    if (isEvents && !eventsAllowed) {
      response.destroy();
      return;
    }
    if (isEvents) streams.add(response);
    const onward = send({ hostname, port, path: request.url, method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => {
      streams.delete(response);
      onward.destroy();
    });
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`,
    cutEvents() {
      eventsAllowed = false;
      for (const response of streams) response.destroy();
    },
    allowEvents() {
      eventsAllowed = true;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
