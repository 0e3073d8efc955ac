/**
 * One proxy address with several processes behind it (`MC_PROXY_WORKERS`, decision 0025). The primary carries no call: it holds the ports,
 * hands each connection to the next worker, starts a worker again that has ended, and knows how each is doing. Each worker is a whole proxy
 * with a journal, a name and a line of its own, and is reached by the others at a port of its own.
 *
 * Invariant: a seat has at most one process, so that a journal never has two writers.
 */
import cluster, { type Worker } from 'node:cluster';
import type { Logger } from 'pino';
import { z } from 'zod';

/** Names the seat of a worker to its process; no setting, because only the primary sets it. */
const SEAT = 'MISSION_CONTROL_SEAT';
const RETIRING = 'MISSION_CONTROL_RETIRING';
const BEAT_MS = 1_000;
/** Who was not heard for this long is not ready, whatever it said last. */
const SILENT_MS = 3_000;
const PAGES_MAX_MS = 2_000;
const RESTART_MIN_MS = 200;
const RESTART_MAX_MS = 10_000;
/** A worker that lived for so long begins anew with the shortest pause. */
const STEADY_MS = 10_000;

const ToWorker = z.discriminatedUnion('type', [
  z.object({ type: z.literal('group'), trouble: z.string().nullable() }),
  z.object({ type: z.literal('drain') }),
  z.object({ type: z.literal('page'), request: z.string() }),
  z.object({ type: z.literal('pages'), request: z.string(), pages: z.array(z.object({ worker: z.int(), page: z.unknown() })) }),
]);
const ToPrimary = z.discriminatedUnion('type', [
  z.object({ type: z.literal('serving'), url: z.string(), egressUrl: z.string().nullable() }),
  z.object({ type: z.literal('beat'), trouble: z.string().nullable() }),
  z.object({ type: z.literal('page'), request: z.string(), page: z.unknown() }),
  z.object({ type: z.literal('pages'), request: z.string() }),
]);
type ToWorker = z.infer<typeof ToWorker>;
type ToPrimary = z.infer<typeof ToPrimary>;

/** What each worker says of its metrics; null = it is down or does not answer. */
export interface WorkerPage {
  worker: number;
  page: unknown;
}

/* ------------------------------------------------------------ a worker */

/** A worker's place in its group. */
export interface WorkerSeat {
  /** From 1 on; the same after a restart. */
  number: number;
  /** It only ships what an earlier process left in this seat's journal, and ends. */
  isRetiring: boolean;
  /** Says that this worker serves now, and from then on how it is doing. */
  serve: (worker: { url: string; egressUrl: string | null; notReady: () => string | null; page: () => Promise<unknown> }) => void;
  /** Why a connection to the shared port might come to a worker that cannot work; null = it cannot. */
  trouble: () => string | null;
  /** What every worker says of its metrics now. */
  pages: () => Promise<readonly WorkerPage[]>;
  /** Called once the primary wants this worker to end. */
  onDrain: (drain: () => void) => void;
}

/** The seat of this process, or null where it is no worker. */
export function takeSeat(): WorkerSeat | null {
  const number = Number(process.env[SEAT]);
  if (!cluster.isWorker || !Number.isInteger(number)) return null;
  let heard: { trouble: string | null; at: number } | null = null;
  let page: () => Promise<unknown> = async () => null;
  let drain = () => {};
  const asked = new Map<string, (pages: readonly WorkerPage[]) => void>();
  let requests = 0;
  const say = (message: ToPrimary) => void process.send?.(message, undefined, undefined, () => {});
  // A hang-up is for the primary, also where a terminal or a supervisor sends it to everybody.
  process.on('SIGHUP', () => {});
  process.on('message', (given) => {
    const { data } = ToWorker.safeParse(given);
    switch (data?.type) {
      case 'group':
        heard = { trouble: data.trouble, at: performance.now() };
        return;
      case 'drain':
        return drain();
      case 'page': {
        const { request } = data;
        return void page().then((made) => say({ type: 'page', request, page: made }));
      }
      case 'pages':
        asked.get(data.request)?.(data.pages.map((one) => ({ worker: one.worker, page: one.page })));
        asked.delete(data.request);
        return;
      case undefined: // of node itself
    }
  });
  return {
    number,
    isRetiring: process.env[RETIRING] !== undefined,
    serve: (worker) => {
      page = worker.page;
      say({ type: 'serving', url: worker.url, egressUrl: worker.egressUrl });
      const beat = () => say({ type: 'beat', trouble: worker.notReady() });
      beat();
      setInterval(beat, BEAT_MS).unref();
    },
    trouble: () =>
      heard === null || performance.now() - heard.at > SILENT_MS ? 'nothing is heard of the process that holds the port' : heard.trouble,
    pages: () =>
      new Promise((resolve) => {
        const request = `${number}-${++requests}`;
        asked.set(request, resolve);
        say({ type: 'pages', request });
      }),
    onDrain: (then) => {
      drain = then;
    },
  };
}

