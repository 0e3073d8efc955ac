import { expect, it } from 'vitest';
import { useDashboard } from './browser.ts';

const dashboard = useDashboard();
const { open } = dashboard;

it('signs in by the printed link and leaves no token in the address or the history', async () => {
  const { pathname, hash } = new URL(await dashboard.server.signInLink());
  const page = await open(null, pathname + hash, { expected: /401/ });
  await page.getByRole('button', { name: /Mara Voss, administrator/ }).waitFor();
  expect(page.url()).not.toContain('token');
  await page.goBack();
  expect(page.url()).not.toContain('token');
  const second = await open(null, pathname + hash, { expected: /401/ });
  await second.getByText('A sign-in link works once.').waitFor();
  expect(second.url()).not.toContain('token');
});

it('signs in with a pasted token and goes on to where one wanted to be', async () => {
  const page = await open(null, '/settings', { expected: /401/ });
  await page.getByRole('heading', { level: 1, name: 'Sign in' }).waitFor();
  await page.getByLabel('Token').fill(`  ${dashboard.server.signInToken('operator')} `);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Gateways and settings' }).waitFor();
});

it('says when a link is not valid, and when nothing was pasted', async () => {
  const page = await open(null, '/sign-in#token=used-before', { expected: /401/ });
  await page.getByText('This link or token is not valid. A sign-in link works once.').waitFor();
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('Paste a token first.').waitFor();
});

it('ends with the session, says so, keeps the place, and shows nothing of before', async () => {
  await dashboard.server.addAgent('Forge-03');
  const page = await open('operator', '/agents', { expected: /401|ERR_/ });
  await page.getByRole('link', { name: /Forge-03/ }).waitFor();
  await dashboard.server.endOperatorSession();
  await page.getByRole('heading', { level: 1, name: 'Sign in' }).waitFor();
  expect(await page.getByText('Forge-03').count()).toBe(0);
  await page.getByLabel('Token').fill(dashboard.server.signInToken('operator'));
  await page.keyboard.press('Enter');
  await page.getByRole('link', { name: /Forge-03/ }).waitFor();
  expect(new URL(page.url()).pathname).toBe('/agents');
});

it('signs out, and the cookie is of no more use', async () => {
  const page = await open('viewer', '/overview', { expected: /401/ });
  await page.getByRole('button', { name: /Vic Tamm/ }).click();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByText('You are signed out.').waitFor();
  await page.goto(`${dashboard.server.url}/agents`);
  await page.getByRole('heading', { level: 1, name: 'Sign in' }).waitFor();
});

it('refuses a change without the CSRF token of the session', async () => {
  const agent = await dashboard.server.addAgent('Forge-03');
  const page = await open('operator', '/overview', { expected: /403/ });
  const status = await page.evaluate(async (id) => (await fetch(`/api/agents/${id}/pause`, { method: 'POST', body: '{}' })).status, agent);
  expect(status).toBe(403);
  expect(await dashboard.server.agentStatus(agent)).toBe('active');
});
