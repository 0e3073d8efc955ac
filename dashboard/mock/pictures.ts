/**
 * `npm run pictures`: takes the pictures of the README from the built dashboard with a sample squad behind it, into docs/pictures.
 * The clock of the samples stands still, so a picture changes only when the dashboard does.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { takeAllViews } from './all-views.ts';
import { fillWorld } from './samples.ts';
import { filesOf, serveWorld } from './server.ts';
import { World } from './world.ts';

const OUT = join(import.meta.dirname, '../../docs/pictures');
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];
const AT = new Date('2026-11-23T14:32:08Z');
const SETTLE_MS = 1_500;
const DESK = { width: 1440, height: 900 };
const PHONE = { width: 390, height: 844 };

const { all, only } = parseArgs({ options: { all: { type: 'string' }, only: { type: 'string' } } }).values;

const PICTURES = [
  { name: 'board-light', path: '/board', viewport: DESK, colorScheme: 'light' },
  { name: 'board-dark', path: '/board', viewport: DESK, colorScheme: 'dark' },
  { name: 'task-light', path: '/board?task=ta_431', viewport: DESK, colorScheme: 'light', tab: 'Timeline' },
  { name: 'spend-light', path: '/spend', viewport: DESK, colorScheme: 'light' },
  { name: 'policy-dark', path: '/policies/v2', viewport: DESK, colorScheme: 'dark' },
  { name: 'approvals-light', path: '/approvals', viewport: DESK, colorScheme: 'light' },
  { name: 'approvals-dark', path: '/approvals', viewport: DESK, colorScheme: 'dark' },
  { name: 'agent-light', path: '/agents/ag_00003', viewport: DESK, colorScheme: 'light' },
  { name: 'phone-light', path: '/approvals', viewport: PHONE, colorScheme: 'light' },
] as const;

const world = new World(() => AT.getTime());
fillWorld(world);
for (const alert of world.alerts.values()) if (alert.severity === 'critical') world.alerts.delete(alert.id);
const server = await serveWorld(world, filesOf(join(import.meta.dirname, '../dist')));
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
if (all !== undefined) console.log(`${await takeAllViews(browser, server.url, all, AT, only?.split(','))} pictures in ${all}`);
else mkdirSync(OUT, { recursive: true });
for (const { name, path, viewport, colorScheme, ...more } of all === undefined ? PICTURES : []) {
  const context = await browser.newContext({
    viewport,
    colorScheme,
    timezoneId: 'UTC',
    hasTouch: viewport === PHONE,
    reducedMotion: 'reduce',
  });
  await context.request.post(`${server.url}/api/session`, { data: { token: 'admin' } });
  const page = await context.newPage();
  await page.clock.setFixedTime(AT);
  await page.goto(server.url + path);
  await page.locator('main h1').first().waitFor({ state: 'attached' });
  await page.evaluate(() => document.fonts.ready);
  if (path === '/approvals') await page.getByRole('textbox', { name: /^Note/ }).fill('Release 2.4, tarball checked with Jon.');
  if ('tab' in more) await page.getByRole('tab', { name: more.tab }).click();
  // What is fetched after the view itself: the judgement, the history of a task, the charts.
  await page.waitForTimeout(SETTLE_MS);
  await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
  await page.screenshot({ path: join(OUT, `${name}.png`) });
  await context.close();
}
await browser.close();
await server.close();
if (all === undefined) console.log(`${PICTURES.length} pictures in docs/pictures`);
