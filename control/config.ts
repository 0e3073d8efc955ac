/** What control is told at start. Made once from the environment and the configuration file (settings.ts), then never changed. */
export interface ControlConfig {
  host: string;
  port: number;
  dataDir: string;
  keyDir: string;
  /** What this process does: serve API, dashboard and lines (`control`), do the work in the background (`workers`); both unless said. */
  roles?: readonly ('control' | 'workers')[];
  /** `DATABASE_URL`: a server that other processes share; null = the embedded database in `dataDir`. */
  databaseUrl?: string | null;
  /** `MC_ADVERTISE_URL`: how the other processes reach this one; null = by its listener's address. */
  advertiseUrl?: string | null;
  /** `MC_ADMIN_TOKEN`; null = off. */
  adminToken: string | null;
  /** `MC_CONTROL_URL`: how browsers reach us, where that is not the address that they say; for the way back of OAuth. */
  publicUrl?: string | null;
  /** Shared with the proxies. */
  clusterSecret: string;
  /** `REDIS_URL`: where the counters of several proxies and the bus are; null = none. */
  redisUrl: string | null;
  /** `MC_METRICS_TOKEN`: opens /metrics besides a viewer's token; null = only those do. */
  metricsToken?: string | null;
  /** An OpenClaw gateway to register at start. */
  openclaw: { url: string; token: string | null } | null;
  /** `MC_STDIO`: whether upstreams may be commands. */
  allowCommands: boolean;
  /** Where people reach the proxy; http://127.0.0.1:3100 unless set. */
  proxyUrl?: string;
  /** `MC_KEEP_DAYS`: how long the contents of calls and the feed are kept; 0 = for ever. */
  keepDays: number;
  /** `MC_ANCHOR_FILE`, `MC_ANCHOR_REPOSITORY`, `MC_ANCHOR_MINUTES`: where and how often the head of the audit log is signed and kept. */
  anchors?: { file: string | null; repository: string | null; everyMinutes: number };
  /** `MC_SOULS_DIR`: a Git folder with agent templates. */
  soulsDir?: string | null;
  dashboardDir: string;
  version: string;
}
