import type { Locator, Page } from 'playwright-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { violations } from './axe.ts';
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

const column = (page: Page, name: string) => page.getByRole('region', { name: new RegExp(`^${name},`) });
const card = (page: Page, title: string) => page.getByRole('link', { name: new RegExp(title) });

/** Carries a card by mouse to the middle of a column and leaves it there, still held. */
async function carry(page: Page, from: Locator, to: Locator): Promise<void> {
  await from.waitFor();
  const [start, end] = [await from.boundingBox(), await to.boundingBox()];
  if (!start || !end) throw new Error('nothing to drag or nowhere to drag it');
  await page.mouse.move(start.x + start.width / 2, start.y + 12);
  await page.mouse.down();
  await page.mouse.move(start.x + start.width / 2 + 10, start.y + 20);
  await page.mouse.move(end.x + end.width / 2, end.y + 200, { steps: 4 });
}

/** The dialog is gone and the focus is back on the card, in its new place. */
async function landed(page: Page): Promise<void> {
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.waitForFunction(() => document.activeElement?.hasAttribute('data-task'));
}

describe('a card', () => {
  it('is dragged where it may go, and shows there at once', async () => {
    const task = await server.addTask({ title: 'Write the note', type: 'docs', assigneeIds: [agent] });
    const page = await open('operator', '/board');
    await carry(page, card(page, 'Write the note'), column(page, 'Assigned'));
    await page.mouse.up();
    await column(page, 'Assigned')
      .getByRole('link', { name: /Write the note/ })
      .waitFor();
    await page.getByText(/MC-\d+ is in Assigned\./).waitFor();
    expect((await server.task(task.id)).status).toBe('assigned');
    expect(new URL(page.url()).search).toBe('');
  });

  it('says over every other column why it may not go there, and stays when it is let go', async () => {
    const task = await server.addTask({ title: 'Write the note', type: 'docs' });
    const page = await open('operator', '/board');
    await carry(page, card(page, 'Write the note'), column(page, 'Review'));
    await column(page, 'Review').getByText('Not from Inbox. Move it to Assigned first.').waitFor();
    await column(page, 'Done').getByText('Not from Inbox. Move it to Assigned first.').waitFor();
    await page.mouse.up();
    await page.getByText(/MC-\d+ is not moved\. Not from Inbox/).waitFor();
    expect((await server.task(task.id)).status).toBe('inbox');
  });

  it('asks for what is missing before it moves: the assignee, the plan, the decision', async () => {
    const task = await server.addTask({ title: 'Write the note', type: 'ops' });
    const page = await open('operator', '/board');
    await carry(page, card(page, 'Write the note'), column(page, 'Assigned'));
    await page.mouse.up();
    const dialog = page.getByRole('dialog', { name: / to Assigned$/ });
    await dialog.getByLabel('Assignee').selectOption({ label: 'Forge-03' });
    await dialog.getByRole('button', { name: 'Move to Assigned' }).click();
    await landed(page);
    await column(page, 'Assigned')
      .getByRole('link', { name: /Write the note/ })
      .waitFor();

    await carry(page, card(page, 'Write the note'), column(page, 'In progress'));
    await page.mouse.up();
    await page.getByLabel(/^Work plan/).fill('read, write, show');
    await page.getByRole('button', { name: 'Move to In progress' }).click();
    await landed(page);
    await column(page, 'In progress')
      .getByRole('link', { name: /Write the note/ })
      .waitFor();

    await carry(page, card(page, 'Write the note'), column(page, 'Review'));
    await page.mouse.up();
    await page.getByLabel(/^Deliverable/).fill('the note');
    await page.getByLabel(/^Self-review/).fill('read twice');
    await page.getByRole('button', { name: 'Move to Review' }).click();
    await landed(page);
    await column(page, 'Review')
      .getByRole('link', { name: /Write the note/ })
      .waitFor();

    await carry(page, card(page, 'Write the note'), column(page, 'Done'));
    await page.mouse.up();
    await page.getByLabel('I have looked at the deliverable and confirm it').check();
    await page.getByLabel(/^Decision note/).fill('as agreed');
    await page.getByRole('button', { name: 'Move to Done' }).click();
    await landed(page);
    await column(page, 'Done')
      .getByRole('link', { name: /Write the note/ })
      .waitFor();
    expect(await server.task(task.id)).toMatchObject({ status: 'done', decisionNote: 'as agreed', deliverableConfirmed: true });
  });

  it('goes back with its reason when somebody else was first', async () => {
    const task = await server.addTask({ title: 'Write the note', type: 'docs', assigneeIds: [agent] });
    const page = await open('operator', '/board', { expected: /409/ });
    await card(page, 'Write the note').waitFor();
    await page.route('**/transition', async (route) => {
      await server.moveTask(task.id, { to: 'canceled', reason: 'no longer wanted' });
      await route.continue();
    });
    await carry(page, card(page, 'Write the note'), column(page, 'Assigned'));
    await page.mouse.up();
    await page.getByText(/MC-\d+ is still in Inbox\. .*CANCELED is final/).waitFor();
    await card(page, 'Write the note').waitFor({ state: 'detached' });
  });

  it('cannot be dragged by a viewer, who reads why', async () => {
    const task = await server.addTask({ title: 'Write the note', type: 'docs', assigneeIds: [agent] });
    const page = await open('viewer', '/board');
    await carry(page, card(page, 'Write the note'), column(page, 'Assigned'));
    await column(page, 'Assigned').getByText('Needs the operator role; you are a viewer.').waitFor();
    await page.mouse.up();
    expect((await server.task(task.id)).status).toBe('inbox');
  });

  it('is given up with Escape while it is carried', async () => {
    const task = await server.addTask({ title: 'Write the note', type: 'docs', assigneeIds: [agent] });
    const page = await open('operator', '/board');
    await carry(page, card(page, 'Write the note'), column(page, 'Assigned'));
    await page.keyboard.press('Escape');
    await page.locator('.tcard--ghost').waitFor({ state: 'detached' });
    await page.mouse.up();
    expect((await server.task(task.id)).status).toBe('inbox');
  });

  it('shows a held call on itself, and what its agent called last', async () => {
    const task = await server.addTask({ title: 'Ship it', type: 'engineering', assigneeIds: [agent], workPlan: 'ship' });
    await server.moveTask(task.id, { to: 'assigned' });
    await server.moveTask(task.id, { to: 'in_progress' });
    const page = await open('viewer', '/board');
    await server.call(agent, { ...CALLS.read, taskId: task.id });
    await card(page, 'Ship it').getByText('docs/PLAN.md').waitFor();
    await server.call(agent, { ...CALLS.build, taskId: task.id });
    await card(page, 'Ship it').getByText('Yellow').waitFor();
    await card(page, 'Ship it')
      .getByText(/cargo build/)
      .waitFor();
  });
});

