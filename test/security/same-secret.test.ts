/** Secrets are compared in one way, which takes as long whatever differs. Every other comparison of something with such a name is listed here. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as control from '../../control/same-secret.ts';
import * as proxy from '../../proxy/same-secret.ts';
import { sourceFiles } from '../support/imports.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const FILES = [...['proxy', 'control'].flatMap((room) => sourceFiles(ROOT, room)), 'cli.ts', 'settings.ts'];
const HOME = ['control/same-secret.ts', 'proxy/same-secret.ts'];

/** How that is called which nobody may guess, at the end of a name. */
const NAMED =
  /(?:secret|token|password|csrf|seal|mac|proof|signature|digest|hash|bearer|verifier|credential|authorization|apikey|(?:link|pair\w*|chat|sign\w*)code)$/i;
const NOTHING_TO_GUESS = /^(?:null|undefined|true|false|\d[\d_]*|'.*|".*|`.*)$/;
const COMPARISON = /([\w$.?#]+(?:\([^()]*\))?)\s*(?:===|!==|==|!=)\s*([\w$.?#]+(?:\([^()]*\))?|'[^']*'|"[^"]*"|`[^`]*`)/g;

/** Comparisons where neither side is kept from anybody, by their place, and why. */
const PUBLIC = {
  'control/anchors.ts: row?.hash !== last.hash': 'hashes of the audit chain are in every export',
  'control/anchors.ts: state.head === head.hash': 'the same',
  'control/api.ts: first.request_hash !== requestHash': 'of a request of the very person who sends it again',
  'control/audit-chain.ts: hashOf(record.details) !== record.detailsHash': 'hashes of the audit chain are in every export',
  'control/audit-chain.ts: hashRecord(record) !== record.hash': 'the same',
  'control/audit-chain.ts: known !== record.hash': 'the same',
  'control/audit-chain.ts: record.prevHash !== head': 'the same',
  'control/audit-export.ts: record.hash !== head.hash': 'the same',
  'control/audit.ts: last !== head.hash': 'the same',
  'control/notify/grant-card.ts: hashOf(pattern) === hash':
    'which of the patterns on a card is meant; the person who presses is checked before',
  "control/signing.ts: raw.toString('base64url') === signature": 'a signature against its own canonical form; the key decides',
  'control/souls.ts: soul_hash !== hash': 'of a file that every viewer sees',
  'control/upstream-oauth.ts: fresh.content.connection?.accessToken === known.content.connection?.accessToken':
    'two of our own; nobody sends either',
  'control/upstreams.ts: input.hash !== tool.seen_hash': 'of a tool definition that every viewer sees',
  'control/upstreams.ts: known.pinned_hash === seenHash': 'the same',
  'control/upstreams.ts: known.seen_hash !== seenHash': 'the same',
  'control/workers/loop-detector.ts: signature === last': 'of an error, not by a key',
  'proxy/mcp-bridge.ts: token === progressToken': 'the name of a request in its own session',
  'proxy/mcp-tools.ts: known?.seenHash !== hash': 'of a tool definition that the agent has listed',
  'proxy/model.ts: byKey !== authorization': 'two headers of one request; neither is ours',
  'proxy/retries.ts: row?.signature === signature': 'of an error, not by a key',
} as const;

/** `given === right` where one of them is named like a secret and the other is no constant. */
function comparisonsIn(source: string): string[] {
  const code = source.replaceAll(/^\s*(?:\/\/|\*|\/\*).*$/gm, '');
  return [...code.matchAll(COMPARISON)].flatMap(([text, left = '', right = '']) => {
    const isNamed = [left, right].some((side) => NAMED.test(side.replace(/\([^()]*\)$/, '')));
    return isNamed && ![left, right].some((side) => NOTHING_TO_GUESS.test(side)) ? [text] : [];
  });
}

describe('a secret', () => {
  it.each([
    ['control', control],
    ['proxy', proxy],
  ])('is the same or it is not, of whatever length (%s)', (_, { isSameSecret }) => {
    expect(isSameSecret('mco_right', 'mco_right')).toBe(true);
    for (const given of ['', 'mco_righ', 'mco_right ', 'mco_wrong', 'MCO_RIGHT', 'x'.repeat(100_000)])
      expect(isSameSecret(given, 'mco_right'), given.slice(0, 20)).toBe(false);
  });

  it('is compared nowhere else', () => {
    const own = FILES.filter((file) => !HOME.includes(file) && /timingSafeEqual/.test(readFileSync(join(ROOT, file), 'utf8')));
    expect(own).toEqual([]);
  });

  it('is not compared with === anywhere, and what only looks so is listed with its reason', () => {
    const found = FILES.flatMap((file) => comparisonsIn(readFileSync(join(ROOT, file), 'utf8')).map((text) => `${file}: ${text}`));
    expect([...new Set(found)].toSorted()).toEqual(Object.keys(PUBLIC).toSorted());
  });

  it.each([
    'if (given.token === channel.secret) return;',
    'return headers.authorization !== expected;',
    'const ok = sealOf(data, key) == data.seal;',
    'if (hashOf(body) === storedDigest) take();',
    'if (linkCode !== row.code) refuse();',
  ])('would be found: %s', (line) => {
    expect(comparisonsIn(line)).toHaveLength(1);
  });
});
