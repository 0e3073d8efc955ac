/** Held calls decided by keyboard alone, two hundred of them. The mock stands behind it: what is tried is the inbox. */
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { violations } from './axe.ts';
import { useDashboard } from './browser.ts';
import { CALLS } from './server.ts';

const dashboard = useDashboard('mock');
const WAITING = 200;
/** Longer than the moment in which the inbox takes no second decision. */
const BREATH_MS = 750;

/** The decisions that left the page, by approval. */
function countDecisions(page: Page): Map<string, number> {
  const sent = new Map<string, number>();
  page.on('request', (request) => {
    const id = /\/api\/approvals\/([^/]+)\/(?:approve|deny)$/.exec(new URL(request.url()).pathname)?.[1];
    if (id) sent.set(id, (sent.get(id) ?? 0) + 1);
  });
  return sent;
}

const onCall = (page: Page) => new URL(page.url()).pathname.split('/').at(-1) ?? '';
const _focusIsHeld = (page: Page) => page.evaluate(() => document.activeElement?.isConnected);

describe('held calls', () => {
  it('are decided by keyboard alone, two hundred of them, each once, red ones with a note', async () => {
    const { server, open } = dashboard;
    const agent = await server.addAgent('Forge-03');
    for (let i = 0; i < WAITING; i++)
      await server.call(agent, i % 10 === 9 ? CALLS.message : { ...CALLS.build, arguments: { command: `tool${i} --run ${i}` } });
    const page = await open('approver', '/approvals', { reducedMotion: 'reduce' });
    await page.clock.install();
    await page.goto(`${server.url}/approvals`);
    const sent = countDecisions(page);
    await page.getByRole('button', { name: /^Approve/ }).waitFor();
    const decided = new Map<string, string>();
    for (let i = 0; i < WAITING; i++) {
      const id = onCall(page);
      expect(decided.has(id), `call ${i} is a new one`).toBe(false);
      const verdict = i % 3 === 0 ? 'd' : 'a';
      if ((await server.approval(id)).noteRequired) await page.keyboard.press(String(1 + (i % 3)));
      await page.keyboard.press(verdict);
      // A second press in the same breath counts for nothing.
      await page.keyboard.press(verdict);
      decided.set(id, verdict === 'a' ? 'approved' : 'denied');
      if (i < WAITING - 1) await page.waitForFunction((before) => !location.pathname.endsWith(before), id);
      else await page.getByText(verdict === 'a' ? 'approved it once' : 'denied it').waitFor();
      // Whoever listens instead of looking is led to the next call.
      await page.waitForFunction(() => document.activeElement?.classList.contains('idt'));
      await page.clock.fastForward(BREATH_MS);
    }
    expect(decided.size).toBe(WAITING);
    expect([...sent.values()].every((times) => times === 1)).toBe(true);
    expect(sent.size).toBe(WAITING);
    for (const [id, status] of decided) expect((await server.approval(id)).status).toBe(status);
    expect(await page.getByRole('button', { name: 'Undo' }).count()).toBe(0);
  }, 60_000);

  it('are walked and edited without the mouse; one that somebody else decides stays where it is', async () => {
    const { server, open } = dashboard;
    const agent = await server.addAgent('Forge-03');
    const ids: string[] = [];
    for (let i = 0; i < 20; i++) ids.push(await server.call(agent, { ...CALLS.build, arguments: { command: `tool${i} x` } }));
    const page = await open('approver', '/approvals', { reducedMotion: 'reduce' });
    await page.waitForURL(`**/approvals/${ids[0]}`);
    for (let i = 0; i < 5; i++) await page.keyboard.press('j');
    await page.waitForURL(`**/approvals/${ids[5]}`);
    await server.decide(ids[5] ?? '', 'deny', 'not this one');
    await page.getByText('Jon Reyes denied it.', { exact: false }).waitFor();
    await page.keyboard.press('a');
    await page.keyboard.press('j');
    await page.waitForURL(`**/approvals/${ids[6]}`);
    await page.keyboard.press('e');
    await page.getByRole('textbox', { name: 'command' }).waitFor();
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.type('ls web');
    await page.keyboard.press('Escape');
    await page.keyboard.press('a');
    await page.waitForURL(`**/approvals/${ids[7]}`);
    expect(await server.approval(ids[6] ?? '')).toMatchObject({ status: 'approved', editedArguments: { command: 'ls web' } });
    expect(await page.evaluate(() => document.activeElement?.className)).toContain('idt');
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      expect([colorScheme, await violations(page)]).toEqual([colorScheme, []]);
    }
  }, 30_000);
});

describe('a call that needs two people', () => {
  it('says who has approved, takes no second approval of the same person, and the other one may still deny', async () => {
    const { server, open } = dashboard;
    const agent = await server.addAgent('Forge-03');
    const id = await server.call(agent, { ...CALLS.build, people: 2 });
    const page = await open('approver', '/approvals');
    await page.getByText('0 of 2 people').waitFor();
    await page.keyboard.press('e');
    await page.getByRole('textbox', { name: 'command' }).fill('ls web && cargo build');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Approve the edited call, once' }).click();
    await page.getByText('Your approval is 1 of 2. Another person has to approve as well.').waitFor();
    await page.getByText('You have approved it; another person has to approve as well.').waitFor();
    await page.keyboard.press('a');
    expect((await server.approval(id)).status).toBe('pending');
    const other = await open('operator', '/approvals');
    await other.getByText('1 of 2 people').waitFor();
    await other.locator('.dp-people').getByText('Ada Lind').waitFor();
    // The second one is shown what would run, and cannot make a third thing of it.
    await other.getByRole('heading', { name: 'Arguments as approved changed by Ada Lind; this is what would run' }).waitFor();
    expect(await other.getByRole('button', { name: /^Edit arguments/ }).count()).toBe(0);
    await other.getByRole('button', { name: 'Approve once, as 2 of 2' }).click();
    await other.getByText('Ada Lind and Jon Reyes approved it once, with edited arguments.').waitFor();
    await page.getByText('Ada Lind and Jon Reyes approved it once, with edited arguments.').waitFor();
  });
});
