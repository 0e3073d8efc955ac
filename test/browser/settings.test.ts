import { expect, it } from 'vitest';
import { FakeOpenClaw } from '../openclaw/fake-openclaw.ts';
import { violations } from './axe.ts';
import { useDashboard } from './browser.ts';
import { CALLS } from './server.ts';

const dashboard = useDashboard();
const { open } = dashboard;

// The first test of the file: calls and decisions stay on record, and the steps are about an installation that has none.
it('leads through the first steps, ticks them off by what happens, and can be hidden and found again', async () => {
  const { server } = dashboard;
  const page = await open('operator', '/overview');
  const current = page.locator('[aria-current="step"]');
  await current.getByRole('heading', { name: 'Connect your gateway' }).waitFor();
  expect(await current.locator('code').innerText()).toContain('openclaw connect --config ~/.openclaw/openclaw.json');
  expect(await violations(page)).toEqual([]);
  const agent = await server.addAgent('Forge-03');
  await current.getByRole('heading', { name: 'See the first call' }).waitFor();
  await server.call(agent, CALLS.read);
  const strip = page.getByRole('region', { name: 'First steps' });
  await strip.getByText('4 of 5 steps done').waitFor();
  const held = await server.call(agent, CALLS.build);
  await strip.getByRole('link', { name: 'Open the inbox' }).waitFor();
  expect(await violations(page)).toEqual([]);
  await strip.getByRole('button', { name: 'Hide these steps' }).click();
  await strip.waitFor({ state: 'detached' });
  await page.reload();
  await page.getByText('What waits for you').waitFor();
  expect(await strip.count()).toBe(0);
  await page.getByRole('button', { name: /account/ }).click();
  await page.getByRole('link', { name: 'First steps' }).click();
  await current.getByRole('heading', { name: 'Decide a held call' }).waitFor();
  await server.decide(held, 'deny', 'only a try');
  await page.getByRole('heading', { name: 'Everything is connected' }).waitFor();
  expect(await current.count()).toBe(0);
});

it('adds a person whose token is shown once and signs in, changes the role, and removes them', async () => {
  const page = await open('admin', '/settings', { expected: /409/ });
  await page.getByRole('button', { name: 'Add a person' }).click();
  const form = page.getByRole('dialog', { name: 'Add a person' });
  await form.getByLabel('Name').fill('Nina Roth');
  await form.getByLabel(/^Role/).selectOption('viewer');
  await form.getByRole('button', { name: 'Add a person' }).click();
  const once = page.getByRole('dialog', { name: 'Token of Nina Roth' });
  const token = await once.locator('code').innerText();
  await once.getByRole('button', { name: 'Close' }).click();
  // A dialog that is closed is out of reach a moment before it is out of the page.
  await page.getByText(token).waitFor({ state: 'detached' });
  expect(await page.content()).not.toContain(token);

  const theirs = await open(null, '/sign-in', { expected: /401/ });
  await theirs.getByLabel('Token').fill(token);
  await theirs.keyboard.press('Enter');
  await theirs.getByRole('heading', { level: 1 }).first().waitFor();
  await theirs.getByText('Nina Roth, viewer').first().waitFor({ state: 'attached' });

  await page.getByLabel('Role of Nina Roth').selectOption('operator');
  await page.getByText('Nina Roth is operator now.').waitFor();
  await page.getByRole('button', { name: 'Remove Nina Roth' }).click();
  await page.getByRole('dialog', { name: 'Remove Nina Roth' }).getByRole('button', { name: 'Remove Nina Roth' }).click();
  await page.getByText('Nina Roth is removed.').waitFor();
});

it('shows people to administrators only, and the reason for what others cannot do', async () => {
  const page = await open('operator', '/settings');
  await page.getByRole('heading', { level: 2, name: 'This browser' }).waitFor();
  expect(await page.getByRole('heading', { level: 2, name: 'People' }).count()).toBe(0);
  await page.getByText('Needs the administrator role; you are an operator.').first().waitFor();
});

it('lets anybody say for themselves that they are away, and come back', async () => {
  const page = await open('approver', '/settings', { reducedMotion: 'reduce' });
  await page.getByRole('button', { name: 'I will be away' }).click();
  const form = page.getByRole('dialog', { name: 'Ada Lind is away' });
  await form.getByLabel(/^Deputy/).selectOption({ label: 'Vic Tamm, viewer' });
  await form.getByRole('button', { name: 'Name the deputy' }).click();
  await page.getByText(/^You are away until .* Vic Tamm decides approvals meanwhile\.$/).waitFor();
  expect(await violations(page)).toEqual([]);
  await page.getByRole('button', { name: 'I am back' }).click();
  await page.getByText(/^You are here\./).waitFor();
});

