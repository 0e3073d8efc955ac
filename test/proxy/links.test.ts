import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PathReading } from '../../policies/index.ts';
import { linksUnder } from '../../proxy/links.ts';

let folder: string;
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'mc-links-')));
  mkdirSync(join(folder, 'real', 'docs'), { recursive: true });
  writeFileSync(join(folder, 'real', 'docs', 'plan.md'), '');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const reading = (path: string | null): PathReading => ({ given: path ?? '', path, use: 'read', verdict: 'inside', secret: false, why: '' });
const linksOf = (paths: (string | null)[], workspace: string | null) => linksUnder(paths.map(reading), workspace);

describe('the links among the paths of a call', () => {
  it('are none where there is none', async () => {
    const workspace = join(folder, 'real');
    expect(await linksOf([join(workspace, 'docs', 'plan.md'), join(workspace, 'new', 'file.md'), null], workspace)).toBeNull();
    expect(await linksOf([], null)).toBeNull();
  });

  it('are seen at the end of a path, on the way, and where they lead nowhere', async () => {
    const workspace = join(folder, 'real');
    symlinkSync('plan.md', join(workspace, 'docs', 'alias.md'));
    symlinkSync(join(folder, 'real', 'docs'), join(workspace, 'way'));
    symlinkSync('/nowhere/at/all', join(workspace, 'dangling'));
    expect(await linksOf([join(workspace, 'docs', 'alias.md')], workspace)).toEqual({
      [join(workspace, 'docs', 'alias.md')]: join(workspace, 'docs', 'plan.md'),
    });
    expect(await linksOf([join(workspace, 'way', 'plan.md')], workspace)).toEqual({ [join(workspace, 'way')]: join(workspace, 'docs') });
    expect(await linksOf([join(workspace, 'way', 'new', 'file.md')], null)).toEqual({ [join(workspace, 'way')]: join(workspace, 'docs') });
    expect(await linksOf([join(workspace, 'dangling')], workspace)).toEqual({ [join(workspace, 'dangling')]: '/nowhere/at/all' });
  });

  it('include a workspace that is one itself, whatever the call names', async () => {
    const workspace = join(folder, 'link');
    symlinkSync(join(folder, 'real'), workspace);
    const link = { [workspace]: join(folder, 'real') };
    expect(await linksOf([], workspace)).toEqual(link);
    expect(await linksOf([workspace], workspace)).toEqual(link);
    expect(await linksOf([join(workspace, 'docs', 'plan.md')], workspace)).toEqual(link);
    expect(await linksOf([join(workspace, 'not', 'there')], workspace)).toEqual(link);
    expect(await linksOf([join(folder, 'real', 'docs')], workspace)).toEqual(link);
    expect(await linksOf([`${workspace}-beside`], workspace)).toEqual(link);
    for (const depth of [62, 63, 64, 65, 200]) expect(await linksOf([join(workspace, 'x/'.repeat(depth), 'x')], workspace)).toEqual(link);
  });

  it('include those above the workspace', async () => {
    mkdirSync(join(folder, 'real', 'work'));
    symlinkSync(join(folder, 'real'), join(folder, 'above'));
    const link = { [join(folder, 'above')]: join(folder, 'real') };
    expect(await linksOf([join(folder, 'above', 'work', 'new.md')], join(folder, 'above', 'work'))).toEqual(link);
    expect(await linksOf([], join(folder, 'above', 'work'))).toEqual(link);
  });
});
