/**
 * The walkthrough: `npm run walkthrough -- FOLDER` records two minutes of the real product in real Chromium to FOLDER/walkthrough.webm, and
 * takes a picture of each scene for the picture story (`--pictures docs/pictures/walkthrough` takes those of docs/walkthrough.md anew).
 * The agents are played through the gate; everything that is seen is the product's own.
 */
import { mkdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Locator, Page } from 'playwright-core';
import { launchBrowser } from '../setup/chromium.ts';
import { usePolicy } from '../support/calls.ts';
import { type Answer, startWorld } from '../support/world.ts';
import { ScreenRecorder } from './screen-recorder.ts';
import { SCENES, type SceneName } from './walkthrough-scenes.ts';

const SIZE = { width: 1440, height: 810 };
/** A caption is read before something moves, and what moved is looked at. */
const READ_MS = 3_600;
const LOOK_MS = 3_200;
const BREATH_MS = 900;
const TITLE = 'Publish version 2.4 of the icon package';
const TEAM = [
  ['Forge', 'specialist'],
  ['Quill', 'specialist'],
  ['Scout', 'intern'],
] as const;

/** Calls that run at once, with what each cost, USD. */
const WORK = [
  ['read', { path: 'CHANGELOG.md' }, 0.04],
  ['exec', { command: 'git log --oneline -5' }, 0.02],
  ['exec', { command: 'npm test' }, 0.05],
] as const;
/** Tasks that stand on the board already: what, of which kind, whose, and how far they went. */
const BEFORE = [
  ['Alt text for the new icons', 'content', 'Quill', ['in_progress', 'review', 'done']],
  ['Release note for 2.4', 'docs', 'Quill', ['in_progress']],
  ['Compare how three rivals name their icons', 'seo_research', 'Scout', ['in_progress']],
  ['Internal link audit', 'seo_research', 'Scout', []],
] as const;

const { values, positionals } = parseArgs({ options: { pictures: { type: 'string' } }, allowPositionals: true });
const folder = positionals[0];
if (folder === undefined) {
  console.error('Say where the film shall go: npm run walkthrough -- FOLDER');
  process.exit(2);
}
const pictures = resolve(values.pictures ?? join(folder, 'pictures'));
mkdirSync(pictures, { recursive: true });

/** Token of each agent, by its name. */
const tokens = new Map<string, string>();
const world = await startWorld();
const browser = await launchBrowser();
try {
  const mara = done(await world.api<{ token: string }>('POST', '/operators', { name: 'Mara Voss', role: 'admin' }));
  const ask = async <T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<T> =>
    done(await world.api<T>(method, path, body, mara.token));
  await usePolicy(world, { budgets: { fleetDaily: 5 } });
  const ids = new Map<string, string>();
  for (const [name, autonomyLevel] of TEAM) {
    const { id } = await ask<{ id: string }>('POST', '/agents', { name, autonomyLevel, workspace: `/srv/${name.toLowerCase()}` });
    ids.set(name, id);
    tokens.set(name, (await ask<{ token: string }>('POST', `/agents/${id}/tokens`, {})).token);
  }
  await beforeTheStory(ask, ids);

  const context = await browser.newContext({ viewport: SIZE, colorScheme: 'light', timezoneId: 'UTC' });
  await context.request.post(`${world.controlUrl}/api/session`, { data: { token: mara.token } });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  await page.goto(`${world.controlUrl}/board`);
  await page.getByRole('heading', { level: 1, name: 'Board' }).waitFor();
  await page.evaluate('document.fonts.ready');
  const film = await ScreenRecorder.start(page);
  await tell(page, film, ask);
  const file = resolve(folder, 'walkthrough.webm');
  const seconds = await film.finish(file);
  console.log(`${file}: ${seconds.toFixed(0)} s, ${(statSync(file).size / 1e6).toFixed(1)} MB; pictures in ${pictures}`);

  /** The story, from a task that comes in to the squad that goes on after a stop. */
  async function tell(page: Page, film: ScreenRecorder, ask: Ask): Promise<void> {
    const scene = async (name: SceneName, act: () => Promise<void>) => {
      await film.caption(SCENES[name]);
      await page.waitForTimeout(READ_MS);
      await act();
      await page.waitForTimeout(LOOK_MS);
      await film.caption(null);
      await page.screenshot({ path: join(pictures, `${name}.jpg`), type: 'jpeg', quality: 65 });
    };
    let taskId = '';
    let heldId = '';
    await scene('board', async () => undefined);
    await scene('task', async () => {
      await page.keyboard.press('n');
      const form = page.getByRole('dialog', { name: 'Create a task' });
      await form.getByLabel('Title').pressSequentially(TITLE, { delay: 45 });
      await form.getByLabel('Assignee').selectOption({ label: 'Forge' });
      await form.getByLabel('Cap, USD').pressSequentially('2', { delay: 200 });
      await page.waitForTimeout(BREATH_MS);
      await form.getByRole('button', { name: 'Create task' }).click();
      await page
        .getByRole('link', { name: new RegExp(TITLE) })
        .first()
        .waitFor();
      const { items } = await ask<{ items: { id: string; title: string }[] }>('GET', '/tasks?limit=100');
      taskId = items.find(({ title }) => title === TITLE)?.id ?? '';
    });
    await scene('work', async () => {
      await ask('POST', `/tasks/${taskId}/transition`, {
        to: 'in_progress',
        artifacts: { workPlan: 'Read the changelog, run the tests, publish.' },
      });
      await page.waitForTimeout(BREATH_MS);
      for (const [tool, args, costUsd] of WORK) {
        await run('Forge', taskId, tool, args, costUsd);
        await page.waitForTimeout(BREATH_MS);
      }
    });
    await scene('held', async () => {
      heldId = (await call('Forge', taskId, 'exec', { command: 'npm test && npm publish --access public' })).id;
      await page.waitForTimeout(BREATH_MS);
      await point(page, page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: /^Approvals/ }));
      await page.getByRole('button', { name: /^Approve once/ }).waitFor();
    });
    await scene('approve', async () => {
      // What is red asks for a note.
      await page.getByLabel(/^Note/).pressSequentially('Read it: tests first, right package.', { delay: 40 });
      await point(page, page.getByRole('button', { name: /^Approve once/ }));
      await page.getByText('approved it once').first().waitFor();
      await redeem('Forge', heldId, '+ icons@2.4.0', 0.06);
    });
    await scene('refused', async () => {
      await point(page, page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: /^Board/ }));
      await call('Forge', taskId, 'exec', { command: 'sudo rm -rf /usr/lib/node_modules' });
      await page.waitForTimeout(BREATH_MS);
      await point(page, page.getByRole('link', { name: new RegExp(TITLE) }).first());
      await point(page, page.getByRole('tab', { name: 'Timeline' }));
    });
    await scene('cost', async () => {
      await point(page, page.getByRole('tab', { name: /^Cost/ }));
      await page.getByText('left of $2').waitFor();
      await page.waitForTimeout(LOOK_MS);
      await page.keyboard.press('Escape');
      await point(page, page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: /^Spend/ }));
      await point(page, page.getByRole('button', { name: 'Today', exact: true }));
    });
    await scene('stop', async () => {
      const box = await page.getByRole('button', { name: 'Emergency stop', exact: true }).boundingBox();
      if (!box) throw new Error('the stop is not on the screen');
      await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2, { steps: 20 });
      await page.mouse.down();
      await page.waitForURL('**/incident');
      await page.mouse.up();
      await page.getByText('every proxy silent after').waitFor();
    });
    await scene('incident', async () => {
      await page.mouse.move(520, 420);
      await page.mouse.wheel(0, 260);
    });
    await scene('resume', async () => {
      await page.getByLabel('What happened, and why is it safe now?').pressSequentially('Looked at it: a drill.', { delay: 45 });
      await point(page, page.getByRole('button', { name: 'Resume, agents stay paused' }));
      await page.getByText('Resumed. Agents stay paused until you restart them.').waitFor();
    });
  }
} finally {
  await browser.close();
  await world.close();
}

