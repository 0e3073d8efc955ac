import { beforeEach, expect, it } from 'vitest';
import { violations } from './axe.ts';
import { useDashboard } from './browser.ts';
import { CALLS, type TestServer } from './server.ts';

const dashboard = useDashboard();
const { open } = dashboard;
let server: TestServer;

beforeEach(() => {
  server = dashboard.server;
});

it('checks as one types, judges the draft at once, and keeps it until it is saved', async () => {
  const page = await open('admin', '/policies');
  const text = page.getByRole('textbox', { name: /^Policy v\d+$/ });
  await page.getByText('No problems').waitFor();
  const verdict = page.getByRole('complementary', { name: 'Try it out' }).getByRole('status');
  await verdict.getByText('Held', { exact: true }).waitFor();
  const source = await text.inputValue();

  await text.fill(`${source}\nsurprise: 1\n`);
  await page.getByRole('status').getByText('1 problem').waitFor();
  await page.getByText('surprise').last().waitFor();
  await page.getByText('Fix 1 problem first.').waitFor();
  await page.getByText('by the text as it was before the problem').waitFor();

  await text.fill(source.replace('web_search: green', 'web_search: red'));
  await page.getByText('No problems').waitFor();
  await page.getByLabel(/^A call/).fill('web_search prices');
  await page.getByText('RED_ACTION').waitFor();
  await page.getByRole('group', { name: 'Judged by' }).getByRole('button').first().click();
  await page.getByText('RED_ACTION').waitFor({ state: 'detached' });

  // Closed and opened again, the draft is still there.
  await page.reload();
  await page.getByRole('heading', { level: 1, name: /draft$/ }).waitFor();
  await page.getByRole('button', { name: 'Save as version' }).click();
  const dialog = page.getByRole('dialog', { name: 'Save as a version' });
  await dialog.getByLabel(/^What does it change/).fill('search waits for a person');
  await dialog.getByRole('button', { name: 'Save as version' }).click();
  await page.getByText(/^v\d+ is saved\. It is not active\.$/).waitFor();
  await page.getByRole('button', { name: /^Show what differs/ }).click();
  await page.getByText('riskMap.web_search').waitFor();
});

it('starts from a profile, and says what it changes before there is a version of it', async () => {
  const page = await open('admin', '/policies');
  await page.getByRole('button', { name: 'Start from a profile' }).click();
  const dialog = page.getByRole('dialog', { name: 'Start from a profile' });
  await dialog.getByRole('radio', { name: /^Balanced/ }).check();
  await dialog.getByText('Nothing differs').waitFor();
  await dialog.getByText(/^v\d+ says all of it already\.$/).waitFor();
  await dialog.getByRole('radio', { name: /^Strict/ }).check();
  await dialog.getByText('autonomyRules.specialist.yellow').waitFor();
  expect(await violations(page)).toEqual([]);
  await dialog.getByRole('button', { name: 'Make a version of strict' }).click();
  await page.getByText(/^v\d+ is made from strict\. It is not active\.$/).waitFor();
  await page.getByRole('button', { name: /^Show what differs/ }).click();
  await page.getByText('budgets.perAgentDaily.lead').waitFor();
});

it('is activated with a note, after the calls of a week were judged by it', async () => {
  const agent = await server.addAgent('Forge-03');
  await server.call(agent, CALLS.read);
  const page = await open('admin', '/policies');
  const text = page.getByRole('textbox', { name: /^Policy v\d+$/ });
  await page.getByText('No problems').waitFor();
  await text.fill(`${await text.inputValue()}\n# ${Math.random()}\n`);
  await page.getByRole('button', { name: 'Save as version' }).click();
  const save = page.getByRole('dialog', { name: 'Save as a version' });
  await save.getByLabel(/^What does it change/).fill('a comment');
  await save.getByRole('button', { name: 'Save as version' }).click();
  await save.waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Replay', exact: true }).click();
  await page.getByText('No red call gets looser.').waitFor();
  await page.getByRole('button', { name: /^Activate v/ }).click();
  const dialog = page.getByRole('dialog', { name: /^Activate v/ });
  await dialog.getByLabel('Why?').fill('reads better');
  await dialog.getByRole('button', { name: /^Activate v/ }).click();
  await page.getByText(/^v\d+ is active\.$/).waitFor();
  await page.getByText(/^active since/).waitFor();
});

it('runs a draft as a shadow beside the active one, and ends it', async () => {
  const page = await open('admin', '/policies');
  const text = page.getByRole('textbox', { name: /^Policy v\d+$/ });
  await page.getByText('No problems').waitFor();
  await text.fill((await text.inputValue()).replace('web_search: green', 'web_search: yellow'));
  await page.getByRole('button', { name: 'Save as version' }).click();
  const save = page.getByRole('dialog', { name: 'Save as a version' });
  await save.getByLabel(/^What does it change/).fill('search is yellow');
  await save.getByRole('button', { name: 'Save as version' }).click();
  await save.waitFor({ state: 'detached' });
  await page.getByRole('button', { name: /^Start with v/ }).click();
  await page.getByText('Judged live').waitFor();
  await page.getByRole('button', { name: 'End', exact: true }).click();
  await page.getByText('The shadow has ended; its figures stay.').waitFor();
});

it('can be read and tried by a viewer, who sees why it cannot be changed', async () => {
  const page = await open('viewer', '/policies');
  await page.getByText('No problems').waitFor();
  expect(await page.getByRole('textbox', { name: /^Policy v\d+$/ }).getAttribute('readonly')).not.toBeNull();
  await page.getByText('Needs the administrator role; you are a viewer.').first().waitFor();
  await page.getByLabel(/^A call/).fill('exec sudo reboot');
  await page.getByText('SHELL_BLOCKED').waitFor();
});
