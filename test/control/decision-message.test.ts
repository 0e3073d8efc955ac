import { describe, expect, it } from 'vitest';
import { messageFor } from '../../control/workers/approval-processor.ts';

const decided = {
  id: 'a1',
  number: 12,
  status: 'approved' as const,
  agentId: 'agent',
  sessionKey: 's',
  tool: 'exec',
  approver: 'Mara',
  note: null,
  edited: false,
  grantExpiresAt: 0,
  attempts: 0,
  arguments: { command: 'make release' },
};

describe('what an agent reads of a late decision', () => {
  it('names the exact call to repeat after an approval', () => {
    const text = messageFor(decided);
    expect(text).toContain('approval 12');
    expect(text).toContain('granted by Mara');
    expect(text).toContain('{"tool":"exec","arguments":{"command":"make release"}}');
  });

  it('does not repeat arguments that are longer than a message should be', () => {
    const text = messageFor({ ...decided, arguments: { command: 'x'.repeat(50_000) } });
    expect(text.length).toBeLessThan(1_000);
    expect(text).toContain('the very arguments of your first call');
  });

  it('says that the approver changed the arguments', () => {
    expect(messageFor({ ...decided, edited: true })).toContain('repeat your own call and the changed one runs in its place');
  });

  it('gives the note of a denial and asks not to work around it', () => {
    const text = messageFor({ ...decided, status: 'denied', note: 'wrong day', arguments: null });
    expect(text).toContain('was denied by Mara');
    expect(text).toContain('do not work around it');
    expect(text).toContain('wrong day');
  });

  it('says when nobody decided', () => {
    expect(messageFor({ ...decided, status: 'expired', arguments: null })).toContain('ended without a decision; the call did not run');
  });
});
