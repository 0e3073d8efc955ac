import { createHmac, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../policies/index.ts';
import { Fingerprint, type Identified } from '../../proxy/fingerprint.ts';

const key = randomBytes(32);
const fingerprint = new Fingerprint(key.toString('base64url'));
const call: Identified = {
  agent: { id: 'agent-1' },
  sessionKey: 'session',
  runId: 'run',
  callId: 'call',
  tool: 'exec',
  toolKind: null,
  definition: null,
  arguments: { command: 'ls', nested: { b: [1, 2], a: null } },
  cwd: null,
  workspace: '/workspace',
};

describe('the digest of a call', () => {
  it('is HMAC-SHA-256 over the canonical text of agent, session, tool, definition, kind, arguments and place', () => {
    const text = canonicalJson(['agent-1', 'session', 'exec', null, null, call.arguments, null, '/workspace']);
    expect(fingerprint.of(call, 'request').digest).toBe(createHmac('sha256', key).update(text).digest('hex'));
  });

  it.each([
    ['agent', { agent: { id: 'agent-2' } }],
    ['session', { sessionKey: 'other' }],
    ['tool', { tool: 'process' }],
    ['kind of tool', { toolKind: 'code_mode_exec' }],
    ['definition of the tool', { definition: 'another' }],
    ['arguments', { arguments: { command: 'ls ' } }],
    ['working directory', { cwd: '/workspace/docs' }],
    ['workspace', { workspace: '/workspace2' }],
  ])('is another one with another %s', (_, change) => {
    expect(fingerprint.of({ ...call, ...change }, 'request').digest).not.toBe(fingerprint.of(call, 'request').digest);
  });

  it('does not depend on the order of keys, the run, the call id or the request', () => {
    const same = { ...call, arguments: { nested: { a: null, b: [1, 2] }, command: 'ls' }, runId: 'run-2', callId: 'call-2' };
    expect(fingerprint.of(same, 'another').digest).toBe(fingerprint.of(call, 'request').digest);
  });

  it('is worth nothing under another key', () => {
    expect(new Fingerprint(randomBytes(32).toString('base64url')).of(call, 'request').digest).not.toBe(
      fingerprint.of(call, 'request').digest,
    );
  });
});

describe('the key of a call', () => {
  it('is the same for a retry, and another one for another call id, run or arguments', () => {
    const { key: first, slot } = fingerprint.of(call, 'request-1');
    expect(fingerprint.of(call, 'request-2')).toMatchObject({ key: first, slot });
    expect(fingerprint.of({ ...call, callId: 'call-2' }, 'request-1').key).not.toBe(first);
    expect(fingerprint.of({ ...call, runId: 'run-2' }, 'request-1').key).not.toBe(first);
    const others = fingerprint.of({ ...call, arguments: { command: 'pwd' } }, 'request-1');
    expect(others.key).not.toBe(first);
    expect(others.slot).toBe(slot);
  });

  it('is one of its own for each request without a call id', () => {
    const anonymous = { ...call, callId: null };
    const first = fingerprint.of(anonymous, 'request-1');
    expect(first.slot).toBeNull();
    expect(fingerprint.of(anonymous, 'request-2').key).not.toBe(first.key);
  });
});
