/**
 * A film of a page: the frames that the browser paints, each for as long as it stood, encoded to WebM by Debian's ffmpeg. Captions are words
 * over the page, outside of its body, so that the page's own rendering does not take them away.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CDPSession, Page } from 'playwright-core';
import { findProgram } from '../setup/programs.ts';

const FRAMES_PER_S = 12;
/** Constant quality of VP9: 4 is the best, 63 the smallest. Text stays sharp up to about 40. */
const QUALITY = 38;

/** What of the browser's page is used in it; the repository's types are those of Node. */
declare const document: {
  getElementById(id: string): { remove(): void } | null;
  createElement(tag: string): { id: string; textContent: string; style: { cssText: string } };
  documentElement: { append(element: unknown): void };
};

interface Frame {
  file: string;
  /** Of the browser's clock, seconds. */
  at: number;
}

export class ScreenRecorder {
  readonly #page: Page;
  readonly #session: CDPSession;
  readonly #folder = mkdtempSync(join(tmpdir(), 'mc-film-'));
  readonly #frames: Frame[] = [];

  private constructor(page: Page, session: CDPSession) {
    this.#page = page;
    this.#session = session;
    session.on('Page.screencastFrame', ({ data, metadata, sessionId }) => {
      const file = join(this.#folder, `${String(this.#frames.length).padStart(5, '0')}.jpg`);
      writeFileSync(file, Buffer.from(data, 'base64'));
      this.#frames.push({ file, at: metadata.timestamp ?? Date.now() / 1000 });
      session.send('Page.screencastFrameAck', { sessionId }).catch(() => undefined);
    });
  }

  /** Begins at once. @throws Error where ffmpeg is not installed: found out before the story is played. */
  static async start(page: Page): Promise<ScreenRecorder> {
    encoder();
    const recorder = new ScreenRecorder(page, await page.context().newCDPSession(page));
    await recorder.#session.send('Page.startScreencast', { format: 'jpeg', quality: 85, everyNthFrame: 2 });
    return recorder;
  }

  /** Words at the bottom of the page until the next ones; none take them away. */
  async caption(text: string | null): Promise<void> {
    await this.#page.evaluate((words) => {
      document.getElementById('film-caption')?.remove();
      if (words === null) return;
      const bar = document.createElement('div');
      bar.id = 'film-caption';
      bar.textContent = words;
      bar.style.cssText =
        'position:fixed;left:50%;bottom:84px;transform:translateX(-50%);max-width:1000px;padding:14px 24px;border-radius:10px;' +
        'background:rgba(15,18,24,.93);color:#fff;font:500 21px/1.4 Inter,system-ui,sans-serif;text-align:center;z-index:2147483647;pointer-events:none';
      document.documentElement.append(bar);
    }, text);
  }

  /** Ends the film and writes it. @returns how long it is, s. */
  async finish(file: string): Promise<number> {
    // The last picture stands until now.
    await this.#session.send('Page.stopScreencast');
    const first = this.#frames[0];
    const last = this.#frames.at(-1);
    if (!first || !last) throw new Error('the browser painted nothing');
    const endsAt = Math.max(Date.now() / 1000, last.at + 1);
    const list = this.#frames.map(({ file: frame, at }, i) => {
      const until = this.#frames[i + 1]?.at ?? endsAt;
      return `file '${frame}'\nduration ${Math.max(0.001, until - at).toFixed(3)}`;
    });
    const listFile = join(this.#folder, 'frames.txt');
    // The last one is named twice: its duration is not taken otherwise.
    writeFileSync(listFile, `${list.join('\n')}\nfile '${last.file}'\n`);
    mkdirSync(join(file, '..'), { recursive: true });
    const quality = ['-c:v', 'libvpx-vp9', '-crf', String(QUALITY), '-b:v', '0', '-deadline', 'good', '-cpu-used', '6', '-row-mt', '1'];
    const args = ['-y', '-loglevel', 'error', '-f', 'concat', '-safe', '0', '-i', listFile];
    const { status, stderr } = spawnSync(
      encoder(),
      [...args, '-vf', `fps=${FRAMES_PER_S},scale=1280:-2,format=yuv420p`, ...quality, '-g', String(FRAMES_PER_S * 20), '-an', file],
      { encoding: 'utf8' },
    );
    if (status !== 0) throw new Error(`ffmpeg ended with ${status}: ${stderr}`);
    this.discard();
    return endsAt - first.at;
  }

  /** Removes its frames. */
  discard(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function encoder(): string {
  const program = findProgram(['ffmpeg']);
  if (program === null) throw new Error('ffmpeg is not installed: apt-get install ffmpeg');
  return program;
}
