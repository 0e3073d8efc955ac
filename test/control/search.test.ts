/** Search: every kind is found by words, pieces of paths and ids; newest first, page by page without a gap; odd input breaks nothing. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createSearch, type Search } from '../../control/search.ts';
import { ADMIN, factsOfCall, holdRequest, judged, type Services, startServices } from '../support/services.ts';

let services: Services;
let search: Search;
let agentId: string;
let taskId: string;
beforeAll(async () => {
  services = await startServices();
  search = createSearch(services.base);
  const { agents, tasks, messages, ingest, holds, time } = services;
  agentId = (await agents.create(ADMIN, { name: 'Heron of the lake', autonomyLevel: 'specialist' })).id;
  time.now += 1000;
  taskId = (await tasks.create(ADMIN, { title: 'Move the herons', description: 'Naïve übersicht of src/birds/heron.ts', type: 'docs' })).id;
  time.now += 1000;
  await messages.post(ADMIN, { taskId, content: "Don't wake the heron, it's asleep" });
  time.now += 1000;
  await holds.open(holdRequest(factsOfCall({ id: 'call-held', agentId, at: time.now }), { summary: 'rm nest/heron.txt' }));
  time.now += 1000;
  const call = (number: number) => ({
    seq: number,
    event: {
      type: 'intent' as const,
      eventId: `e-${number}`,
      at: time.now,
      call: factsOfCall({ id: `call-number-${number}`, agentId, at: time.now, taskId }),
      judged: judged({ verdict: 'allow' }),
      input: {},
      summary: `make heron-${number} in /srv/app/main.ts`,
      approvalId: null,
    },
  });
  await ingest.ingest(
    'p',
    Array.from({ length: 25 }, (_, index) => call(index + 1)),
  );
});
afterAll(() => services.close());

const find = async (q: string, rest: Partial<Parameters<Search['find']>[0]> = {}) => (await search.find({ q, limit: 50, ...rest })).items;
const kindsOf = (items: { kind: string }[]) => [...new Set(items.map(({ kind }) => kind))].sort();

describe('search', () => {
  test('finds every kind, newest first', async () => {
    const items = await find('heron');
    expect(kindsOf(items)).toEqual(['agent', 'approval', 'audit', 'call', 'message', 'task']);
    expect(items.map(({ at }) => at)).toEqual(items.map(({ at }) => at).sort((a, b) => b - a));
    expect(items.find(({ kind }) => kind === 'task')).toMatchObject({ id: taskId, title: '#1 Move the herons', taskId });
    expect(items.find(({ kind }) => kind === 'message')).toMatchObject({
      title: 'admin',
      snippet: "Don't wake the heron, it's asleep",
      taskId,
    });
    expect(items.find(({ kind }) => kind === 'call')).toMatchObject({ title: 'exec', agentId, taskId });
  });

  test('needs all words, takes beginnings and pieces of paths, and any language', async () => {
    expect(kindsOf(await find('asleep heron'))).toEqual(['message']);
    expect(await find('asleep nothing')).toEqual([]);
    expect(kindsOf(await find('birds/heron.ts'))).toContain('task');
    expect(kindsOf(await find('main.ts'))).toEqual(['call']);
    expect(kindsOf(await find('ÜBERS'))).toEqual(expect.arrayContaining(['task']));
    expect(kindsOf(await find("don't"))).toEqual(['message']);
  });

  test('finds a thing by its id, first of all', async () => {
    const [first] = await find('call-number-7');
    expect(first).toMatchObject({ kind: 'call', id: 'call-number-7' });
    expect((await find(taskId))[0]).toMatchObject({ kind: 'task', id: taskId });
    expect((await find('call-number-7')).filter(({ id }) => id === 'call-number-7')).toHaveLength(1);
  });

  test('goes on from page to page without a gap or a repeat, whatever happened at the same moment', async () => {
    const whole = await find('heron', { limit: 100 });
    for (const limit of [1, 4, 7]) {
      const paged: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await search.find({ q: 'heron', limit, cursor });
        expect(page.items.length).toBeLessThanOrEqual(limit);
        paged.push(...page.items.map(({ kind, id }) => `${kind} ${id}`));
        cursor = page.nextCursor ?? undefined;
      } while (cursor !== undefined);
      expect(paged).toEqual(whole.map(({ kind, id }) => `${kind} ${id}`));
    }
  });

  test('answers in groups, or one kind', async () => {
    const grouped = await search.find({ q: 'heron', each: 2, limit: 50 });
    expect(grouped.items.filter(({ kind }) => kind === 'call')).toHaveLength(2);
    expect(kindsOf(grouped.items)).toHaveLength(6);
    expect(grouped.nextCursor).toBeNull();
    expect(kindsOf(await find('heron', { kind: 'approval' }))).toEqual(['approval']);
  });

  test.each(["'", "a' | b", '!!', '&', ':*', '\\', "';--", '<->', '((', '\u{1f980}', 'a'.repeat(200), 'x '.repeat(100), '%', '_'])(
    'takes %j as words and never as an operator',
    async (q) => {
      expect(Array.isArray(await find(q))).toBe(true);
    },
  );

  test('refuses a cursor that is not ours', async () => {
    await expect(search.find({ q: 'heron', limit: 5, cursor: 'x' })).rejects.toMatchObject({ code: 'BAD_CURSOR' });
  });
});
