/** The main jobs without a mouse: nothing here clicks, fills or drags. What has the focus is reached with Tab or a key, and typed into. */
import type { Locator, Page } from 'playwright-core';
import { expect, it, onTestFinished } from 'vitest';
import { FakeOpenClaw } from '../openclaw/fake-openclaw.ts';
import { useDashboard } from './browser.ts';
import { CALLS } from './server.ts';

const dashboard = useDashboard();

it('spend, policy, audit: looked through, changed, judged again, activated, filtered and exported', async () => {
  const { server } = dashboard;
  await server.call(await server.addAgent('Forge-03'), CALLS.read);
  const page = await dashboard.open('admin', '/board');
  const hands = handsOn(page);

  await hands.go('s', 'Spend');
  await hands.press(page.getByRole('group', { name: 'By' }).getByRole('button', { name: 'Model' }));
  await page.getByRole('heading', { level: 2, name: 'Spend by model' }).waitFor();
  expect(await hands.save(page.getByRole('link', { name: 'Export CSV' }))).toBe('spend.csv');

  await hands.go('p', /^v\d+/);
  await page.getByText('No problems').waitFor();
  await hands.to(page.getByLabel(/^A call/));
  await hands.keys('Control+a');
  await hands.type('exec sudo reboot');
  await page.getByText('SHELL_BLOCKED').waitFor();
  await hands.to(page.getByRole('textbox', { name: /^Policy v\d+$/ }), 'Shift+Tab');
  await hands.keys('Control+End');
  await hands.type('\n# by hand');
  await page.getByRole('heading', { level: 1, name: /draft$/ }).waitFor();
  await hands.press(page.getByRole('button', { name: 'Save as version' }), 'Shift+Tab');
  const save = page.getByRole('dialog', { name: 'Save as a version' });
  await hands.typeInto(save.getByLabel(/^What does it change/), 'a comment');
  await hands.press(save.getByRole('button', { name: 'Save as version' }));
  await page.getByText(/^v\d+ is saved\. It is not active\.$/).waitFor();
  await hands.press(page.getByRole('button', { name: 'Replay', exact: true }));
  await page.getByText('No red call gets looser.').waitFor();
  await hands.press(page.getByRole('button', { name: /^Activate v/ }), 'Shift+Tab');
  const activate = page.getByRole('dialog', { name: /^Activate v/ });
  await hands.typeInto(activate.getByLabel('Why?'), 'reads better');
  await hands.press(activate.getByRole('button', { name: /^Activate v/ }));
  await page.getByText(/^v\d+ is active\.$/).waitFor();

  await hands.go('u', 'Audit');
  await page.getByText('policy.activated').first().waitFor();
  await hands.typeInto(page.getByLabel('Action', { exact: true }), 'policy.activated\n');
  await page.getByText('agent.created').first().waitFor({ state: 'detached' });
  const entry = page.locator('summary').filter({ hasText: 'policy.activated' }).first();
  await hands.press(entry);
  await page.getByText('"note": "reads better"').first().waitFor();
  await hands.press(page.getByRole('button', { name: 'Verify the chain' }), 'Shift+Tab');
  await page.getByText('The chain is whole.').waitFor();
  expect(await hands.save(page.getByRole('link', { name: 'NDJSON' }), 'Shift+Tab')).toBe('audit.ndjson');
});

