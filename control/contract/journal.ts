/**
 * What a proxy records of calls and asks of control while one is held (/internal/v1, cluster secret): the facts of a call, holds, the
 * events of the journal, and what a proxy learns of its own calls when it starts again.
 */
import type { JsonObject, ReasonCode, RecordedJudgement, RISKS, RunLabel, VERDICTS } from '../../policies/model.ts';
import type { Usage } from '../../policies/prices.ts';
import type { ApprovalStatus, Preview } from './approvals.ts';
import type { ENTRIES } from './calls.ts';
import type { CanaryClaim } from './canaries.ts';
import type { DrillResult } from './drills.ts';
import type { GateReason, UnaskedReason } from './gate.ts';

/** An approval as a proxy needs it: to answer a waiting call and to judge it again. */
export interface HoldState {
  callId: string;
  approvalId: string;
  approvalNumber: number;
  status: ApprovalStatus;
  approver: string | null;
  approverType: 'human' | 'agent' | 'system' | 'unknown';
  note: string | null;
  /** What runs instead of the caller's own arguments, when the approver edited them. */
  editedArguments: JsonObject | null;
  decidedAt: number | null;
  grantExpiresAt: number | null;
  /** The call that took the single use, if any. */
  redeemedBy: string | null;
  /** Micro-dollars the approver allowed above the caps. */
  allowance: number;
  /** Decided by a standing grant: it releases these reasons and no others, and nothing red. Absent = a person looked at this call. */
  releases?: readonly ReasonCode[];
  waitingUntil: number;
  deferred: boolean;
}

/** A held call in full, so that any proxy can take up its wait. */
export interface HeldCall {
  call: CallFacts;
  /** The caller's own arguments, as judged. Kept encrypted at control until hold and grant have ended; null from then on. */
  arguments: JsonObject | null;
  state: HoldState;
  /** How the call ended, if it has: whether it ran, and where it did not, why. Whatever its approval says, it never runs (again). */
  end: { ran: boolean; reasons: readonly GateReason[] } | null;
}

/** Everything a record says of a call apart from its arguments. Times are epoch milliseconds, money micro-dollars. */
export interface CallFacts {
  id: string;
  /** Hash over agent, session, run, call id and digest (SPEC 3.1). */
  key: string;
  /** Hash over agent, session, run and call id, without the digest: finds a call id used again for other arguments. Null without a call id. */
  slot: string | null;
  digest: string;
  entry: (typeof ENTRIES)[number];
  agentId: string;
  gatewayId: string | null;
  sessionKey: string;
  runId: string | null;
  taskId: string | null;
  callId: string | null;
  traceId: string | null;
  /** The caller's span, where it named one: the trace goes on under it. */
  parentSpanId?: string;
  tool: string;
  mappedTool: string;
  toolKind: string | null;
  cwd: string | null;
  workspace: string | null;
  /** The MCP server that it goes to; null or absent = none. */
  upstream?: string | null;
  /** Hash of the tool's definition at the time of the call, where one is pinned. */
  definition?: string | null;
  /** The upstream and the model that a model call asks. */
  model?: { provider: string; name: string } | null;
  /** True where the agent's gate should have asked and did not: judged as an intern's (SPEC 3.4). */
  ungated?: boolean;
  /** Of a call that the gate was asked about: how the model's words name it. */
  wire?: WireCall;
  /** Addresses that hosts resolved to when it was made, where the proxy dials itself. */
  dns?: { readonly [host: string]: readonly string[] } | undefined;
  at: number;
}

/** A call as a model names it: what the gate heard of it and what a request to a model says of it are held against each other (SPEC 10). */
export interface WireCall {
  /** What of its id is the same on both sides; null = it has none. */
  id: string | null;
  /** Keyed hash of tool and arguments; null = not known. */
  print: string | null;
  /** Empty = not known. */
  tool: string;
}

export interface JudgedFacts {
  verdict: (typeof VERDICTS)[number];
  risk: (typeof RISKS)[number];
  reasons: readonly GateReason[];
  policyVersion: string;
  estimatedCost: number;
  /** The judgement with everything that it was told besides the call, for replay (SPEC 10); null where nothing was judged. */
  facts: RecordedJudgement | null;
  /** What the call adds to the labels of its run and session when it runs (SPEC 4.9); absent = nothing. */
  labels?: readonly RunLabel[];
}

/** Body of POST /internal/v1/holds. */
export interface HoldRequest {
  proxyId: string;
  call: CallFacts;
  judged: JudgedFacts;
  arguments: JsonObject;
  redacted: JsonObject;
  preview: Preview;
  summary: string;
  /** An approval that the call came back with and that did not release it: its grant ends and a new one is opened. */
  insufficient: string | null;
}

/** How a model call came to its cost. */
export interface ModelMeter {
  /** What the provider said; a part that it did not say is absent, which is not zero. Null = it said nothing. */
  usage: Usage | null;
  /** The cost is not usage times price: not below what was delivered, not above what was reserved (SPEC 8.3). */
  isEstimated: boolean;
  /** The entry that gave the price: of the policy, or of the dated table. */
  priceEntry: string;
}

