/** `doctor`: what is connected, what is not, and what to do about it. Each finding comes from asking, none from assuming. */
import { readFileSync } from 'node:fs';
import { isAbsolute, relative } from 'node:path';
import type { ResolvedSettings } from '../../settings.ts';
import type { Agent, Alert, Channel, Gateway, Overview, Upstream } from '../contract.ts';
import { apiClient, CommandError } from './client.ts';
import { type Finding, holderOf, localFaults } from './faults.ts';

/** Times of what is recorded would be wrong by as much, and proofs between processes fail at five minutes. */
const SKEW_MAX_MS = 60_000;
const ASK_MS = 5_000;

/** Prints the findings. @returns whether everything is well. */
export async function doctor(settings: ResolvedSettings, asJson: boolean): Promise<boolean> {
  const findings = await examine(settings);
  const well = findings.every((finding) => finding.ok);
  if (asJson) {
    console.log(JSON.stringify({ ok: well, findings }, null, 2));
    return well;
  }
  for (const { ok, subject, says, remedy } of findings) {
    console.log(`${ok ? 'ok   ' : 'WRONG'}  ${subject}: ${says}`);
    if (remedy !== undefined) console.log(`       ${remedy}`);
  }
  return well;
}

/** Everything that can be found out from here, in the order in which to mend it. @param now the time of this machine. */
export async function examine(settings: ResolvedSettings, now = Date.now(), roomMinBytes?: number): Promise<Finding[]> {
  // Folders and keys matter where control runs; a proxy and a distant command line have none of them.
  const isHere = settings.MC_CONTROL_URL === null && settings.roles.includes('control');
  const local = isHere ? localFaults(settings, roomMinBytes) : [];
  const client = apiClient(settings);
  let overview: Overview;
  try {
    overview = await client.get<Overview>('/overview');
  } catch (error) {
    return [...local, await whyNoAnswer(settings, error)];
  }
  return [...local, ...(await examineRunning(settings, client, overview, now))];
}

/** Control did not answer as it should: what does, and what is there. */
async function whyNoAnswer(settings: ResolvedSettings, error: unknown): Promise<Finding> {
  const { controlUrl, dataDir } = settings;
  const wrong = (says: string, remedy: string): Finding => ({ ok: false, subject: 'control', says, remedy });
  const code = error instanceof CommandError ? error.code : 'NOT_OURS';
  const holder = holderOf(dataDir);
  switch (code) {
    case 'NO_CREDENTIAL':
      return wrong(
        error instanceof Error ? error.message : String(error),
        'The token is made at the start of control, in the key folder, for its user.',
      );
    case 'UNREACHABLE':
      return holder === null
        ? wrong(`nothing answers at ${controlUrl}, and no process holds ${dataDir}`, 'Start it: npm start')
        : wrong(
            `process ${holder} holds ${dataDir}, and nothing answers at ${controlUrl}`,
            'It is still starting, or listens elsewhere: set MC_HOST, MC_CONTROL_PORT or MC_CONTROL_URL as that process has them.',
          );
    case 'UNAUTHENTICATED':
      return wrong(
        `${controlUrl} does not know our credential`,
        settings.MC_ADMIN_TOKEN === null
          ? 'It is another installation, or its database was replaced: set MC_KEY_DIR as that process has it, or restart it to have a new token made.'
          : 'MC_ADMIN_TOKEN must be the one that Mission Control was started with.',
      );
    case 'ROLE':
      return wrong('our credential may not look at this', 'Use a token of an administrator.');
    case 'INTERNAL':
      return (await statusOf(`${controlUrl}/readyz`)) === 503
        ? wrong(
            'it answers, and its database does not',
            'Look whether the database server runs and has room. Until it answers, calls are refused (docs/playbooks.md).',
          )
        : wrong('it failed to answer', 'Look into its log for what failed.');
    default:
      // A refusal of ours has a code of ours.
      if (!/^(HTTP_\d+|NOT_OURS)$/.test(code))
        return wrong(error instanceof Error ? error.message : code, 'Look into its log for what failed.');
      return wrong(
        `what answers at ${controlUrl} is not Mission Control`,
        'Another program has that port: set MC_CONTROL_PORT to a free one and start again, or set MC_CONTROL_URL to where Mission Control is.',
      );
  }
}

