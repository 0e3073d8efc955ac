import { beforeEach, describe, expect, it } from 'vitest';
import { PHONE, useDashboard } from './browser.ts';
import { CALLS, type TestServer } from './server.ts';

const dashboard = useDashboard();
const { open } = dashboard;
let server: TestServer;
let agent: string;

beforeEach(async () => {
  server = dashboard.server;
  agent = await server.addAgent('Forge-03');
  await server.call(agent, CALLS.message);
});

const stopButton = { name: 'Emergency stop', exact: true };

describe('the emergency stop', () => {
  it('acts when held for 1.2 s, and shows the receipt', async () => {
    const page = await open('operator', '/overview');
    const box = await page.getByRole('button', stopButton).boundingBox();
    if (!box) throw new Error('the stop is not on the screen');
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    await page.mouse.down();
    await page.getByText(/Keep holding, 0\.\d s/).waitFor();
    await page.waitForURL('**/incident');
    await page.mouse.up();
    await page.getByText('Emergency stop is active').waitFor();
    await page.getByText('every proxy silent after').waitFor();
    expect(await server.isStopped()).toBe(true);
  });

  it('does not act when let go early: it asks, and a click there equals the hold', async () => {
    const page = await open('operator', '/approvals');
    await page.getByRole('button', stopButton).click();
    const dialog = page.getByRole('dialog', { name: 'Stop everything?' });
    await dialog.waitFor();
    expect(await server.isStopped()).toBe(false);
    await dialog.getByLabel(/^Reason/).fill('odd sends');
    await dialog.getByRole('button', { name: 'Emergency stop, now' }).click();
    await page.getByText('Reason: "odd sends".').waitFor();
    expect(await server.isStopped()).toBe(true);
    await page.getByRole('link', { name: /^Stopped \d\d:\d\d:\d\d$/ }).waitFor();
  });

  it('acts from the keyboard by typing STOP, and not before the word is whole', async () => {
    const page = await open('operator', '/feed');
    await page.getByRole('button', stopButton).focus();
    await page.keyboard.press('Enter');
    await page.getByLabel(/Type STOP/).waitFor();
    await page.waitForFunction(() => document.activeElement?.id.endsWith('-word'));
    await page.keyboard.type('sto');
    await page.keyboard.press('Enter');
    expect(await server.isStopped()).toBe(false);
    await page.keyboard.type('p');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/incident');
    expect(await server.isStopped()).toBe(true);
  });

  it('keeps trying while the server is away', async () => {
    const page = await open('operator', '/overview', { expected: /ERR_/ });
    await page.getByRole('button', stopButton).waitFor();
    await page.route('**/api/emergency/stop', (route) => route.abort());
    await page.getByRole('button', stopButton).click();
    await page.getByRole('button', { name: 'Emergency stop, now' }).click();
    await page.getByText(/Sending the stop, attempt [2-9]/).waitFor();
    expect(await server.isStopped()).toBe(false);
    await page.unroute('**/api/emergency/stop');
    await page.waitForURL('**/incident');
    expect(await server.isStopped()).toBe(true);
  });

  it('is always at the bottom right of a phone, also over a drawer', async () => {
    const page = await open('operator', '/feed', PHONE);
    const box = await page.getByRole('button', stopButton).boundingBox();
    expect(box && box.x + box.width).toBeGreaterThan(370);
    expect(box && box.y + box.height).toBeGreaterThan(820);
    await page.getByRole('button', stopButton).tap();
    await page.getByRole('button', { name: 'Emergency stop, now' }).tap();
    await page.getByText('Emergency stop is active').waitFor();
    expect(await server.isStopped()).toBe(true);
  });

  it('is not for viewers, and says so', async () => {
    const page = await open('viewer', '/overview');
    const stop = page.getByRole('button', stopButton);
    await stop.waitFor();
    expect(await stop.getAttribute('aria-disabled')).toBe('true');
    await stop.click({ force: true });
    await page.getByText('Needs the operator role; you are a viewer.').last().waitFor();
    expect(await page.getByRole('dialog').count()).toBe(0);
  });
});

describe('afterwards', () => {
  it('only an administrator resumes, with a note', async () => {
    const stopper = await open('operator', '/overview');
    await stopper.getByRole('button', stopButton).click();
    await stopper.getByRole('button', { name: 'Emergency stop, now' }).click();
    await stopper.getByText('Needs the administrator role; you are an operator.').waitFor();

    const page = await open('admin', '/overview');
    await page.getByRole('link', { name: 'Open the receipt' }).click();
    const resume = page.getByRole('button', { name: 'Resume, agents stay paused' });
    expect(await resume.getAttribute('aria-disabled')).toBe('true');
    await page.getByLabel('What happened, and why is it safe now?').fill('key rotated');
    await resume.click();
    await page.getByText('Resumed. Agents stay paused until you restart them.').waitFor();
    expect(await server.isStopped()).toBe(false);
    // Whoever else looks on sees it at once.
    await stopper.getByRole('button', stopButton).waitFor();
  });

  it('a paused squad is said on every view and ends with the last agent that is restarted', async () => {
    const page = await open('operator', '/feed');
    await page.getByRole('button', { name: 'Pause squad' }).click();
    await page.getByText('The squad is paused.', { exact: true }).waitFor();
    await page.getByRole('link', { name: 'Agents' }).click();
    expect(await server.agentStatus(agent)).toBe('paused');
    await page.getByRole('button', { name: 'Restart 1 agent' }).click();
    await page.getByText('The squad is paused.', { exact: true }).waitFor({ state: 'detached' });
    expect(await server.agentStatus(agent)).toBe('active');
  });
});
