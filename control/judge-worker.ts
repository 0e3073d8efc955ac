/**
 * The thread in which people try policies out: checks of a document, simulations, replays (SPEC 4.10). It reads and judges what it is sent
 * and touches nothing else, so that whatever it takes, no call waits for it.
 */
import { readFileSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import {
  applyPatch,
  caseFileSchema,
  casesOf,
  compilePolicy,
  isBoundedJson,
  type JsonObject,
  type Policy,
  type PolicyError,
  parsePolicyText,
  type ReadCase,
  type RecordedCall,
  Replay,
  type ReplayResult,
  readCases,
  simulateCases,
  simulateRequestSchema,
} from '../policies/index.ts';

/** A policy as its text, with a merge patch over it if any. */
export interface PolicyText {
  source: string;
  patch: JsonObject | null;
}

/** What the thread is asked. One task after the other; `simulate` and `judge` go on with what the task before them began. */
export type JudgeTask =
  /** Checks a document: syntax, content, contradictions. */
  | { do: 'check'; policy: PolicyText; gateRoots: readonly string[] }
  /** Reads the body of a simulation, as it came. */
  | { do: 'read'; body: ArrayBuffer }
  /** Judges the cases of the body that was read. @param source of the policy that it refers to. */
  | { do: 'simulate'; source: string; gateRoots: readonly string[] }
  /** Begins a replay. @param versions texts of the policies that calls may have been judged by, by version. */
  | { do: 'begin'; draft: string; base: string; versions: Readonly<Record<string, string>>; gateRoots: readonly string[] }
  /** Judges a page of recorded calls, newest first: one JSON text a call. */
  | { do: 'judge'; calls: readonly string[] }
  /** Judges the shipped corpus too and ends the replay. */
  | { do: 'conclude' };

/** What it answers to each. */
export interface JudgeAnswers {
  check: Checked;
  read: Read;
  simulate: { errors: PolicyError[] } | { body: Uint8Array<ArrayBuffer> };
  begin: { errors: PolicyError[] } | { errors: null };
  judge: null;
  conclude: ReplayResult;
}

export type Checked = { errors: PolicyError[] } | { document: JsonObject };
/** `reference` is the policy that a simulation names; a patch stays in the thread and is laid over the active policy. */
export type Read = { refused: { detail: string; errors?: { path: string; message: string }[] } } | { reference: string };

export type JudgeMessage = { answer: unknown } | { failure: string };

const port = parentPort;
if (!port) throw new Error('judge-worker.ts runs as a worker thread only');

/** What the body of a simulation left behind for its second step. */
let asked: { cases: unknown[]; patch: JsonObject | null } = { cases: [], patch: null };
let replay: Replay | null = null;
let shipped: readonly ReadCase[] | null = null;
/** The last policies that were compiled from their text alone: the same ones are asked for again and again. */
const compiledLately = new Map<string, Compiled>();
const COMPILED_MAX = 8;

port.on('message', (task: JudgeTask) => {
  try {
    const answer = perform(task);
    const moved = typeof answer === 'object' && answer !== null && 'body' in answer ? [answer.body.buffer] : [];
    port.postMessage({ answer } satisfies JudgeMessage, moved);
  } catch (error) {
    port.postMessage({ failure: error instanceof Error ? error.message : String(error) } satisfies JudgeMessage);
  }
});

function perform(task: JudgeTask): JudgeAnswers[JudgeTask['do']] {
  switch (task.do) {
    case 'check': {
      const compiled = compile(task.policy, task.gateRoots);
      return 'errors' in compiled ? compiled : { document: compiled.document };
    }
    case 'read':
      return readBody(task.body);
    case 'simulate': {
      const compiled = compile({ source: task.source, patch: asked.patch }, task.gateRoots);
      const { cases } = asked;
      asked = { cases: [], patch: null };
      if ('errors' in compiled) return compiled;
      return { body: new TextEncoder().encode(JSON.stringify({ results: simulateCases(cases, compiled.policy) })) };
    }
    case 'begin':
      return begin(task);
    case 'judge': {
      if (replay === null) throw new Error('there is no replay');
      for (const text of task.calls) replay.call(JSON.parse(text) as RecordedCall);
      return null;
    }
    case 'conclude': {
      if (replay === null) throw new Error('there is no replay');
      const ending = replay;
      replay = null;
      ending.cases(shippedCases());
      return ending.result();
    }
  }
}

function readBody(body: ArrayBuffer): Read {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(body));
  } catch {
    return { refused: { detail: 'The body is not valid JSON.' } };
  }
  // A case that is nested too deeply is that case's matter; the envelope is flat but for a patch.
  const { cases: _, ...envelope } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  if (!isBoundedJson(envelope)) return { refused: { detail: 'The body is nested too deeply.' } };
  const parsed = simulateRequestSchema.safeParse(value);
  if (!parsed.success) {
    const errors = parsed.error.issues.slice(0, 20).map(({ path, message }) => ({ path: path.join('.') || 'body', message }));
    return { refused: { detail: `The body is not as expected: ${errors[0]?.path}: ${errors[0]?.message}`, errors } };
  }
  const { cases, policy = 'active' } = parsed.data;
  asked = { cases, patch: typeof policy === 'object' ? (policy.patch as JsonObject) : null };
  return { reference: typeof policy === 'object' ? 'active' : typeof policy === 'number' ? `v${policy}` : policy };
}

