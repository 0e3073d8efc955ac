/**
 * Our side of the judging thread: one task at a time, a bounded queue, a bounded time for each. A thread that takes too long, runs out of
 * memory or breaks is ended, what it was asked is refused, and the next task gets a new one.
 */
import { Worker } from 'node:worker_threads';
import type { JudgeAnswers, JudgeMessage, JudgeTask } from './judge-worker.ts';
import { Refusal } from './problem.ts';

/** A thousand cases at their worst stay below this. */
const TASK_MAX_MS = 60_000;
const WAITING_MAX = 16;
const HEAP_MAX_MB = 1_024;

/** Sends a task to the thread. @throws Refusal 503 where it does not come to an end. */
export type Ask = <T extends JudgeTask>(task: T, moved?: ArrayBuffer[]) => Promise<JudgeAnswers[T['do']]>;

export class Judge {
  #worker: Worker | null = null;
  #waiting = 0;
  #queue: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  /**
   * Has the thread to itself for a while. @throws Refusal 503 where too many wait already, or what `use` throws.
   */
  run<T>(use: (ask: Ask) => Promise<T>): Promise<T> {
    if (this.#waiting >= WAITING_MAX) {
      return Promise.reject(new Refusal(503, 'BUSY', 'Too many policies are being tried out at the moment; try again shortly.'));
    }
    this.#waiting++;
    const turn = this.#queue.then(() => use((task, moved) => this.#ask(task, moved)));
    this.#queue = turn.then(
      () => this.#waiting--,
      () => this.#waiting--,
    );
    return turn;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#worker?.terminate();
  }

  #ask<T extends JudgeTask>(task: T, moved: ArrayBuffer[] = []): Promise<JudgeAnswers[T['do']]> {
    if (this.#isClosed) return Promise.reject(new Refusal(503, 'STOPPING', 'Mission Control is stopping.'));
    const worker = this.#worker ?? this.#start();
    return new Promise((resolve, reject) => {
      const end = (why: string | null) => {
        clearTimeout(timer);
        worker.off('message', onMessage).off('error', onError).off('exit', onExit);
        if (why === null) return;
        reject(new Refusal(503, 'JUDGING_FAILED', `This could not be judged: ${why}.`));
      };
      const giveUp = (why: string) => {
        end(why);
        if (this.#worker === worker) this.#worker = null;
        void worker.terminate();
      };
      const onMessage = (message: JudgeMessage) => {
        end('failure' in message ? message.failure : null);
        if ('answer' in message) resolve(message.answer as JudgeAnswers[T['do']]);
      };
      const onError = (error: unknown) => giveUp(error instanceof Error ? error.message : String(error));
      const onExit = () => giveUp(this.#isClosed ? 'Mission Control is stopping' : 'its thread ended');
      const timer = setTimeout(() => giveUp(`it took longer than ${TASK_MAX_MS / 1_000} s`), TASK_MAX_MS);
      worker.on('message', onMessage).on('error', onError).on('exit', onExit);
      worker.postMessage(task, moved);
    });
  }

  #start(): Worker {
    const worker = new Worker(new URL('./judge-worker.ts', import.meta.url), { resourceLimits: { maxOldGenerationSizeMb: HEAP_MAX_MB } });
    // Between two tasks nobody else listens, and an error without a listener would end the process.
    worker.on('error', () => {});
    worker.unref();
    this.#worker = worker;
    return worker;
  }
}
