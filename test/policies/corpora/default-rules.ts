/**
 * The lists that the shipped policy has, compiled: the corpora beside this file are written for them. The workspace is
 * `/workspace`, and nothing is known about links or names unless a case says so.
 */

import { compileFileRules } from '../../../policies/filesystem.ts';
import { compileNetworkRules } from '../../../policies/network.ts';
import { compileShellRules, readShell, type ShellContext, type ShellReading } from '../../../policies/shell.ts';

export const DEFAULT_SHELL = [
  'ls',
  'pwd',
  'cat',
  'head',
  'tail',
  'grep',
  'find',
  'git status',
  'git diff',
  'git log',
  'git checkout -b',
  'git add',
  'git commit',
  'npm test',
  'npm run lint',
  'pnpm test',
  'pnpm lint',
  'yarn test',
  'yarn lint',
  'vitest',
  'pytest',
  'python -m pytest',
  'eslint',
  'node scripts/',
  'python scripts/',
] as const;

export const DEFAULT_NETWORK = ['github.com', '*.github.com', '*.githubusercontent.com', 'registry.npmjs.org', 'docs.python.org'] as const;

export const FILE_RULES = rulesOf(
  compileFileRules({ read: ['**'], write: ['output/**', 'docs/**', 'memory/**'], writeBlocked: ['config/**'] }),
);
export const NETWORK_RULES = rulesOf(compileNetworkRules(DEFAULT_NETWORK));
export const SHELL_RULES = rulesOf(compileShellRules(DEFAULT_SHELL));

export const SHELL_CONTEXT: ShellContext = {
  cwd: null,
  workspace: '/workspace',
  symlinks: {},
  dns: {},
  files: FILE_RULES,
  network: NETWORK_RULES,
};

/** Reads a command with the default lists. */
export function readCommand(command: string, more: Partial<ShellContext> = {}): ShellReading {
  return readShell(command, SHELL_RULES, { ...SHELL_CONTEXT, ...more });
}

/** What the findings of a reading ask for together. */
export function verdictOf(reading: ShellReading): 'allow' | 'hold' | 'deny' {
  if (reading.findings.some(({ verdict }) => verdict === 'deny')) return 'deny';
  return reading.findings.length > 0 ? 'hold' : 'allow';
}

/** The rules of a compilation that must succeed. */
export function rulesOf<T>(compiled: { rules: T } | { errors: unknown }): T {
  if ('errors' in compiled) throw new Error(`Does not compile: ${JSON.stringify(compiled.errors)}`);
  return compiled.rules;
}