it('registers a gateway, gives its plugin a further token, and removes it', async () => {
  const page = await open('admin', '/settings');
  await page.getByRole('button', { name: 'Register a gateway' }).click();
  const form = page.getByRole('dialog', { name: 'Register a gateway' });
  await form.getByLabel('Name').fill('openclaw-test');
  await form.getByRole('button', { name: 'Register a gateway' }).click();
  const once = page.getByRole('dialog', { name: 'Token of openclaw-test' });
  expect(await once.locator('code').innerText()).toMatch(/^mcg_/);
  await once.getByRole('button', { name: 'Close' }).click();
  const row = page.getByRole('listitem').filter({ hasText: 'openclaw-test' });
  await row.getByRole('button', { name: 'New token' }).click();
  await page.getByRole('dialog', { name: 'Token of openclaw-test' }).getByRole('button', { name: 'Close' }).click();
  await row.getByRole('button', { name: 'Remove openclaw-test' }).click();
  await page.getByRole('dialog', { name: 'Remove openclaw-test' }).getByRole('button', { name: 'Remove openclaw-test' }).click();
  await page.getByText('openclaw-test is removed.').waitFor();
  await row.waitFor({ state: 'detached' });
});

it('names a deputy for somebody who is away: they decide under their own name, until the other is back', async () => {
  const { server } = dashboard;
  const id = await server.call(await server.addAgent('Forge-03'), CALLS.build);
  const admin = await open('admin', '/settings', { reducedMotion: 'reduce' });
  const row = (name: string) => admin.locator('.pp-r').filter({ hasText: name });
  await row('Ada Lind').getByRole('button', { name: 'Away' }).click();
  const form = admin.getByRole('dialog', { name: 'Ada Lind is away' });
  await form.getByLabel(/^Deputy/).selectOption({ label: 'Vic Tamm, viewer' });
  expect(await violations(admin)).toEqual([]);
  await form.getByRole('button', { name: 'Name the deputy' }).click();
  await admin.getByText('Ada Lind is away. Vic Tamm decides meanwhile.').waitFor();
  await row('Ada Lind').getByText('Vic Tamm decides').waitFor();

  const deputy = await open('viewer', '/approvals');
  await deputy.getByRole('button', { name: /^Approve/ }).click();
  await deputy.getByText('Approved once.').waitFor();
  const approval = await server.approval(id);
  expect([approval.approver, approval.approvedBy.map((vote) => vote.actingFor)]).toEqual(['Vic Tamm (for Ada Lind)', [['Ada Lind']]]);

  await row('Ada Lind').getByRole('button', { name: 'Is back' }).click();
  await admin.getByText('Ada Lind is back.').waitFor();
  const next = await server.call(await server.addAgent('Scout-05'), CALLS.build);
  await deputy.goto(`${server.url}/approvals/${next}`);
  await deputy.getByText('Needs the approver role; you are a viewer.').first().waitFor();
});

it('keeps the contrast that one has chosen, in both themes, whatever the system asks for', async () => {
  const page = await open('viewer', '/settings', { contrast: 'more', reducedMotion: 'reduce' });
  const ink = () => page.evaluate(() => getComputedStyle(document.body).color);
  const choose = (name: string) => page.getByRole('group', { name: 'Contrast' }).getByRole('button', { name }).click();
  await page.getByRole('group', { name: 'Contrast' }).waitFor();
  expect(await ink()).toBe('rgb(0, 0, 0)');
  await choose('Standard');
  expect(await ink()).toBe('rgb(20, 23, 29)');
  await choose('High');
  await page.emulateMedia({ contrast: 'no-preference', colorScheme: 'dark' });
  await page.reload();
  await page.getByRole('group', { name: 'Contrast' }).waitFor();
  expect(await ink()).toBe('rgb(255, 255, 255)');
  expect(await violations(page)).toEqual([]);
});

it('registers those agents of a linked gateway that somebody chooses', async () => {
  await using openclaw = await rosterOf(['ada', 'bob']);
  const page = await open('admin', '/settings', { reducedMotion: 'reduce' });
  await page.getByRole('button', { name: 'Register a gateway' }).click();
  const form = page.getByRole('dialog', { name: 'Register a gateway' });
  await form.getByLabel('Name').fill('openclaw-roster');
  await form.getByLabel('WebSocket address').fill(openclaw.url);
  await form.getByLabel('Its operator token').fill(openclaw.token);
  await form.getByRole('button', { name: 'Register a gateway' }).click();
  await page.getByRole('dialog', { name: 'Token of openclaw-roster' }).getByRole('button', { name: 'Close' }).click();
  const row = page.getByRole('listitem').filter({ hasText: 'openclaw-roster' });
  await row.getByText('It tells what happens in its sessions, so runs end here when they end there.').waitFor();
  await row.getByRole('button', { name: 'Import agents' }).click();
  const roster = page.getByRole('dialog', { name: 'Agents of openclaw-roster' });
  await roster.getByLabel('ada').uncheck();
  await roster.getByLabel('They begin as').selectOption('specialist');
  expect(await violations(page)).toEqual([]);
  await roster.getByRole('button', { name: 'Register 1 agent' }).click();
  await page.getByText('1 agent of openclaw-roster is registered.').waitFor();
  await row.getByRole('button', { name: 'Import agents' }).click();
  await roster.getByText('registered as bob').waitFor();
  await roster.getByRole('button', { name: 'Close' }).click();
  await page.goto(`${dashboard.server.url}/agents`);
  await page.getByRole('row', { name: /bob.*specialist/ }).waitFor();
});

/** An OpenClaw gateway with these agents. */
async function rosterOf(ids: readonly string[]) {
  const gateway = await FakeOpenClaw.start();
  gateway.reply = () => ({ payload: { agents: ids.map((id) => ({ id })) } });
  return { url: gateway.url, token: gateway.token, [Symbol.asyncDispose]: () => gateway.stop() };
}
