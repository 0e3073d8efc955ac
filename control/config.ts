/** What control is told at start. Made once from the environment and the configuration file (settings.ts), then never changed. */
export interface ControlConfig {
  host: string;
  port: number;
  dataDir: string;
  keyDir: string;
  /** `MC_ADMIN_TOKEN`; null = off. */
  adminToken: string | null;
  /** Shared with the proxies. */
  clusterSecret: string;
  /** `REDIS_URL`: where the counters of several proxies are; null = none. */
  redisUrl: string | null;
  /** An OpenClaw gateway to register at start. */
  openclaw: { url: string; token: string | null } | null;
  /** `MC_STDIO`: whether upstreams may be commands. */
  allowCommands: boolean;
  /** `MC_KEEP_DAYS`: how long the contents of calls and the feed are kept; 0 = for ever. */
  keepDays: number;
  dashboardDir: string;
  version: string;
}
