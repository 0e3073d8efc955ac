import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';
import { until } from './child.ts';

/** A command typed into a terminal of its own, by `script`: it may ask, and Ctrl-C ends it, as for a person. */
export class Terminal {
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  #printed = '';

  constructor(command: string, options: { cwd: string; env: Record<string, string>; logFile: string }) {
    const { cwd, env, logFile } = options;
    appendFileSync(logFile, `\n$ ${command}\n`);
    this.#child = spawn('script', ['-qefc', command, '/dev/null'], { cwd, env, stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      const text = stripVTControlCharacters(chunk.toString('utf8')).replaceAll('\r', '');
      this.#printed += text;
      appendFileSync(logFile, text);
    });
    this.#ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('close', resolve);
    });
  }

  /** What it has shown so far. */
  get printed(): string {
    return this.#printed;
  }

  /** The first thing shown that matches; an error where the command ends, or the time does, without it. */
  shows(pattern: RegExp, timeoutMs: number): Promise<string> {
    return until(`the terminal to show ${pattern}`, timeoutMs, async () => {
      const found = pattern.exec(this.#printed);
      if (found) return found[1] ?? found[0];
      if (this.#child.exitCode !== null) throw new Error(`it ended with ${this.#child.exitCode}: ${this.#printed.slice(-2_000)}`);
      return null;
    });
  }

  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** Its exit code, once it has ended. */
  ended(): Promise<number | null> {
    return this.#ended;
  }

  /** Ctrl-C, and its end. */
  async interrupt(): Promise<void> {
    if (this.#child.exitCode === null) this.type('\u0003');
    await this.#ended;
  }
}
