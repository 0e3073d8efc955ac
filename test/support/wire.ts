/** Talks to a listener below HTTP: bytes out as given, bytes back as they came. For requests that no client library would send. */
import { connect } from 'node:net';

export interface WireAnswer {
  /** Everything that came back. */
  text: string;
  /** Status of each answer in it; several where one send was taken for several requests. */
  statuses: number[];
  /** Whether the other side closed the connection before the time was over. */
  closed: boolean;
}

/**
 * Opens a connection, sends the parts, and listens until the other side closes or `waitMs` are over.
 * @param parts sent one after the other, `gapMs` apart.
 */
export function sendBytes(
  url: string,
  parts: readonly (string | Buffer)[],
  { waitMs = 2_000, gapMs = 0 }: { waitMs?: number; gapMs?: number } = {},
): Promise<WireAnswer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = connect(Number(port), hostname);
    const finish = (closed: boolean) => {
      clearTimeout(timer);
      clearInterval(drip);
      socket.destroy();
      const text = Buffer.concat(chunks).toString('latin1');
      resolve({ text, statuses: [...text.matchAll(/HTTP\/1\.[01] (\d{3}) /g)].map((match) => Number(match[1])), closed });
    };
    const timer = setTimeout(() => finish(false), waitMs);
    const rest = [...parts];
    const next = () => {
      const part = rest.shift();
      if (part !== undefined && socket.writable) socket.write(typeof part === 'string' ? Buffer.from(part, 'latin1') : part);
    };
    const drip = setInterval(next, Math.max(1, gapMs));
    socket.on('connect', next);
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('close', () => finish(true));
    socket.on('error', () => finish(true));
  });
}

/** Header block of a request. */
export function head(requestLine: string, headers: Record<string, string | number> = {}): string {
  const lines = Object.entries({ host: 'localhost', ...headers }).map(([name, value]) => `${name}: ${value}`);
  return `${[requestLine, ...lines].join('\r\n')}\r\n\r\n`;
}
