/** Addresses: the corpus of URLs, addresses in every form, entries of the list, and what must hold for any text. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileNetworkRules, isSpecialAddress, type NetworkEntry, readAuthority, readUrl } from '../../policies/network.ts';
import { NETWORK_RULES, rulesOf } from './corpora/default-rules.ts';
import corpus from './corpora/urls.json' with { type: 'json' };

interface UrlCase {
  url: string;
  verdict: string;
  dns?: Record<string, string[]>;
}

const CASES = Object.entries(corpus as Record<string, UrlCase[]>).flatMap(([group, cases]) =>
  cases.map((entry): [string, UrlCase] => [`${group}: ${JSON.stringify(entry)}`, entry]),
);

const NO_FACTS = { dns: {} };

describe('readUrl', () => {
  it.each(CASES)('%s', (_name, { url, verdict, dns }) => {
    expect(readUrl(url, { dns: dns ?? {} }, NETWORK_RULES).verdict).toBe(verdict);
  });

  it('is tried on enough addresses', () => {
    expect(CASES.length).toBeGreaterThanOrEqual(120);
  });

  it('gives the host in its canonical form, with port and scheme', () => {
    expect(readUrl('HTTPS://Api.GitHub.com.:443/x', NO_FACTS, NETWORK_RULES)).toMatchObject({
      host: 'api.github.com',
      port: 443,
      scheme: 'https',
    });
    expect(readUrl('https://bücher.example/', NO_FACTS, NETWORK_RULES)).toMatchObject({ host: 'xn--bcher-kva.example' });
  });

  it('never lists a host that a browser would read otherwise', () => {
    const pieces = fc.constantFrom(
      'https',
      'http',
      ':',
      '//',
      '/',
      '\\',
      '@',
      'github.com',
      'evil.example',
      '.',
      '%2e',
      '%40',
      '?',
      '#',
      '443',
      '[',
      ']',
      '::1',
      ' ',
      '\t',
      '。',
      '／',
      'xn--',
      '127.0.0.1',
      '0x7f',
      '-',
      '_',
      'ß',
      '\u200b',
    );
    const text = fc.oneof(
      fc.array(pieces, { maxLength: 10 }).map((parts) => parts.join('')),
      fc.array(pieces, { maxLength: 6 }).map((parts) => `https://${parts.join('')}`),
      fc.webUrl(),
      fc.string({ unit: 'binary', maxLength: 60 }),
    );
    fc.assert(
      fc.property(text, (url) => {
        const reading = readUrl(url, NO_FACTS, NETWORK_RULES);
        if (reading.verdict !== 'listed') return;
        const parsed = new URL(url);
        expect(parsed.hostname.replace(/\.$/, '')).toBe(reading.host);
        expect(parsed.port === '' ? 443 : Number(parsed.port)).toBe(reading.port);
        expect(parsed.username + parsed.password).toBe('');
        expect(parsed.protocol).toBe('https:');
      }),
      { numRuns: 20_000 },
    );
  });

  it('is quick on long input', () => {
    const long = [
      'https://'.repeat(125_000),
      `https://${'a.'.repeat(500_000)}`,
      `https://github.com/${'a'.repeat(1_000_000)}`,
      '\\'.repeat(1_000_000),
      `https://${'@'.repeat(1_000_000)}`,
      ':'.repeat(1_000_000),
      `https://${'ä'.repeat(1_000_000)}`,
    ];
    const start = process.cpuUsage();
    for (const url of long) expect(readUrl(url, NO_FACTS, NETWORK_RULES).verdict).toMatch(/listed|refused/);
    expect(process.cpuUsage(start).user / 1000).toBeLessThan(250);
  });
});

describe('readAuthority', () => {
  it('judges what the egress proxy is asked for like an address', () => {
    const verdictOf = (host: string, port = 443, scheme = 'https') => readAuthority(host, port, scheme, NO_FACTS, NETWORK_RULES).verdict;
    expect(verdictOf('github.com')).toBe('listed');
    expect(verdictOf('api.github.com')).toBe('listed');
    expect(verdictOf('github.com', 80)).toBe('not_listed');
    expect(verdictOf('github.com', 80, 'http')).toBe('not_listed');
    expect(verdictOf('evil.example')).toBe('not_listed');
    for (const host of [
      '127.0.0.1',
      '::1',
      '[::1]',
      'localhost',
      '2130706433',
      'github.com%00',
      'git hub.com',
      'user@github.com',
      '',
      'github.com:443',
      'github.com/x',
    ]) {
      expect([host, verdictOf(host)]).toEqual([host, 'refused']);
    }
    for (const port of [0, -1, 65_536, 1.5, Number.NaN]) expect(verdictOf('github.com', port)).toBe('refused');
  });
});

describe('entries of the list', () => {
  const verdictOf = (entries: readonly NetworkEntry[], url: string, dns = {}) =>
    readUrl(url, { dns }, rulesOf(compileNetworkRules(entries))).verdict;

  it('open one host on https and 443, unless they say more', () => {
    expect(verdictOf(['a.example'], 'https://a.example/')).toBe('listed');
    expect(verdictOf(['a.example'], 'https://b.a.example/')).toBe('not_listed');
    expect(verdictOf(['a.example:8443'], 'https://a.example:8443/')).toBe('listed');
    expect(verdictOf(['a.example:8443'], 'https://a.example/')).toBe('not_listed');
    expect(verdictOf(['http://a.example'], 'http://a.example/')).toBe('listed');
    expect(verdictOf(['http://a.example'], 'https://a.example/')).toBe('not_listed');
    expect(verdictOf(['http://a.example:8080'], 'http://a.example:8080/')).toBe('listed');
    expect(verdictOf([{ host: 'a.example', port: 8443 }], 'https://a.example:8443')).toBe('listed');
    expect(verdictOf([{ host: 'a.example', scheme: 'wss' }], 'wss://a.example/')).toBe('listed');
    expect(verdictOf(['A.Example.', 'bücher.example'], 'https://a.example')).toBe('listed');
    expect(verdictOf(['bücher.example'], 'https://xn--bcher-kva.example')).toBe('listed');
  });

  it('with a wildcard open one or more labels left of the name, never the name', () => {
    expect(verdictOf(['*.a.example'], 'https://b.a.example')).toBe('listed');
    expect(verdictOf(['*.a.example'], 'https://c.b.a.example')).toBe('listed');
    expect(verdictOf(['*.a.example'], 'https://a.example')).toBe('not_listed');
    expect(verdictOf(['*.a.example'], 'https://ba.example')).toBe('not_listed');
    expect(verdictOf(['*.a.example'], 'https://b-a.example')).toBe('not_listed');
    expect(verdictOf(['*.a.example:8443'], 'https://b.a.example')).toBe('not_listed');
  });

  it('open a private address or name only where they say so', () => {
    expect(verdictOf([{ host: '127.0.0.1', port: 8080, scheme: 'http', allowPrivate: true }], 'http://127.0.0.1:8080/')).toBe('listed');
    expect(verdictOf([{ host: '127.0.0.1', port: 8080, scheme: 'http', allowPrivate: true }], 'http://127.0.0.1:8081/')).toBe('refused');
    expect(verdictOf([{ host: '::1', allowPrivate: true }], 'https://[::1]/')).toBe('listed');
    expect(verdictOf([{ host: 'db.internal', allowPrivate: true }], 'https://db.internal/', { 'db.internal': ['10.0.0.5'] })).toBe(
      'listed',
    );
    expect(verdictOf(['a.example'], 'https://a.example/', { 'a.example': ['10.0.0.5'] })).toBe('refused');
    expect(verdictOf([{ host: '*.corp.example', allowPrivate: true }], 'https://x.corp.example/', { 'x.corp.example': ['10.0.0.5'] })).toBe(
      'listed',
    );
  });

  it.each([
    ['', 'not host'],
    ['https://a.example/path', 'not host'],
    ['user@a.example', 'credentials'],
    ['a.*.example', 'labels at the left'],
    ['*', 'labels at the left'],
    ['*.com.', 'registered name'],
    ['localhost', 'allowPrivate'],
    ['127.0.0.1', 'allowPrivate'],
    ['8.8.8.8', 'allowPrivate'],
    ['a b.example', 'look-alike'],
    ['a%2eexample', 'percent'],
    ['gopher2://a.example', 'scheme'],
    ['a.example:70000', 'port'],
    ['0x7f.1', 'non-canonical'],
  ])('refuse %j', (entry, message) => {
    expect(compileNetworkRules(['ok.example', entry])).toMatchObject({ errors: [{ index: 1, message: expect.stringContaining(message) }] });
  });

  it('refuse what an earlier entry says already', () => {
    expect(compileNetworkRules(['a.example', { host: 'A.example', port: 443 }])).toMatchObject({ errors: [{ index: 1 }] });
  });
});

describe('isSpecialAddress', () => {
  it.each([
    '0.0.0.0',
    '0.1.2.3',
    '10.1.2.3',
    '100.64.0.1',
    '100.127.255.255',
    '127.0.0.1',
    '127.255.255.254',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.0.0.8',
    '192.0.2.1',
    '192.88.99.1',
    '192.168.1.1',
    '198.18.0.1',
    '198.19.255.255',
    '198.51.100.7',
    '203.0.113.9',
    '224.0.0.1',
    '239.1.1.1',
    '240.0.0.1',
    '255.255.255.255',
    '168.63.129.16',
    '::',
    '::1',
    '::7f00:1',
    '::ffff:127.0.0.1',
    '::ffff:8.8.8.8',
    '::ffff:7f00:1',
    '64:ff9b::10.0.0.1',
    '64:ff9b::7f00:1',
    '64:ff9b:1::1',
    '100::1',
    '2001::1',
    '2001:0:7f00:1::',
    '2001:2::1',
    '2001:10::1',
    '2001:20::1',
    '2001:db8::1',
    '2002:7f00:1::',
    '2002:a00:1::1',
    '2002:808:808::1',
    '3fff::1',
    '5f00::1',
    'fc00::1',
    'fd00:ec2::254',
    'fe80::1',
    'fe80::1%eth0',
    'fec0::1',
    'ff02::1',
    '4000::1',
    '2001:4860::5efe:a00:1',
    '127.1',
    '0177.0.0.1',
    '2130706433',
    '0x7f.0.0.1',
    '127.0.0.1.',
    ' 127.0.0.1',
    '08.8.8.8',
    '8.8.8',
    '',
    'example.com',
    '[::1]',
    '::1::',
    '1:2:3',
    '8.8.8.8/32',
    'fe80::1%25eth0',
    '::ffff:0:127.0.0.1',
  ])('holds for %j', (address) => {
    expect(isSpecialAddress(address)).toBe(true);
  });

  it.each([
    '8.8.8.8',
    '1.1.1.1',
    '140.82.112.3',
    '100.63.255.255',
    '100.128.0.1',
    '172.15.0.1',
    '172.32.0.1',
    '192.0.1.1',
    '192.167.1.1',
    '198.17.0.1',
    '198.20.0.1',
    '223.255.255.255',
    '11.0.0.1',
    '2606:50c0:8000::153',
    '2a00:1450:4001::200e',
    '2001:4860:4860::8888',
    '64:ff9b::8.8.8.8',
    '2600::1',
  ])('does not hold for %j', (address) => {
    expect(isSpecialAddress(address)).toBe(false);
  });

  it('never throws', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: 'binary' }), fc.ipV4(), fc.ipV6(), fc.ipV4Extended()),
        (text) => typeof isSpecialAddress(text) === 'boolean',
      ),
      { numRuns: 5000 },
    );
  });
});
