/** Server-sent events (GET /api/events). */

/**
 * `change`: an object was created or changed; `data` is what GET of it would answer now (null = removed).
 * `reset`: events were missed, fetch everything again. `beat`: nothing happened, the connection and the server are alive.
 * The `id:` of a change is what `Last-Event-ID` resumes from.
 */
export const TOPICS = [
  'agent',
  'approval',
  'grant',
  'task',
  'tool_call',
  'run',
  'activity',
  'alert',
  'policy',
  'gateway',
  'upstream',
  'system',
] as const;
export type Topic = (typeof TOPICS)[number];
export interface ChangeEvent {
  topic: Topic;
  id: string;
  at: number;
  data: unknown;
}
export interface BeatEvent {
  at: number;
}
