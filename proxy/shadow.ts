/**
 * The shadow of a draft in a proxy: what was judged is handed to a thread that judges it by the draft too (SPEC 4.10). It comes after the
 * answer and never holds it up: calls are handed over in bounded batches while the thread is idle, and what does not fit is left out and
 * counted. Nothing that the thread says reaches a call.
 */
import { randomUUID } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import type { ShadowPicture, ShadowReport } from '../control/contract.ts';
import { codesOf, type Decision, type Facts, type ToolCall } from '../policies/index.ts';
import type { SeenCall, ShadowMessage, ShadowTask } from './shadow-worker.ts';

const BATCH_MS = 100;
/** Copying a call to the thread takes about 10 µs of ours: with both bounds a hundredth of a core at most. */
const BATCH_MAX = 100;
const LONG_CHARS = 256 * 1024;
const REPORT_MS = 1_000;
const HEAP_MAX_MB = 256;

interface Dependencies {
  /** Tells control what has been counted. May reject; it is told again. */
  report: (shadowId: string, processId: string, report: ShadowReport) => Promise<unknown>;
  onError: (error: unknown) => void;
}

interface Run {
  id: string;
  /** Counting begins anew with every thread. */
  processId: string;
  worker: Worker;
  waiting: SeenCall[];
  isIdle: boolean;
  skipped: number;
  /** Whether something was handed over since the last report. */
  isChanged: boolean;
  timers: NodeJS.Timeout[];
}

export class Shadow {
  readonly #with: Dependencies;
  #run: Run | null = null;

  constructor(dependencies: Dependencies) {
    this.#with = dependencies;
  }

  /** Runs this draft from now on; the one that runs already goes on. @param picture null = none. */
  follow(picture: ShadowPicture | null, gateRoots: readonly string[]): void {
    if (picture?.id === this.#run?.id) return;
    this.#end();
    if (picture === null) return;
    const worker = new Worker(new URL('./shadow-worker.ts', import.meta.url), { resourceLimits: { maxOldGenerationSizeMb: HEAP_MAX_MB } });
    const run: Run = {
      id: picture.id,
      processId: randomUUID(),
      worker,
      waiting: [],
      isIdle: true,
      skipped: 0,
      isChanged: false,
      timers: [],
    };
    this.#run = run;
    worker.unref();
    worker.on('message', (message: ShadowMessage) => this.#hear(run, message));
    worker.on('error', (error) => {
      this.#with.onError(error);
      if (this.#run === run) this.#end();
    });
    const post = (task: ShadowTask) => worker.postMessage(task);
    post({ do: 'follow', document: picture.document, gateRoots });
    run.timers = [
      setInterval(() => {
        if (!run.isIdle || run.waiting.length === 0) return;
        run.isIdle = false;
        run.isChanged = true;
        post({ do: 'judge', calls: run.waiting });
        run.waiting = [];
      }, BATCH_MS).unref(),
      setInterval(() => {
        if (run.isChanged) post({ do: 'report' });
        run.isChanged = false;
      }, REPORT_MS).unref(),
    ];
  }

  /** Takes note of a judgement. Costs nothing worth mentioning, whether a draft runs or not. */
  see(call: ToolCall, facts: Facts, decision: Decision, { id, agentId, at }: { id: string; agentId: string; at: number }): void {
    const run = this.#run;
    if (run === null) return;
    if (run.waiting.length >= BATCH_MAX || isLong(call)) {
      run.skipped++;
      run.isChanged = true;
      return;
    }
    const { verdict, risk } = decision;
    run.waiting.push({ id, agentId, at, call, facts, before: { verdict, risk, codes: codesOf(decision) } });
  }

  close(): void {
    this.#end();
  }

  #hear(run: Run, message: ShadowMessage): void {
    switch (message.is) {
      case 'idle':
        run.isIdle = true;
        break;
      case 'report':
        this.#with.report(run.id, run.processId, { ...message.report, skipped: run.skipped }).catch((error) => {
          run.isChanged = true;
          this.#with.onError(error);
        });
        break;
    }
  }

  #end(): void {
    const run = this.#run;
    this.#run = null;
    if (run === null) return;
    for (const timer of run.timers) clearInterval(timer);
    void run.worker.terminate();
  }
}

function isLong({ arguments: args }: ToolCall): boolean {
  let chars = 0;
  for (const value of Object.values(args)) if (typeof value === 'string') chars += value.length;
  return chars > LONG_CHARS;
}
