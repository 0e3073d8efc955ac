/** Takes a text/event-stream apart (HTML standard, server-sent events), chunk by chunk. Pure. */

/** One event of a text/event-stream. `id` null = it had none. */
export interface StreamEvent {
  name: string;
  id: string | null;
  data: string;
}

/** Takes a text/event-stream apart, chunk by chunk, wherever the chunks are cut. */
export class EventParser {
  #rest = '';

  push(chunk: string): StreamEvent[] {
    this.#rest += chunk;
    const blocks = this.#rest.split(/\r\n\r\n|\n\n|\r\r/);
    this.#rest = blocks.pop() ?? '';
    return blocks.flatMap((block) => {
      const event = parseBlock(block);
      return event ? [event] : [];
    });
  }
}

function parseBlock(block: string): StreamEvent | null {
  const event: StreamEvent = { name: 'message', id: null, data: '' };
  const data: string[] = [];
  for (const line of block.split(/\r\n|\n|\r/)) {
    const colon = line.indexOf(':');
    if (colon === 0) continue;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') event.name = value;
    else if (field === 'id') event.id = value;
    else if (field === 'data') data.push(value);
  }
  event.data = data.join('\n');
  return data.length || event.name !== 'message' ? event : null;
}
