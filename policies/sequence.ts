/**
 * Sequence rules (SPEC 4.9): what a call adds to the labels of its run, and which calls must not happen while labels stand. A run that has
 * taken in untrusted input and read private data sends nothing outside by itself; a run that wrote code which a runner would pick up does
 * not start that runner by itself. The caller keeps the labels, by {@link labelScope}; a label never comes off while its run goes on.
 */
import type { Classification, Facts, RunLabel, ToolCall } from './model.ts';
import type { Policy } from './policy.ts';
import { coversTool, matchesStars } from './tools.ts';

/** A reason to hold a call because of what its run did before. */
export interface SequenceFinding {
  message: string;
  policyPath: string;
}

/**
 * The labels that a call adds to its run when it runs. Asked of every call that was let through, approved ones included.
 * @param classification the reading that the call was judged by.
 */
export function labelsOf(call: ToolCall, classification: Classification, policy: Policy): readonly RunLabel[] {
  const { untrusted, private: confidential, code } = policy.document.sequence;
  const labels: RunLabel[] = [];
  if (isNamed(untrusted, call, classification)) labels.push('untrusted');
  const readsSecrets = classification.findings.some((finding) => finding.code === 'SECRETS');
  if (isNamed(confidential, call, classification) || (confidential.length > 0 && readsSecrets)) labels.push('private');
  const written = classification.paths.filter((path) => path.use === 'write');
  if (written.some((path) => code.some((pattern) => matchesFile(pattern, path.path ?? path.given, call.workspace)))) labels.push('code');
  return labels;
}

/** Whose call it is, as far as labels are concerned. */
export interface LabelOwner {
  agentId: string;
  /** Empty where the caller names none. */
  sessionKey: string;
  runId: string | null;
}

/**
 * Where a label of a call is kept: what was taken in or read belongs to the run, what was written to the session (SPEC 4.9). Where the
 * caller names neither, it belongs to the agent as a whole: who cannot be told apart is not told apart.
 */
export function labelScope(label: RunLabel, { agentId, sessionKey, runId }: LabelOwner): string {
  if (label !== 'code' && runId !== null) return `run:${agentId}/${runId}`;
  return sessionKey === '' ? `agent:${agentId}` : `session:${agentId}/${sessionKey}`;
}

/** @returns why this call is held after what its run has touched; empty when nothing stands against it. */
export function findSequences(call: ToolCall, facts: Facts, classification: Classification, policy: Policy): readonly SequenceFinding[] {
  const labels = facts.run?.labels ?? [];
  // A model call is metered, not read (SPEC 3): an agent must be able to go on thinking.
  if (labels.length === 0 || classification.mappedTool === 'model_call') return NONE;
  const { outside, runners } = policy.document.sequence;
  const found: SequenceFinding[] = [];
  if (labels.includes('untrusted') && labels.includes('private') && isNamed(outside, call, classification))
    found.push({
      message: 'This run has taken in untrusted input and read private data: it sends nothing outside by itself.',
      policyPath: 'sequence.outside',
    });
  const program = labels.includes('code') ? startedRunner(classification, runners) : null;
  if (program !== null)
    found.push({
      message: `This run has written code that ${program} would run: a person looks at it first.`,
      policyPath: 'sequence.runners',
    });
  return found;
}

const NONE: readonly SequenceFinding[] = Object.freeze([]);

function isNamed(patterns: readonly string[], call: ToolCall, { mappedTool }: Classification): boolean {
  return patterns.some((pattern) => coversTool(pattern, call.tool) || coversTool(pattern, mappedTool));
}

function startedRunner({ commands }: Classification, runners: readonly string[]): string | null {
  for (const { argv } of commands) {
    const program = argv?.[0];
    if (program === undefined) continue;
    const name = program.slice(program.lastIndexOf('/') + 1);
    if (runners.includes(name)) return name;
  }
  return null;
}

/** A pattern without a slash names a file in any folder; one with a slash is relative to the workspace, and ends in "/" for a folder. */
function matchesFile(pattern: string, path: string, workspace: string | null): boolean {
  const root = workspace === null ? '' : workspace.replace(/\/+$/, '');
  const relative = root !== '' && path.startsWith(`${root}/`) ? path.slice(root.length + 1) : path;
  if (pattern.endsWith('/')) return relative.startsWith(pattern);
  return matchesStars(pattern, pattern.includes('/') ? relative : relative.slice(relative.lastIndexOf('/') + 1));
}
