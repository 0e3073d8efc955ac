/**
 * The thread that judges live calls by a draft, after they were answered (SPEC 4.10). It counts where the draft differs, keeps a few
 * examples, redacted, and says what it has counted when it is asked.
 */
import { parentPort } from 'node:worker_threads';
import type { ShadowReport } from '../control/contract.ts';
import {
  compilePolicy,
  Difference,
  decide,
  emptyTally,
  type Facts,
  isSame,
  type Policy,
  type Side,
  summaryOf,
  type ToolCall,
} from '../policies/index.ts';
import { recordedInput } from './record.ts';

/** A call as it was judged. */
export interface SeenCall {
  id: string;
  agentId: string;
  /** Epoch milliseconds. */
  at: number;
  call: ToolCall;
  facts: Facts;
  /** What the active policy said. */
  before: Side;
}

/** `follow` comes first, once; `judge` is answered with `idle`, `report` with the report. */
export type ShadowTask =
  | { do: 'follow'; document: unknown; gateRoots: readonly string[] }
  | { do: 'judge'; calls: readonly SeenCall[] }
  | { do: 'report' };
export type ShadowMessage = { is: 'idle' } | { is: 'report'; report: Omit<ShadowReport, 'skipped'> };

const SUMMARY_OF_CHARS = 2_000;

const port = parentPort;
if (!port) throw new Error('shadow-worker.ts runs as a worker thread only');

let draft: Policy | null = null;
const difference = new Difference('last');
const tally = emptyTally();

port.on('message', (task: ShadowTask) => {
  switch (task.do) {
    case 'follow': {
      const compiled = compilePolicy(task.document, undefined, task.gateRoots);
      if ('errors' in compiled) throw new Error(`the draft does not compile: ${compiled.errors[0]?.message}`);
      draft = compiled.policy;
      break;
    }
    case 'judge':
      if (draft !== null) for (const seen of task.calls) judge(seen, draft);
      port.postMessage({ is: 'idle' } satisfies ShadowMessage);
      break;
    case 'report': {
      const { examples, redFlips } = difference;
      port.postMessage({ is: 'report', report: { calls: tally, examples, redFlips: redFlips.count } } satisfies ShadowMessage);
      break;
    }
  }
});

function judge({ id, agentId, at, call, facts, before }: SeenCall, policy: Policy): void {
  const after = decide(call, facts, policy);
  if (isSame(before, after)) tally.same++;
  difference.count(tally, before, after, () => ({
    source: 'call',
    id,
    tool: call.tool,
    summary: summaryOf(recordedInput(call.arguments, SUMMARY_OF_CHARS)),
    agentId,
    at,
  }));
}
