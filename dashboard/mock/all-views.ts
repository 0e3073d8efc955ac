/**
 * `npm run pictures:all -- FOLDER [--only VIEW,…]`: every view, or these, at three widths in light, dark and high contrast, for looking at, and
 * a list of what a picture hides: a page that scrolls sideways, and text that is cut where nothing gives the whole of it. FOLDER is outside the
 * repository.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';

const WIDTHS = [
  { width: 1440, height: 900 },
  { width: 1024, height: 768 },
  { width: 390, height: 844 },
] as const;

const LOOKS = [
  ['light', 'light', 'no-preference'],
  ['dark', 'dark', 'no-preference'],
  ['contrast', 'dark', 'more'],
] as const;

const SETTLE_MS = 700;

/** A view, and what is done there before it is looked at. */
interface Shown {
  name: string;
  path: string;
  tab?: string;
  keys?: string;
}

const VIEWS: readonly Shown[] = [
  { name: 'overview', path: '/overview' },
  { name: 'board', path: '/board' },
  ...['Overview', 'Timeline', 'Artifacts', 'Approvals', 'Cost'].map((tab) => ({
    name: `task-${tab.toLowerCase()}`,
    path: '/board?task=ta_431',
    tab,
  })),
  { name: 'approvals', path: '/approvals' },
  { name: 'approvals-edit', path: '/approvals', keys: 'e' },
  { name: 'approvals-longer', path: '/approvals', keys: 'f' },
  { name: 'grants', path: '/grants' },
  { name: 'agents', path: '/agents' },
  { name: 'agent', path: '/agents/ag_00003' },
  { name: 'feed', path: '/feed' },
  { name: 'alerts', path: '/alerts' },
  { name: 'upstreams', path: '/upstreams' },
  { name: 'policy', path: '/policies' },
  { name: 'policy-draft', path: '/policies/v2' },
  { name: 'spend', path: '/spend' },
  { name: 'audit', path: '/audit' },
  { name: 'incident', path: '/incident' },
  { name: 'settings', path: '/settings' },
  { name: 'health', path: '/health' },
  { name: 'start', path: '/start' },
  { name: 'search', path: '/board', keys: '/' },
  { name: 'keys', path: '/board', keys: '?' },
  { name: 'nowhere', path: '/nowhere' },
];

/** Takes the pictures into `folder` and prints what they hide. @returns how many were taken. */
export async function takeAllViews(browser: Browser, url: string, folder: string, at: Date, only: readonly string[] = []): Promise<number> {
  const views = VIEWS.filter(({ name }) => only.length === 0 || only.includes(name));
  mkdirSync(folder, { recursive: true });
  let taken = 0;
  for (const viewport of WIDTHS) {
    for (const [look, colorScheme, contrast] of LOOKS) {
      const isPhone = viewport.width < 640;
      const context = await browser.newContext({
        viewport,
        colorScheme,
        contrast,
        timezoneId: 'UTC',
        reducedMotion: 'reduce',
        hasTouch: isPhone,
        isMobile: isPhone,
      });
      await context.request.post(`${url}/api/session`, { data: { token: 'admin' } });
      const page = await context.newPage();
      await page.clock.setFixedTime(at);
      for (const view of views) {
        await show(page, url, view);
        await page.screenshot({ path: join(folder, `${view.name}-${viewport.width}-${look}.png`) });
        taken++;
        if (look === 'light') for (const finding of await hiddenIn(page)) console.log(`${view.name} at ${viewport.width}: ${finding}`);
      }
      await context.close();
    }
  }
  return taken;
}

async function show(page: Page, url: string, { path, tab, keys }: Shown): Promise<void> {
  await page.goto(url + path);
  await page.locator('main h1').first().waitFor({ state: 'attached' });
  await page.evaluate(() => document.fonts.ready);
  if (tab) await page.getByRole('tab', { name: tab }).click();
  if (keys) await page.keyboard.press(keys);
  // What is fetched after the view itself: the judgement, the history of a task, the charts.
  await page.waitForTimeout(SETTLE_MS);
}

/** A page that is wider than its window, and text that is cut without a way to read it. */
function hiddenIn(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const findings: string[] = [];
    const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    if (wide > 0) findings.push(`the page is ${wide} px too wide`);
    for (const element of document.querySelectorAll<HTMLElement>('body *')) {
      const style = getComputedStyle(element);
      if (!element.checkVisibility() || style.overflowX !== 'hidden' || element.closest('.sr, [title], a[href], summary, button')) continue;
      if (element.clientWidth > 1 && element.scrollWidth > element.clientWidth + 1 && element.innerText.trim() !== '')
        findings.push(`cut: ${element.className || element.tagName} "${element.innerText.trim().slice(0, 60)}"`);
    }
    return [...new Set(findings)];
  });
}
