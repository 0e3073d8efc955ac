/**
 * Reads the answers of an upstream out of the bytes of one plain HTTP/1.1 connection (RFC 9112), however these are cut into pieces. Framing
 * that could be read in two ways is an error and never a guess: what one reader takes for the next answer another takes for a body.
 */
import { errors } from 'undici';

/** What is told while answers are read. What is given as bytes is a view into what was fed: it is copied by whoever keeps it. */
export interface AnswerSink {
  /** A head, of an interim answer (1xx) too. @param headers name, value, name, value, as on the wire. */
  head: (status: number, statusMessage: string, headers: string[]) => void;
  data: (bytes: Buffer) => void;
  /** @param isReusable whether the connection may carry another request. */
  done: (trailers: string[], isReusable: boolean) => void;
}

type Stage = 'idle' | 'head' | 'length' | 'chunk size' | 'chunk' | 'chunk end' | 'trailers' | 'until close';

/** Digits of a chunk's size; its extensions mean nothing to us and are bounded. */
const CHUNK_LINE_MAX = 1_024;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d{2})(?: ([\t\x20-\x7e\x80-\xff]*))?$/;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const NO_FIELD_TEXT = /[^\t\x20-\x7e\x80-\xff]/;
const CHUNK_LINE =
  /^([0-9a-fA-F]{1,13})(?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"[\t\x20!\x23-\x5b\x5d-\x7e]*"))?)*$/;
const HEAD_END = Buffer.from('\r\n\r\n');
const CR = 13;
const LF = 10;

export class AnswerParser {
  /** What the server says it keeps an unused connection for, milliseconds; null = it does not say. */
  keepAliveMs: number | null = null;
  readonly #sink: AnswerSink;
  readonly #headMaxBytes: number;
  #stage: Stage = 'idle';
  #isHeadRequest = false;
  #left = 0;
  #isReusable = true;
  /** The beginning of a head, of trailers or of a chunk's line, where it came in pieces. */
  #held: Buffer | null = null;
  #heldLength = 0;

  /** @param headMaxBytes of a head, and of trailers. */
  constructor(sink: AnswerSink, headMaxBytes: number) {
    this.#sink = sink;
    this.#headMaxBytes = headMaxBytes;
  }

  /** An answer is awaited now. @param isHeadRequest its head announces a body that does not come. */
  expect(isHeadRequest: boolean): void {
    this.#stage = 'head';
    this.#isHeadRequest = isHeadRequest;
    this.#isReusable = true;
    this.#heldLength = 0;
  }

  /** Nothing is awaited any more: what still comes is an error. */
  stop(): void {
    this.#stage = 'idle';
  }

