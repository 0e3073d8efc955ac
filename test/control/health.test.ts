/** The report on the installation: what is said of each part when it is well, when it is late, and when it is not there. Time is turned by the test. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Overview } from '../../control/contract.ts';
import { CountersUnavailable } from '../../control/counters.ts';
import { createHealth } from '../../control/health.ts';
import type { Leases } from '../../control/leases.ts';
import type { ProxyProgress } from '../../control/line.ts';
import { ADMIN, type Services, startServices } from '../support/services.ts';

const MINUTE = 60_000;
const WELL: ProxyProgress = { appliedRevision: 7, owedRevision: 7, owesForMs: 0, journal: null };

let services: Services;
let proxies: Overview['proxies'];
let progress: Map<string, ProxyProgress>;
let redis: (() => Promise<number>) | null;
let running: { startedAt: number; parts: number; bytes: number } | null;

beforeAll(async () => {
  services = await startServices();
});
afterAll(() => services.close());
beforeEach(async () => {
  await services.empty();
  proxies = [{ id: 'p', state: 'live', lastSeenAt: services.time.now }];
  progress = new Map([['p', WELL]]);
  redis = null;
  running = null;
});

function report({
  startedAt = services.time.now,
  leases = services.leasesOf('me'),
}: {
  startedAt?: number;
  leases?: Pick<Leases, 'list'>;
} = {}) {
  const { db, time, gateways } = services;
  const { now } = time;
  time.now = startedAt;
  const health = createHealth({
    db,
    clock: () => time.now,
    isShared: false,
    overview: async () => ({ proxies, activePolicy: { id: 'po', version: 'v1' } }) as Overview,
    line: { progress: () => progress },
    counters: redis && { ping: redis },
    gateways,
    channels: { list: async () => [] },
    leases,
    workers: () => [{ name: 'sweeper', everyMs: 1_000 }],
    anchorEveryMs: 5 * MINUTE,
    backups: { running: () => running },
  });
  time.now = now;
  return health;
}
const partsOf = async (group: string, health = report()) => (await health.read()).parts.filter((part) => part.group === group);
const stateOf = async (group: string, health = report()) => (await partsOf(group, health))[0]?.state;

describe('a proxy', () => {
  test('is well while it judges by what was committed, and late when it does not', async () => {
    expect(await partsOf('proxies')).toMatchObject([{ name: 'p', state: 'ok', says: expect.stringContaining('policy v1') }]);
    progress.set('p', { ...WELL, owedRevision: 9, owesForMs: 4_000 });
    expect(await partsOf('proxies')).toMatchObject([{ state: 'attention', says: expect.stringContaining('picture 7 of 9') }]);
    proxies = [{ id: 'p', state: 'stale', lastSeenAt: 5 }];
    expect(await partsOf('proxies')).toMatchObject([{ state: 'failing', at: 5 }]);
    proxies = [];
    expect(await stateOf('proxies')).toBe('failing');
  });

  test('asks for a look when its journal is far behind, or what it ships is old', async () => {
    const journal = { at: services.time.now, waiting: 3, oldestMs: 400 };
    progress.set('p', { ...WELL, journal });
    expect(await partsOf('proxies')).toMatchObject([{ state: 'ok', says: expect.stringContaining('3 events behind') }]);
    progress.set('p', { ...WELL, journal: { ...journal, waiting: 20_000 } });
    expect(await stateOf('proxies')).toBe('attention');
    progress.set('p', { ...WELL, journal: { ...journal, oldestMs: MINUTE } });
    expect(await stateOf('proxies')).toBe('attention');
  });
});

test('the database answers, and Redis is unused, well or away', async () => {
  expect(await partsOf('database')).toMatchObject([
    { state: expect.stringMatching(/ok|attention/), says: expect.stringMatching(/ms\. \d+ MB/) },
  ]);
  expect(await stateOf('redis')).toBe('unused');
  redis = async () => 2;
  expect(await stateOf('redis')).toBe('ok');
  redis = () => Promise.reject(new CountersUnavailable('Redis cannot be reached'));
  expect(await partsOf('redis')).toMatchObject([{ state: 'failing', says: expect.stringContaining('Redis cannot be reached. Yellow') }]);
});

test('a gateway is told of by its gate and its link', async () => {
  expect(await stateOf('openclaw')).toBe('unused');
  await services.gateways.register(ADMIN, { name: 'home' });
  expect((await partsOf('openclaw')).map(({ name, state }) => [name, state])).toEqual([
    ['home, gate', 'attention'],
    ['home, link', 'unused'],
    ['Messages to agents', 'ok'],
  ]);
});

test('rows of the audit log without an anchor are late after two turns', async () => {
  expect(await stateOf('audit')).toBe('ok');
  await services.agents.create(ADMIN, { name: 'one' });
  expect(await partsOf('audit')).toMatchObject([{ state: 'ok', says: expect.stringContaining('rows came after the last anchor') }]);
  services.time.now += 11 * MINUTE;
  expect(await stateOf('audit')).toBe('attention');
});

test('a worker is due after the start, well after a pass, failing with its error or without anybody', async () => {
  const { time } = services;
  const startedAt = time.now;
  expect(await partsOf('workers', report({ startedAt }))).toMatchObject([
    { state: 'ok', says: 'Its first pass since the start is still to come; it is due every 1 s.' },
  ]);
  time.now += MINUTE;
  expect(await partsOf('workers', report({ startedAt }))).toMatchObject([{ state: 'failing', says: expect.stringContaining('Nobody') }]);
  const leases = services.leasesOf('me');
  await leases.take('sweeper', 15_000);
  await leases.note('sweeper', { tickedAt: time.now, error: null });
  expect(await partsOf('workers', report({ startedAt }))).toMatchObject([
    { state: 'ok', at: time.now, says: expect.stringContaining('me') },
  ]);
  await leases.note('sweeper', { tickedAt: time.now, error: 'the disk is full' });
  expect(await partsOf('workers', report({ startedAt }))).toMatchObject([
    { state: 'failing', says: expect.stringContaining('the disk is full') },
  ]);
});

test('a backup that is being written shows how far it is; none at all asks for one', async () => {
  expect(await stateOf('backups')).toBe('attention');
  running = { startedAt: services.time.now - 3_000, parts: 4, bytes: 5 * 1024 ** 2 };
  expect(await partsOf('backups')).toMatchObject([{ state: 'ok', says: 'Being written since 3 s: 4 parts, 5 MB.' }]);
});

test('a part that cannot be asked says so, and the others are told all the same', async () => {
  const { parts } = await report({ leases: { list: () => Promise.reject(new Error('no such table')) } }).read();
  expect(parts.find(({ group }) => group === 'workers')).toMatchObject({ state: 'unknown', says: 'It could not be read: no such table.' });
  expect(parts.find(({ group }) => group === 'audit')?.state).toBe('ok');
});
