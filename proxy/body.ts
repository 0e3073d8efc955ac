/** Reading request bodies: bounded in size, time (by the server) and depth, parsed once. What is not as agreed is a BadRequest. */
import type { IncomingMessage } from 'node:http';
import { isBoundedJson } from '../policies/index.ts';
import { parseText } from './json-members.ts';

/** A request that cannot be read; becomes a problem document with this status. */
export class BadRequest extends Error {
  readonly status: 400 | 413 | 415;
  readonly code: string;
  constructor(status: 400 | 413 | 415, code: string, detail: string) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

/**
 * The JSON body of a request.
 * @throws BadRequest for a wrong content type, a body that is too large, not UTF-8, not JSON, or nested too deeply.
 */
export async function readJson(request: IncomingMessage, maxBytes: number): Promise<unknown> {
  const type = request.headers['content-type'];
  if (type === undefined || !/^application\/json\b/i.test(type)) {
    throw new BadRequest(415, 'CONTENT_TYPE', 'Send JSON with "Content-Type: application/json".');
  }
  return parseJson(await readBytes(request, maxBytes));
}

/** JSON out of the bytes of a body, for whoever forwards the very bytes that were judged. @throws BadRequest */
export function parseJson(bytes: Buffer): unknown {
  let value: unknown;
  try {
    value = parseText(decoder.decode(bytes));
  } catch {
    throw new BadRequest(400, 'BAD_JSON', 'The body is not valid JSON in UTF-8.');
  }
  if (!isBoundedJson(value)) throw new BadRequest(400, 'TOO_DEEP', 'The body is nested too deeply.');
  return value;
}

const decoder = new TextDecoder('utf-8', { fatal: true });

/** The bytes of a request's body. @throws BadRequest where they are too many, or the client goes away in the middle. */
export function readBytes(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const tooLarge = () => new BadRequest(413, 'TOO_LARGE', `The body is larger than ${maxBytes} bytes.`);
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) return Promise.reject(tooLarge());
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > maxBytes) reject(tooLarge());
      else chunks.push(chunk);
    });
    request.on('end', () => resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)));
    request.on('error', reject);
    request.on('aborted', () => reject(new BadRequest(400, 'ABORTED', 'The client went away in the middle of its body.')));
  });
}
