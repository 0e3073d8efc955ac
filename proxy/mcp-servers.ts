/**
 * The ways to the MCP servers, one to each as it is registered now, and what control hears of their health. A way that was opened under
 * an earlier revision is closed when the next one is asked for.
 */
import { OWN_SERVER, type UpstreamHealth, type UpstreamPicture } from '../control/contract.ts';
import type { ProxyBounds } from './config.ts';
import { McpUpstream } from './mcp-upstream.ts';
import type { Picture } from './snapshot.ts';
import type { Uplink } from './uplink.ts';

interface Dependencies {
  uplink: Uplink;
  clock: () => number;
  bounds: ProxyBounds;
  log: { info: (fields: object, message: string) => void };
}

export type McpServers = ReturnType<typeof createMcpServers>;

export function createMcpServers({ uplink, clock, bounds, log }: Dependencies) {
  const servers = new Map<string, McpUpstream>();
  const told = new Map<string, { state: string; at: number }>();

  /** The way to an upstream as it is registered now; what was opened under an earlier revision is closed. */
  function of(upstream: UpstreamPicture): McpUpstream {
    const known = servers.get(upstream.id);
    if (known?.picture.revision === upstream.revision) {
      if (known.picture !== upstream) known.renew(upstream);
      return known;
    }
    void known?.close();
    const { id, name } = upstream;
    const server = new McpUpstream(upstream, {
      clock,
      found: (ok, error) => report(id, { ok, error }),
      unauthorized: (error) => report(id, { ok: false, error, unauthorized: true }),
      log: (fields, message) => log.info({ upstream: name, ...fields }, message),
    });
    servers.set(id, server);
    return server;
  }

  /** Control hears of each change, and that a server is well now and then. */
  function report(id: string, health: UpstreamHealth): void {
    if (id === OWN_SERVER) return;
    const last = told.get(id);
    const state = health.unauthorized ? 'unauthorized' : health.ok ? 'up' : 'down';
    const now = clock();
    if (last && last.state === state && now - last.at < bounds.mcpKeepAliveMs) return;
    told.set(id, { state, at: now });
    uplink.foundUpstream(id, health).catch(() => told.delete(id));
  }

  /** Closes the ways to upstreams that are registered no more; the others get their newest token, also for calls that are held now. */
  function review(picture: Picture): void {
    for (const [id, server] of servers) {
      const current = picture.upstream(server.picture.name);
      if (current?.id === id) {
        if (current.revision === server.picture.revision) server.renew(current);
        continue;
      }
      servers.delete(id);
      void server.close();
    }
  }

  async function close(): Promise<void> {
    await Promise.all([...servers.values()].map((server) => server.close()));
  }

  return { of, review, close };
}
