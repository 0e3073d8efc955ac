/**
 * The form of the code is a test: who may import whom (docs/architecture.md). The rules are functions of an import, so that each
 * can be shown to notice a line that crosses it.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Import, importsOf, importsOfFile, sourceFiles } from './support/imports.ts';

const ROOT = join(import.meta.dirname, '..');
const ROOMS = ['policies', 'proxy', 'control', 'dashboard'];
const CONTRACT = 'control/contract.ts';
/** One file for each resource; contract.ts puts them together. */
const CONTRACT_PARTS = 'control/contract';
const FILES = ROOMS.flatMap((room) => sourceFiles(ROOT, room));
const IMPORTS = FILES.flatMap((file) => importsOfFile(ROOT, file));

interface Rule {
  says: string;
  /** True where this import crosses the line. */
  crosses: (line: Import) => boolean;
  /** An import that must be noticed, as [file, source line]. */
  example: [string, string];
}

const inRoom = (path: string, room: string) => path === room || path.startsWith(`${room}/`);
const isOneOf = (path: string, ...files: string[]) => files.includes(path);
/** proxy: what admission works with. None of these knows another, nor any entry point. */
const COLLABORATORS = ['snapshot', 'ledger', 'holds', 'journal', 'register', 'rates', 'joins', 'openings'].map(
  (name) => `proxy/${name}.ts`,
);
const ENTRY_POINTS = ['hook', 'mcp', 'http', 'model', 'egress', 'gateway', 'server', 'main'].map((name) => `proxy/${name}.ts`);
/** control: what stands above the services. */
const ABOVE_SERVICES = ['control/routes', 'control/workers', 'control/notify', 'control/commands'];
/** What people decide, and the calls that wait for it. */
const APPROVALS = ['control/approvals.ts', 'control/holds.ts'];
const TOP = ['control/api.ts', 'control/main.ts'];
const isService = (path: string) => /^control\/[\w-]+\.ts$/.test(path) && !isOneOf(path, CONTRACT, ...TOP);

const RULES: Rule[] = [
  {
    says: 'policies is pure: it imports only itself and the parsers it is made of',
    crosses: ({ from, to, isPackage }) =>
      inRoom(from, 'policies') &&
      (isPackage
        ? !isOneOf(to, 'zod', 'yaml', 'unbash', 'ipaddr.js', '@marcbachmann/cel-js', '@pydantic/genai-prices')
        : !inRoom(to, 'policies')),
    example: ['policies/decide.ts', "import { readFileSync } from 'node:fs';"],
  },
  {
    says: 'the contract imports policies, zod and its own parts, nothing else',
    crosses: ({ from, to, isPackage }) =>
      (from === CONTRACT || inRoom(from, CONTRACT_PARTS)) &&
      (isPackage ? to !== 'zod' : !inRoom(to, 'policies') && !inRoom(to, CONTRACT_PARTS)),
    example: ['control/contract/agents.ts', "import { openDatabase } from '../db/database.ts';"],
  },
  {
    says: 'the parts of the contract are reached through the contract',
    crosses: ({ from, to }) => inRoom(to, CONTRACT_PARTS) && from !== CONTRACT && !inRoom(from, CONTRACT_PARTS),
    example: ['control/agents.ts', "import type { Agent } from './contract/agents.ts';"],
  },
  {
    says: 'the proxy knows of control only the contract',
    crosses: ({ from, to, isPackage }) =>
      inRoom(from, 'proxy') && !isPackage && !inRoom(to, 'proxy') && !inRoom(to, 'policies') && to !== CONTRACT,
    example: ['proxy/holds.ts', "const { createApprovals } = await import('../control/approvals.ts');"],
  },
  {
    says: 'the proxy has no database and no web framework',
    crosses: ({ from, to }) =>
      inRoom(from, 'proxy') && isOneOf(to, 'kysely', '@electric-sql/pglite', 'postgres', 'hono', '@hono/node-server', '@hono/zod-openapi'),
    example: ['proxy/journal.ts', "import 'kysely';"],
  },
  {
    says: 'the shipped plugin stands alone: node modules and its own files only',
    crosses: ({ from, to, isPackage, isTypeOnly }) =>
      inRoom(from, 'proxy/openclaw') && !isTypeOnly && (isPackage ? !to.startsWith('node:') : !inRoom(to, 'proxy/openclaw')),
    example: ['proxy/openclaw/index.mjs', "import { z } from 'zod';"],
  },
  {
    says: 'what admission works with knows neither the others nor an entry point nor admission',
    crosses: ({ from, to }) =>
      COLLABORATORS.includes(from) &&
      (to === 'proxy/admission.ts' || ENTRY_POINTS.includes(to) || (COLLABORATORS.includes(to) && to !== from)),
    example: ['proxy/ledger.ts', "import { Journal } from './journal.ts';"],
  },
  {
    says: 'entry points do not know each other',
    crosses: ({ from, to }) => ENTRY_POINTS.slice(0, 6).includes(from) && ENTRY_POINTS.includes(to) && to !== from,
    example: ['proxy/hook.ts', "import { createListener } from './server.ts';"],
  },
  {
    says: 'the parts of the second gate know no entry point; messages and events know nothing of judging',
    crosses: ({ from, to }) =>
      /^proxy\/mcp-[\w-]+\.ts$/.test(from) &&
      (ENTRY_POINTS.includes(to) ||
        (/^proxy\/mcp-(message|events|exchange|bridge|mux|sse|stdio|upstream)\.ts$/.test(from) &&
          isOneOf(to, 'proxy/admission.ts', 'proxy/mcp-judgement.ts', 'proxy/mcp-requests.ts'))),
    example: ['proxy/mcp-upstream.ts', "import { createJudgement } from './mcp-judgement.ts';"],
  },
  {
    says: 'control never imports the proxy or the dashboard',
    crosses: ({ from, to }) => inRoom(from, 'control') && (inRoom(to, 'proxy') || inRoom(to, 'dashboard')),
    example: ['control/line.ts', "import { Snapshot } from '../proxy/snapshot.ts';"],
  },
  {
    says: 'services do not know routes, workers, commands, the API or the start',
    crosses: ({ from, to }) => isService(from) && (ABOVE_SERVICES.some((room) => inRoom(to, room)) || TOP.includes(to)),
    example: ['control/agents.ts', "import { agentRoutes } from './routes/agents.ts';"],
  },
  {
    says: 'the database knows no service',
    crosses: ({ from, to, isPackage }) => inRoom(from, 'control/db') && !isPackage && !inRoom(to, 'control/db') && to !== CONTRACT,
    example: ['control/db/schema.ts', "import type { Agents } from '../agents.ts';"],
  },
  {
    says: 'tasks know no other service of the collaboration; agents know tasks; nobody knows emergency but who presses it',
    crosses: ({ from, to }) =>
      (from === 'control/tasks.ts' && isOneOf(to, 'control/agents.ts', ...APPROVALS, 'control/emergency.ts')) ||
      (isOneOf(from, 'control/agents.ts', ...APPROVALS) && isOneOf(to, 'control/emergency.ts')) ||
      (from === 'control/agents.ts' && isOneOf(to, ...APPROVALS)) ||
      (isOneOf(from, ...APPROVALS) && to === 'control/agents.ts'),
    example: ['control/tasks.ts', "import type { Approvals } from './approvals.ts';"],
  },
  {
    says: 'the dashboard takes types from the contract and judgement from policies, nothing else of the server',
    crosses: ({ from, to, isPackage, isTypeOnly }) =>
      inRoom(from, 'dashboard') && !isPackage && !inRoom(to, 'dashboard') && !inRoom(to, 'policies') && !(to === CONTRACT && isTypeOnly),
    example: ['dashboard/store.ts', "import { AgentSchema } from '../control/contract.ts';"],
  },
  {
    says: 'elements take properties and emit events: they know neither store nor network nor views',
    crosses: ({ from, to }) =>
      inRoom(from, 'dashboard/elements') &&
      (isOneOf(to, 'dashboard/store.ts', 'dashboard/api.ts', 'dashboard/live.ts', 'dashboard/app.ts') || inRoom(to, 'dashboard/views')),
    example: ['dashboard/elements/button.ts', "import { store } from '../store.ts';"],
  },
];

