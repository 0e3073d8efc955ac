import { expect, it } from 'vitest';
import type { DrillCard } from '../../control/contract.ts';
import { violations } from './axe.ts';
import { PHONE, useDashboard } from './browser.ts';
import { CALLS } from './server.ts';

const dashboard = useDashboard();
const { open } = dashboard;

it('finds a task, an agent, a call and a place by keyboard alone, from a field too', async () => {
  const { server } = dashboard;
  const agent = await server.addAgent('Forge-03', 'lead');
  const task = await server.addTask({ title: 'Ship the design packages', type: 'engineering', assigneeIds: [agent] });
  await server.call(agent, CALLS.read);
  const page = await open('viewer', '/agents');
  await page.getByLabel('Find an agent by name').focus();
  await page.keyboard.press('Control+k');
  const search = page.getByRole('dialog', { name: 'Search' });
  await search.getByRole('combobox').waitFor();
  await page.keyboard.type(`MC-${task.number}`);
  await search.getByRole('option', { name: /Ship the design packages/ }).waitFor();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog', { name: 'Ship the design packages' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });

  await page.locator('main').press('/');
  await page.keyboard.type('plan.md');
  await search
    .getByRole('option', { name: /docs\/PLAN\.md/ })
    .first()
    .waitFor();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog', { name: 'read docs/PLAN.md' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });

  await page.locator('main').press('/');
  await page.keyboard.type('spend');
  await page.keyboard.press('Enter');
  await page.waitForURL('**/spend');
  await page.locator('main').press('/');
  await page.keyboard.type('no such thing at all');
  await search.getByText('Nothing here has these words.').waitFor();
});

it('finds in the record what the page does not have, by kind, with the words marked, and as text', async () => {
  const { server } = dashboard;
  const agent = await server.addAgent('Forge-03', 'lead');
  const task = await server.addTask({
    title: 'Ship the packages',
    type: 'engineering',
    assigneeIds: [agent],
    description: 'Begin with the <b>turquoise</b> one.\u202e',
  });
  const page = await open('viewer', '/spend');
  await page.locator('main').press('/');
  await page.keyboard.type('turquo');
  const found = page.getByRole('group', { name: 'Tasks' }).getByRole('option');
  await found.getByText('turquo', { exact: true }).waitFor();
  expect(await found.innerText()).toContain('<b>turquoise</b>');
  expect(await found.locator('.hidden-char').count()).toBe(1);
  await page.keyboard.press('Enter');
  await page.getByRole('dialog', { name: 'Ship the packages' }).waitFor();
  expect(new URL(page.url()).searchParams.get('task')).toBe(task.id);
});

it('searches what the page has when the record cannot be, and says so', async () => {
  await dashboard.server.addAgent('Scout-05');
  const page = await open('viewer', '/board', { expected: /503/ });
  await page.route('**/api/search?*', (route) => route.fulfill({ status: 503, json: { status: 503, code: 'BUSY', detail: 'Try again.' } }));
  await page.locator('main').press('/');
  await page.keyboard.type('scout');
  await page.getByText('Only what this page has was searched. Try again.').waitFor();
  await page.getByRole('option', { name: /Scout-05/ }).waitFor();
});

it('loses no key that is typed while the search is still on its way', async () => {
  const page = await open('viewer', '/board');
  const fetched = Promise.withResolvers<void>();
  await page.route('**/search-*.js', async (route) => {
    await fetched.promise;
    await route.continue();
  });
  await page.locator('main').press('/');
  await page.keyboard.type('spend');
  await page.keyboard.press('Enter');
  fetched.resolve();
  await page.waitForURL('**/spend');
});

it('opens on a phone from the head', async () => {
  const agent = await dashboard.server.addAgent('Scout-05');
  const page = await open('viewer', '/board', PHONE);
  await page.getByRole('button', { name: 'Search' }).tap();
  await page.keyboard.type('scout');
  await page
    .getByRole('group', { name: 'Agents' })
    .getByRole('option', { name: /Scout-05/ })
    .tap();
  await page.waitForURL(`**/agents/${agent}`);
});

