/** A watcher of GET /api/events: collects what arrives, and tells when the other side ends the stream. */
import type { World } from './world.ts';

export interface WatchedEvent {
  /** "change", "beat" or "reset". */
  type: string;
  /** What Last-Event-ID would be after it. */
  id: string | null;
  data: { topic?: string; id?: string; data?: unknown };
}

export interface Watcher {
  status: number;
  events: WatchedEvent[];
  lastId: () => string | null;
  /** Resolves when the stream has ended, from whichever side. */
  ended: Promise<void>;
  close: () => void;
}

/** @param headers the credential, and Last-Event-ID where the watcher resumes. */
export async function watch(world: World, headers: Record<string, string>): Promise<Watcher> {
  const leaving = new AbortController();
  const response = await fetch(`${world.controlUrl}/api/events`, { headers, signal: leaving.signal });
  const events: WatchedEvent[] = [];
  let lastId: string | null = headers['last-event-id'] ?? null;
  const read = async () => {
    if (!response.body || response.status !== 200) return;
    const decoder = new TextDecoder();
    let rest = '';
    for await (const chunk of response.body) {
      rest += decoder.decode(chunk, { stream: true });
      const blocks = rest.split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1] ?? null;
        const data = field('data');
        const id = field('id');
        if (id !== null) lastId = id;
        if (data !== null) events.push({ type: field('event') ?? 'message', id, data: JSON.parse(data) });
      }
    }
  };
  return {
    status: response.status,
    events,
    lastId: () => lastId,
    ended: read().catch(() => {}),
    close: () => leaving.abort(),
  };
}
