/**
 * The pictures of the README and of docs/: the real product, started as its user starts it, with a morning of a squad played through the API
 * and the gate, in real Chromium, light and dark. `npm run pictures` runs it before the pictures that the samples give (dashboard/mock/pictures.ts).
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { launchBrowser } from '../setup/chromium.ts';
import { usePolicy } from '../support/calls.ts';
import { type Answer, startWorld, type World } from '../support/world.ts';

const OUT = join(import.meta.dirname, '../../docs/pictures');
const DESK = { width: 1440, height: 900 };
/** What is fetched after the view itself: the judgement, the history, the charts. */
const SETTLE_MS = 2_500;

const TEAM = [
  ['Forge-03', 'lead'],
  ['Forge-07', 'specialist'],
  ['Scribe-02', 'specialist'],
  ['Scout-05', 'specialist'],
  ['Courier-01', 'specialist'],
  ['Quill-04', 'specialist'],
  ['Ledger-01', 'intern'],
  ['Herald-02', 'intern'],
] as const;
type Name = (typeof TEAM)[number][0];
type Status = 'inbox' | 'assigned' | 'in_progress' | 'review' | 'done' | 'blocked';

/** Tasks with where they stand, whose they are, and what each call of theirs cost, USD. */
const TASKS: readonly (readonly [string, string, Status, Name | null, number])[] = [
  ['Alt text for 31 images', 'content', 'done', 'Scribe-02', 0.031],
  ['Patch level of the date parser', 'engineering', 'done', 'Forge-07', 0.052],
  ['Standup digest', 'ops', 'done', 'Quill-04', 0.011],
  ['Launch post: approvals from your phone', 'content', 'review', 'Scribe-02', 0.094],
  ['Runbook: database lost', 'docs', 'review', 'Quill-04', 0.047],
  ['Ship the 2.4 design packages', 'engineering', 'in_progress', 'Forge-03', 0.138],
  ['Table: keep scroll position when rows stream in', 'engineering', 'in_progress', 'Forge-07', 0.087],
  ['Interview notes into five themes', 'customer_research', 'in_progress', 'Scout-05', 0.066],
  ['Beta invite to 40 waitlisted teams', 'email_marketing', 'in_progress', 'Courier-01', 0.042],
  ['November invoice check', 'ops', 'in_progress', 'Ledger-01', 0.018],
  ['Teaser thread for Tuesday', 'social', 'in_progress', 'Herald-02', 0.012],
  ['Scrape partner catalogue', 'customer_research', 'blocked', 'Scout-05', 0.058],
  ['Status page copy for the Friday move', 'docs', 'assigned', 'Quill-04', 0],
  ['Internal link audit, pricing cluster', 'seo_research', 'assigned', 'Scribe-02', 0],
  ['Dependency updates, patch level', 'engineering', 'assigned', 'Forge-03', 0],
  ['Compare five vector database price pages', 'seo_research', 'inbox', null, 0],
  ['Collect churn quotes from October calls', 'customer_research', 'inbox', null, 0],
  ['Draft FAQ for the retention change', 'docs', 'inbox', null, 0],
  ['Rename onboarding emails by step', 'email_marketing', 'inbox', null, 0],
];
/** How long a held call waits before its task moves to Needs approval: short, so that the pictures show some of both. */
const INLINE_MS = 1_000;
/** Calls of each task that has been begun; all of them run. */
const ROUTINE = [
  ['read', { path: 'docs/BRIEF.md' }],
  ['web_search', { query: 'what others write about it' }],
  ['write', { path: 'output/draft.md', content: '# A draft\n\nTo be read twice.\n' }],
  ['exec', { command: 'git status && git diff --stat' }],
  ['read', { path: 'output/draft.md' }],
] as const;
/** Calls that wait for a person. */
const HELD: readonly (readonly [Name, string, string, Record<string, unknown>])[] = [
  ...['tokens', 'icons', 'forms', 'table'].map(
    (name) =>
      [
        'Forge-03',
        'Ship the 2.4 design packages',
        'exec',
        { command: `cd packages/${name} && npm test && npm publish --access public --tag next @acme/${name}` },
      ] as const,
  ),
  [
    'Courier-01',
    'Beta invite to 40 waitlisted teams',
    'message',
    { action: 'send', to: 'waitlist@acme.example', text: 'Your beta access is ready.' },
  ],
  ['Herald-02', 'Teaser thread for Tuesday', 'web_fetch', { url: 'https://api.social.example/v2/timeline?limit=20' }],
  ['Ledger-01', 'November invoice check', 'write', { path: 'output/invoices.md', content: '# November\n\n12 open, 3 late.\n' }],
];

const world = await startWorld();
const browser = await launchBrowser();
const mara = done(await world.api<{ token: string }>('POST', '/operators', { name: 'Mara Voss', role: 'admin' }));
try {
  await play(world);
  mkdirSync(OUT, { recursive: true });
  await take(browser, 'board', '/board');
  await take(browser, 'approvals', '/approvals');
  await take(browser, 'spend', '/spend', 'Today');
  done(await ask('POST', '/emergency/stop', { reason: 'Publishing under the wrong tag' }));
  await take(browser, 'incident', '/incident');
} finally {
  await browser.close();
  await world.close();
}

