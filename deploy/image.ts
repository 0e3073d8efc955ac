/** The Dockerfile as data, and the files of its image put together without a builder. */
import { cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');

export interface Instruction {
  name: string;
  text: string;
}

/** The stages of the Dockerfile in order, each with its FROM first. */
export function readStages(): Instruction[][] {
  const text = readFileSync(join(ROOT, 'deploy', 'Dockerfile'), 'utf8').replaceAll(/\\\n\s*/g, ' ');
  const stages: Instruction[][] = [];
  for (const line of text.split('\n')) {
    const [, name, rest = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
    if (name === undefined) continue;
    if (name === 'FROM') stages.push([]);
    stages.at(-1)?.push({ name, text: rest });
  }
  return stages;
}

/** What the last stage copies from here: source, and target below its folder. */
export function copiedHere(): { from: string; to: string }[] {
  const last = readStages().at(-1) ?? [];
  return last.flatMap(({ name, text }) => {
    if (name !== 'COPY' || text.includes('--from=')) return [];
    const paths = text.split(/\s+/).filter((part) => !part.startsWith('--'));
    const target = paths.pop() ?? '';
    return paths.map((from) => ({ from, to: target.endsWith('/') ? join(target, from) : target }));
  });
}

/** Puts the copied files into `folder`, with the built dashboard where there is one; without dependencies. */
export function assembleImage(folder: string): void {
  const files = [...copiedHere(), { from: 'dashboard/dist', to: 'dashboard/dist' }];
  for (const { from, to } of files) {
    if (!existsSync(join(ROOT, from))) continue;
    mkdirSync(dirname(join(folder, to)), { recursive: true });
    cpSync(join(ROOT, from), join(folder, to), { recursive: true });
  }
}
