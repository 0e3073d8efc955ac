import { describe, expect, it } from 'vitest';
import { messageOf } from '../../dashboard/elements/message-text.ts';

const read = (args: Record<string, unknown>) => messageOf({ tool: 'message', mappedTool: 'post_social', arguments: args });

describe('what a call would send', () => {
  it('names everybody it reaches, each with the argument that names them', () => {
    const args = { to: ['a@acme.example', '#ops'], cc: 'b@rival.example', targets: [{ id: 7 }], threadId: 42, to_name: 'x' };
    expect(read(args)?.recipients).toEqual([
      { as: 'to', who: 'a@acme.example' },
      { as: 'to', who: '#ops' },
      { as: 'targets', who: '{"id":7}' },
      { as: 'cc', who: 'b@rival.example' },
      { as: 'threadId', who: '42' },
    ]);
  });

  it('reads channel, subject, text and attachments', () => {
    expect(read({ channel: 'slack', subject: 'S', text: 'T', media: 'https://f.example/a.pdf', files: ['b', 'c'] })).toEqual({
      recipients: [],
      channel: 'slack',
      subject: 'S',
      text: 'T',
      attachments: ['https://f.example/a.pdf', 'b', 'c'],
    });
  });

  it('is nothing for a call that sends none', () => {
    expect(messageOf({ tool: 'exec', mappedTool: 'shell_exec', arguments: { to: 'a' } })).toBeNull();
    expect(messageOf({ tool: 'message', mappedTool: 'post_social', arguments: null })).toBeNull();
  });
});
