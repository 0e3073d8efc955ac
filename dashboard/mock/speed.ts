/**
 * `npm run speed:dashboard`: how quick the board is with 10,000 tasks, 500 held calls and a busy feed, in real Chromium against the mock.
 * Prints the first paint of the board (median of five), the longest frames while scrolling and dragging, how long an event takes to the
 * screen, and what memory does under 20 events a second. MINUTES sets how long that goes on (default 1).
 */
import { join } from 'node:path';
import { chromium, type Page } from 'playwright-core';
import { fillWorld } from './samples.ts';
import { filesOf, serveWorld } from './server.ts';
import { World } from './world.ts';

const TASKS = 10_000;
const HELD = 500;
const EVENTS_PER_S = 20;
const ROUNDS = 5;
const MINUTES = Number(process.env.MINUTES ?? 1);
const STATES = ['inbox', 'assigned', 'in_progress', 'review', 'blocked', 'done'] as const;
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--js-flags=--expose-gc', '--enable-precise-memory-info'];

const world = new World(() => Date.now());
fillWorld(world);
const squad = [...world.agents.values()];
for (let i = 0; i < TASKS; i++) {
  const agent = squad[i % squad.length];
  world.addTask(
    { title: `Task ${i} of a long list that goes on`, type: 'docs', ...(agent ? { assigneeIds: [agent.id] } : {}), workPlan: 'as ever' },
    null,
    { status: STATES[i % STATES.length] ?? 'inbox', spend: (i % 30) / 10 },
  );
}
for (let i = 0; i < HELD; i++)
  world.call(squad[i % squad.length]?.id ?? '', {
    tool: 'exec',
    mappedTool: 'shell_exec',
    arguments: { command: `make target-${i}` },
    risk: 'yellow',
    verdict: 'hold',
  });
const server = await serveWorld(world, filesOf(join(import.meta.dirname, '../dist')));
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
await context.request.post(`${server.url}/api/session`, { data: { token: 'admin' } });
const page = await context.newPage();

const paints: number[] = [];
for (let i = 0; i < ROUNDS; i++) {
  await page.goto(`${server.url}/board`);
  await page.locator('.tcard').first().waitFor();
  paints.push(
    await page.evaluate(
      () => new Promise<number>((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now())))),
    ),
  );
}
console.log(`first paint of the board      ${ms(median(paints))} (median of ${ROUNDS}: ${paints.map(ms).join(', ')})`);

await page.getByRole('region', { name: /^Inbox, 1,?\d{3}/ }).waitFor();
console.log(`all tasks here after          ${ms(await page.evaluate(() => performance.now()))}`);

const scrolling = await framesDuring(page, async () => {
  await page.mouse.move(500, 500);
  for (let i = 0; i < 60; i++) {
    await page.mouse.wheel(0, 400);
    await page.waitForTimeout(16);
  }
});
console.log(`scrolling a column            ${told(scrolling)}`);

const dragging = await framesDuring(page, async () => {
  const card = await page.locator('[data-column="inbox"] .tcard').nth(2).boundingBox();
  if (!card) throw new Error('no card to drag');
  await page.mouse.move(card.x + 40, card.y + 10);
  await page.mouse.down();
  for (let i = 0; i < 120; i++) {
    await page.mouse.move(card.x + 40 + i * 7, card.y + 10 + (i % 40));
    await page.waitForTimeout(8);
  }
  await page.keyboard.press('Escape');
  await page.mouse.up();
});
console.log(`dragging a card               ${told(dragging)}`);

const delays: number[] = [];
for (let i = 0; i < 20; i++) {
  const text = `an alert number ${i}.`;
  const seen = page.waitForFunction((wanted) => document.body.textContent?.includes(wanted), text, { polling: 'raf' });
  const from = performance.now();
  world.raiseAlert({ type: 'loop_detected', severity: 'low', message: text });
  await seen;
  delays.push(performance.now() - from);
}
console.log(`event to screen               ${ms(median(delays))} median, ${ms(Math.max(...delays))} longest of ${delays.length}`);

const heap = () =>
  page.evaluate(() => {
    (globalThis as unknown as { gc?: () => void }).gc?.();
    return (performance as unknown as { memory: { usedJSHeapSize: number } }).memory.usedJSHeapSize / 1024 / 1024;
  });
const heaps = [await heap()];
const busy = await framesDuring(page, async () => {
  for (let minute = 0; minute < MINUTES; minute++) {
    for (let i = 0; i < 60 * EVENTS_PER_S; i++) {
      const agent = squad[i % squad.length];
      if (i % 4 === 0) world.touchTask(i * 7);
      else if (agent)
        world.call(agent.id, { tool: 'read', mappedTool: 'read_file', arguments: { path: `n/${i}` }, risk: 'green', verdict: 'allow' });
      await new Promise((resolve) => setTimeout(resolve, 1000 / EVENTS_PER_S));
    }
    heaps.push(await heap());
  }
});
console.log(
  `${EVENTS_PER_S} events/s for ${MINUTES} min          ${told(busy)}; heap ${heaps.map((mb) => `${mb.toFixed(0)} MB`).join(', ')}`,
);

await browser.close();
await server.close();

/** Gaps between frames while something is done, and the blocks of the main thread that caused them. */
async function framesDuring(
  at: Page,
  work: () => Promise<void>,
): Promise<{ longest: number; over: number; frames: number; blocks: number[] }> {
  await at.evaluate(() => {
    const state = { gaps: [] as number[], blocks: [] as number[], on: true, last: performance.now() };
    Object.assign(globalThis, { speed: state });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) state.blocks.push(entry.duration);
    }).observe({ type: 'longtask' });
    const tick = (now: number) => {
      state.gaps.push(now - state.last);
      state.last = now;
      if (state.on) requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  });
  await work();
  return at.evaluate(() => {
    const state = (globalThis as unknown as { speed: { gaps: number[]; blocks: number[]; on: boolean } }).speed;
    state.on = false;
    const gaps = state.gaps.slice(1);
    return { longest: Math.max(...gaps), over: gaps.filter((gap) => gap > 50).length, frames: gaps.length, blocks: state.blocks };
  });
}

function told({ longest, over, frames, blocks }: { longest: number; over: number; frames: number; blocks: number[] }): string {
  return `${over} of ${frames} frames > 50 ms, longest ${ms(longest)}; ${blocks.length} blocks of the main thread ≥ 50 ms${blocks.length ? `, longest ${ms(Math.max(...blocks))}` : ''}`;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function ms(value: number): string {
  return `${Math.round(value)} ms`;
}
