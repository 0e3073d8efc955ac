import { request } from 'node:http';
import { Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { AnswerParser } from '../../proxy/answer-parser.ts';

interface Read {
  heads: { status: number; statusMessage: string; headers: string[] }[];
  body: string;
  trailers: string[];
  /** Null while the answer has not ended. */
  isReusable: boolean | null;
  keepAliveMs: number | null;
}

/** Reads one answer. @param pieces how it came. @param isClosed whether the server closed its side then. */
function read(pieces: readonly Buffer[], { isHeadRequest = false, isClosed = false, headMaxBytes = 1_024 } = {}): Read {
  const result: Read = { heads: [], body: '', trailers: [], isReusable: null, keepAliveMs: null };
  const parser = new AnswerParser(
    {
      head: (status, statusMessage, headers) => result.heads.push({ status, statusMessage, headers }),
      data: (bytes) => {
        result.body += bytes.toString('latin1');
      },
      done: (trailers, isReusable) => {
        if (result.isReusable !== null) throw new Error('two ends');
        Object.assign(result, { trailers, isReusable, keepAliveMs: parser.keepAliveMs });
      },
    },
    headMaxBytes,
  );
  parser.expect(isHeadRequest);
  for (const piece of pieces) parser.feed(piece);
  if (isClosed) parser.finish();
  return result;
}

const whole = (text: string) => [Buffer.from(text, 'latin1')];
const bytewise = (text: string) => [...Buffer.from(text, 'latin1')].map((byte) => Buffer.of(byte));

const ANSWERS: [name: string, text: string, expected: Partial<Read>][] = [
  [
    'a body with a length',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A:  two words \t\r\nx-empty:\r\n\r\nhello',
    {
      heads: [{ status: 200, statusMessage: 'OK', headers: ['Content-Length', '5', 'X-A', 'two words', 'x-empty', ''] }],
      body: 'hello',
      isReusable: true,
    },
  ],
  ['no body', 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n', { body: '', isReusable: true }],
  ['no reason', 'HTTP/1.1 299\r\ncontent-length: 0\r\n\r\n', { isReusable: true }],
  ['a 204, whatever its length says', 'HTTP/1.1 204 None\r\ncontent-length: 7\r\n\r\n', { body: '', isReusable: true }],
  ['a 304', 'HTTP/1.1 304 Same\r\ncontent-length: 7\r\n\r\n', { body: '', isReusable: true }],
  [
    'chunks with extensions and trailers',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5;a="b"\r\nhello\r\n00A\r\n0123456789\r\n0\r\nX-Sum: 1\r\nx-b: 2\r\n\r\n',
    { body: 'hello0123456789', trailers: ['X-Sum', '1', 'x-b', '2'], isReusable: true },
  ],
  [
    'chunks without trailers',
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n',
    { body: 'x', trailers: [], isReusable: true },
  ],
  [
    'interim answers before it',
    'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
    { body: 'ok', isReusable: true },
  ],
  ['a connection that closes', 'HTTP/1.1 200 OK\r\nconnection: x, Close\r\ncontent-length: 2\r\n\r\nok', { body: 'ok', isReusable: false }],
  ['HTTP/1.0', 'HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok', { body: 'ok', isReusable: false }],
  ['a bound for keeping it', 'HTTP/1.1 200 OK\r\nkeep-alive: max=5, timeout=7\r\ncontent-length: 0\r\n\r\n', { keepAliveMs: 7_000 }],
  ['bytes beyond ASCII', 'HTTP/1.1 200 \xe9\r\nx: \xfc\r\ncontent-length: 1\r\n\r\n\xff', { body: '\xff', isReusable: true }],
];

const REFUSED: [name: string, text: string][] = [
  ['another protocol', 'ICY 200 OK\r\n\r\n'],
  ['another version', 'HTTP/2.0 200 OK\r\n\r\n'],
  ['a status that is none', 'HTTP/1.1 0200 OK\r\n\r\n'],
  ['an empty line before it', '\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'],
  ['a length and a coding', 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc'],
  ['a list of lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 3, 3\r\n\r\nabc'],
  ['a length with a sign', 'HTTP/1.1 200 OK\r\ncontent-length: +3\r\n\r\nabc'],
  ['a length beyond all numbers', 'HTTP/1.1 200 OK\r\ncontent-length: 9999999999999999\r\n\r\nabc'],
  ['an empty length', 'HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\nabc'],
  ['a coding that nobody asked for', 'HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
  ['two codings', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['a coding in HTTP/1.0', 'HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['a header over two lines', 'HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n'],
  ['a blank before the colon', 'HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n'],
  ['a header without a colon', 'HTTP/1.1 200 OK\r\nnothing\r\ncontent-length: 0\r\n\r\n'],
  ['a bare line feed in a header', 'HTTP/1.1 200 OK\r\nx: a\ncontent-length: 0\r\n\r\n'],
  ['a bare carriage return in a header', 'HTTP/1.1 200 OK\r\nx: a\rb\r\ncontent-length: 0\r\n\r\n'],
  ['a NUL in a header', 'HTTP/1.1 200 OK\r\nx: a\0\r\ncontent-length: 0\r\n\r\n'],
  ['a change of protocol', 'HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n'],
  ['a chunk without a size', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n'],
  ['a chunk with a sign', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n+1\r\nx\r\n0\r\n\r\n'],
  ['a chunk with 0x', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n'],
  ['a chunk line that ends with a line feed alone', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n'],
  ['a chunk longer than its size', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n'],
  ['endless extensions', `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;${'x'.repeat(2_000)}\r\nx\r\n`],
  ['a trailer that is none', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n no\r\n\r\n'],
  ['a head that is too large', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(2_000)}\r\n\r\n`],
  ['trailers that are too large', `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ${'y'.repeat(2_000)}\r\n\r\n`],
];

describe('an answer', () => {
  it.each(ANSWERS)('is read however it is cut: %s', (_, text, expected) => {
    expect(read(whole(text))).toMatchObject(expected);
    const all = Buffer.from(text, 'latin1');
    const inOne = read([all]);
    expect(inOne.isReusable).not.toBeNull();
    for (let cut = 1; cut < all.length; cut++) expect(read([all.subarray(0, cut), all.subarray(cut)])).toEqual(inOne);
    expect(read(bytewise(text))).toEqual(inOne);
  });

  it.each(REFUSED)('that could be read in two ways is refused, however it is cut: %s', (_, text) => {
    expect(() => read(whole(text))).toThrow();
    expect(() => read(bytewise(text))).toThrow();
  });

  it('to HEAD has no body, and the next head is none of it', () => {
    const text = 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n';
    expect(read(whole(text), { isHeadRequest: true })).toMatchObject({ body: '', isReusable: true });
  });

  it('without a length goes on until the server closes, and not in the middle of one that has one', () => {
    const text = 'HTTP/1.1 200 OK\r\n\r\nall of it';
    expect(read(whole(text), { isClosed: true })).toMatchObject({ body: 'all of it', isReusable: false });
    expect(read(whole(text)).isReusable).toBeNull();
    expect(() => read(whole('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf'), { isClosed: true })).toThrow('other side closed');
    expect(() => read(whole('HTTP/1.1 200'), { isClosed: true })).toThrow('other side closed');
  });

  it('with something behind it is whole, and its connection is not used again', () => {
    const text = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil';
    const seen: (string | boolean)[] = [];
    const parser = new AnswerParser(
      { head: () => {}, data: (bytes) => seen.push(bytes.toString()), done: (_, isReusable) => seen.push(isReusable) },
      1_024,
    );
    parser.expect(false);
    expect(() => parser.feed(Buffer.from(text))).toThrow('nobody asked for');
    expect(seen).toEqual(['ok', false]);
  });

  it('is never read where node itself refuses it, and never differently', async () => {
    const random = randomFrom(7);
    let accepted = 0;
    for (let i = 0; i < 400; i++) {
      const text = mutate(ANSWERS[i % ANSWERS.length]?.[1] ?? '', random);
      const ours = readOrNull(text);
      if (ours === null || ours.isReusable === null) continue;
      const theirs = await readByNode(text);
      expect({ text, ...theirs }).toEqual({ text, status: ours.heads.at(-1)?.status, body: ours.body });
      accepted++;
    }
    expect(accepted).toBeGreaterThan(50);
  });
});

function readOrNull(text: string): Read | null {
  try {
    return read(whole(text));
  } catch {
    return null;
  }
}

/** One or two small changes of the kind that framing trips over. */
function mutate(text: string, random: () => number): string {
  const pieces = ['\r', '\n', ' ', ':', '0', '1', ',', 'chunked', '\r\n', '\t', '-', 'content-length: 1\r\n', 'x'];
  let result = text;
  for (let n = random() < 0.5 ? 1 : 2; n > 0; n--) {
    const at = Math.floor(random() * result.length);
    const piece = random() < 0.4 ? '' : (pieces[Math.floor(random() * pieces.length)] ?? '');
    result = result.slice(0, at) + piece + result.slice(at + (random() < 0.5 ? 1 : 0));
  }
  return result;
}

/** The same numbers for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** What node's own client makes of the same bytes, on a connection that is closed behind them. */
function readByNode(text: string): Promise<{ status?: number; body?: string; error?: string }> {
  return new Promise((resolve) => {
    const connection = new Duplex({
      read() {},
      write(_chunk, _encoding, done) {
        this.push(Buffer.from(text, 'latin1'));
        this.push(null);
        done();
      },
    });
    const asked = request({ createConnection: () => connection as never, insecureHTTPParser: false }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', (error) => resolve({ error: error.message }));
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(chunks).toString('latin1') }));
    });
    asked.on('error', (error) => resolve({ error: error.message }));
    asked.end();
  });
}
