import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkPolicy, judgeCase } from '../../dashboard/policy-judge.ts';
import { readLine } from '../../dashboard/views/policy-line.ts';

const shipped = readFileSync(join(import.meta.dirname, '../../policies/default.yaml'), 'utf8');
const agent = { autonomy: 'specialist', status: 'active' };

describe('checks while one types', () => {
  it('has nothing against the shipped policy, and names line and column of what is wrong', () => {
    expect(checkPolicy(shipped).errors).toBeNull();
    expect(checkPolicy(`${shipped}\nsurprise: 1\n`).errors?.[0]).toMatchObject({ path: 'surprise', line: shipped.split('\n').length + 1 });
    expect(checkPolicy('a: [').errors?.length).toBeGreaterThan(0);
  });

  it('judges a call by a draft that nobody has saved', () => {
    const line = readLine('exec cargo build');
    const { policy } = checkPolicy(shipped);
    const draft = checkPolicy(`${shipped}\n`).policy;
    if (!policy || !draft || !line) throw new Error('the shipped policy has problems');
    expect(judgeCase(policy, { id: 'a', ...line, cwd: '/workspace', agent }).verdict).toBe('hold');
  });
});

describe('a call on one line', () => {
  it('is a tool and the argument that decides, or JSON', () => {
    expect(readLine('exec git push')).toEqual({ tool: 'exec', arguments: { command: 'git push' } });
    expect(readLine('web_fetch https://a.example')).toEqual({ tool: 'web_fetch', arguments: { url: 'https://a.example' } });
    expect(readLine('crm__merge {"keep":1}')).toEqual({ tool: 'crm__merge', arguments: { keep: 1 } });
    expect(readLine('crm__merge {"keep":')).toBeNull();
    expect(readLine('  ')).toBeNull();
    expect(readLine('toString x')).toEqual({ tool: 'toString', arguments: { input: 'x' } });
  });
});
