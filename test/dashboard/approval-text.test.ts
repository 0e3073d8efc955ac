import { describe, expect, it } from 'vitest';
import { commandLineOf, gistOf, groupApprovals, titleOf } from '../../dashboard/elements/approval-text.ts';
import { sampleApproval } from './sample-approval.ts';

const path = (given: string, use: 'read' | 'write', verdict: 'inside' | 'outside' | 'config') => ({
  given,
  path: given,
  use,
  verdict,
  secret: false,
  why: '',
});
const preview = { mappedTool: 'write_file', commands: [], paths: [], hosts: [] };

describe('naming a held call', () => {
  it('names the program that caused the hold, not the ones before it', () => {
    const approval = sampleApproval({ command: 'cd web && npm run build && /usr/bin/npm publish --tag next' });
    expect(titleOf(approval)).toEqual({ verb: 'Run', object: 'npm publish' });
    expect(gistOf(approval)).toBe('exec /usr/bin/npm publish --tag next');
    expect(commandLineOf(approval)).toBe('cd web && npm run build && /usr/bin/npm publish --tag next');
  });

  it('names the path that is not inside, relative to the workspace', () => {
    const approval = sampleApproval({
      tool: 'write',
      preview: { ...preview, paths: [path('/srv/ws/out/a.md', 'write', 'inside'), path('/srv/ws/config/x.yaml', 'write', 'config')] },
    });
    expect(titleOf(approval)).toEqual({ verb: 'Write', object: 'config/x.yaml' });
  });

  it('keeps the whole path where it leaves the workspace', () => {
    const approval = sampleApproval({
      tool: 'read',
      preview: { ...preview, mappedTool: 'read_file', paths: [path('/srv/wsx/.env', 'read', 'outside')] },
    });
    expect(titleOf(approval)).toEqual({ verb: 'Read', object: '/srv/wsx/.env' });
  });

  it('falls back to the summary that came with it', () => {
    const approval = sampleApproval({
      tool: 'crm__merge',
      preview: null,
      arguments: { count: 2, keep: 'contact_8812' },
      summary: 'crm__merge contact_8812',
    });
    expect(titleOf(approval)).toEqual({ verb: 'Call', object: 'crm__merge' });
    expect(gistOf(approval)).toBe('crm__merge contact_8812');
    expect(commandLineOf(approval)).toBeNull();
  });
});

it('names what acts, not the change of folder before it, and the gravest first', () => {
  const held = (text: string, red: boolean) => ({
    text,
    span: [0, 1] as const,
    argv: text.split(' '),
    verdict: 'held' as const,
    red,
    why: '',
    offending: [],
  });
  const preview = {
    mappedTool: 'shell_exec',
    commands: [held('cd web', false), held('make all', false), held('git push', true)],
    paths: [],
    hosts: [],
  };
  expect(titleOf(sampleApproval({ preview }))).toEqual({ verb: 'Run', object: 'git push, make all' });
  expect(gistOf(sampleApproval({ preview }))).toBe('exec git push');
  expect(titleOf(sampleApproval({ preview: { ...preview, commands: [held('cd /etc', false)] } }))).toEqual({ verb: 'Run', object: 'cd' });
});

describe('like requests', () => {
  const publish = (id: string, name: string, createdAt: number) =>
    sampleApproval({ id, createdAt, command: `cd packages/${name} && npm publish --tag next @acme/${name}` });

  it('stand together, oldest first, each with what tells it from the others', () => {
    const groups = groupApprovals([
      publish('a', 'tokens', 1),
      sampleApproval({ id: 'x', command: 'git push', createdAt: 2, groupKey: 'exec: git push' }),
      publish('b', 'icons', 3),
    ]);
    expect(groups.map((group) => group.items.map((item) => item.id))).toEqual([['a', 'b'], ['x']]);
    expect(groups[0]?.labels).toEqual(['packages/tokens … @acme/tokens', 'packages/icons … @acme/icons']);
  });

  it('are those of the same shape, whoever makes them; risk and the number of people keep them apart', () => {
    const items = [
      publish('a', 'tokens', 1),
      { ...publish('b', 'tokens', 2), agentId: 'ag_2' },
      { ...publish('c', 'tokens', 3), taskId: null },
      { ...publish('d', 'tokens', 4), risk: 'yellow' as const },
      { ...publish('e', 'tokens', 5), approvalsNeeded: 2 },
      sampleApproval({ id: 'f', command: 'npm deprecate x', groupKey: 'exec: npm deprecate' }),
      sampleApproval({ id: 'g', kind: 'task' }),
      sampleApproval({ id: 'h', kind: 'task' }),
    ];
    expect(groupApprovals(items).map((group) => group.items.map((item) => item.id).join(''))).toEqual(['abc', 'd', 'e', 'f', 'g', 'h']);
  });

  it('hide no difference: folders and other arguments are named with the words', () => {
    const [group] = groupApprovals([
      sampleApproval({ arguments: { command: 'make a', env: { X: '1' } }, cwd: '/srv/ws/a' }),
      sampleApproval({ arguments: { command: 'make a b' }, cwd: '/srv/ws/b' }),
      sampleApproval({ arguments: { command: 'make c', env: { X: '1' } }, cwd: '/srv/ws/a' }),
    ]);
    expect(group?.labels).toEqual([
      'a, env: {"X":"1"}, folder: /srv/ws/a',
      'a b, no env, folder: /srv/ws/b',
      'c, env: {"X":"1"}, folder: /srv/ws/a',
    ]);
    const [writes] = groupApprovals(['x', 'y'].map((path) => sampleApproval({ tool: 'write', arguments: { path, content: 'same' } })));
    expect(writes?.labels).toEqual(['x', 'y']);
  });

  it('are told apart by number when their words are the same', () => {
    const [group] = groupApprovals([sampleApproval({ id: 'a', number: 7 }), sampleApproval({ id: 'b', number: 8 })]);
    expect(group?.labels).toEqual(['number 7', 'number 8']);
  });
});