  /** @throws HTTPParserError, HeadersOverflowError; after that the connection is of no use. */
  feed(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      switch (this.#stage) {
        case 'idle':
          throw invalid('bytes that nobody asked for');
        case 'head':
          at = this.#readHead(bytes, at);
          break;
        case 'length':
        case 'chunk':
          at = this.#readBody(bytes, at);
          break;
        case 'chunk size':
          at = this.#readChunkLine(bytes, at);
          break;
        case 'chunk end':
          at = this.#readChunkEnd(bytes, at);
          break;
        case 'trailers':
          at = this.#readTrailers(bytes, at);
          break;
        case 'until close': {
          this.#sink.data(at === 0 ? bytes : bytes.subarray(at));
          return;
        }
      }
    }
  }

  /** The server has closed its side. @throws SocketError where an answer was under way. */
  finish(): void {
    if (this.#stage === 'idle') return;
    if (this.#stage !== 'until close') throw new errors.SocketError('other side closed');
    this.#end([]);
  }

  #readHead(bytes: Buffer, at: number): number {
    const found = this.#find(bytes, at);
    if (found === null) return bytes.length;
    this.#takeHead(found.text);
    // A body of no bytes has no bytes to be read from.
    if (this.#stage === 'length' && this.#left === 0) this.#end([], bytes.length > found.next);
    return found.next;
  }

  #takeHead(text: string): void {
    const lineEnd = text.indexOf('\r\n');
    const line = STATUS_LINE.exec(lineEnd < 0 ? text : text.slice(0, lineEnd));
    if (line === null) throw invalid('no status line of HTTP/1.1');
    const isOld = line[1] === '0';
    const status = Number(line[2]);
    const headers = lineEnd < 0 ? [] : fieldsOf(text, lineEnd + 2);
    const framing = framingOf(headers);
    if (status < 200) {
      if (status === 101) throw invalid('a change of protocol that nobody asked for');
      this.#sink.head(status, line[3] ?? '', headers);
      return;
    }
    if (isOld || framing.isClosing) this.#isReusable = false;
    this.keepAliveMs = framing.keepAliveMs;
    this.#stage = this.#stageOf(status, framing, isOld);
    this.#sink.head(status, line[3] ?? '', headers);
  }

  #stageOf(status: number, { length, coding }: Framing, isOld: boolean): Stage {
    this.#left = 0;
    if (this.#isHeadRequest || status === 204 || status === 304) return 'length';
    if (coding !== null) {
      // RFC 9112 6.1 and 6.3: each of these is how a smuggled answer looks.
      if (length !== null) throw invalid('a length and a transfer coding');
      if (isOld || coding.toLowerCase() !== 'chunked') throw invalid('a transfer coding that nobody asked for');
      return 'chunk size';
    }
    if (length !== null) {
      this.#left = length;
      return 'length';
    }
    this.#isReusable = false;
    return 'until close';
  }

  #readBody(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#left);
    this.#left -= end - at;
    this.#sink.data(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
    if (this.#left > 0) return end;
    // The sink may have had enough in the middle of it.
    if (this.#stage === 'length') this.#end([], end < bytes.length);
    else if (this.#stage === 'chunk') this.#stage = 'chunk end';
    return end;
  }

  #readChunkLine(bytes: Buffer, at: number): number {
    const end = bytes.indexOf(LF, at);
    const piece = bytes.subarray(at, end < 0 ? bytes.length : end);
    if (this.#heldLength + piece.length > CHUNK_LINE_MAX) throw invalid('a chunk without a size');
    if (end < 0) {
      this.#hold(piece);
      return bytes.length;
    }
    const line = this.#released(piece);
    const size = line.endsWith('\r') ? CHUNK_LINE.exec(line.slice(0, -1))?.[1] : undefined;
    if (size === undefined) throw invalid('a chunk without a size');
    this.#left = Number.parseInt(size, 16);
    this.#stage = this.#left === 0 ? 'trailers' : 'chunk';
    return end + 1;
  }

  #readChunkEnd(bytes: Buffer, at: number): number {
    // `left` counts what was seen of it: 0 or 1.
    if (bytes[at] !== (this.#left === 0 ? CR : LF)) throw invalid('a chunk that is longer than its size');
    if (this.#left === 0) this.#left = 1;
    else {
      this.#left = 0;
      this.#stage = 'chunk size';
    }
    return at + 1;
  }

  #readTrailers(bytes: Buffer, at: number): number {
    // Without trailers the end is the empty line alone.
    if (this.#heldLength === 0 && bytes.length >= at + 2 && bytes[at] === CR && bytes[at + 1] === LF) {
      this.#end([], bytes.length > at + 2);
      return at + 2;
    }
    if (this.#heldLength === 1 && this.#held?.[0] === CR && bytes[at] === LF) {
      this.#heldLength = 0;
      this.#end([], bytes.length > at + 1);
      return at + 1;
    }
    const found = this.#find(bytes, at);
    if (found === null) return bytes.length;
    this.#end(fieldsOf(found.text, 0), bytes.length > found.next);
    return found.next;
  }

  /** @param hasMore bytes that follow the answer: whoever sends them is not to be trusted with another request. */
  #end(trailers: string[], hasMore = false): void {
    this.#stage = 'idle';
    this.#sink.done(trailers, this.#isReusable && !hasMore);
  }

  /** Everything up to an empty line, once it is there. @returns it without its last line end, and where the next byte is. */
  #find(bytes: Buffer, at: number): { text: string; next: number } | null {
    const held = this.#heldLength;
    if (held === 0) {
      const end = bytes.indexOf(HEAD_END, at);
      if ((end < 0 ? bytes.length : end) - at > this.#headMaxBytes) throw new errors.HeadersOverflowError();
      if (end >= 0) return { text: bytes.toString('latin1', at, end), next: end + 4 };
      this.#hold(bytes.subarray(at));
      return null;
    }
    // The empty line may lie across the border.
    const room = this.#headMaxBytes + HEAD_END.length - held;
    const piece = bytes.subarray(at, at + room);
    this.#hold(piece);
    const whole = this.#held?.subarray(0, this.#heldLength) ?? bytes;
    const end = whole.indexOf(HEAD_END, Math.max(0, held - 3));
    if (end >= 0) {
      this.#heldLength = 0;
      return { text: whole.toString('latin1', 0, end), next: at + end + 4 - held };
    }
    if (piece.length === room) throw new errors.HeadersOverflowError();
    return null;
  }

  #hold(piece: Buffer): void {
    this.#held ??= Buffer.allocUnsafe(Math.max(this.#headMaxBytes + HEAD_END.length, CHUNK_LINE_MAX));
    piece.copy(this.#held, this.#heldLength);
    this.#heldLength += piece.length;
  }

  #released(piece: Buffer): string {
    if (this.#heldLength === 0) return piece.toString('latin1');
    this.#hold(piece);
    const text = this.#held?.toString('latin1', 0, this.#heldLength) ?? '';
    this.#heldLength = 0;
    return text;
  }
}

interface Framing {
  length: number | null;
  coding: string | null;
  isClosing: boolean;
  keepAliveMs: number | null;
}

function framingOf(headers: readonly string[]): Framing {
  const framing: Framing = { length: null, coding: null, isClosing: false, keepAliveMs: null };
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? '';
    // Most headers are none of these, and most of those differ in their length already.
    if (name.length !== 10 && name.length !== 14 && name.length !== 17) continue;
    const value = headers[i + 1] ?? '';
    switch (name.toLowerCase()) {
      case 'content-length':
        if (framing.length !== null || !/^\d{1,15}$/.test(value)) throw invalid('a length that is none');
        framing.length = Number(value);
        break;
      case 'transfer-encoding':
        if (framing.coding !== null) throw invalid('two transfer codings');
        framing.coding = value;
        break;
      case 'connection':
        if (/(?:^|,)[\t ]*close[\t ]*(?:,|$)/i.test(value)) framing.isClosing = true;
        break;
      case 'keep-alive': {
        const seconds = /(?:^|[,\s])timeout=(\d{1,6})/i.exec(value)?.[1];
        if (seconds !== undefined) framing.keepAliveMs = Number(seconds) * 1000;
        break;
      }
    }
  }
  return framing;
}

/** Name, value, name, value. @param from where the first line of a header begins. */
function fieldsOf(text: string, from: number): string[] {
  const fields: string[] = [];
  for (let start = from; start < text.length; ) {
    const found = text.indexOf('\r\n', start);
    const end = found < 0 ? text.length : found;
    const colon = text.indexOf(':', start);
    if (colon < 0 || colon >= end) throw invalid('a header without a name');
    const name = text.slice(start, colon);
    let first = colon + 1;
    let last = end;
    while (first < last && isBlank(text.charCodeAt(first))) first++;
    while (last > first && isBlank(text.charCodeAt(last - 1))) last--;
    const value = text.slice(first, last);
    // A line that begins with a blank would go on with the one before it (obsolete since RFC 7230): no token.
    if (!TOKEN.test(name) || NO_FIELD_TEXT.test(value)) throw invalid('a header that is none');
    fields.push(name, value);
    start = end + 2;
  }
  return fields;
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9;
}

function invalid(why: string): Error {
  return new errors.HTTPParserError(`the answer is not HTTP/1.1 that can be read in one way: ${why}`);
}