it('an incident: exported, stopped, its receipt kept, resumed', async () => {
  const { server } = dashboard;
  const agent = await server.addAgent('Forge-03');
  const task = await server.addTask({ title: 'Ship it', type: 'engineering', assigneeIds: [agent] });
  await server.call(agent, CALLS.message);
  const page = await dashboard.open('admin', `/feed?task=${task.id}`);
  const hands = handsOn(page);
  await page.getByRole('dialog', { name: 'Ship it' }).waitFor();
  expect(await hands.save(page.getByRole('group', { name: 'Save the incident' }).getByRole('link', { name: 'Markdown' }))).toBe(
    'incident.md',
  );
  await hands.keys('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });

  await hands.press(page.getByRole('button', { name: 'Emergency stop', exact: true }));
  await hands.typeInto(page.getByLabel(/^Type STOP/), 'STOP\n');
  await page.getByText('every proxy silent after').waitFor();
  expect(await server.isStopped()).toBe(true);
  expect(await hands.save(page.getByRole('button', { name: 'Save the receipt' }))).toMatch(/\.json$/);
  await hands.typeInto(page.getByLabel('What happened, and why is it safe now?'), 'the key is rotated');
  await hands.press(page.getByRole('button', { name: 'Resume, agents stay paused' }));
  await page.getByText('Resumed. Agents stay paused until you restart them.').waitFor();
  expect(await server.isStopped()).toBe(false);
});

// The last test of the file: its channel would be told of what others do.
it('settings: a person and their token, an upstream, a channel, and the agents of a gateway', async () => {
  const openclaw = await FakeOpenClaw.start();
  onTestFinished(() => openclaw.stop());
  openclaw.reply = () => ({ payload: { agents: [{ id: 'ada' }, { id: 'bob' }] } });
  const page = await dashboard.open('admin', '/upstreams');
  const hands = handsOn(page);

  await hands.press(page.getByRole('button', { name: 'Add upstream' }));
  const upstream = page.getByRole('dialog', { name: 'Add an upstream' });
  await hands.typeInto(upstream.getByLabel(/^Name/), 'weather');
  await hands.typeInto(upstream.getByLabel('Address', { exact: true }), 'https://weather.example/mcp\n');
  await page.getByRole('heading', { level: 1, name: 'weather' }).waitFor();

  await hands.press(page.getByRole('button', { name: /account/ }), 'Shift+Tab');
  await hands.press(page.getByRole('link', { name: 'Gateways and settings' }));
  await page.getByRole('heading', { level: 1, name: 'Settings' }).waitFor();

  await hands.press(page.getByRole('button', { name: 'Register a gateway' }));
  const gateway = page.getByRole('dialog', { name: 'Register a gateway' });
  await hands.typeInto(gateway.getByLabel('Name'), 'openclaw-keys');
  await hands.typeInto(gateway.getByLabel('WebSocket address'), openclaw.url);
  await hands.typeInto(gateway.getByLabel('Its operator token'), `${openclaw.token}\n`);
  await page.getByRole('dialog', { name: 'Token of openclaw-keys' }).waitFor();
  await hands.keys('Escape');
  const row = page.getByRole('listitem').filter({ hasText: 'openclaw-keys' });
  await row.getByText('It tells what happens in its sessions').waitFor();
  await hands.press(row.getByRole('button', { name: 'Import agents' }));
  const roster = page.getByRole('dialog', { name: 'Agents of openclaw-keys' });
  await hands.to(roster.getByLabel('ada'));
  await hands.keys('Space');
  await hands.press(roster.getByRole('button', { name: 'Register 1 agent' }));
  await page.getByText('1 agent of openclaw-keys is registered.').waitFor();

  await hands.press(page.getByRole('button', { name: 'Add a channel' }));
  const channel = page.getByRole('dialog', { name: 'Add a channel' });
  await hands.to(channel.getByLabel('Kind'), 'Shift+Tab');
  await hands.type('w');
  await hands.typeInto(channel.getByLabel('Address', { exact: true }), 'https://hooks.example/in\n');
  await page.getByRole('dialog', { name: /^Signing key of/ }).waitFor();
  await hands.keys('Escape');

  await hands.press(page.getByRole('button', { name: 'Add a person' }));
  const person = page.getByRole('dialog', { name: 'Add a person' });
  await hands.typeInto(person.getByLabel('Name'), 'Nina Roth\n');
  await page.getByRole('dialog', { name: 'Token of Nina Roth' }).waitFor();
  await hands.keys('Escape');
  await page.getByText('Nina Roth').first().waitFor();
});

/** Somebody who has only a keyboard. */
function handsOn(page: Page) {
  /** Presses `by` until this has the focus. */
  async function to(target: Locator, by: 'Tab' | 'Shift+Tab' = 'Tab'): Promise<void> {
    await target.waitFor();
    for (let pressed = 0; pressed < 150; pressed++) {
      if (await target.evaluate((element) => element === document.activeElement)) return;
      await page.keyboard.press(by);
    }
    throw new Error(`${by} never reached ${target}`);
  }
  const keys = (name: string) => page.keyboard.press(name);
  const press = async (target: Locator, by?: 'Shift+Tab') => {
    await to(target, by);
    await keys('Enter');
  };
  return {
    to,
    keys,
    press,
    type: (text: string) => page.keyboard.type(text),
    async typeInto(target: Locator, text: string) {
      await to(target);
      await page.keyboard.type(text);
    },
    /** By the key that leads to a place, until it is there. */
    async go(key: string, heading: string | RegExp) {
      await keys('g');
      await keys(key);
      await page.getByRole('heading', { level: 1, name: heading }).waitFor({ state: 'attached' });
    },
    /** Presses what saves a file. @returns the file's name. */
    async save(target: Locator, by?: 'Shift+Tab') {
      const download = page.waitForEvent('download');
      await press(target, by);
      return (await download).suggestedFilename();
    },
  };
}