it('the audit log says who did what, filters, and proves that its chain is whole', async () => {
  const { server } = dashboard;
  const task = await server.addTask({ title: 'Write the note', type: 'docs' });
  await server.moveTask(task.id, { to: 'blocked', reason: 'no key' });
  const page = await open('viewer', '/audit');
  await page.getByText('task.moved').first().waitFor();
  await page.getByLabel('Action', { exact: true }).fill('task.moved');
  await page.getByLabel('Id of what it was about').fill(task.id);
  await page.getByRole('button', { name: 'Filter' }).click();
  await page.getByText('1 entry shown, back to the first').waitFor();
  await page.getByText('task.moved').click();
  await page.getByText('"reason": "no key"').waitFor();
  await page.getByRole('button', { name: 'Verify the chain' }).click();
  await page.getByText('The chain is whole.').waitFor();
  await page.getByText(/each with the hash of the one before it: none was changed, taken out, added or put elsewhere\./).waitFor();
  await page.getByRole('button', { name: 'Clear', exact: true }).click();
  await page.getByLabel('Id of what it was about').fill(task.id);
  await page.getByRole('button', { name: 'Filter' }).click();
  await page.getByLabel('Who did it').selectOption({ label: 'Agents' });
  await page.getByText('No entry fits these filters.').waitFor();
  await page.getByLabel('Who did it').selectOption({ label: 'People' });
  await page.getByText('task.created').first().waitFor();
  await page.getByLabel('When').selectOption({ label: 'The last hour' });
  await page.getByText('task.created').first().waitFor();
  expect(await page.getByRole('alert').count()).toBe(0);
  const download = page.waitForEvent('download');
  await page.getByRole('group', { name: 'Export the whole log' }).getByRole('link', { name: 'CSV' }).click();
  expect((await download).suggestedFilename()).toBe('audit.csv');
});

it('the audit log says at which entry its chain is broken, and opens it; or that it could not be checked', async () => {
  await dashboard.server.addAgent('Forge-03');
  const page = await open('viewer', '/audit', { expected: /503/ });
  const answer = Promise.withResolvers<{ status: number; json: unknown }>();
  await page.route('**/api/audit/verify', async (route) => route.fulfill(await answer.promise));
  await page.getByRole('button', { name: 'Verify the chain' }).click();
  answer.resolve({ status: 200, json: { ok: false, seq: 1, why: 'Its hash is not that of its content.' } });
  const told = page.getByRole('alert');
  await told.getByText('The chain is broken at entry 1.').waitFor();
  await told.getByRole('link', { name: 'Open entry 1' }).click();
  await page.getByText('Entry 1 alone.').waitFor();
  await page.getByText('1 entry shown', { exact: true }).waitFor();
  await page.route('**/api/audit/verify', (route) =>
    route.fulfill({ status: 503, json: { status: 503, code: 'BUSY', detail: 'Try again.' } }),
  );
  await page.getByRole('button', { name: 'Verify the chain' }).click();
  await told.getByText('The chain could not be checked.').waitFor();
  await told.getByText('Nothing is said by that about the log itself.').waitFor();
});

it('the health page runs a drill and keeps its result, and a fail mode that is broken cannot be missed', async () => {
  const page = await open('operator', '/health', { reducedMotion: 'reduce' });
  const drills = page.getByRole('region', { name: 'Drills' });
  const row = drills.locator('details').filter({ hasText: 'Emergency stop' });
  await row.locator('summary').click();
  await row.getByRole('button', { name: 'Run Emergency stop' }).click();
  await page.getByText('Emergency stop ran at 1 proxy.').waitFor();
  await row.locator('summary').getByText('as declared', { exact: true }).waitFor();
  expect(await page.getByText('A fail mode is broken.').count()).toBe(0);

  const card = (await page.evaluate(async () => (await fetch('/api/drills')).json())) as DrillCard;
  const broken = card.items.map((item) => {
    const results = item.results.map((run) => ({ ...run, outcome: 'failed', found: 'the call ran after the stop' }));
    return item.name === 'emergency-stop' ? { ...item, outcome: 'failed', results } : item;
  });
  await page.route('**/api/drills', (route) => route.fulfill({ json: { ...card, items: broken } }));
  await page.reload();
  await page.getByRole('alert').getByText('Emergency stop: it does not end as declared.').waitFor();
  // It is open without a click, and says what was declared beside what was seen.
  await row.getByText('After the stop nothing runs, also with an approval.').last().waitFor();
  await row.getByText('the call ran after the stop').first().waitFor();
  expect(await violations(page)).toEqual([]);
});

it('a viewer reads the drills and why they cannot be run', async () => {
  const page = await open('viewer', '/health');
  const drills = page.getByRole('region', { name: 'Drills' });
  await drills.getByText('Needs the operator role; you are a viewer.').first().waitFor();
  expect(await drills.getByRole('button', { name: 'Run all drills' }).getAttribute('aria-disabled')).toBe('true');
});
