import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { firstSteps, nextStep, type StartFacts, type Step } from '../../dashboard/elements/first-steps.ts';
import { checkPolicy, judgeCase } from '../../dashboard/policy-judge.ts';

const SHIPPED = readFileSync(join(import.meta.dirname, '../../policies/default.yaml'), 'utf8');

const FRESH: StartFacts = {
  overview: {
    version: '0.1.0',
    activePolicy: { id: 'po_1', version: 'v1' },
    proxies: [{ id: 'proxy-a', state: 'live', lastSeenAt: 0 }],
  },
  gateways: [],
  agents: [],
  call: null,
  pending: 0,
  decided: null,
};
const GATEWAY = {
  name: 'openclaw',
  url: 'ws://127.0.0.1:18789',
  link: { state: 'connected', since: 0, error: null, followsSessions: true },
  lastHeartbeat: null,
} as const;
const AGENT = { name: 'Forge', gate: 'openclaw', externalId: 'forge' } as const;
const CALL = { agentName: 'Forge', tool: 'read' };
const DECIDED = { approver: 'Mara', status: 'denied', tool: 'exec' } as const;

const facts = (over: Partial<StartFacts>): StartFacts => ({ ...FRESH, ...over });
const next = (over: Partial<StartFacts>) => nextStep(firstSteps(facts(over)));

describe('the first steps', () => {
  it.each<[string, Partial<StartFacts>, Step['id'] | null]>([
    ['no proxy lives', { overview: { ...FRESH.overview, proxies: [] } }, 'start'],
    ['nothing is connected', {}, 'connect'],
    ['a gateway is registered', { gateways: [GATEWAY] }, 'plugin'],
    ['its plugin is heard', { gateways: [{ ...GATEWAY, lastHeartbeat: 1 }], agents: [AGENT] }, 'call'],
    ['a call was judged', { gateways: [{ ...GATEWAY, lastHeartbeat: 1 }], agents: [AGENT], call: CALL }, 'decision'],
    ['agents were registered by hand', { agents: [{ ...AGENT, gate: 'none' }] }, 'call'],
    ['a call was decided', { gateways: [{ ...GATEWAY, lastHeartbeat: 1 }], agents: [AGENT], call: CALL, decided: DECIDED }, null],
  ])('when %s', (_, over, id) => expect(next(over)?.id ?? null).toBe(id));

  it('go back to the plugin when a second gateway is all there is to hear', () => {
    expect(next({ gateways: [GATEWAY], call: CALL, decided: DECIDED })?.id).toBe('plugin');
  });

  it('lead to the inbox while a call waits, and to a command while none does', () => {
    const over = { gateways: [{ ...GATEWAY, lastHeartbeat: 1 }], agents: [AGENT], call: CALL };
    expect(next({ ...over, pending: 2 })).toMatchObject({ command: null, link: { href: '/approvals' } });
    expect(next(over)).toMatchObject({ command: 'openclaw agent --agent forge --message "Run this command: date"', link: null });
  });

  it('never put an id into a command that a shell would read as more', () => {
    const agents = [{ ...AGENT, externalId: '$(rm -rf ~)' }];
    expect(next({ gateways: [{ ...GATEWAY, lastHeartbeat: 1 }], agents })?.command).toContain('--agent main ');
  });

  it('say what is wrong with the link', () => {
    const link = { ...GATEWAY.link, state: 'down', error: 'connection refused' } as const;
    expect(firstSteps(facts({ gateways: [{ ...GATEWAY, link }] }))[1]?.says).toContain(
      'The link to openclaw is not up: connection refused.',
    );
  });

  it('ask for a command that the shipped policy holds', () => {
    const { policy } = checkPolicy(SHIPPED);
    if (!policy) throw new Error('the shipped policy has problems');
    const result = judgeCase(policy, {
      id: '1',
      tool: 'exec',
      arguments: { command: 'date' },
      workspace: '/srv/ws',
      agent: { autonomy: 'lead', status: 'active' },
    });
    expect(result.verdict).toBe('hold');
  });
});
