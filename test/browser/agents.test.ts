import { beforeEach, expect, it } from 'vitest';
import { PHONE, useDashboard } from './browser.ts';
import { CALLS, type TestServer } from './server.ts';

const dashboard = useDashboard();
const { open } = dashboard;
let server: TestServer;
let agent: string;

beforeEach(async () => {
  server = dashboard.server;
  agent = await server.addAgent('Forge-03', 'lead');
});

it('pauses at once, offers to take it back, and gives the reason for what cannot be done', async () => {
  const page = await open('operator', `/agents/${agent}`);
  const restart = page.getByRole('button', { name: 'Restart' });
  await restart.waitFor();
  expect(await restart.getAttribute('aria-disabled')).toBe('true');
  await page.getByText('Restart: works once the agent is paused, drained, quarantined or stopped.').waitFor();
  await page.getByRole('button', { name: 'Pause', exact: true }).click();
  await page.getByText('Forge-03 is paused. New calls are refused.').waitFor();
  expect(await server.agentStatus(agent)).toBe('paused');
  await page.getByRole('button', { name: 'Undo' }).click();
  await page.getByText('Forge-03 is active again.').waitFor();
  expect(await server.agentStatus(agent)).toBe('active');
});

it('quarantines only with its form, withdraws held calls, and shows the reason', async () => {
  const held = await server.call(agent, CALLS.message);
  const page = await open('operator', `/agents/${agent}`);
  await page.getByRole('button', { name: 'Quarantine' }).click();
  expect(await server.agentStatus(agent)).toBe('active');
  const dialog = page.getByRole('dialog', { name: 'Quarantine Forge-03' });
  await dialog.getByLabel(/^Why/).fill('read .env.staging');
  await dialog.getByRole('button', { name: 'Quarantine Forge-03' }).click();
  await page.getByText(/Everything is refused.*read \.env\.staging/).waitFor();
  expect(await server.agentStatus(agent)).toBe('quarantined');
  expect((await server.approval(held)).status).toBe('withdrawn');
});

it('changes caps, and says what cannot be read as money', async () => {
  const page = await open('operator', `/agents/${agent}`);
  await page.getByRole('button', { name: 'Edit caps' }).click();
  const dialog = page.getByRole('dialog', { name: 'Caps of Forge-03' });
  const field = dialog.getByLabel('Each day, USD');
  await field.fill('7,50');
  await dialog.getByText('Write dollars with a point, for example 15.00').waitFor();
  await field.fill('7.50');
  await dialog.getByRole('button', { name: 'Change caps' }).click();
  await dialog.waitFor({ state: 'detached' });
  await page.getByText('of $7.50').first().waitFor();
});

it('lists calls as they happen and opens the whole record', async () => {
  const page = await open('viewer', `/agents/${agent}`);
  await page.getByText('It has made no call yet').waitFor();
  await server.call(agent, CALLS.sudo);
  await server.call(agent, CALLS.read);
  const table = page.getByRole('table', { name: 'Calls of Forge-03' });
  await table.getByRole('link', { name: 'docs/PLAN.md' }).click();
  const drawer = page.getByRole('dialog', { name: 'read docs/PLAN.md' });
  await drawer.getByText('the plan', { exact: true }).waitFor();
  await page.keyboard.press('Escape');
  await drawer.waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Denied' }).click();
  await table.getByRole('link', { name: 'sudo reboot' }).waitFor();
  expect(await table.getByRole('link').count()).toBe(1);
});

it('issues a token that is shown once, and revokes it, for administrators only', async () => {
  const page = await open('admin', `/agents/${agent}`);
  await page.getByRole('button', { name: 'Issue token' }).click();
  const dialog = page.getByRole('dialog', { name: 'New token' });
  const token = await dialog.locator('code').innerText();
  expect(token).toMatch(/^mca_/);
  await dialog.getByRole('button', { name: 'Close' }).click();
  await page.getByText(`…${token.slice(-4)}`).waitFor();
  expect(await page.content()).not.toContain(token);
  await page
    .getByRole('listitem')
    .filter({ hasText: `…${token.slice(-4)}` })
    .getByRole('button', { name: 'Revoke' })
    .click();
  await page.getByText('Revoked', { exact: true }).waitFor();

  const operator = await open('operator', `/agents/${agent}`);
  await operator.getByRole('heading', { level: 1, name: 'Forge-03' }).waitFor();
  expect(await operator.getByRole('button', { name: 'Issue token' }).count()).toBe(0);
});

it('registers an agent by hand, and shows a refusal in the form', async () => {
  const page = await open('operator', '/agents', { expected: /409/ });
  await page.getByRole('button', { name: 'Register agent' }).click();
  const dialog = page.getByRole('dialog', { name: 'Register an agent' });
  await dialog.getByLabel('Name').fill('Forge-03');
  await dialog.getByRole('button', { name: 'Register agent' }).click();
  await dialog.getByText(/Forge-03.* already\./).waitFor();
  await dialog.getByLabel('Name').fill('Scout-01');
  await dialog.getByLabel(/^Workspace/).fill('/srv/scout');
  await dialog.getByRole('button', { name: 'Register agent' }).click();
  await page.getByRole('heading', { level: 1, name: 'Scout-01' }).waitFor();
});

it('finds agents by name and shows first who needs somebody', async () => {
  const scout = await server.addAgent('Scout-05');
  await server.call(scout, CALLS.message);
  const page = await open('viewer', '/agents');
  const rows = page.getByRole('row');
  await page.getByText('1 call waits').waitFor();
  expect(await rows.nth(1).innerText()).toContain('Scout-05');
  await page.getByLabel('Find an agent by name').fill('forge');
  await page.getByText('Scout-05').waitFor({ state: 'detached' });
  expect(await rows.count()).toBe(2);
});

it('can be controlled from a phone', async () => {
  const page = await open('operator', '/agents', PHONE);
  await page.getByRole('link', { name: /Forge-03/ }).tap();
  await page.getByRole('button', { name: 'Drain' }).tap();
  await page.getByText('Forge-03 finishes its task, then pauses.').waitFor();
  expect(await server.agentStatus(agent)).toBe('drained');
});

it('shows sub-agents below their parent, with what they spent', async () => {
  const child = await server.addAgent('Aide-11', 'specialist', agent);
  await server.addAgent('Aide-12', 'intern', child);
  await server.addAgent('Byte-01');
  const page = await open('viewer', '/agents');
  const names = page.locator('.ag-tbl tbody .ag-name .nm');
  await page.getByRole('link', { name: /sub-agent of Aide-11: Aide-12/ }).waitFor();
  const told = await names.allInnerTexts();
  expect(told.slice(told.indexOf('Forge-03'), told.indexOf('Forge-03') + 3)).toEqual(['Forge-03', 'Aide-11', 'Aide-12']);
  await page
    .getByRole('link', { name: /Forge-03/ })
    .first()
    .click();
  await page.getByRole('heading', { name: 'Sub-agents' }).waitFor();
  await page
    .locator('.agm')
    .getByRole('link', { name: /Aide-11/ })
    .click();
  await page
    .getByText(/Forge-03, depth|, depth 1/)
    .first()
    .waitFor();
});
