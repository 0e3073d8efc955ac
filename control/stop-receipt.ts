/**
 * The signature of a stop's receipt: made by the installation's signing key over the whole receipt, and verified by anybody who has the
 * public key, without Mission Control. The signed bytes are a line that names the kind and its version, and the receipt without its
 * signature as canonical JSON (RFC 8785).
 */
import { canonicalJson, type JsonObject } from '../policies/index.ts';
import { type StopReceipt, StopReceiptSchema } from './contract.ts';
import { readPublicKey, type SigningKey } from './signing.ts';

const KIND = 'mission-control/stop-receipt/v1';

/** Why a receipt is not proven; the message is for people. */
export class UnprovenReceipt extends Error {
  readonly code = 'UNPROVEN_RECEIPT';
}

export function signReceipt(receipt: Omit<StopReceipt, 'signature'>, key: SigningKey): StopReceipt {
  return { ...receipt, signature: { keyId: key.keyId, value: key.sign(bytesOf(receipt)) } };
}

/**
 * Verifies a receipt as it was saved: by itself, or with the key beside it, which proves nothing and is not looked at.
 * @param text JSON. @param publicKeyPem of the installation, from somewhere else than the file.
 * @returns the receipt. @throws UnprovenReceipt when it is none, was changed, or was signed by another key; Error where the key is none.
 */
export function verifyReceipt(text: string, publicKeyPem: string): StopReceipt {
  const key = readPublicKey(publicKeyPem);
  const given = readReceipt(text);
  const { signature, ...receipt } = given;
  if (signature.keyId !== key.keyId)
    throw new UnprovenReceipt(`it was signed by key ${signature.keyId}, and the given key is ${key.keyId}`);
  if (!key.verify(bytesOf(receipt), signature.value)) throw new UnprovenReceipt('it was changed after it was signed');
  return given;
}

function readReceipt(text: string): StopReceipt {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw new UnprovenReceipt('the file is not JSON', { cause: error });
  }
  const given = typeof content === 'object' && content !== null && 'receipt' in content ? content.receipt : content;
  const { error } = StopReceiptSchema.safeParse(given);
  if (error) throw new UnprovenReceipt(`the file is not a signed receipt: ${error.issues[0]?.path.join('.')} ${error.issues[0]?.message}`);
  // As it stands there: what the schema does not know was not signed either.
  return given as StopReceipt;
}

function bytesOf(receipt: Omit<StopReceipt, 'signature'>): Uint8Array {
  return Buffer.from(`${KIND}\n${canonicalJson(receipt as unknown as JsonObject)}`);
}