async function examineRunning(
  settings: ResolvedSettings,
  client: ReturnType<typeof apiClient>,
  overview: Overview,
  now: number,
): Promise<Finding[]> {
  const findings: Finding[] = [
    { ok: true, subject: 'control', says: `answers at ${settings.controlUrl}, policy ${overview.activePolicy.version} is active` },
  ];
  findings.push(...clockFindings(overview, now), systemFinding(overview));
  findings.push(...overview.proxies.map(proxyFinding));
  if (overview.proxies.length === 0) {
    findings.push({ ok: false, subject: 'proxy', says: 'none is connected, so nothing is judged', remedy: 'Start one: npm start' });
  } else findings.push(...(await doorFindings(settings)));
  const gateways = (await client.get<{ items: Gateway[] }>('/gateways')).items;
  if (gateways.length === 0) {
    findings.push({
      ok: false,
      subject: 'OpenClaw',
      says: 'no gateway is connected',
      remedy: 'Connect one: npm run -s mc -- openclaw connect --config ~/.openclaw/openclaw.json',
    });
  }
  findings.push(...gateways.flatMap(gatewayFindings));
  const agents = (await client.get<{ items: Agent[] }>('/agents')).items;
  findings.push(...agents.flatMap((agent) => agentFindings(agent, settings)));
  const upstreams = (await client.get<{ items: Upstream[] }>('/upstreams')).items;
  findings.push(...upstreams.flatMap(upstreamFindings));
  const channels = (await client.get<{ items: Channel[] }>('/channels')).items;
  findings.push(...channels.flatMap(channelFindings));
  const alerts = (await client.get<{ items: Alert[] }>('/alerts?resolved=false')).items;
  findings.push(...alerts.map((alert): Finding => ({ ok: false, subject: `alert (${alert.severity})`, says: alert.message })));
  return findings;
}

function clockFindings({ serverTime }: Overview, now: number): Finding[] {
  const seconds = Math.round(Math.abs(serverTime - now) / 1000);
  if (seconds * 1000 <= SKEW_MAX_MS) return [];
  return [
    {
      ok: false,
      subject: 'clock',
      says: `control and this machine differ by ${seconds} s; processes that differ by more than 300 s refuse each other`,
      remedy: 'Keep the clocks in step (NTP) on every machine.',
    },
  ];
}

/** Whether agents can come to the gate by the address that we give them. */
async function doorFindings({ proxyUrl, MC_PROXY_PORT }: ResolvedSettings): Promise<Finding[]> {
  const status = await statusOf(`${proxyUrl}/readyz`);
  if (status === 200) return [];
  const subject = 'gate';
  if (status === 503)
    return [
      {
        ok: false,
        subject,
        says: `${proxyUrl} answers that it cannot judge: every call is refused`,
        remedy: 'Look into the log of the proxy: its picture is too old, or its journal cannot be written (disk).',
      },
    ];
  return [
    {
      ok: false,
      subject,
      says: `a proxy is connected, but ${status === null ? 'nothing' : 'something else'} answers at ${proxyUrl}`,
      remedy: `Set MC_PROXY_PORT (now ${MC_PROXY_PORT}) or MC_PROXY_URL as the proxy has it; agents are told that address.`,
    },
  ];
}

/** @returns null where nothing answers. */
async function statusOf(url: string): Promise<number | null> {
  try {
    return (await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(ASK_MS) })).status;
  } catch {
    return null;
  }
}

function systemFinding({ system }: Overview): Finding {
  if (system.estop) {
    return {
      ok: false,
      subject: 'emergency stop',
      says: `everything is stopped by ${system.stoppedBy ?? 'somebody'}${system.stopReason ? `: ${system.stopReason}` : ''}`,
      remedy: 'When it is safe: npm run -s mc -- resume --note "why"',
    };
  }
  if (system.squadPaused)
    return {
      ok: false,
      subject: 'squad',
      says: `all agents are paused by ${system.squadPausedBy ?? 'somebody'}`,
      remedy: 'Restart the agents that may work.',
    };
  return { ok: true, subject: 'emergency stop', says: 'not pressed' };
}

function proxyFinding(proxy: Overview['proxies'][number]): Finding {
  if (proxy.state === 'live') return { ok: true, subject: proxy.id, says: 'is connected and judges' };
  const at = new Date(proxy.lastSeenAt).toISOString();
  return {
    ok: false,
    subject: proxy.id,
    says: `was last seen at ${at}; it refuses everything by now`,
    remedy: 'Look at its log, or start it again.',
  };
}

