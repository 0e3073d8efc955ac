/**
 * The command line's way to the API. Its credential is MC_ADMIN_TOKEN, or the token that control leaves in the key folder for the
 * command line of the same machine and user.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ResolvedSettings } from '../../settings.ts';
import type { Problem } from '../contract.ts';

/** File of the command line's own token, inside the key folder (mode 0600). */
export const CLI_TOKEN_FILE = 'cli-token';

/** Control answered with a refusal, or not at all. The message is for the person at the terminal. */
export class CommandError extends Error {
  readonly code: string;
  readonly problem: Problem | null;
  constructor(code: string, text: string, problem: Problem | null = null) {
    super(text);
    this.code = code;
    this.problem = problem;
  }
}

export interface ApiClient {
  get: <T>(path: string) => Promise<T>;
  post: <T>(path: string, body: unknown) => Promise<T>;
  patch: <T>(path: string, body: unknown) => Promise<T>;
  delete: (path: string) => Promise<void>;
  /** A file as it comes, however long that takes; with a body it is asked for by POST. */
  download: (path: string, body?: unknown) => Promise<ReadableStream<Uint8Array>>;
}

/** @throws CommandError from every call: NO_CREDENTIAL, UNREACHABLE, or the code of control's refusal. */
export function apiClient(settings: ResolvedSettings): ApiClient {
  async function ask(method: string, path: string, body: unknown, signal: AbortSignal | null): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(`${settings.controlUrl}/api${path}`, {
        method,
        headers: { authorization: `Bearer ${credential(settings)}`, ...(body !== undefined && { 'content-type': 'application/json' }) },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        signal,
      });
    } catch (error) {
      if (error instanceof CommandError) throw error;
      throw unreachable(settings);
    }
    if (response.ok) return response;
    throw refusal(response.status, await response.text());
  }

  async function send<T>(method: string, path: string, body?: unknown): Promise<T> {
    const text = await (await ask(method, path, body, AbortSignal.timeout(30_000))).text();
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  async function download(path: string, given?: unknown): Promise<ReadableStream<Uint8Array>> {
    const { body } = await ask(given === undefined ? 'GET' : 'POST', path, given, null);
    if (body === null) throw new CommandError('EMPTY', 'Control answered nothing.');
    return body;
  }

  return {
    get: (path) => send('GET', path),
    post: (path, body) => send('POST', path, body),
    patch: (path, body) => send('PATCH', path, body),
    delete: (path) => send('DELETE', path),
    download,
  };
}

function unreachable(settings: ResolvedSettings): CommandError {
  return new CommandError('UNREACHABLE', `Mission Control does not answer at ${settings.controlUrl}. Is it running? Start it: npm start`);
}

function refusal(status: number, text: string): CommandError {
  const problem = parseProblem(text);
  return new CommandError(problem?.code ?? `HTTP_${status}`, problem?.detail ?? `Control answered ${status}.`, problem);
}

function credential(settings: ResolvedSettings): string {
  if (settings.MC_ADMIN_TOKEN !== null) return settings.MC_ADMIN_TOKEN;
  const file = join(settings.keyDir, CLI_TOKEN_FILE);
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    throw new CommandError(
      'NO_CREDENTIAL',
      `There is no credential: ${file} cannot be read and MC_ADMIN_TOKEN is not set. Run this where and as whom Mission Control runs, or set MC_ADMIN_TOKEN.`,
    );
  }
}

function parseProblem(text: string): Problem | null {
  try {
    return JSON.parse(text) as Problem;
  } catch {
    return null;
  }
}
