/**
 * The processes of an installation that several share: which proxies and controls there are and where each is reached, so that a stop goes
 * straight to every one of them. Kept in the database and remembered here, because the stop must not need the database.
 */
import { request } from 'undici';
import { LINE_PROOF_HEADER, type StopAcknowledgement, type StopOrder } from './contract.ts';
import type { Db } from './db/database.ts';
import type { StopHearing } from './emergency.ts';
import { isStopAnswer } from './stop-order.ts';

export type Members = ReturnType<typeof createMembers>;

export interface Member {
  id: string;
  role: 'control' | 'proxy';
  url: string;
  seenAt: number;
}

const BEAT_MS = 5_000;
/** Who was not seen for this long is not waited for, but told all the same. */
const LIVE_MS = 15_000;
const FORGET_MS = 24 * 60 * 60 * 1000;
const ORDER_MAX_MS = 1_000;

interface Dependencies {
  db: Db;
  clock: () => number;
  clusterSecret: string;
  /** This control process. */
  self: { id: string; url: () => string };
  onError: (error: unknown) => void;
}

export function createMembers({ db, clock, clusterSecret, self, onError }: Dependencies) {
  let known: readonly Member[] = [];
  let timer: NodeJS.Timeout | null = null;
  let beating: Promise<void> = Promise.resolve();

  /** Notes this process and those that are on its lines, and learns of the others. @param present ids of proxies that are here now. */
  async function start(present: () => readonly string[]): Promise<void> {
    const beat = async () => {
      const now = clock();
      await note({ id: self.id, role: 'control', url: self.url() }, now);
      const ids = present();
      if (ids.length > 0)
        await db
          .updateTable('members')
          .set({ seen_at: now })
          .where('id', 'in', [...ids])
          .execute();
      await db
        .deleteFrom('members')
        .where('seen_at', '<', now - FORGET_MS)
        .execute();
      await refresh();
    };
    await beat();
    timer = setInterval(() => {
      beating = beat().catch(onError);
    }, BEAT_MS);
  }

  async function refresh(): Promise<void> {
    const rows = await db.selectFrom('members').selectAll().orderBy('id').execute();
    known = rows.map(({ id, role, url, seen_at }) => ({ id, role, url, seenAt: seen_at }));
  }

  /** A proxy says who and where it is. */
  async function saw(id: string, url: string): Promise<void> {
    await note({ id, role: 'proxy', url }, clock());
    await refresh();
  }

  async function note({ id, role, url }: Omit<Member, 'seenAt'>, now: number): Promise<void> {
    await db
      .insertInto('members')
      .values({ id, role, url, seen_at: now })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ role, url, seen_at: now }))
      .execute();
  }

  function proxies(): (Member & { isLive: boolean })[] {
    const since = clock() - LIVE_MS;
    return known.filter(({ role }) => role === 'proxy').map((member) => ({ ...member, isLive: member.seenAt > since }));
  }

  /** Where a proxy is reached; one that is not known here yet may have announced itself at another control. */
  async function addressOf(id: string): Promise<string | null> {
    const find = () => proxies().find((member) => member.id === id)?.url ?? null;
    if (find() === null) await refresh();
    return find();
  }

  /**
   * Sends a stop straight to every proxy and every other control: at once to those that are remembered here, and a moment later to those
   * that the record knows besides, which have announced themselves elsewhere.
   * @returns when all have answered or their time is over; never rejects.
   */
  async function order(stop: StopOrder, { onExpected, onAnswer }: StopHearing): Promise<void> {
    const body = JSON.stringify(stop);
    const told = new Set([self.id]);
    const tell = async ({ role, url }: Member) => {
      const answer = await request(new URL('/internal/v1/stop', url), {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
        signal: AbortSignal.timeout(ORDER_MAX_MS),
      });
      const text = await answer.body.text();
      if (answer.statusCode !== 200 || role !== 'proxy') return;
      // Whoever stands where a proxy stood must not be named as silent in a receipt that we sign.
      if (!isStopAnswer(stop, text, String(answer.headers[LINE_PROOF_HEADER] ?? ''), clusterSecret))
        return onError(new Error(`what answered the stop at ${url} does not prove that it knows the cluster secret`));
      onAnswer(JSON.parse(text) as StopAcknowledgement);
    };
    const tellAll = () => {
      const others = known.filter(({ id }) => !told.has(id));
      for (const { id } of others) told.add(id);
      return Promise.allSettled(others.map(tell));
    };
    const remembered = tellAll();
    const recorded = refresh().then(() => {
      onExpected(proxies().flatMap(({ id, isLive }) => (isLive ? id : [])));
      return tellAll();
    }, onError);
    await Promise.all([remembered, recorded]);
  }

  /** Takes this process off the list. */
  async function stop(): Promise<void> {
    if (timer) clearInterval(timer);
    await beating;
    await db.deleteFrom('members').where('id', '=', self.id).execute().catch(onError);
  }

  return { start, saw, proxies, addressOf, order, stop };
}
