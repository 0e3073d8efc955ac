/** What passes between the gate for MCP and a server: a request and its answer, as Streamable HTTP knows them, and plain messages. */

export interface Exchange {
  method: 'POST' | 'GET' | 'DELETE';
  /** Lower-case names; only what the protocol knows. */
  headers: Readonly<Record<string, string>>;
  body: Buffer | null;
  /** True for the request that begins a session of the handshake era. */
  isInitialize: boolean;
  /** True for a message of the stateless era. */
  isModern: boolean;
  signal: AbortSignal;
}

export interface UpstreamAnswer {
  status: number;
  contentType: string;
  sessionId: string | null;
  body: AsyncIterable<Buffer>;
  /** Lets the rest of the answer go. */
  discard: () => void;
}

/** The server did not answer, or is not asked at present. */
export class UpstreamFailure extends Error {
  /** False where it is certain that nothing reached it. */
  readonly mayHaveRun: boolean;
  constructor(message: string, mayHaveRun: boolean, options?: ErrorOptions) {
    super(message, options);
    this.mayHaveRun = mayHaveRun;
  }
}

/** Messages to and from a server, each one JSON text without line breaks. */
export interface Channel {
  /** Set by whoever uses the channel. */
  onMessage: (text: string) => void;
  /** The server has ended; nothing follows. */
  onClose: (why: string) => void;
  /** @throws Error where the server cannot take it. */
  send: (text: string) => Promise<void>;
  close: () => void;
}
