/** The signature of a stop's receipt: what it binds, and that anybody can verify it without a running product. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StopReceipt } from '../../control/contract.ts';
import { openSigningKey, type SigningKey } from '../../control/signing.ts';
import { signReceipt, verifyReceipt } from '../../control/stop-receipt.ts';
import { CHILD_ENV } from '../support/child-env.ts';

const ROOT = join(import.meta.dirname, '..', '..');
let folder: string;
let key: SigningKey;
let receipt: StopReceipt;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mc-receipt-'));
  key = openSigningKey(join(folder, 'keys'));
  receipt = signReceipt(
    {
      id: 'stop-1',
      stoppedAt: 1_700_000_000_000,
      stoppedBy: 'admin',
      reason: 'a "drill" in Zürich',
      proxies: [{ id: 'p', acknowledgedAt: 1_700_000_000_031, lastAdmittedAt: null, silentAfterMs: 31, cutStreams: 2, withdrawnCalls: 1 }],
      agents: [{ id: 'a', name: 'Forge', lastAdmittedAt: 1_700_000_000_012, silentAfterMs: 12, withdrawnCalls: 1 }],
      blockedTasks: 3,
      gateways: [],
    },
    key,
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a signed receipt', () => {
  it('is proven by the public key, by itself and with the key beside it, however it is written', () => {
    expect(verifyReceipt(JSON.stringify(receipt), key.publicKeyPem)).toEqual(receipt);
    const turned = Object.fromEntries(Object.entries(receipt).reverse());
    const proof = { receipt: turned, keyId: 'another', publicKeyPem: 'is not looked at' };
    expect(verifyReceipt(JSON.stringify(proof, null, 2), key.publicKeyPem)).toEqual(receipt);
  });

  it('is not once anything in it was changed, added or left out, or another key signed it', () => {
    const { reason: _, ...without } = receipt;
    const [proxy] = receipt.proxies;
    const changes: unknown[] = [
      { ...receipt, stoppedAt: receipt.stoppedAt - 1 },
      { ...receipt, reason: null },
      { ...receipt, proxies: [] },
      { ...receipt, proxies: [{ ...proxy, silentAfterMs: 3 }] },
      { ...receipt, proxies: [{ ...proxy, note: 'more' }] },
      { ...receipt, note: 'more' },
      without,
      { ...receipt, signature: { ...receipt.signature, value: '' } },
      { ...receipt, signature: { ...receipt.signature, keyId: 'another' } },
      null,
      [],
    ];
    for (const change of changes) {
      expect(() => verifyReceipt(JSON.stringify(change), key.publicKeyPem), JSON.stringify(change)).toThrow(
        expect.objectContaining({ code: 'UNPROVEN_RECEIPT' }),
      );
    }
    expect(() => verifyReceipt('{', key.publicKeyPem)).toThrow('not JSON');
    const other = openSigningKey(join(folder, 'other-keys'));
    expect(() => verifyReceipt(JSON.stringify(receipt), other.publicKeyPem)).toThrow(`the given key is ${other.keyId}`);
  });

  it('is verified on the command line without a running product', async () => {
    const [good, bad, pem] = ['good.json', 'bad.json', 'key.pem'].map((name) => join(folder, name)) as [string, string, string];
    writeFileSync(good, JSON.stringify(receipt));
    writeFileSync(bad, JSON.stringify({ ...receipt, stoppedBy: 'somebody else' }));
    writeFileSync(pem, key.publicKeyPem);
    expect(await run(['stop', 'verify', good, '--key', pem])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/proven by key [\w-]+\n.*by admin\. 1 of 1 proxies confirmed\.\n.*12 ms after the press; 2 streams/),
    });
    expect(await run(['stop', 'verify', bad, '--key', pem])).toMatchObject({ code: 1, out: expect.stringContaining('it was changed') });
    expect((await run(['stop', 'verify', good])).code).toBe(2);
  });
});

function run(args: readonly string[]): Promise<{ code: number; out: string }> {
  return new Promise((resolve) => {
    const options = { cwd: ROOT, env: { ...CHILD_ENV, HOME: folder, MC_DATA_DIR: join(folder, 'data') } };
    execFile(process.execPath, ['cli.ts', ...args], options, (error, out) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out });
    });
  });
}
