/**
 * A CPU profile as a few lines: what each step of a call took with everything that it called, and which part of the program and which
 * function's own code took which share. Time in which the program waited, or was busy with the profile itself, is left out.
 */
import type { Profiler } from 'node:inspector';

export interface ProfileLine {
  kind: 'step' | 'part' | 'function';
  name: string;
  /** Of the time in which the program ran, 0 to 1. Steps may contain one another and do not add up. */
  share: number;
}

type Frame = Profiler.ProfileNode['callFrame'];

const FUNCTIONS_MAX = 20;

/** Steps of a call, by the functions that are them; in the order in which a call goes through them. */
const STEPS: readonly (readonly [step: string, file: RegExp, functions: readonly string[]])[] = [
  ['read and parse the body', /proxy\/body\.ts$/, ['readJson', 'readBytes', 'parseJson']],
  ['check the shape of the message (zod)', /proxy\/hook\.ts$/, ['parse']],
  ['identity', /proxy\/identity\.ts$/, ['authenticate', 'identify', 'attribute']],
  ['digest and keys', /proxy\/fingerprint\.ts$/, ['of']],
  ['gather the facts', /proxy\/facts\.ts$/, ['factsOf', 'scopesOf', 'bindingCapsOf']],
  ['decide', /policies\/decide\.ts$/, ['decide']],
  ['- of it: look for credentials', /policies\/secrets\.ts$/, ['redactArguments']],
  ['look where paths lead', /proxy\/links\.ts$/, ['linksUnder', 'collect', 'deepestExisting']],
  ['redact for the record', /proxy\/record\.ts$/, ['recordedInput', 'recordedText']],
  ['journal: make a line', /proxy\/journal\.ts$/, ['append']],
  ['journal: write', /proxy\/journal\.ts$/, ['#flush', '#sync']],
  ['journal: ship', /proxy\/(?:journal|uplink)\.ts$/, ['#shipBatch', '#dropAcknowledged', 'ship']],
  ['forward: request', /proxy\/forward\.ts$/, ['relay']],
  ['forward: answer', /proxy\/forward\.ts$/, ['onResponseStart', 'onResponseData', 'onResponseEnd']],
  ['answer', /proxy\/respond\.ts$/, ['respond', 'problem']],
];

/** Shares of a profile: the steps in their order, all parts and the functions that took most, largest first. */
export function summarise({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): ProfileLine[] {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node.id] as const)));
  const stepsById = new Map<number, ReadonlySet<string>>();
  const stepsOf = (id: number): ReadonlySet<string> => {
    const known = stepsById.get(id);
    if (known) return known;
    const parent = parents.get(id);
    const above = parent === undefined ? new Set<string>() : stepsOf(parent);
    const own = stepOf(byId.get(id)?.callFrame);
    const steps = own === null || above.has(own) ? above : new Set([...above, own]);
    stepsById.set(id, steps);
    return steps;
  };

  const steps = new Map(STEPS.map(([step]) => [step, 0]));
  const parts = new Map<string, number>();
  const functions = new Map<string, number>();
  let total = 0;
  for (const [i, id] of samples.entries()) {
    const frame = byId.get(id)?.callFrame;
    if (!frame || frame.functionName === '(idle)' || frame.url === 'node:inspector') continue;
    const micros = timeDeltas[i] ?? 0;
    total += micros;
    for (const step of stepsOf(id)) steps.set(step, (steps.get(step) ?? 0) + micros);
    add(parts, partOf(frame), micros);
    const place = frame.url === '' ? '' : ` ${frame.url.replace(/^.*\/(?=[^/]+\/[^/]+$)/, '')}:${frame.lineNumber + 1}`;
    add(functions, `${frame.functionName || '(anonymous)'}${place}`, micros);
  }
  const lines = (kind: ProfileLine['kind'], sums: Map<string, number>) =>
    [...sums].map(([name, micros]) => ({ kind, name, share: micros / total }));
  const largest = (all: ProfileLine[]) => all.toSorted((a, b) => b.share - a.share);
  return [...lines('step', steps), ...largest(lines('part', parts)), ...largest(lines('function', functions)).slice(0, FUNCTIONS_MAX)];
}

function add(sums: Map<string, number>, name: string, micros: number): void {
  sums.set(name, (sums.get(name) ?? 0) + micros);
}

function stepOf(frame: Frame | undefined): string | null {
  if (!frame || frame.url === '') return null;
  return STEPS.find(([, file, functions]) => file.test(frame.url) && functions.includes(frame.functionName))?.[0] ?? null;
}

function partOf({ url, functionName }: Frame): string {
  const own = /\/(policies|proxy|control|load)\/([\w-]+)\.ts$/.exec(url);
  if (own) return `${own[1]}/${own[2]}`;
  const library = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1];
  if (library !== undefined) return library;
  if (functionName === '(garbage collector)') return 'garbage collector';
  // System calls and what the engine does itself have no file.
  if (url === '') return SOCKETS.test(functionName) ? 'writing to sockets (native)' : 'native';
  if (url.startsWith('wasm:')) return 'undici';
  const module = url.replace('node:', '').replace('internal/', '');
  if (/^_http|^http/.test(module)) return 'node:http';
  return /^_?streams?|^stream_|^net|^_stream/.test(module) ? 'node:net and streams' : `node:${module.split('/')[0]}`;
}

const SOCKETS = /^(?:writev|writeBuffer|writeUtf8String|writeLatin1String)$/;
