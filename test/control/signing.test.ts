/** The signing key: one per installation, kept from start to start, readable by its owner only, and only its own signatures verify. */
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { openSigningKey, readPublicKey } from '../../control/signing.ts';

const folder = mkdtempSync(join(tmpdir(), 'mc-signing-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the signing key', () => {
  const bytes = Buffer.from('mission-control/test/v1\nsomething that happened');

  test('is made once, for its owner only, and is the same at the next start', () => {
    const keyDir = join(folder, 'once');
    const first = openSigningKey(keyDir);
    const again = openSigningKey(keyDir);
    expect(again.keyId).toBe(first.keyId);
    expect(again.publicKeyPem).toBe(first.publicKeyPem);
    expect(readdirSync(keyDir)).toEqual(['signing.key']);
    expect(statSync(join(keyDir, 'signing.key')).mode & 0o777).toBe(0o600);
    expect(statSync(keyDir).mode & 0o777).toBe(0o700);
  });

  test('signs so that its public half, and no other, verifies', () => {
    const key = openSigningKey(join(folder, 'ours'));
    const other = openSigningKey(join(folder, 'other'));
    const signature = key.sign(bytes);
    const ours = readPublicKey(key.publicKeyPem);
    expect(ours.keyId).toBe(key.keyId);
    expect(ours.verify(bytes, signature)).toBe(true);
    expect(ours.verify(Buffer.concat([bytes, Buffer.from('.')]), signature)).toBe(false);
    expect(ours.verify(bytes, other.sign(bytes))).toBe(false);
    expect(ours.verify(bytes, 'not a signature')).toBe(false);
    expect(readPublicKey(other.publicKeyPem).verify(bytes, signature)).toBe(false);
    expect(other.keyId).not.toBe(key.keyId);
  });

  test('says what is wrong with a file that others may read, or that is damaged', () => {
    const keyDir = join(folder, 'wrong');
    openSigningKey(keyDir);
    const file = join(keyDir, 'signing.key');
    chmodSync(file, 0o640);
    expect(() => openSigningKey(keyDir)).toThrow(`${file} can be read by others; run: chmod 600 ${file}`);
    chmodSync(file, 0o600);
    writeFileSync(file, 'half a key');
    expect(() => openSigningKey(keyDir)).toThrow(`${file} is damaged; restore it from a backup`);
    expect(() => readPublicKey('half a key')).toThrow('not a public key');
  });
});
