import { expect, it } from 'vitest';
import { useDashboard } from './browser.ts';

/** The mock's replay finds red calls where a text mentions publishing. */
const dashboard = useDashboard('mock');

it('a policy that would allow red calls is activated only with their number in words', async () => {
  const page = await dashboard.open('admin', '/policies', { expected: /409/ });
  const text = page.getByRole('textbox', { name: 'Policy v1' });
  await page.getByText('No problems').waitFor();
  await text.fill(`${await text.inputValue()}\n# npm publish is ours\n`);
  await page.getByRole('button', { name: 'Save as version' }).click();
  const save = page.getByRole('dialog', { name: 'Save as a version' });
  await save.getByLabel(/^What does it change/).fill('looser');
  await save.getByRole('button', { name: 'Save as version' }).click();
  await save.waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Activate v2' }).click();
  const dialog = page.getByRole('dialog', { name: 'Activate v2' });
  await dialog.getByLabel('Why?').fill('we publish from CI');
  await dialog.getByRole('button', { name: 'Activate v2' }).click();
  await dialog.getByText('1 red call that was held or denied would be allowed').waitFor();
  const sure = dialog.getByRole('button', { name: 'Activate, allow 1 red' });
  expect(await sure.getAttribute('aria-disabled')).toBe('true');
  await dialog.getByLabel(/^Type allow 1 red/).fill('allow 2 red');
  expect(await sure.getAttribute('aria-disabled')).toBe('true');
  await dialog.getByLabel(/^Type allow 1 red/).fill('allow 1 red');
  await sure.click();
  await page.getByText('v2 is active.').waitFor();
});