function gatewayFindings({ name, link, gate, url, agentIds, pluginVersion }: Gateway): Finding[] {
  const subject = `gateway ${name}`;
  const findings: Finding[] = [];
  switch (link.state) {
    case 'connected':
      findings.push({ ok: true, subject, says: `linked to ${url}` });
      break;
    case 'none':
      findings.push({
        ok: false,
        subject,
        says: 'has no address, so agents cannot be told of late decisions',
        remedy: 'Run openclaw connect again.',
      });
      break;
    case 'unauthorized':
      findings.push({
        ok: false,
        subject,
        says: `${url} refuses our token (${link.error})`,
        remedy: 'Run openclaw connect again with the right configuration.',
      });
      break;
    case 'connecting':
    case 'down':
      findings.push({
        ok: false,
        subject,
        says: `${url} cannot be reached (${link.error ?? 'still trying'})`,
        remedy: 'Start OpenClaw: openclaw gateway run',
      });
  }
  switch (gate) {
    case 'live':
      findings.push({ ok: true, subject, says: 'its plugin beats: tool calls come through the gate' });
      break;
    case 'missing':
      findings.push({
        ok: false,
        subject,
        says: 'is up WITHOUT its plugin: its tools run ungated',
        remedy: 'Run openclaw connect again and restart the gateway; until then stop it.',
      });
      break;
    case 'silent':
    case 'unproven':
      findings.push({
        ok: false,
        subject,
        says: 'its plugin has not been heard, so the gate is not proven',
        remedy: 'Start or restart the gateway.',
      });
  }
  const shipped = shippedPluginVersion();
  if (pluginVersion !== null && pluginVersion !== shipped) {
    findings.push({
      ok: false,
      subject,
      says: `its plugin is version ${pluginVersion}; this Mission Control ships ${shipped}`,
      remedy: 'Bring it up to date: run openclaw connect again.',
    });
  }
  if (agentIds.length === 0) findings.push({ ok: false, subject, says: 'has no registered agents', remedy: 'Run openclaw connect again.' });
  return findings;
}

function shippedPluginVersion(): string {
  const manifest = readFileSync(new URL('../../proxy/openclaw/package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}

function agentFindings({ id, name, status, workspace }: Agent, { dataDir, keyDir }: ResolvedSettings): Finding[] {
  const subject = `agent ${name}`;
  if (status === 'stopped') return [];
  if (status === 'quarantined')
    return [
      {
        ok: false,
        subject,
        says: 'is quarantined: everything it asks is refused',
        remedy: 'Find out why on its page; when it may work again: Restart.',
      },
    ];
  if (workspace === null)
    return [
      {
        ok: false,
        subject,
        says: 'has no workspace, so every path is outside and held',
        remedy: `Set it: PATCH /api/agents/${id} {"workspace": "/absolute/path"}`,
      },
    ];
  const held = [keyDir, dataDir].find((folder) => isBelow(folder, workspace));
  if (held === undefined) return [];
  return [
    {
      ok: false,
      subject,
      says: `has ${workspace} as its workspace, and ${held} is in it: it may read our keys or data`,
      remedy: 'Give it a workspace of its own, or move MC_DATA_DIR and MC_KEY_DIR elsewhere.',
    },
  ];
}

function isBelow(path: string, folder: string): boolean {
  const steps = relative(folder, path);
  return steps === '' || (steps !== '..' && !steps.startsWith('../') && !isAbsolute(steps));
}

function upstreamFindings({ name, health, heldTools }: Upstream): Finding[] {
  const findings: Finding[] = [];
  const subject = `upstream ${name}`;
  if (health.state === 'down')
    findings.push({
      ok: false,
      subject,
      says: `does not answer (${health.lastError ?? 'no reason given'})`,
      remedy: 'Look whether it runs and whether its address and secret are right: Upstreams in the dashboard.',
    });
  if (heldTools > 0)
    findings.push({
      ok: false,
      subject,
      says: `${heldTools} of its tools are new or changed, and held`,
      remedy: 'Look at the differences and accept them: Upstreams in the dashboard.',
    });
  return findings;
}

function channelFindings({ name, enabled, health, dead }: Channel): Finding[] {
  if (!enabled || (health.state !== 'failing' && dead === 0)) return [];
  return [
    {
      ok: false,
      subject: `channel ${name}`,
      says:
        health.state === 'failing'
          ? `cannot be reached (${health.error ?? 'no reason given'}): people are not told there`
          : `${dead} messages could not be delivered and were given up`,
      remedy: 'Look at its token and destination, then Test: Channels in the dashboard.',
    },
  ];
}