/* ------------------------------------------------------------ the primary */

interface Seat {
  number: number;
  worker: Worker | null;
  /** When it began to serve, by the monotonic clock; null = it does not. */
  servesSince: number | null;
  heardAt: number;
  trouble: string | null;
  /** It was told to end. */
  isLeaving: boolean;
  /** Ends in a row soon after a start. */
  failures: number;
}

export interface WorkerGroup {
  url: string;
  egressUrl: string | null;
  /** Has every worker end and begin anew, one after the other, each with the code and the settings file as they are now. */
  roll: () => Promise<void>;
  /** Has every worker end in order. @returns whether each did. */
  close: () => Promise<boolean>;
}

/**
 * Starts the workers and waits until each serves.
 * @param left numbers of further seats whose journals an earlier, larger group has left. @throws Error where one does not come up.
 */
export async function startWorkerGroup(count: number, left: readonly number[], log: Logger): Promise<WorkerGroup> {
  const seats = Array.from({ length: count }, (_, index) => seatOf(index + 1));
  const collecting = new Map<string, (worker: number, page: unknown) => void>();
  let where: { url: string; egressUrl: string | null } | null = null;
  let isUp = false;
  let isEnding = false;
  let rolling: Promise<void> | null = null;

  /** Resolves when it serves. */
  function start(seat: Seat): Promise<void> {
    const worker = cluster.fork({ [SEAT]: String(seat.number) });
    Object.assign(seat, { worker, servesSince: null, trouble: null, isLeaving: false });
    return new Promise((resolve, reject) => {
      worker.on('message', (given) => {
        const { data } = ToPrimary.safeParse(given);
        if (data !== undefined) hear(seat, worker, data, resolve);
      });
      worker.once('exit', (code, signal) => {
        const lived = seat.servesSince === null ? 0 : performance.now() - seat.servesSince;
        Object.assign(seat, { worker: null, servesSince: null });
        reject(new Error(`worker ${seat.number} of the proxy ended at its start (${signal ?? `exit ${code}`})`));
        if (isEnding || !isUp || seat.isLeaving) return;
        seat.failures = lived > STEADY_MS ? 0 : seat.failures + 1;
        const pauseMs = Math.min(RESTART_MIN_MS * 2 ** seat.failures, RESTART_MAX_MS);
        log.error({ worker: seat.number, code, signal, pauseMs }, 'a worker of the proxy ended; it is started again');
        setTimeout(() => {
          if (!isEnding && seat.worker === null) start(seat).catch(() => {}); // its end has said why, and starts it again
        }, pauseMs);
      });
    });
  }

  function hear(seat: Seat, worker: Worker, message: ToPrimary, serves: () => void): void {
    switch (message.type) {
      case 'serving':
        where ??= { url: message.url, egressUrl: message.egressUrl };
        seat.servesSince = performance.now();
        serves();
        return;
      case 'beat':
        seat.heardAt = performance.now();
        seat.trouble = message.trouble;
        tell();
        return;
      case 'page':
        collecting.get(message.request)?.(seat.number, message.page);
        return;
      case 'pages':
        collect(worker, message.request);
    }
  }

  function collect(asker: Worker, request: string): void {
    const pages = new Map<number, unknown>(seats.map(({ number }) => [number, null]));
    const serving = seats.filter(({ servesSince }) => servesSince !== null);
    let awaited = serving.length;
    const answer = () => {
      if (!collecting.delete(request)) return;
      clearTimeout(timer);
      send(asker, { type: 'pages', request, pages: [...pages].map(([worker, page]) => ({ worker, page })) });
    };
    const timer = setTimeout(answer, PAGES_MAX_MS);
    collecting.set(request, (worker, page) => {
      pages.set(worker, page);
      if (--awaited === 0) answer();
    });
    for (const { worker } of serving) if (worker !== null) send(worker, { type: 'page', request });
  }

  /** A connection comes to any worker that listens: the port is ready where each of those is. */
  function trouble(): string | null {
    const listening = seats.filter(({ servesSince, isLeaving }) => servesSince !== null && !isLeaving);
    if (listening.length === 0) return 'no worker serves';
    const silentSince = performance.now() - SILENT_MS;
    for (const { number, heardAt, trouble: why } of listening) {
      if (heardAt < silentSince) return `worker ${number} is silent`;
      if (why !== null) return `worker ${number}: ${why}`;
    }
    return null;
  }

  function tell(): void {
    const message: ToWorker = { type: 'group', trouble: trouble() };
    for (const { worker } of seats) if (worker !== null) send(worker, message);
  }

  /** Resolves when it has ended. @returns whether it did in order. */
  function drain(seat: Seat): Promise<boolean> {
    const { worker } = seat;
    if (worker === null) return Promise.resolve(true);
    seat.isLeaving = true;
    tell();
    return new Promise((resolve) => {
      worker.once('exit', (code) => resolve(code === 0));
      send(worker, { type: 'drain' });
    });
  }

  async function rollAll(): Promise<void> {
    for (const seat of seats) {
      if (isEnding) return;
      log.info({ worker: seat.number }, 'a worker of the proxy is restarted');
      await drain(seat);
      if (isEnding) return;
      try {
        await start(seat);
      } catch (error) {
        // The others go on as they are: what keeps one from starting would keep all. This one is tried again like any that ends.
        log.error({ err: error, worker: seat.number }, 'a worker did not come up again; the others are left as they are');
        return;
      }
    }
  }

  /** What a smaller group does not carry on: its journals are shipped, its calls are ended as those of a proxy that was restarted. */
  async function retire(): Promise<void> {
    for (const number of left) {
      if (isEnding) return;
      const code = await new Promise((resolve) => {
        cluster.fork({ [SEAT]: String(number), [RETIRING]: '1' }).once('exit', resolve);
      });
      if (code !== 0) log.error({ worker: number, code }, 'the journal of a worker that is not started any more could not be shipped');
    }
  }

  try {
    await Promise.all(seats.map((seat) => start(seat)));
  } catch (error) {
    isEnding = true;
    for (const { worker } of seats) worker?.process.kill('SIGKILL');
    throw error;
  }
  isUp = true;
  tell();
  const timer = setInterval(tell, BEAT_MS);
  const retiring = retire();
  if (where === null) throw new Error('no worker has said where it listens');
  const { url, egressUrl }: { url: string; egressUrl: string | null } = where;
  return {
    url,
    egressUrl,
    roll: () => {
      rolling ??= rollAll().finally(() => {
        rolling = null;
      });
      return rolling;
    },
    close: async () => {
      isEnding = true;
      const ended = await Promise.all([...seats].map(drain));
      clearInterval(timer);
      await Promise.all([rolling, retiring]);
      return ended.every(Boolean);
    },
  };
}

function seatOf(number: number): Seat {
  return { number, worker: null, servesSince: null, heardAt: 0, trouble: null, isLeaving: false, failures: 0 };
}

/** A worker that is ending may not take it any more. */
function send(worker: Worker, message: ToWorker): void {
  if (worker.isConnected()) worker.send(message, () => {});
}
