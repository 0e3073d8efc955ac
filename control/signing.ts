/**
 * The key that signs what must be believed later, outside of this installation: the head of the audit log and the receipts of stops
 * (SPEC 8.3, SPEC 10). Ed25519, made at first start in the key folder beside the master key, not derived from it: proving needs the public
 * half only, and whoever reads the database has neither.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, hash, type KeyObject, sign, verify } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { provideKeyFile } from './keys.ts';

/** The private half never leaves this object. */
export interface SigningKey {
  /** Names the key: SHA-256 of its public half (DER), the first 16 bytes, base64url. */
  keyId: string;
  /** For whoever verifies; PEM (SPKI). */
  publicKeyPem: string;
  /**
   * Signs. Several kinds of records share the key: let the bytes begin with a line that names the kind and its version
   * ("mission-control/audit-head/v1\n"), so that a signature of one can never pass for one of another.
   * @returns the signature, base64url.
   */
  sign: (bytes: Uint8Array) => string;
}

/**
 * Opens the signing key of this installation, making it and the folder at first start.
 * @throws Error when the file is damaged or others may read it.
 */
export function openSigningKey(keyDir: string): SigningKey {
  mkdirSync(keyDir, { recursive: true, mode: 0o700 });
  const file = join(keyDir, 'signing.key');
  const pem = provideKeyFile(file, () => Buffer.from(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })));
  const privateKey = readPrivateKey(pem, file);
  const publicKey = createPublicKey(privateKey);
  return {
    keyId: nameOf(publicKey),
    publicKeyPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    sign: (bytes) => sign(null, bytes, privateKey).toString('base64url'),
  };
}

/** The public half of a signing key, from its PEM. @throws Error when it is not an Ed25519 key. */
export function readPublicKey(pem: string): { keyId: string; verify: (bytes: Uint8Array, signature: string) => boolean } {
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch (error) {
    throw new Error('this is not a public key in PEM form', { cause: error });
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new Error(`this is a key for ${key.asymmetricKeyType}; ours are Ed25519`);
  return {
    keyId: nameOf(key),
    verify(bytes, signature) {
      const raw = Buffer.from(signature, 'base64url');
      // One signature has one spelling: spare bits and padding are no room for a change that nobody notices.
      return raw.toString('base64url') === signature && verify(null, bytes, key, raw);
    },
  };
}

function readPrivateKey(pem: Buffer, file: string): KeyObject {
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch {
    // Said below, with what to do.
  }
  throw new Error(`${file} is damaged; restore it from a backup`);
}

function nameOf(publicKey: KeyObject): string {
  return hash('sha256', publicKey.export({ type: 'spki', format: 'der' }), 'buffer')
    .subarray(0, 16)
    .toString('base64url');
}
