/** Mission Control's own MCP server as an upstream of the proxy: it stands at control and is always there. Its tools are ours, so there is nothing to pin. */
import { OWN_SERVER, type UpstreamPicture } from '../control/contract.ts';
import { ownServerToken } from './line-proof.ts';

const LIMITS = { concurrency: 128, responseMaxBytes: 8 * 1024 * 1024, timeoutMs: 30_000, sessions: 256 };

/**
 * @param clusterSecret from which the credential is derived by which control knows that it is a proxy that says which agent asks.
 * @param revision another one with each move to another control.
 */
export function ownServer(controlUrl: string, clusterSecret: string, revision = 1): UpstreamPicture {
  return {
    id: OWN_SERVER,
    name: OWN_SERVER,
    kind: 'mcp',
    url: new URL('/internal/v1/mission-control', controlUrl).href,
    command: null,
    env: {},
    secret: ownServerToken(clusterSecret),
    trusted: true,
    allowPrivate: true,
    shared: true,
    routes: [],
    price: null,
    limits: LIMITS,
    revision,
    pinned: false,
    tools: {},
  };
}
