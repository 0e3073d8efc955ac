/** What the documents name is there: files, anchors, scripts, commands, settings, alerts. How each command is known to work is said. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { ALERT_TYPES } from '../../control/contract.ts';
import { SETTINGS } from '../../settings.ts';
import { anchorsOf, ROOT, readDocuments } from './documents.ts';

const documents = readDocuments();
const byPath = new Map(documents.map((document) => [document.path, document]));
const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
const LANGUAGES = ['sh', 'yaml', 'json', 'mermaid', 'text'];
/** Variables of the tests and of others, which are no settings. */
const NO_SETTINGS = /^MC_BROWSER_SERVER$/;

describe('the documents', () => {
  it('lead where they say: every link, picture and anchor', () => {
    const astray = documents.flatMap((document) => {
      const { path, prose } = document;
      const links = [...prose.matchAll(/\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"/g)].map(([, one, two]) => one ?? two ?? '');
      return links.flatMap((link) => {
        if (/^(https?|mailto):/.test(link)) return [];
        const [file = '', anchor] = link.split('#');
        const target = file === '' ? path : join(dirname(path), file);
        if (!existsSync(join(ROOT, target))) return [`${path}: ${link}`];
        const named = byPath.get(target);
        return anchor === undefined || named === undefined || anchorsOf(named).has(anchor) ? [] : [`${path}: ${link}`];
      });
    });
    expect(astray).toEqual([]);
  });

  it('name files that exist', () => {
    const missing = documents.flatMap(({ path, text }) =>
      [...text.matchAll(/`((?:docs|test|control|proxy|policies|dashboard|load|deploy)\/[\w./-]+\.(?:ts|md|mjs|json|yaml|yml|env|css))`/g)]
        .map(([, file = '']) => file)
        .filter((file) => !existsSync(join(ROOT, file)))
        .map((file) => `${path}: ${file}`),
    );
    expect(missing).toEqual([]);
  });

  it('name scripts, commands and settings that exist', () => {
    const commands = commandNames();
    const wrong = documents
      .filter(({ path }) => !path.startsWith('docs/decisions/'))
      .flatMap(({ path, text }) => {
        const runs = [...text.matchAll(/npm run (?:-s )?([a-z][\w:-]*)/g)]
          .map(([, name = '']) => name)
          .filter((name) => !(name in scripts));
        const asked = [...text.matchAll(/(?:npm run -s mc --|node cli\.ts) ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?/g)].filter(
          ([, first = '', second]) =>
            !commands.tops.has(first) || (second !== undefined && commands.groups.get(first)?.has(second) === false),
        );
        const settings = [...text.matchAll(/\bMC_[A-Z_]+\b/g)]
          .map(([name]) => name)
          .filter((name) => !(name in SETTINGS) && !NO_SETTINGS.test(name));
        return [...runs, ...asked.map(([command]) => command), ...settings].map((what) => `${path}: ${what}`);
      });
    expect(wrong).toEqual([]);
  });

  it('say of every block what it is, and of every command how it is known to work', () => {
    const unsaid = documents.flatMap(({ path, fences, prose }) => {
      const loose = [...prose.matchAll(/^ {4}(?:[A-Z_]+=\S+ )*(?:npm|npx|node|curl|cd|git|docker|cp|grep) .*$/gm)].map(([line]) =>
        line.trim(),
      );
      const wrong = fences.filter(({ language, mark, text }) => {
        if (!LANGUAGES.includes(language)) return true;
        if (language !== 'sh') return false;
        if (mark === '') return false;
        if (/^no-test: \S.{10,}$/.test(mark)) return false;
        const file = /^tested-by: (\S+)$/.exec(mark)?.[1];
        return file === undefined || !existsSync(join(ROOT, file)) || !isNamedIn(readFileSync(join(ROOT, file), 'utf8'), text);
      });
      return [...loose, ...wrong.map(({ line, language, mark }) => `line ${line}: ${language} ${mark}`)].map((what) => `${path}: ${what}`);
    });
    expect(unsaid).toEqual([]);
  });

  it('have a cause and a cure for every alert that there is, and for no other', () => {
    const rules = parse(readFileSync(join(ROOT, 'deploy/rules.yml'), 'utf8')) as { groups: { rules: { alert?: string }[] }[] };
    const known = [...ALERT_TYPES, ...rules.groups.flatMap((group) => group.rules.flatMap(({ alert }) => alert ?? []))];
    const runbook = byPath.get('docs/RUNBOOK.md')?.prose ?? '';
    const entries = [...runbook.matchAll(/^### `(\w+)`\n([\s\S]*?)(?=^#|(?![\s\S]))/gm)];
    expect(entries.map(([, name]) => name).toSorted()).toEqual(known.toSorted());
    for (const [, name, text = ''] of entries) expect(text, name).toMatch(/\*\*Cause\*\*: .+\*\*Cure\*\*: .+/s);
  });

  it('are all found from the README or from the contributor’s page', () => {
    const entry = `${byPath.get('README.md')?.text} ${byPath.get('CONTRIBUTING.md')?.text}`;
    const lost = documents
      .map(({ path }) => path)
      .filter((path) => path.startsWith('docs/') && !path.startsWith('docs/decisions/') && !entry.includes(path));
    expect(lost).toEqual([]);
  });
});

/** Names of commands of the command line: those at its top, and those below each. */
function commandNames(): { tops: Set<string>; groups: Map<string, Set<string>> } {
  const files = ['cli.ts', ...readdirSync(join(ROOT, 'control/commands')).map((name) => `control/commands/${name}`)];
  const tops = new Set<string>();
  const groups = new Map<string, Set<string>>();
  for (const file of files) {
    const text = readFileSync(join(ROOT, file), 'utf8');
    const names = new Map<string, string>();
    if (file === 'cli.ts') groups.set('openclaw', new Set(['connect']));
    for (const [, variable, parent = '', name = ''] of text.matchAll(/(?:const (\w+) = )?\b(program|\w+)\s*\n?\s*\.command\('([\w-]+)/g)) {
      if (variable !== undefined) names.set(variable, name);
      if (parent === 'program') tops.add(name);
      const group = names.get(parent);
      if (group !== undefined) groups.set(group, (groups.get(group) ?? new Set()).add(name));
    }
    // Two verbs are made from one list.
    if (file.endsWith('approvals.ts')) for (const verb of ['approve', 'deny']) groups.get('approvals')?.add(verb);
  }
  return { tops, groups };
}

/** Whether a test has the words of a command in it, as its text or as the list that it starts a process with. */
function isNamedIn(test: string, block: string): boolean {
  const commands = [...block.matchAll(/(?:npm run -s mc --|node cli\.ts|npm run(?: -s)?) ([a-z][\w:-]*)/g)].map(([, name = '']) => name);
  return commands.length > 0 && commands.every((name) => test.includes(name));
}