type Ask = <T = Record<string, unknown>>(method: string, path: string, body?: unknown) => Promise<T>;

/** What stands on the board already. */
async function beforeTheStory(ask: Ask, ids: ReadonlyMap<string, string>): Promise<void> {
  for (const [title, type, owner, steps] of BEFORE) {
    const { id } = await ask<{ id: string }>('POST', '/tasks', { title, type, assigneeIds: [ids.get(owner)] });
    const artifacts = {
      in_progress: { workPlan: 'Read what is there, show it.' },
      review: { deliverable: 'output/draft.md', selfReview: 'Read twice.', evidence: ['output/draft.md'] },
      done: { deliverableConfirmed: true, decisionNote: 'Read it; good.' },
    };
    await ask('POST', `/tasks/${id}/transition`, { to: 'assigned' });
    for (const to of steps) await ask('POST', `/tasks/${id}/transition`, { to, artifacts: artifacts[to] });
    // Only while it is worked on: a call for a task that is done is refused.
    if (steps.at(-1) === 'in_progress') await run(owner, id, 'read', { path: 'output/draft.md' }, 0.03);
  }
}

async function call(agent: string, taskId: string, tool: string, args: Record<string, unknown>): Promise<{ id: string; verdict: string }> {
  const body = { tool, arguments: args, callId: crypto.randomUUID(), sessionKey: `task:${taskId}`, runId: `run-${taskId}`, taskId };
  return (await world.gate<{ id: string; verdict: string }>('POST', '/v1/tool-calls', body, tokens.get(agent) ?? null)).body;
}

/** A call that runs unheld. */
async function run(agent: string, taskId: string, tool: string, args: Record<string, unknown>, costUsd: number): Promise<void> {
  const { id, verdict } = await call(agent, taskId, tool, args);
  if (verdict !== 'allow') throw new Error(`${tool} ${JSON.stringify(args)} was not allowed: ${verdict}`);
  await end(agent, id, 'done', costUsd);
}

/** The call that a person has approved runs. */
async function redeem(agent: string, id: string, output: string, costUsd: number): Promise<void> {
  done(await world.gate('GET', `/v1/tool-calls/${id}?waitMs=10000`, undefined, tokens.get(agent) ?? null));
  await end(agent, id, output, costUsd);
}

async function end(agent: string, id: string, output: string, costUsd: number): Promise<void> {
  const outcome = { status: 'success', output, durationMs: 240, usage: { costUsd } };
  done(await world.gate('POST', `/v1/tool-calls/${id}/outcome`, outcome, tokens.get(agent) ?? null));
}

/** A click that can be followed with the eye. */
async function point(page: Page, target: Locator): Promise<void> {
  await target.scrollIntoViewIfNeeded();
  await target.hover();
  await page.waitForTimeout(BREATH_MS);
  await target.click();
  await page.waitForTimeout(BREATH_MS);
}

function done<T>({ status, body }: Answer<T>): T {
  if (status >= 400) throw new Error(`answered ${status}: ${JSON.stringify(body)}`);
  return body;
}
