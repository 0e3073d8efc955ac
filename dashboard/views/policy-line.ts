/** A call written on one line, for the simulator: the tool, then the argument that decides, or all of them as JSON. Pure. */

/** Tools that are tried most, each with the argument that decides. */
const TOOLS = { exec: 'command', read: 'path', write: 'path', web_fetch: 'url', message: 'text' } as const;

/** "exec git push", "web_fetch https://…" or "tool {json}" as a call; null where it is none. */
export function readLine(line: string): { tool: string; arguments: Record<string, unknown> } | null {
  const found = /^\s*([\w.:-]+)\s*([\s\S]*)$/.exec(line);
  if (!found?.[1]) return null;
  const [, tool, rest = ''] = found;
  const text = rest.trim();
  if (text.startsWith('{')) {
    try {
      return { tool, arguments: JSON.parse(text) as Record<string, unknown> };
    } catch {
      return null;
    }
  }
  const name = Object.hasOwn(TOOLS, tool) ? TOOLS[tool as keyof typeof TOOLS] : 'input';
  return { tool, arguments: text ? { [name]: text } : {} };
}
