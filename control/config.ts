/** What control is told at start. Made once from the environment and the configuration file (settings.ts), then never changed. */
export interface ControlConfig {
  host: string;
  port: number;
  dataDir: string;
  keyDir: string;
  /** `MC_ADMIN_TOKEN`; null = off. */
  adminToken: string | null;
  /** `MC_CONTROL_URL`: how browsers reach us, where that is not the address that they say; for the way back of OAuth. */
  publicUrl?: string | null;
  /** Shared with the proxies. */
  clusterSecret: string;
  /** `REDIS_URL`: where the counters of several proxies are; null = none. */
  redisUrl: string | null;
  /** An OpenClaw gateway to register at start. */
  openclaw: { url: string; token: string | null } | null;
  /** `MC_STDIO`: whether upstreams may be commands. */
  allowCommands: boolean;
  /** Where people reach the proxy; http://127.0.0.1:3100 unless set. */
  proxyUrl?: string;
  /** `MC_KEEP_DAYS`: how long the contents of calls and the feed are kept; 0 = for ever. */
  keepDays: number;
  /** `MC_SOULS_DIR`: a Git folder with agent templates. */
  soulsDir?: string | null;
  dashboardDir: string;
  version: string;
}
