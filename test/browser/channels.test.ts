/** Channels on the settings page: added, tested, failing, mended, and linked to the person who looks at them. */
import { createServer } from 'node:http';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { close, listen, urlOf } from '../support/fake-telegram.ts';
import { until } from '../support/world.ts';
import { violations } from './axe.ts';
import { useDashboard } from './browser.ts';

const dashboard = useDashboard();
let status = 204;
const received: { type: string }[] = [];
const hook = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    received.push(JSON.parse(Buffer.concat(chunks).toString('utf8')) as { type: string });
    response.writeHead(status).end();
  });
});
beforeAll(() => listen(hook));
afterAll(() => close(hook));

it('adds a webhook, shows its key once, and says whether it takes what is sent', async () => {
  const page = await dashboard.open('admin', '/settings', { expected: /400/ });
  await page.getByRole('button', { name: 'Add a channel' }).click();
  const form = page.getByRole('dialog', { name: 'Add a channel' });
  await form.getByLabel('Kind').selectOption('webhook');
  await form.getByLabel('Name').fill('Pager');
  await form.getByLabel('Address', { exact: true }).fill(`${urlOf(hook)}/in`);
  await form.getByRole('button', { name: 'Add a channel' }).click();
  // Why it is refused stands in the form, and what was typed stays.
  await form.getByText('must be https').waitFor();
  await form.getByText('Another server').click();
  await form.getByLabel('Private addresses').check();
  expect(await violations(page)).toEqual([]);
  await form.getByRole('button', { name: 'Add a channel' }).click();
  const once = page.getByRole('dialog', { name: 'Signing key of Pager' });
  const key = await once.locator('code').innerText();
  expect(key).toMatch(/^whsec_/);
  await once.getByRole('button', { name: 'Close' }).click();
  // The dialog closes first and is taken out of the page a moment later.
  await until(
    () => page.content(),
    (content) => !content.includes(key),
  );

  const row = page.getByRole('listitem').filter({ hasText: 'Pager' }).first();
  await row.getByText('Not used yet').waitFor();
  await row.getByRole('button', { name: 'Test Pager' }).click();
  await row.getByText('Arrives').waitFor();
  expect(received.map(({ type }) => type)).toEqual(['test']);

  status = 410;
  await row.getByRole('button', { name: 'Test Pager' }).click();
  const dead = page.getByRole('listitem').filter({ hasText: 'the webhook answered 410' }).last();
  await dead.getByRole('button', { name: 'Try again' }).waitFor();
  expect(await violations(page)).toEqual([]);
  status = 204;
  await dead.getByRole('button', { name: 'Try again' }).click();
  await page.getByRole('heading', { name: 'Did not arrive' }).waitFor({ state: 'detached' });

  await row.getByRole('button', { name: 'Remove Pager' }).click();
  await page.getByRole('dialog', { name: 'Remove Pager' }).getByRole('button', { name: 'Remove Pager' }).click();
  await page.getByText('Nobody is told outside this page').waitFor();
});

it('lets everybody link their own account, and only administrators change channels', async () => {
  const admin = await dashboard.open('admin', '/settings');
  await admin.getByRole('button', { name: 'Add a channel' }).click();
  const form = admin.getByRole('dialog', { name: 'Add a channel' });
  await form.getByLabel('Number of the chat').fill('-1001');
  await form.getByLabel('Token of the bot').fill('1:token');
  await form.getByText('Another server').click();
  await form.getByLabel('Address of its API').fill('http://127.0.0.1:9');
  await form.getByLabel('Private addresses').check();
  await form.getByRole('button', { name: 'Add a channel' }).click();
  const page = await dashboard.open('approver', '/settings');
  const row = page.getByRole('listitem').filter({ hasText: 'Telegram' }).first();
  await row.getByRole('button', { name: 'Link my account' }).click();
  const once = page.getByRole('dialog', { name: 'Link my account' });
  expect(await once.innerText()).toContain('/link ');
  expect(await once.locator('code').innerText()).toMatch(/^[0-9A-Z]{10}$/);
  await once.getByRole('button', { name: 'Close' }).click();
  await page.getByText('Needs the administrator role').first().waitFor();
});