/** A morning of the squad. */
async function play({ gate }: World): Promise<void> {
  await usePolicy(world, { budgets: { fleetDaily: 5 }, holds: { inlineMs: INLINE_MS } });
  const agents = new Map<Name, { id: string; token: string }>();
  for (const [name, autonomyLevel] of TEAM) {
    const { id } = done(
      await ask<{ id: string }>('POST', '/agents', { name, autonomyLevel, workspace: `/srv/${name.toLowerCase()}/workspace` }),
    );
    agents.set(name, { id, token: done(await ask<{ token: string }>('POST', `/agents/${id}/tokens`, {})).token });
  }
  const taskIds = new Map<string, string>();
  const held: { id: string; token: string | null }[] = [];
  let calls = 0;
  const call = async (name: Name, taskId: string, tool: string, args: Record<string, unknown>, costUsd: number) => {
    const token = agents.get(name)?.token ?? null;
    const body = { tool, arguments: args, callId: `call-${++calls}`, sessionKey: `task:${taskId}`, runId: `run-${taskId}`, taskId };
    const answer = await gate<{ id: string; verdict: string }>('POST', '/v1/tool-calls', body, token);
    if (answer.body.verdict === 'hold') held.push({ id: answer.body.id, token });
    if (answer.body.verdict === 'allow')
      done(
        await gate(
          'POST',
          `/v1/tool-calls/${answer.body.id}/outcome`,
          { status: 'success', output: 'done', durationMs: 40 + calls, usage: { costUsd } },
          token,
        ),
      );
  };
  for (const [title, type, status, owner, cost] of TASKS) {
    const priority = type === 'engineering' ? 'high' : 'medium';
    const assigneeIds = owner ? [agents.get(owner)?.id ?? ''] : [];
    const { id } = done(await ask<{ id: string }>('POST', '/tasks', { title, type, priority, assigneeIds }));
    taskIds.set(title, id);
    if (owner === null) continue;
    await move(id, 'assigned');
    if (status === 'assigned') continue;
    await move(id, 'in_progress', { workPlan: 'Read what is there, change as little as possible, show it.' });
    // What is yellow waits for a person where an intern does it: those do the rest.
    const isIntern = TEAM.some(([name, autonomy]) => name === owner && autonomy === 'intern');
    for (const [tool, args] of ROUTINE) if (!isIntern || tool === 'read') await call(owner, id, tool, args, cost);
    if (status === 'blocked') await move(id, 'blocked', {}, 'The partner asks for a key that nobody has.');
    if (status !== 'review' && status !== 'done') continue;
    const work = { deliverable: 'It stands in output/draft.md.', selfReview: 'Read twice.', evidence: ['output/draft.md'] };
    await move(id, 'review', work);
    if (status === 'done') await move(id, 'done', { deliverableConfirmed: true, decisionNote: 'Read it; good.' });
  }
  const scout = agents.get('Scout-05');
  if (scout) await call('Scout-05', taskIds.get('Interview notes into five themes') ?? '', 'exec', { command: 'sudo npm i -g pnpm' }, 0);
  for (const [name, title, tool, args] of HELD) await call(name, taskIds.get(title) ?? '', tool, args, 0);
  // Some agents have waited their while, so the tasks say that a person is needed.
  for (const { id, token } of held.slice(0, -1)) await gate('GET', `/v1/tool-calls/${id}?waitMs=${2 * INLINE_MS}`, undefined, token);
}

/** As the person who runs the squad. */
function ask<T = Record<string, unknown>>(method: string, path: string, body: unknown): Promise<Answer<T>> {
  return world.api<T>(method, path, body, mara.token);
}

async function move(id: string, to: Status, artifacts: Record<string, unknown> = {}, reason?: string): Promise<void> {
  done(await ask('POST', `/tasks/${id}/transition`, { to, artifacts, ...(reason && { reason }) }));
}

/** The same view in light and dark. @param choice a button that is pressed first. */
async function take(chromium: Browser, name: string, path: string, choice?: string): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    const context = await chromium.newContext({ viewport: DESK, colorScheme, timezoneId: 'UTC', reducedMotion: 'reduce' });
    await context.request.post(`${world.controlUrl}/api/session`, { data: { token: mara.token } });
    const page = await context.newPage();
    await page.goto(world.controlUrl + path);
    await page.locator('main h1').first().waitFor({ state: 'attached' });
    await page.evaluate(() => document.fonts.ready);
    if (choice) await page.getByRole('button', { name: choice, exact: true }).click();
    await page.waitForTimeout(SETTLE_MS);
    await page.screenshot({ path: join(OUT, `${name}-${colorScheme}.png`) });
    await context.close();
  }
  console.log(`docs/pictures/${name}-light.png and -dark.png, of the product`);
}

function done<T>({ status, body }: Answer<T>): T {
  if (status >= 400) throw new Error(`answered ${status}: ${JSON.stringify(body)}`);
  return body;
}
