import { expect, it } from 'vitest';
import { useDashboard } from './browser.ts';
import { CALLS } from './server.ts';

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

it('gives a note that was begun back to whoever wrote it, when the session ends meanwhile and after a glance elsewhere', async () => {
  const { server } = dashboard;
  const id = await server.call(await server.addAgent('Forge-03'), CALLS.build);
  const page = await open('operator', `/approvals/${id}`, { expected: /401|ERR_/ });
  // The server no longer knows the session, as when it has expired.
  const endSession = async () => {
    await page.context().clearCookies();
    server.cutEvents();
    server.allowEvents();
  };
  await page.getByLabel(/^Note/).fill('asked Ada first');
  await page.getByRole('link', { name: 'Spend', exact: true }).click();
  await page.waitForURL('**/spend');
  await page.goBack();
  await page.getByLabel(/^Note/).waitFor();
  expect(await page.getByLabel(/^Note/).inputValue()).toBe('asked Ada first');
  await endSession();
  await page.getByRole('heading', { level: 1, name: 'Sign in' }).waitFor();
  await page.getByLabel('Token').fill(server.signInToken('operator'));
  await page.keyboard.press('Enter');
  await page.getByLabel(/^Note/).waitFor();
  expect(await page.getByLabel(/^Note/).inputValue()).toBe('asked Ada first');

  // Somebody else at the same machine does not get it.
  await endSession();
  await page.getByRole('heading', { level: 1, name: 'Sign in' }).waitFor();
  await page.getByLabel('Token').fill(server.signInToken('approver'));
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: /Ada Lind/ }).waitFor();
  await page.goto(`${server.url}/approvals/${id}`);
  await page.getByLabel(/^Note/).waitFor();
  expect(await page.getByLabel(/^Note/).inputValue()).toBe('');
});

it('follows a role that is taken away while the page is open, says so, and keeps what was typed', async () => {
  const { server } = dashboard;
  const id = await server.call(await server.addAgent('Forge-03'), CALLS.build);
  const page = await open('operator', `/approvals/${id}`);
  const note = page.getByLabel(/^Note/);
  await note.fill('looks right');
  const admin = await open('admin', '/settings');
  await admin.getByLabel('Role of Jon Reyes').selectOption('viewer');
  await page.getByText('You are viewer now.').waitFor();
  await page.getByText('Needs the approver role; you are a viewer.').first().waitFor();
  expect(await note.inputValue()).toBe('looks right');
  await admin.getByLabel('Role of Jon Reyes').selectOption('operator');
  await page.getByText('You are operator now.').waitFor();
  await page.getByRole('button', { name: /^Approve/ }).click();
  await page.getByText('Approved once').waitFor();
  expect((await server.approval(id)).decision).toBe('looks right');
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