it('is worked without a mouse: create, choose, move, read', async () => {
  const page = await open('operator', '/board');
  await page.getByRole('heading', { level: 1, name: 'Board' }).waitFor();
  await page.keyboard.press('n');
  const form = page.getByRole('dialog', { name: 'Create a task' });
  await form.getByLabel('Title').waitFor();
  await page.keyboard.type('Write the note');
  await form.getByLabel('Assignee').selectOption({ label: 'Forge-03' });
  await page.keyboard.press('Enter');
  await column(page, 'Assigned')
    .getByRole('link', { name: /Write the note/ })
    .waitFor();
  await page.waitForFunction(() => document.activeElement?.hasAttribute('data-task'));
  await page.keyboard.press('m');
  const menu = page.getByRole('dialog', { name: /^Move MC-/ });
  expect(await menu.getByRole('button', { name: 'Done' }).getAttribute('aria-disabled')).toBe('true');
  await menu.getByText('Not from Assigned. Move it to In progress first.').first().waitFor();
  await menu.getByRole('button', { name: 'Inbox' }).press('Enter');
  await column(page, 'Inbox')
    .getByRole('link', { name: /Write the note/ })
    .waitFor();
  await page.waitForFunction(() => document.activeElement?.hasAttribute('data-task'));
  await page.keyboard.press('Enter');
  await page.getByRole('dialog', { name: 'Write the note' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog', { name: 'Write the note' }).waitFor({ state: 'detached' });
  expect(await page.evaluate(() => document.activeElement?.hasAttribute('data-task'))).toBe(true);
});

it('walks its cards with the arrow keys, over empty columns too', async () => {
  for (const title of ['First', 'Second']) await server.addTask({ title, type: 'docs' });
  const blocked = await server.addTask({ title: 'Stuck', type: 'docs' });
  await server.moveTask(blocked.id, { to: 'blocked', reason: 'no key' });
  const page = await open('viewer', '/board');
  await card(page, 'Second').waitFor();
  const focused = () => page.evaluate(() => document.activeElement?.textContent ?? '');
  for (const [key, title] of [
    ['j', 'Second'],
    ['ArrowDown', 'First'],
    ['ArrowRight', 'no key'],
    ['ArrowLeft', 'Second'],
    ['k', 'Second'],
  ] as const) {
    await page.keyboard.press(key);
    await expect.poll(focused).toContain(title);
  }
});

describe('the drawer of a task', () => {
  it('answers what happened, who, why, what it cost and what is next', async () => {
    const task = await server.addTask({ title: 'Ship it', type: 'engineering', assigneeIds: [agent], workPlan: 'ship', budget: 8 });
    await server.moveTask(task.id, { to: 'assigned' });
    await server.moveTask(task.id, { to: 'in_progress' });
    await server.call(agent, { ...CALLS.read, taskId: task.id });
    await server.call(agent, { ...CALLS.sudo, taskId: task.id });
    const held = await server.call(agent, { ...CALLS.build, taskId: task.id });
    const page = await open('operator', '/board');
    await card(page, 'Ship it').click();
    const drawer = page.getByRole('dialog', { name: 'Ship it' });
    await drawer.getByText('1 call held').waitFor();
    await drawer.getByRole('link', { name: 'Forge-03 lead', exact: true }).waitFor();
    await drawer.getByText('of $8').first().waitFor();
    await drawer.getByText('Asks for a deliverable and a self-review').waitFor();
    // The five questions, without a click.
    const answer = (question: string) =>
      drawer.locator('.ans > div').filter({ has: page.getByRole('term').getByText(question, { exact: true }) });
    await answer('What happened').getByText('A call is held').waitFor();
    await answer('Who').getByText('Assigned to Forge-03.').waitFor();
    await answer('Why').getByText('SHELL_NOT_ALLOWLISTED').waitFor();
    await answer('What it cost').getByText('$0.00 of $8').waitFor();
    await answer('What next').getByRole('link', { name: 'Review the call' }).waitFor();
    await drawer.getByRole('tab', { name: 'Timeline' }).click();
    await drawer.getByText('Moved to In progress').waitFor();
    await drawer.getByText('SHELL_BLOCKED').waitFor();
    await drawer.getByText('SHELL_NOT_ALLOWLISTED').waitFor();
    await drawer.getByRole('button', { name: 'Calls' }).click();
    await drawer.getByText('SHELL_BLOCKED').waitFor({ state: 'detached' });
    await drawer.getByRole('button', { name: 'Calls' }).click();
    await drawer.getByRole('link', { name: /docs\/PLAN\.md/ }).click();
    await page.getByRole('dialog', { name: 'read docs/PLAN.md' }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog', { name: 'read docs/PLAN.md' }).waitFor({ state: 'detached' });
    await drawer.getByRole('tab', { name: 'Approvals' }).press('ArrowRight');
    await drawer.getByText('left of $8').waitFor();
    await server.decide(held, 'deny', 'not on a Friday');
    await drawer.getByRole('tab', { name: 'Timeline' }).click();
    await drawer.getByText('"not on a Friday"').waitFor();
  });

  it('takes a comment, and shows those of others as they come', async () => {
    const task = await server.addTask({ title: 'Write the note', type: 'docs' });
    const page = await open('approver', `/board?task=${task.id}`);
    const drawer = page.getByRole('dialog', { name: 'Write the note' });
    await drawer.getByRole('button', { name: 'Comment' }).click();
    await page.getByLabel(/^What do you want to say/).fill('Shorter, <b>please</b>');
    await page
      .getByRole('dialog', { name: /^Comment on/ })
      .getByRole('button', { name: 'Comment' })
      .click();
    await drawer.getByText('Shorter, <b>please</b>').waitFor();
    const other = await open('operator', `/board?task=${task.id}`);
    await other.getByRole('tab', { name: 'Timeline' }).click();
    await other.getByRole('dialog', { name: 'Write the note' }).getByText('Shorter, <b>please</b>').waitFor();
    await other.getByRole('button', { name: 'Comment' }).click();
    await other.getByLabel(/^What do you want to say/).fill('Will do');
    await other
      .getByRole('dialog', { name: /^Comment on/ })
      .getByRole('button', { name: 'Comment' })
      .click();
    await drawer.getByText('Will do').waitFor();

    // What comes while the thread is closed is counted on the card, until it has been seen.
    await page.keyboard.press('Escape');
    await drawer.waitFor({ state: 'detached' });
    await other.getByRole('button', { name: 'Comment' }).click();
    await other.getByLabel(/^What do you want to say/).fill('It is done');
    await other
      .getByRole('dialog', { name: /^Comment on/ })
      .getByRole('button', { name: 'Comment' })
      .click();
    const unread = page.getByRole('link', { name: /1 unread.*Write the note/ });
    await unread.waitFor();
    await unread.click();
    await drawer.getByRole('tab', { name: 'Timeline 1 unread' }).click();
    await drawer.getByText('It is done').waitFor();
    await drawer.getByRole('tab', { name: 'Timeline', exact: true }).waitFor();
    await page.keyboard.press('Escape');
    await unread.waitFor({ state: 'detached' });
    await card(page, 'Write the note').waitFor();
  });

  it('changes the task, and says who was first when somebody was', async () => {
    const task = await server.addTask({ title: 'Write the note', type: 'docs' });
    const page = await open('operator', `/board?task=${task.id}`);
    const drawer = page.getByRole('dialog', { name: 'Write the note' });
    await drawer.getByRole('button', { name: 'Edit' }).click();
    const form = page.getByRole('dialog', { name: `Change MC-${task.number}` });
    await form.getByLabel('Title').fill('Write the long note');
    await form.getByLabel('Cap, USD').fill('4.50');
    await form.getByRole('button', { name: `Change MC-${task.number}` }).click();
    await page.getByRole('dialog', { name: 'Write the long note' }).getByText('of $4.50').first().waitFor();
    expect(await server.task(task.id)).toMatchObject({ title: 'Write the long note', budget: 4.5 });
  });
});

it('opens its sides over itself where there is no room beside it', async () => {
  const page = await open('operator', '/board', { viewport: { width: 800, height: 800 }, reducedMotion: 'reduce' });
  await page.getByRole('button', { name: 'Agents', exact: true }).click();
  const squad = page.getByRole('complementary', { name: 'Agents' });
  await squad.getByText('Forge-03').waitFor();
  const feed = page.getByRole('complementary', { name: 'Feed' });
  await page.keyboard.press(']');
  await feed.waitFor();
  expect(await squad.count()).toBe(0);
  const box = await feed.boundingBox();
  expect((box?.x ?? 0) + (box?.width ?? 0)).toBe(800);
  expect(await violations(page)).toEqual([]);
  await page.keyboard.press('Escape');
  await feed.waitFor({ state: 'detached' });
  // With room for the agents they stand beside the board again, and only the feed is asked for.
  await page.setViewportSize({ width: 1100, height: 800 });
  await squad.getByText('Forge-03').waitFor();
  expect(await page.getByRole('button', { name: 'Agents', exact: true }).count()).toBe(0);
  await page.getByRole('button', { name: 'Feed', exact: true }).waitFor();
});

describe('on a phone', () => {
  it('a card is moved by its menu', async () => {
    const task = await server.addTask({ title: 'Write the note', type: 'docs', assigneeIds: [agent] });
    const page = await open('operator', '/board', PHONE);
    await card(page, 'Write the note').tap();
    const drawer = page.getByRole('dialog', { name: 'Write the note' });
    await drawer.getByRole('button', { name: 'Move to Assigned' }).tap();
    await page.getByText(/is in Assigned\./).waitFor();
    expect((await server.task(task.id)).status).toBe('assigned');
  });

  it('a card is dragged after a moment of holding it; a swipe scrolls', async () => {
    const task = await server.addTask({ title: 'Write the note', type: 'docs', assigneeIds: [agent] });
    const page = await open('operator', '/board', { ...PHONE, viewport: { width: 700, height: 800 } });
    await card(page, 'Write the note').waitFor();
    const [start, end] = [await card(page, 'Write the note').boundingBox(), await column(page, 'Assigned').boundingBox()];
    if (!start || !end) throw new Error('nothing to drag');
    const client = await page.context().newCDPSession(page);
    const touch = (type: 'touchStart' | 'touchMove' | 'touchEnd', x: number, y: number) =>
      client.send('Input.dispatchTouchEvent', { type, touchPoints: type === 'touchEnd' ? [] : [{ x, y }] });
    const [x, y] = [start.x + 40, start.y + 20];
    await touch('touchStart', x, y);
    await page.locator('.tcard--ghost').waitFor();
    await touch('touchMove', (x + end.x) / 2, y + 40);
    await touch('touchMove', end.x + 60, y + 60);
    await page.locator('[data-column="assigned"] .ttarget--over').waitFor();
    await touch('touchEnd', 0, 0);
    await column(page, 'Assigned')
      .getByRole('link', { name: /Write the note/ })
      .waitFor();
    // It stands there before the server has answered.
    await page.getByText(/is in Assigned\./).waitFor();
    expect((await server.task(task.id)).status).toBe('assigned');
  });
});
