/**
 * The lists of the shipped policy for commands and files, compiled: the corpora beside this file are written for them. The
 * workspace is `/workspace`, and nothing is known about links or names unless a case says so.
 */

import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { compileFileRules } from '../../../policies/filesystem.ts';
import { compileNetworkRules } from '../../../policies/network.ts';
import { compileShellRules, readShell, type ShellContext, type ShellReading } from '../../../policies/shell.ts';

const shipped = parse(readFileSync(new URL('../../../policies/default.yaml', import.meta.url), 'utf8')) as {
  allowlists: { shell: string[]; filesystem: { read: string[]; write: string[]; writeBlocked: string[] } };
};

/** The hosts that the corpora take for listed: with a wildcard, which the shipped list has none of. */
const HOSTS = ['github.com', '*.github.com', '*.githubusercontent.com', 'packages.example.org', 'docs.python.org'];

export const FILE_RULES = rulesOf(compileFileRules(shipped.allowlists.filesystem));
export const NETWORK_RULES = rulesOf(compileNetworkRules(HOSTS));
export const SHELL_RULES = rulesOf(compileShellRules(shipped.allowlists.shell));

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
