import { join } from 'node:path';
import { createServer, type ViteDevServer } from 'vite';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { violations } from './axe.ts';
import { useDashboard } from './browser.ts';

const dashboard = useDashboard('mock');
let vite: ViteDevServer;

beforeAll(async () => {
  vite = await createServer({
    configFile: join(import.meta.dirname, '../../dashboard/vite.config.ts'),
    logLevel: 'silent',
    server: { host: '127.0.0.1', hmr: false },
  });
  await vite.listen();
});
afterAll(() => vite.close());

it('the gallery shows every element in every state, and axe objects to none of them', async () => {
  // The gallery is served from its sources, beside the server of the other tests; Lit says that these are not for production.
  const page = await dashboard.open('viewer', '/settings', { expected: /^request to|dev mode/, reducedMotion: 'reduce' });
  await page.goto(`${vite.resolvedUrls?.local[0]}gallery.html`);
  await page.getByRole('heading', { level: 1, name: 'Elements and their states' }).waitFor();
  for (const element of [
    'mc-agent-row',
    'mc-approval-list',
    'mc-arguments-editor',
    'mc-call-table',
    'mc-command-list',
    'mc-data-age',
    'mc-decision-panel',
    'mc-file-change',
    'mc-grant-form',
    'mc-hold-button',
    'mc-key-sheet',
    'mc-like-list',
    'mc-stop-form',
    'mc-voice',
  ]) {
    expect([element, await page.locator(element).count()]).not.toEqual([element, 0]);
  }
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    expect([colorScheme, await violations(page)]).toEqual([colorScheme, []]);
  }
}, 60_000);
