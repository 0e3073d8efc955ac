import { expect, it } from 'vitest';
import { useDashboard } from './browser.ts';

const dashboard = useDashboard();
const { open } = dashboard;

it('says what was spent, in figures, and what is missing where nothing was', async () => {
  const page = await open('viewer', '/spend');
  await page.getByText('Nothing was spent', { exact: true }).waitFor();
  await page.getByText('The fleet has no cap').waitFor();
  await page.getByRole('group', { name: 'By' }).getByRole('button', { name: 'Model' }).click();
  await page.getByRole('heading', { level: 2, name: 'Spend by model' }).waitFor();
  const href = await page.getByRole('link', { name: 'Export CSV' }).getAttribute('href');
  const csv = await page.evaluate(async (path) => (await fetch(path)).headers.get('content-type'), href ?? '');
  expect(csv).toContain('text/csv');
});

it('a cap is raised for today with a note, and binds at once', async () => {
  const agent = await dashboard.server.addAgent('Forge-03', 'lead');
  const page = await open('operator', `/agents/${agent}`);
  await page.getByRole('button', { name: 'Raise today' }).click();
  const dialog = page.getByRole('dialog', { name: 'Raise the cap of Forge-03' });
  await dialog.getByLabel('Add, USD').fill('0');
  await dialog.getByLabel(/^Why/).fill('release day');
  await dialog.getByRole('button', { name: 'Raise the cap' }).click();
  await dialog.getByText('Write how much is added').waitFor();
  await dialog.getByLabel('Add, USD').fill('3');
  await dialog.getByRole('button', { name: 'Raise the cap' }).click();
  await page.getByText('The cap of Forge-03 is $3.00 higher.').waitFor();
  await page.getByText('of $15').first().waitFor();
});
