/** Server-sent events as Streamable HTTP uses them: cutting a stream into whole events without touching their bytes, and writing one. */

export interface ServerEvent {
  /** The event as it came, with its end. */
  raw: string;
  /** Joined data lines; null where it has none. */
  data: string | null;
  event: string | null;
  id: string | null;
}

/** An event that is larger than allowed. */
export class EventTooLarge extends Error {}

/** Cuts text into events. Bounded by the largest event. */
export class EventSplitter {
  readonly #maxChars: number;
  readonly #decoder = new TextDecoder('utf-8');
  #rest = '';

  constructor(maxChars: number) {
    this.#maxChars = maxChars;
  }

  /** @returns the events that are whole now. @throws EventTooLarge */
  push(chunk: Buffer): ServerEvent[] {
    const from = Math.max(0, this.#rest.length - 3);
    this.#rest += this.#decoder.decode(chunk, { stream: true });
    const events: ServerEvent[] = [];
    END.lastIndex = from;
    let start = 0;
    for (let match = END.exec(this.#rest); match !== null; match = END.exec(this.#rest)) {
      // A "\r" at the very end may be the half of a "\r\n".
      const end = match.index + match[0].length;
      events.push(readEvent(this.#rest.slice(start, end)));
      start = end;
    }
    if (start > 0) this.#rest = this.#rest.slice(start);
    if (this.#rest.length > this.#maxChars) throw new EventTooLarge(`an event is larger than ${this.#maxChars} characters`);
    return events;
  }
}

const END = /\r\n\r\n|\n\n|\r\r/g;

function readEvent(raw: string): ServerEvent {
  let data: string | null = null;
  let event: string | null = null;
  let id: string | null = null;
  for (const line of raw.split(/\r\n|\n|\r/)) {
    const colon = line.indexOf(':');
    if (colon === 0 || line === '') continue;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'data') data = data === null ? value : `${data}\n${value}`;
    else if (field === 'event') event = value;
    else if (field === 'id') id = value;
  }
  return { raw, data, event, id };
}

/** Cuts text into lines. Bounded by the longest line. */
export class LineSplitter {
  /** What follows the last line end. */
  rest = '';
  readonly #maxChars: number;
  readonly #decoder = new TextDecoder('utf-8');

  constructor(maxChars: number) {
    this.#maxChars = maxChars;
  }

  /** @returns the lines that are whole now. @throws EventTooLarge */
  push(chunk: Buffer): string[] {
    const parts = (this.rest + this.#decoder.decode(chunk, { stream: true })).split('\n');
    this.rest = parts.pop() ?? '';
    if (this.rest.length > this.#maxChars) throw new EventTooLarge(`a line is longer than ${this.#maxChars} characters`);
    return parts;
  }
}

/** A message as an event. @param text one JSON text; @param id its place in the stream, where it can be resumed. */
export function eventText(text: string, id: string | null = null): string {
  const lines = text.includes('\n') || text.includes('\r') ? text.split(/\r\n|\n|\r/) : [text];
  return `${id === null ? '' : `id: ${id}\n`}event: message\n${lines.map((line) => `data: ${line}\n`).join('')}\n`;
}

export const KEEP_ALIVE = ': keep-alive\n\n';