/** Redacted arguments, capped; `truncated` says that the record keeps only a part. */
export type JournalEvent =
  | {
      type: 'held' | 'denied' | 'intent';
      at: number;
      call: CallFacts;
      judged: JudgedFacts;
      input: JsonObject;
      /** Sent by proxies of the version before; it is made from the input. */
      summary?: string;
      approvalId: string | null;
    }
  | {
      type: 'completed';
      at: number;
      id: string;
      status: 'success' | 'failed' | 'unknown';
      output: string | null;
      error: string | null;
      durationMs: number | null;
      cost: number;
      /** Of a model call. */
      meter?: ModelMeter | null | undefined;
      /** The caps that it was reserved under; absent in journals of before. */
      scopes?: readonly string[];
      /** The caller ended it, so it says nothing about the tool. */
      endedByCaller?: true;
    }
  | { type: 'withdrawn'; at: number; id: string; reason: string }
  | { type: 'refused'; at: number; id: string; reasons: readonly GateReason[] }
  | { type: 'heartbeat'; at: number; gatewayId: string; pluginVersion: string; agents: readonly string[] }
  /** A connection that is no call of its own: under a call that the gate allowed (egress), or of a person to a gateway. */
  | {
      type: 'connection';
      phase: 'opened' | 'closed';
      at: number;
      id: string;
      door: 'egress' | 'gateway';
      by: { type: 'agent' | 'human'; id: string; name: string };
      gatewayId: string | null;
      /** The call that opened it; null = a person's. */
      callId: string | null;
      /** Method and address, redacted. */
      target: string;
      /** HTTP status of the answer; null = none yet, or a tunnel. */
      status: number | null;
      bytesUp: number;
      bytesDown: number;
      durationMs: number;
      error: string | null;
    }
  /** An agent whose gate should have asked made a call that it did not ask about (SPEC 3.4). */
  | { type: 'ungated'; at: number; agentId: string; gatewayId: string | null; tool: string }
  /** A tool of an MCP server of ours that the gate allowed and that ended well, and whose call did not come to this proxy. */
  | { type: 'detour'; at: number; agentId: string; tool: string; askedAt: number }
  /** Results of tools that a request to a model brought back, of an agent with a gate in OpenClaw. */
  | { type: 'results'; at: number; agentId: string; gatewayId: string; results: readonly WireCall[] }
  | { type: 'drill'; at: number; requestId: string; result: DrillResult }
  /** A canary was refused where it should be. */
  | { type: 'canary'; at: number; agentId: string; entry: CanaryClaim['entry'] }
  /** A call that the plugin did not ask about, because nothing of it ran or every part of it is asked about by itself. */
  | { type: 'unasked'; at: number; agentId: string; gatewayId: string; call: WireCall; why: UnaskedReason }
  | {
      type: 'spawned';
      at: number;
      /** Under which its calls are recorded from the first one on; the same for a session, whichever proxy hears of it. */
      childId?: string;
      parentId: string;
      gatewayId: string | null;
      sessionKey: string;
      label: string | null;
      lasting: boolean;
      taskId: string | null;
    }
  | { type: 'despawned'; at: number; parentId: string; sessionKey: string }
  | { type: 'run_end'; at: number; runId: string; agentId: string; status: 'success' | 'failed'; message: string | null }
  | {
      type: 'run';
      at: number;
      runId: string;
      agentId: string;
      sessionKey: string;
      taskId: string | null;
      allowed: boolean;
      message: string | null;
    };

/** One line of a journal file: its place and the event. */
export interface JournalEntry {
  seq: number;
  event: JournalEvent;
}

/** A call that is allowed and has no outcome yet, or ended a short while ago; how a proxy finds its way after a restart. */
export interface KnownCall {
  id: string;
  entry: (typeof ENTRIES)[number];
  /** The proxy that recorded its intent; null = it has not begun. */
  proxyId: string | null;
  key: string;
  slot: string | null;
  agentId: string;
  gatewayId: string | null;
  runId: string | null;
  taskId: string | null;
  state: 'held' | 'running' | 'ended';
  verdict: (typeof VERDICTS)[number];
  risk: (typeof RISKS)[number];
  reasons: readonly GateReason[];
  approval: { id: string; number: number } | null;
  /** What a running call was told to run in place of its own arguments. */
  editedArguments: JsonObject | null;
  waitingUntil: number | null;
  estimatedCost: number;
  at: number;
}

/** A label of a run or session (SPEC 4.9), by the scope that policies/sequence.ts names. */
export interface KnownLabel {
  agentId: string;
  scope: string;
  label: RunLabel;
  at: number;
}

/** How a call of a tool ended; for the rows of failures that a proxy counts. */
export interface KnownOutcome {
  agentId: string;
  sessionKey: string;
  tool: string;
  /** What it said when it failed; null = it went well. */
  error: string | null;
  at: number;
}

/** Answer of POST /internal/v1/hello. */
export interface HelloAnswer {
  /** Last journal sequence number of this proxy that control has ingested. */
  cursor: number;
  /** Derived key for call digests, base64url. */
  digestKey: string;
  /** Derived key for what MCP clients keep for us, base64url. */
  stateKey: string;
  calls: readonly KnownCall[];
  /** Settled spend per scope key, micro-dollars. */
  spent: { readonly [scope: string]: number };
  /** Labels of the last day. */
  labels: readonly KnownLabel[];
  /** What ended within the window of the retry limit, oldest first. */
  outcomes: readonly KnownOutcome[];
}
