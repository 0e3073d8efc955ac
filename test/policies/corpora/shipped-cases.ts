/**
 * The corpus that ships with the product (`policies/cases.json`), made from the corpora beside this file: what every replay judges besides
 * the recorded calls. Left out is what a team may well decide otherwise for itself (a red tool, a host, a remote), so that a case of it that
 * a draft suddenly allows says something about the draft.
 */
import { readFileSync } from 'node:fs';
import type { Verdict } from '../../../policies/index.ts';
import { simulateCases } from '../../../policies/index.ts';
import { DEFAULT_POLICY } from '../scene.ts';
import { DECISIONS } from './decisions.ts';

interface ShippedCase {
  id: string;
  tool: string;
  arguments: Record<string, unknown>;
  expect: { verdict: Verdict; risk?: string; codes?: readonly string[] };
  [more: string]: unknown;
}

type Groups<T> = Record<string, T[]>;
type Command = string | { command: string; cwd?: string };
interface PathCase {
  path: string;
  use: 'read' | 'write';
  verdict: 'inside' | 'outside' | 'config';
  secret?: boolean;
  cwd?: string;
  workspace?: string | null;
  symlinks?: Record<string, string>;
}
interface UrlCase {
  url: string;
  verdict: 'listed' | 'not_listed' | 'refused';
  dns?: Record<string, string[]>;
}

const load = <T>(name: string) => JSON.parse(readFileSync(new URL(`./${name}.json`, import.meta.url), 'utf8')) as T;

/** The text of the file. One case a line, so that a change can be read. */
export function shippedCases(): string {
  const cases = [...shellCases(), ...pathCases(), ...urlCases(), ...decisionCases()].filter(
    (entry) => !JSON.stringify(entry).includes('¦'),
  );
  const head = {
    description: 'The shipped corpus: judged by every replay besides the recorded calls, and by `policy test` without a file.',
    defaults: { agent: { id: 'agent-1', autonomy: 'specialist', status: 'active' } },
  };
  return `${JSON.stringify(head, null, 2).slice(0, -2)},\n  "cases": [\n${cases.map((entry) => `    ${JSON.stringify(entry)}`).join(',\n')}\n  ]\n}\n`;
}

/** Hosts that the addresses of the corpora take for listed. */
export const CORPUS_PATCH = {
  allowlists: { network: ['github.com', '*.github.com', '*.githubusercontent.com', 'packages.example.org', 'docs.python.org'] },
};

/** Every case of the corpora, what a team may decide otherwise included; to be judged by the shipped policy with CORPUS_PATCH over it. */
export function corpusCases(): readonly { id: string; expect: { verdict: Verdict }; [more: string]: unknown }[] {
  const cases = [...shellCases(true), ...pathCases(), ...urlCases(true), ...decisionCases(true)];
  // A credential is written with a mark in it, so that no scanner takes it for one.
  return cases.map((entry) => JSON.parse(JSON.stringify(entry).replaceAll('¦', '')) as ShippedCase);
}

function shellCases(isWhole = false): ShippedCase[] {
  const { benign, blocked, red, held } = load<Record<'benign' | 'blocked' | 'red' | 'held', Groups<Command>>>('shell');
  const { outside, ...rest } = red;
  const destructive = isWhole && outside ? { outside, ...rest } : rest;
  return [
    ...each('benign', benign, (entry) => shellCase(entry, { verdict: 'allow' })),
    ...each('blocked', blocked, (entry) => shellCase(entry, { verdict: 'deny', risk: 'red', codes: ['SHELL_BLOCKED'] })),
    ...each('red', destructive, (entry) => shellCase(entry, { verdict: 'hold', risk: 'red' })),
    ...each('held', held, (entry) => shellCase(entry, { verdict: 'hold' })),
  ];
}

function shellCase(entry: Command, expect: ShippedCase['expect']): Omit<ShippedCase, 'id'> {
  const { command, ...more } = typeof entry === 'string' ? { command: entry } : entry;
  // An empty command is no call that could be read.
  return { tool: 'exec', arguments: { command }, ...more, expect: command.trim() === '' ? { verdict: 'deny' } : expect };
}

function pathCases(): ShippedCase[] {
  return each('path', load<Groups<PathCase>>('paths'), ({ path, use, verdict, secret, symlinks, ...more }) => ({
    tool: use === 'read' ? 'read_file' : 'write_file',
    arguments: { path },
    ...more,
    ...(symlinks && { files: { symlinks } }),
    // What is no path, or no root, is no call that could be read.
    expect: {
      verdict: path === '' || more.workspace?.startsWith('/') === false ? 'deny' : verdict === 'inside' && !secret ? 'allow' : 'hold',
    },
  }));
}

function urlCases(isWhole = false): ShippedCase[] {
  const { listed = [], 'not listed': unlisted = [], ...refused } = load<Groups<UrlCase>>('urls');
  // A host that only looks like a listed one is no matter of taste.
  const lookalikes = { lookalikes: unlisted.filter(({ url }) => /github/i.test(url)) };
  return each('url', isWhole ? { listed, unlisted, ...refused } : { ...refused, ...lookalikes }, ({ url, verdict, dns }) => ({
    tool: 'web_fetch',
    arguments: { url },
    ...(dns && { network: { dns } }),
    expect: { verdict: verdict === 'refused' ? 'deny' : verdict === 'listed' ? 'allow' : 'hold' },
  }));
}

function decisionCases(isWhole = false): ShippedCase[] {
  return DECISIONS.flatMap(({ name, given, verdict, risk, codes, patch }) => {
    const { id: _, ...rest } = given;
    const isNobody = 'agent' in rest && rest.agent === undefined;
    const entry = {
      id: name,
      ...rest,
      ...(isNobody && { agent: null }),
      expect: { verdict, ...(risk && { risk }), ...(codes && { codes }) },
    } as ShippedCase;
    const agent = { id: 'agent-1', autonomy: 'specialist', status: 'active' };
    const [result] = simulateCases([JSON.parse(JSON.stringify({ agent, ...entry }))], DEFAULT_POLICY);
    const isTaste = result?.verdict === 'hold' && result.risk === 'red';
    return patch !== undefined || (isTaste && !isWhole) ? [] : [entry];
  });
}

function each<T>(kind: string, groups: Groups<T>, make: (entry: T) => Omit<ShippedCase, 'id'>): ShippedCase[] {
  return Object.entries(groups).flatMap(([group, entries]) =>
    entries.map((entry, index) => ({ id: `${kind}: ${group} ${index + 1}`, ...make(entry) }) as ShippedCase),
  );
}
