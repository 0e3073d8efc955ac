/** Requests to registered HTTP tools: whose word about the risk counts, and what is read in them. */
import { describe, expect, it } from 'vitest';
import type { JsonObject, Risk } from '../../policies/index.ts';
import { callOf, codesOf, DEFAULT_POLICY, factsWith, judge, policyWith } from './scene.ts';

const judged = (tool: string, risk: Risk | null, more: JsonObject = {}, patch: unknown = null) =>
  judge(
    callOf(`api__${tool}`, { method: 'POST', path: '/etc/passwd', ...more }),
    factsWith({ route: { upstream: 'api', risk } }),
    patch === null ? DEFAULT_POLICY : policyWith(patch),
  );

describe('the risk of a request', () => {
  it.each<[string, string, Risk | null, unknown, string, Risk]>([
    ['the route alone', 'add', 'yellow', {}, 'allow', 'yellow'],
    ['the route alone, red', 'add', 'red', {}, 'hold', 'red'],
    ['nobody', 'add', null, {}, 'hold', 'red'],
    ['the policy alone', 'add', null, { riskMap: { api__add: 'green' } }, 'allow', 'green'],
    ['the policy by glob', 'add', null, { riskMap: { 'api__*': 'green' } }, 'allow', 'green'],
    ['the policy is stricter', 'add', 'green', { riskMap: { api__add: 'red' } }, 'hold', 'red'],
    ['the route is stricter', 'add', 'red', { riskMap: { api__add: 'green' } }, 'hold', 'red'],
    ['the default of the upstream', 'add', null, { upstreams: { api: { risk: 'green' } } }, 'allow', 'green'],
    ['the default of the upstream is stricter', 'add', 'green', { upstreams: { api: { risk: 'red' } } }, 'hold', 'red'],
    ['a tool of the plan', 'deploy_prod', 'green', {}, 'hold', 'red'],
    ['a tool of the plan that is green', 'web_search', null, {}, 'allow', 'green'],
    ['a class that the policy gives', 'add', 'green', { tools: { api__add: { class: 'send_email' } } }, 'hold', 'red'],
    ['a bare name in the map says nothing', 'add', null, { riskMap: { add: 'green' } }, 'hold', 'red'],
  ])('%s', (_, tool, risk, patch, verdict, expected) => {
    const decision = judged(tool, risk, {}, patch);
    expect([decision.verdict, decision.risk]).toEqual([verdict, expected]);
  });
});

describe('what is read in a request', () => {
  it('its own path is no file, and neither is a path in its body', () => {
    expect(judged('add', 'green', { body: { path: '/etc/shadow', file: '.env' } }).verdict).toBe('allow');
  });

  it.each<[string, JsonObject]>([
    ['in the query', { query: { url: 'http://127.0.0.1/' } }],
    ['deep in the body', { body: { a: [{ b: { webhook: 'https://[::1]/' } }] } }],
    ['among several', { body: { urls: ['https://github.com/', 'http://169.254.169.254/'] } }],
  ])('addresses that it hands over are refused where they are private: %s', (_, more) => {
    const decision = judged('add', 'green', more);
    expect([decision.verdict, codesOf(decision)]).toEqual(['deny', expect.arrayContaining(['NET_NOT_ALLOWLISTED'])]);
  });

  it('addresses that are not on the list are held, those on it pass', () => {
    expect(judged('add', 'green', { body: { callback_url: 'https://evil.example/' } }).verdict).toBe('hold');
    expect(judged('add', 'green', { body: { callback_url: 'https://github.com/x' } }).verdict).toBe('allow');
  });

  it('mail goes to people outside, whatever its route says', () => {
    expect(codesOf(judged('send_email', 'green'))).toEqual(['RED_ACTION', 'PROD_EXTERNAL']);
  });
});