describe('who may import whom', () => {
  for (const rule of RULES) {
    it(rule.says, () => {
      expect(IMPORTS.filter(rule.crosses).map(({ from, to }) => `${from} → ${to}`)).toEqual([]);
      const [file, line] = rule.example;
      expect(importsOf(file, line).filter(rule.crosses), 'the rule must notice its own example').toHaveLength(1);
    });
  }

  it('no file imports itself by way of others', () => {
    const next = new Map<string, string[]>();
    for (const { from, to, isPackage, isTypeOnly } of IMPORTS) {
      if (!isPackage && !isTypeOnly) next.set(from, [...(next.get(from) ?? []), to]);
    }
    expect(findCycle(next)).toBeNull();
    expect(
      findCycle(
        new Map([
          ['a', ['b']],
          ['b', ['c']],
          ['c', ['a']],
        ]),
      ),
    ).toEqual(['a', 'b', 'c', 'a']);
  });

  it('every import of a file leads to a file', () => {
    expect(IMPORTS.length).toBeGreaterThan(200); // the reader of imports reads
    const missing = IMPORTS.filter(({ to, isPackage }) => !isPackage && !existsSync(join(ROOT, to)));
    expect(missing.map(({ from, to }) => `${from} → ${to}`)).toEqual([]);
  });
});

describe('the judgement', () => {
  it('uses no clock, no chance, no environment and no timers', () => {
    const impure = /\b(Date\.now|new Date\(\)|Math\.random|performance\.|process\.|setTimeout|setInterval|crypto\.|fetch\()/;
    const found = sourceFiles(ROOT, 'policies').filter((file) => impure.test(withoutComments(readFileSync(join(ROOT, file), 'utf8'))));
    expect(found).toEqual([]);
    expect(impure.test('const now = Date.now();')).toBe(true);
  });
});

describe('names', () => {
  it('no file is a drawer', () => {
    const drawers = FILES.filter((file) => /(^|\/|-)(utils?|helpers?|common|misc|managers?|shared)\.(ts|mjs)$/.test(file));
    expect(drawers).toEqual([]);
  });
});

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '$1');
}

function findCycle(next: ReadonlyMap<string, readonly string[]>): string[] | null {
  const done = new Set<string>();
  const walk = (file: string, path: string[]): string[] | null => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return null;
    for (const target of next.get(file) ?? []) {
      const cycle = walk(target, [...path, file]);
      if (cycle) return cycle;
    }
    done.add(file);
    return null;
  };
  for (const file of next.keys()) {
    const cycle = walk(file, []);
    if (cycle) return cycle;
  }
  return null;
}
