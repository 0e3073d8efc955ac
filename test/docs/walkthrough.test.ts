/** The picture story says what the film says, scene by scene. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { SCENES } from '../browser/walkthrough-scenes.ts';

const docs = join(import.meta.dirname, '..', '..', 'docs');

it('shows every scene of the film in its order, each with its words below its picture', () => {
  const story = readFileSync(join(docs, 'walkthrough.md'), 'utf8');
  const told = [...story.matchAll(/\]\(pictures\/walkthrough\/(\w+)\.jpg\)\n\n(.+)\n/g)].map(([, name, words]) => [name, words]);
  expect(told).toEqual(Object.entries(SCENES));
  for (const name of Object.keys(SCENES)) expect(existsSync(join(docs, 'pictures', 'walkthrough', `${name}.jpg`)), name).toBe(true);
});