function begin({ draft, base, versions, gateRoots }: Extract<JudgeTask, { do: 'begin' }>): JudgeAnswers['begin'] {
  const compiled = compile({ source: draft, patch: null }, gateRoots);
  if ('errors' in compiled) return compiled;
  const then = new Map<string, Policy | null>();
  const versionOf = (version: string): Policy | null => {
    const known = then.get(version);
    if (known !== undefined) return known;
    const source = Object.hasOwn(versions, version) ? versions[version] : undefined;
    const old = source === undefined ? null : compile({ source, patch: null }, gateRoots);
    const policy = old !== null && 'policy' in old ? old.policy : null;
    then.set(version, policy);
    return policy;
  };
  const active = compile({ source: base, patch: null }, gateRoots);
  if ('errors' in active) return active;
  replay = new Replay(compiled.policy, active.policy, versionOf);
  return { errors: null };
}

type Compiled = { errors: PolicyError[] } | { document: JsonObject; policy: Policy };

function compile(text: PolicyText, gateRoots: readonly string[]): Compiled {
  if (text.patch !== null) return compileAnew(text, gateRoots);
  const key = `${gateRoots.join('\0')}\0${text.source}`;
  const compiled = compiledLately.get(key) ?? compileAnew(text, gateRoots);
  compiledLately.delete(key);
  compiledLately.set(key, compiled);
  const oldest = compiledLately.size > COMPILED_MAX ? compiledLately.keys().next().value : undefined;
  if (oldest !== undefined) compiledLately.delete(oldest);
  return compiled;
}

function compileAnew({ source, patch }: PolicyText, gateRoots: readonly string[]): Compiled {
  const parsed = parsePolicyText(source);
  if ('errors' in parsed) return parsed;
  const document = (patch === null ? parsed.document : applyPatch(parsed.document, patch)) as JsonObject;
  // Positions are those of the text, and a patch has none.
  const compiled = compilePolicy(document, patch === null ? source : undefined, gateRoots);
  return 'errors' in compiled ? compiled : { document, policy: compiled.policy };
}

/** Read once: an activation waits for them to be judged, and reading takes longer than judging. */
function shippedCases(): readonly ReadCase[] {
  shipped ??= readCases(
    casesOf(caseFileSchema.parse(JSON.parse(readFileSync(new URL('../policies/cases.json', import.meta.url), 'utf8')))),
  );
  return shipped;
}
