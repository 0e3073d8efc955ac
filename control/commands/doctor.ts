/** `doctor`: what is connected, what is not, and what to do about it. Each finding comes from asking, none from assuming. */
import { readFileSync } from 'node:fs';
import type { ResolvedSettings } from '../../settings.ts';
import type { Agent, Alert, Gateway, Overview } from '../contract.ts';
import { apiClient, CommandError } from './client.ts';

interface Finding {
  ok: boolean;
  subject: string;
  says: string;
  /** What to do; only where something is wrong. */
  remedy?: string;
}

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

async function examine(settings: ResolvedSettings): Promise<Finding[]> {
  const client = apiClient(settings);
  let overview: Overview;
  try {
    overview = await client.get<Overview>('/overview');
  } catch (error) {
    const text = error instanceof CommandError ? error.message : String(error);
    return [{ ok: false, subject: 'control', says: text }];
  }
  const findings: Finding[] = [
    { ok: true, subject: 'control', says: `answers at ${settings.controlUrl}, policy ${overview.activePolicy.version} is active` },
  ];
  findings.push(systemFinding(overview));
  findings.push(...overview.proxies.map(proxyFinding));
  if (overview.proxies.length === 0) {
    findings.push({ ok: false, subject: 'proxy', says: 'none is connected, so nothing is judged', remedy: 'Start one: npm start' });
  }
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
  findings.push(...agents.flatMap(agentFindings));
  const alerts = (await client.get<{ items: Alert[] }>('/alerts?resolved=false')).items;
  findings.push(...alerts.map((alert): Finding => ({ ok: false, subject: `alert (${alert.severity})`, says: alert.message })));
  return findings;
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

function agentFindings(agent: Agent): Finding[] {
  if (agent.status === 'stopped' || agent.workspace !== null) return [];
  return [
    {
      ok: false,
      subject: `agent ${agent.name}`,
      says: 'has no workspace, so every path is outside and held',
      remedy: `Set it: PATCH /api/agents/${agent.id} {"workspace": "/absolute/path"}`,
    },
  ];
}
