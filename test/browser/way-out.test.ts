import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { violations } from './axe.ts';
import { useDashboard } from './browser.ts';

/** Where these links lead is the product's; here it is that they are shown in full, by name, and to administrators only. */
const dashboard = useDashboard('mock');
const { open } = dashboard;

/** Registers something as the person who is signed in. */
const post = (page: Page, path: string, body: object) =>
  page.evaluate(
    async ([path, body]) => {
      const { csrfToken } = await (await fetch('/api/session')).json();
      const headers = { 'Content-Type': 'application/json', 'X-MC-CSRF': csrfToken };
      return (await fetch(`/api${path}`, { method: 'POST', headers, body: JSON.stringify(body) })).status;
    },
    [path, body] as const,
  );

it('leads an administrator to the sign-in of an upstream, and says where that is', async () => {
  const page = await open('admin', '/upstreams', { reducedMotion: 'reduce' });
  await page.getByRole('heading', { level: 1, name: 'Upstreams' }).waitFor();
  const crm = { name: 'crm', kind: 'mcp', url: 'https://crm.example/mcp', oauth: { grant: 'authorization_code' } };
  expect(await post(page, '/upstreams', crm)).toBeLessThan(300);
  await page.getByRole('link', { name: /^crm/ }).click();
  await page.getByText('somebody has to authorise it').waitFor();
  await page.getByRole('button', { name: 'Authorise', exact: true }).click();
  const dialog = page.getByRole('dialog', { name: 'Authorise crm' });
  await dialog.getByText('https://login.example/authorize', { exact: true }).waitFor();
  const link = dialog.getByRole('link', { name: 'Sign in there' });
  expect(await link.getAttribute('href')).toMatch(/^https:\/\/login\.example\/authorize\?state=/);
  expect([await link.getAttribute('target'), await link.getAttribute('rel')]).toEqual(['_blank', 'noreferrer']);
  expect(await violations(page)).toEqual([]);
  const operator = await open('operator', '/upstreams/crm');
  const refused = operator.getByRole('button', { name: 'Authorise', exact: true });
  await refused.waitFor();
  expect(await refused.getAttribute('aria-disabled')).toBe('true');
});

it("leads an administrator to a gateway's own pages", async () => {
  const page = await open('admin', '/settings');
  await page.getByText('No gateway is connected').waitFor();
  expect(await post(page, '/gateways', { name: 'ams', url: 'ws://127.0.0.1:18789' })).toBeLessThan(300);
  await page.getByRole('button', { name: 'Open its pages' }).click();
  const dialog = page.getByRole('dialog', { name: 'Pages of ams' });
  await dialog.getByText(/^https:\/\/proxy\.example\/openclaw\//).waitFor();
  expect(await dialog.getByRole('link', { name: 'Open the gateway' }).getAttribute('href')).toContain('?ticket=');
});
