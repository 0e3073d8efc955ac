/** The documents as the checks of this folder read them: their text, their fences, where their links lead. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '..', '..');

export interface Fence {
  /** First word behind the backticks; empty where there is none. */
  language: string;
  /** What follows it: "no-test: why", "tested-by: file". */
  mark: string;
  text: string;
  line: number;
}

export interface Document {
  /** From the root of the repository. */
  path: string;
  text: string;
  fences: Fence[];
  /** The text without what stands in fences. */
  prose: string;
}

/** Every document that is for people: the root's, docs/ and its decisions. */
export function readDocuments(): Document[] {
  const inFolder = (folder: string) =>
    readdirSync(join(ROOT, folder))
      .filter((name) => name.endsWith('.md'))
      .map((name) => join(folder, name));
  return [...inFolder('.'), ...inFolder('docs'), ...inFolder('docs/decisions')].toSorted().map((path) => {
    const text = readFileSync(join(ROOT, path), 'utf8');
    const fences = fencesOf(text);
    return { path, text, fences, prose: text.replaceAll(/^```[\s\S]*?^```$/gm, '') };
  });
}

function fencesOf(text: string): Fence[] {
  return [...text.matchAll(/^```(\w*) *(.*)\n([\s\S]*?)^```$/gm)].map(({ 1: language = '', 2: mark = '', 3: content = '', index }) => ({
    language,
    mark,
    text: content,
    line: text.slice(0, index).split('\n').length,
  }));
}

/** The anchors of its headings, as GitHub makes them. */
export function anchorsOf({ prose }: Document): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ''] of prose.matchAll(/^#{1,6} (.+)$/gm)) {
    const anchor = heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-');
    for (let n = 0; ; n++) {
      const one = n === 0 ? anchor : `${anchor}-${n}`;
      if (anchors.has(one)) continue;
      anchors.add(one);
      break;
    }
  }
  return anchors;
}
