import { expect, it } from 'vitest';
import { useDashboard } from './browser.ts';

/** A missing gate cannot be had at will from the product: it raises this alert by itself after a silence. */
const dashboard = useDashboard('mock');
const { open } = dashboard;

it('a critical alert shows on every view until somebody resolves it', async () => {
  await dashboard.server.addAgent('Forge-03');
  const page = await open('operator', '/agents');
  await page.getByText('Forge-03').first().waitFor();
  await dashboard.server.raiseAlert({ type: 'gate_missing', severity: 'critical', message: 'openclaw-ams: the plugin is gone' });
  const banner = page.getByRole('alert').filter({ hasText: 'Gate missing.' });
  await banner.getByRole('link', { name: 'Open the alert' }).click();
  await page.getByRole('button', { name: 'Resolve', exact: true }).click();
  await page.getByText('Nothing is wrong').waitFor();
  await page.getByRole('link', { name: 'Mission Control, overview' }).click();
  expect(await banner.count()).toBe(0);
  await page.getByRole('link', { name: 'Alerts' }).click();
  await page.getByRole('button', { name: 'Resolved' }).click();
  await page.getByText('openclaw-ams: the plugin is gone').waitFor();
  await page.getByText(/resolved by Jon Reyes/).waitFor();
});
