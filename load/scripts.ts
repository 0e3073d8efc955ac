/** The kinds of calls that the bench makes, as scripts of whole HTTP messages; each checks every answer that it gets. */
import type { Answer, Script } from './load-client.ts';

/** A comment of 500 bytes, as an agent would post it. */
const COMMENT = JSON.stringify({
  thread: 'thread-12',
  title: 'Weekly report',
  text: 'Sessions grew by twelve percent; the landing page for the autumn campaign took most of it. The three pages that lost readers are listed in the appendix with a guess at the reason for each. Two numbers still need a second source before they can go out: the bounce rate of the newsletter and the share of returning readers. I have asked for both and will add them tomorrow. Nothing else is open.',
  notify: ['editor', 'analyst'],
  draft: false,
}).padEnd(500);

/** What the upstream answers begin with. */
const POSTED = '{"id":"comment-';

/** A POST of 500 bytes that a proxy passes on. @param token of the agent; null = none. */
export function postScript(token: string | null, path = '/comments'): Script {
  const request = message('POST', path, token, COMMENT);
  return {
    begin: () => request,
    next: (answer) => {
      if (path.endsWith('/comments')) expectAnswer(answer, 200, POSTED);
      return null;
    },
  };
}

export const COMMENT_TEXT = COMMENT;

export interface GateCall {
  tool: string;
  arguments: Record<string, unknown>;
  output: string;
}

/** `exec` of a listed command: yellow, so its intent is on the disk before it is allowed. */
export const EXEC: GateCall = { tool: 'exec', arguments: { command: 'ls' }, output: 'README.md\ndocs\noutput\nscripts\n' };
/** A file within the workspace: green. */
export const READ: GateCall = {
  tool: 'read',
  arguments: { path: 'docs/plan.md' },
  output: '# Plan\n\n1. Collect the figures.\n2. Write them up.\n',
};

/** A call at the gate: asked, allowed, its outcome reported. Agents take turns; a run has fifty calls. */
export function gateScript({ tool, arguments: args, output }: GateCall, tokens: readonly string[], series: string): Script {
  const tokenOf = (n: number) => tokens[n % tokens.length] ?? '';
  return {
    begin: (n) =>
      message(
        'POST',
        '/v1/tool-calls',
        tokenOf(n),
        JSON.stringify({
          tool,
          arguments: args,
          callId: `call_${series}_${n}`,
          sessionKey: `agent:${n % tokens.length}:main`,
          runId: `run-${series}-${Math.floor(n / 50)}`,
        }),
      ),
    next: (answer, n) => {
      if (answer.body.startsWith('{"id":"') && answer.body.includes('"verdict":"allow"')) {
        const id = answer.body.slice(7, 43);
        return message('POST', `/v1/tool-calls/${id}/outcome`, tokenOf(n), JSON.stringify({ status: 'success', output, durationMs: 12 }));
      }
      expectAnswer(answer, 200, '{"id":"');
      if (!answer.body.endsWith('"state":"ended"}')) throw new Error(`not what was expected: ${answer.body}`);
      return null;
    },
  };
}

const CHAT = {
  model: 'bench-model',
  max_tokens: 200,
  messages: [
    { role: 'system', content: 'You write short, exact sentences for people who have little time.' },
    { role: 'user', content: COMMENT.slice(0, 300) },
  ],
};

/** A chat completion: in one piece, or as a stream of a hundred chunks. @param more further header lines, each with its end. */
export function chatScript(tokens: readonly (string | null)[], path: string, isStream: boolean, more = ''): Script {
  const body = JSON.stringify(isStream ? { ...CHAT, stream: true, stream_options: { include_usage: true } } : CHAT);
  const requests = tokens.map((token) => message('POST', path, token, body, more));
  return {
    begin: (n) => requests[n % requests.length] ?? '',
    next: ({ status, body: answer }) => {
      const isWhole = isStream
        ? answer.includes('"completion_tokens":99') && answer.includes('[DONE]')
        : answer.includes('"completion_tokens":3');
      if (status !== 200 || !isWhole) throw new Error(`answered ${status}: ${answer.slice(0, 300)}`);
      return null;
    },
  };
}

/** A session at an MCP server, as its client keeps it. */
export interface McpSession {
  path: string;
  token: string | null;
  /** What the server named it; null where it has none. */
  id: string | null;
  protocolVersion: string;
}

/** `tools/call` over Streamable HTTP, the sessions in turn. Every answer carries its own id and what the tool says. */
export function mcpScript(sessions: readonly McpSession[]): Script {
  return {
    begin: (n) => {
      const { path, token, id, protocolVersion } = sessions[n % sessions.length] ?? fail();
      const params = { name: 'find_page', arguments: { title: 'Publishing', limit: 1 } };
      const body = JSON.stringify({ jsonrpc: '2.0', id: n, method: 'tools/call', params });
      const session = id === null ? '' : `mcp-session-id: ${id}\r\n`;
      return message('POST', path, token, body, `${session}mcp-protocol-version: ${protocolVersion}\r\n`);
    },
    next: ({ status, body }, n) => {
      if (status !== 200 || !new RegExp(`"id":${n}\\b`).test(body) || !body.includes('Publishing: every article has a second reader.')) {
        throw new Error(`answered ${status}: ${body.slice(0, 300)}`);
      }
      return null;
    },
  };
}

function fail(): never {
  throw new Error('there is no session');
}

/** One request and whatever comes back. */
export function singleScript(method: string, path: string, token: string | null, body: unknown): Script {
  return { begin: () => message(method, path, token, body === undefined ? '' : JSON.stringify(body)), next: () => null };
}

function message(method: string, path: string, token: string | null, body: string, more = ''): string {
  const authorization = token === null ? '' : `authorization: Bearer ${token}\r\n`;
  return (
    `${method} ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n${authorization}user-agent: bench\r\naccept: application/json, text/event-stream\r\n` +
    `${more}content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  );
}

function expectAnswer({ status, body }: Answer, expected: number, beginning: string): void {
  if (status !== expected || !body.startsWith(beginning)) throw new Error(`answered ${status}: ${body.slice(0, 300)}`);
}
