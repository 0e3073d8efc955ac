/** What a proxy is told at start, and the bounds of everything in it that can grow. Made once, then never changed. */
export interface ProxyConfig {
  host: string;
  port: number;
  /** Port of the egress proxy; absent = none. */
  egressPort?: number;
  /** Folder of the journal; belongs to this proxy alone. */
  journalDir: string;
  /** Base URL of control; of several, the first that answers is followed. */
  controlUrl: string | readonly string[];
  /** `MC_ADVERTISE_URL`: how control reaches this proxy; absent = by its listener's address. */
  advertiseUrl?: string | null;
  clusterSecret: string;
  /** `REDIS_URL`: counters shared with other proxies, and the bus; null = this proxy is the only one. */
  redisUrl: string | null;
  /** `MC_METRICS_TOKEN`: opens /metrics; null = closed. */
  metricsToken: string | null;
  /** `OTEL_EXPORTER_OTLP_ENDPOINT`: where traces go; absent or null = nowhere. */
  otlpEndpoint?: string | null;
  /** How often metrics are sent there, milliseconds; every 10 s where it is not said. */
  otlpEveryMs?: number;
  /** Of the product; shown in the metrics. */
  version?: string;
  /** Host names that agents reach this proxy by, besides addresses and localhost. */
  hostNames: readonly string[];
  bounds: ProxyBounds;
}

export interface ProxyBounds {
  /** Largest request body, bytes. */
  bodyMaxBytes: number;
  /** Largest body of a request to a model, bytes: images travel in it. */
  modelBodyMaxBytes: number;
  /** A stream that its client left is read on for so long, where the policy wants its exact usage. */
  modelDrainMaxMs: number;
  /** A client has this long to send its headers and body. */
  requestTimeoutMs: number;
  headersTimeoutMs: number;
  /** Connections at once. */
  connectionsMax: number;
  /** Longest wait of one poll of a held call. */
  pollMaxMs: number;
  /** Polls that wait at once. */
  waitersMax: number;
  /** What a record keeps of a call's output or error, characters. */
  outputMaxChars: number;
  /** What a record keeps of a call's arguments, characters of JSON. */
  inputMaxChars: number;
  /** Calls remembered after their end, so that a repeat is recognised. */
  endedCallsMax: number;
  /** Calls that are open (allowed or held) at once. */
  openCallsMax: number;
  /** Journal on disk, not yet acknowledged by control, bytes. */
  journalMaxBytes: number;
  /** One journal file, bytes. */
  journalSegmentBytes: number;
  /** Time limit of one request to control. */
  controlTimeoutMs: number;
  /** Green, unpriced calls that may run during one absence of shared counters. */
  ledgerSpareCalls: number;
  /** A stream to an MCP client on which nothing happens gets a sign of life this often. */
  mcpKeepAliveMs: number;
  /** A held MCP call reports progress this often, where its client asked for that. */
  mcpProgressMs: number;
  /** Longest wait of one round of a held call of the stateless era; then the client asks again. */
  mcpRoundMs: number;
  /** Resolving a name and connecting to it, for the egress proxy. */
  egressConnectMs: number;
  /** A tunnel through which nothing goes in either direction is closed. */
  egressIdleMs: number;
  /** Longest life of a tunnel or exchange through the egress proxy. */
  egressTotalMs: number;
}

export const DEFAULT_BOUNDS: ProxyBounds = {
  bodyMaxBytes: 4 * 1024 * 1024,
  modelBodyMaxBytes: 32 * 1024 * 1024,
  modelDrainMaxMs: 120_000,
  requestTimeoutMs: 30_000,
  headersTimeoutMs: 10_000,
  connectionsMax: 4_096,
  pollMaxMs: 30_000,
  waitersMax: 4_096,
  outputMaxChars: 64 * 1024,
  inputMaxChars: 64 * 1024,
  endedCallsMax: 50_000,
  openCallsMax: 20_000,
  journalMaxBytes: 256 * 1024 * 1024,
  journalSegmentBytes: 16 * 1024 * 1024,
  controlTimeoutMs: 5_000,
  ledgerSpareCalls: 1_000,
  mcpKeepAliveMs: 15_000,
  mcpProgressMs: 5_000,
  mcpRoundMs: 25_000,
  egressConnectMs: 10_000,
  egressIdleMs: 300_000,
  egressTotalMs: 6 * 60 * 60 * 1000,
};
