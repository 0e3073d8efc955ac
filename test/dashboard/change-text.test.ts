import { describe, expect, it } from 'vitest';
import { changesOf, sizeOf } from '../../dashboard/elements/change-text.ts';

const write = (args: Record<string, unknown>) => changesOf({ tool: 'write', mappedTool: 'write_file', arguments: args });
const shown = (change: { lines: readonly { kind: string; text: string }[] } | undefined) =>
  change?.lines.map(({ kind, text }) => `${{ same: ' ', gone: '-', came: '+', gap: '@' }[kind]}${text}`);

describe('the files that a call would write', () => {
  it('says of a whole file that its old content is not known', () => {
    const [change] = write({ path: 'a.md', content: 'one\ntwo\n' });
    expect(change).toMatchObject({ path: 'a.md', action: 'write', oldUnknown: true });
    expect(shown(change)).toEqual(['+one', '+two']);
  });

  it('compares with the old content where the caller gave it', () => {
    const [change] = write({ path: 'a.md', content: 'one\nTWO\nthree', originalContent: 'one\ntwo\nthree' });
    expect(change?.oldUnknown).toBe(false);
    expect(shown(change)).toEqual([' one', '-two', '+TWO', ' three']);
  });

  it.each([
    [{ path: 'a.ts', oldText: 'x\ny', newText: 'x\nz' }],
    [{ file_path: 'a.ts', old_string: 'x\ny', new_string: 'x\nz' }],
    [{ path: 'a.ts', edits: [{ oldText: 'x\ny', newText: 'x\nz' }] }],
  ])('shows an edit as the lines that go and come: %j', (args) => {
    const [change, ...others] = write(args);
    expect(others).toEqual([]);
    expect(change).toMatchObject({ path: 'a.ts', action: 'edit', oldUnknown: false, everywhere: false });
    expect(shown(change)).toEqual([' x', '-y', '+z']);
  });

  it('says that an edit replaces every place, and shows each of several', () => {
    expect(write({ path: 'a', old_string: 'x', new_string: 'y', replace_all: true })[0]?.everywhere).toBe(true);
    const edits = [
      { oldText: 'a', newText: 'b' },
      { oldText: 'c', newText: '' },
    ];
    expect(write({ path: 'a', edits }).map(shown)).toEqual([['-a', '+b'], ['-c']]);
  });

  it('reads every file of a patch, and hides no line of it', () => {
    const input = [
      '*** Begin Patch',
      '*** Update File: src/a.ts',
      '*** Move to: src/b.ts',
      '@@ main',
      ' keep',
      '-old',
      '+new',
      '*** what is this',
      '*** Add File: c.md',
      '+hello',
      '*** Delete File: d.md',
      '*** End Patch',
    ].join('\n');
    const files = changesOf({ tool: 'apply_patch', mappedTool: 'write_file', arguments: { input } });
    expect(files.map(({ path, action, movedTo }) => [path, action, movedTo])).toEqual([
      ['src/a.ts', 'move', 'src/b.ts'],
      ['c.md', 'add', null],
      ['d.md', 'delete', null],
    ]);
    expect(shown(files[0])).toEqual(['@main', ' keep', '-old', '+new', ' *** what is this']);
    expect(shown(files[1])).toEqual(['+hello']);
    expect(files.map(sizeOf)).toEqual([
      { came: 1, gone: 1 },
      { came: 1, gone: 0 },
      { came: 0, gone: 0 },
    ]);
  });

  it('shows nothing of calls that write no file, or whose content is no text', () => {
    expect(changesOf({ tool: 'exec', mappedTool: 'shell_exec', arguments: { path: 'a', content: 'b' } })).toEqual([]);
    expect(write({ path: 'a', content: { b: 1 } })).toEqual([]);
    expect(changesOf({ tool: 'write', mappedTool: 'write_file', arguments: null })).toEqual([]);
  });

  it('keeps a very long change whole', () => {
    const before = 'a\n'.repeat(30_000);
    const [change] = write({ path: 'a', oldText: before, newText: 'b' });
    expect(change && sizeOf(change)).toEqual({ came: 1, gone: 30_000 });
  });
});
