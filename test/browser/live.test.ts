import { beforeEach, describe, expect, it } from 'vitest';
import { useDashboard } from './browser.ts';
import { type AgentCall, CALLS, type TestServer } from './server.ts';

const dashboard = useDashboard();
const { open } = dashboard;
let server: TestServer;
let agent: string;

beforeEach(async () => {
  server = dashboard.server;
  agent = await server.addAgent('Forge-03');
});

const note = (i: number) => ({ ...CALLS.read, arguments: { path: `notes/${i}.md` } });

/** So many calls, some at a time: what is tested is that there were many. */
async function callMany(count: number, made: (i: number) => AgentCall): Promise<void> {
  for (let from = 0; from < count; from += 20)
    await Promise.all(Array.from({ length: Math.min(20, count - from) }, (_, i) => server.call(agent, made(from + i))));
}

describe('the connection', () => {
  it('shows its age, and when it is lost says so, takes no decision, and still offers the stop', async () => {
    const id = await server.call(agent, CALLS.build);
    const page = await open('operator', '/approvals', { expected: /ERR_/ });
    await page.getByText(/^Live/).waitFor();
    await page.getByRole('button', { name: /^Approve/ }).waitFor();
    server.cutEvents();
    await page.getByText(/Connection lost at \d\d:\d\d:\d\d/).waitFor();
    await page
      .getByText(/What you see is \d+ s old\. Decisions wait until the connection is back\./)
      .first()
      .waitFor();
    await page.getByRole('button', { name: /^Approve/ }).click({ force: true });
    await page.keyboard.press('a');
    expect((await server.approval(id)).status).toBe('pending');
    expect(await page.getByRole('button', { name: 'Emergency stop', exact: true }).getAttribute('aria-disabled')).toBeNull();
    // Right after a try, so that it does not come back by itself while the button is being pressed.
    await page.getByText(/next try in [3-8] s/).waitFor();
    server.allowEvents();
    await page.getByRole('button', { name: 'Try now' }).click();
    await page.getByText(/^Live/).waitFor();
    await page.getByText(/Connection lost/).waitFor({ state: 'detached' });
    await page.getByRole('button', { name: /^Approve/ }).click();
    await page.getByText('Approved once').waitFor();
  });

  it('comes back by itself with what happened meanwhile', async () => {
    const page = await open('viewer', '/approvals', { expected: /ERR_/ });
    await page.getByRole('heading', { level: 1, name: 'Nothing waits for you' }).waitFor();
    server.cutEvents();
    const id = await server.call(agent, CALLS.build);
    server.allowEvents();
    await page.waitForURL(`**/approvals/${id}`);
    await page.getByRole('heading', { level: 1, name: 'Run cargo build' }).waitFor();
  });

  it('reads everything anew when too much was missed to resume', async () => {
    const page = await open('viewer', '/agents', { expected: /ERR_/ });
    await page.getByRole('link', { name: /Forge-03/ }).waitFor();
    server.cutEvents();
    await callMany(300, () => CALLS.read);
    await server.addAgent('Scout-09');
    server.allowEvents();
    await page.getByRole('link', { name: /Scout-09/ }).waitFor();
  });

  it('outlives the server: killed and started again, it says so, keeps what was typed, and goes on', async () => {
    const id = await server.call(agent, CALLS.build);
    const page = await open('operator', `/approvals/${id}`, { expected: /ERR_|502/ });
    await page.getByLabel(/^Note/).fill('asked Ada first');
    await server.kill();
    await page.getByText(/Connection lost at/).waitFor();
    await page.getByRole('button', { name: /^Approve/, disabled: true }).waitFor();
    await server.start();
    // The page tries again every 8 s at the latest.
    await page.getByText(/Connection lost/).waitFor({ state: 'detached', timeout: 30_000 });
    expect(await page.getByLabel(/^Note/).inputValue()).toBe('asked Ada first');
    await page.getByRole('button', { name: /^Approve/ }).click();
    await page.getByText('Approved once').waitFor();
    expect(await server.approval(id)).toMatchObject({ status: 'approved', decision: 'asked Ada first' });
  }, 90_000);

  it('says that the server cannot be reached when it never could', async () => {
    server.cutEvents();
    const page = await open('viewer', '/agents', { expected: /ERR_/ });
    await page.getByText('The server cannot be reached.').first().waitFor();
    server.allowEvents();
    await page.getByRole('link', { name: /Forge-03/ }).waitFor();
  });
});

describe('a clock', () => {
  it('of this machine that is wrong by hours moves no age', async () => {
    await server.call(agent, CALLS.build);
    const page = await open('operator', '/approvals');
    await page.clock.install({ time: Date.now() + 5 * 3_600_000 });
    await page.reload();
    await page.getByText(/^Live/).waitFor();
    await page
      .getByText(/^Held 0:\d\d$/)
      .first()
      .waitFor();
    await page.getByRole('button', { name: /^Approve/ }).click();
    await page.getByText('Approved once').waitFor();
  });

  it('that jumps, as when a laptop wakes, shows old data as old until the server is heard, and keeps what was typed', async () => {
    const id = await server.call(agent, CALLS.build);
    const page = await open('operator', '/overview', { expected: /ERR_/ });
    await page.clock.install();
    await page.goto(`${server.url}/approvals/${id}`);
    await page.getByText(/^Live/).waitFor();
    await page.getByLabel(/^Note/).fill('read it twice');
    server.cutEvents();
    await page.clock.fastForward(2 * 3_600_000);
    await page
      .getByText(/What you see is 2 h old\. Decisions wait until the connection is back\./)
      .first()
      .waitFor();
    server.allowEvents();
    await page.getByText(/^Live/).waitFor();
    expect(await page.getByLabel(/^Note/).inputValue()).toBe('read it twice');
    await page.getByRole('button', { name: /^Approve/ }).click();
    await page.getByText('Approved once').waitFor();
    expect((await server.approval(id)).decision).toBe('read it twice');
  });
});

describe('several tabs', () => {
  it('read one stream; when the one that holds it goes, another goes on, and none misses anything', async () => {
    const first = await open('viewer', '/feed', { expected: /ERR_/ });
    await first.getByText(/^Live/).waitFor();
    let streams = 0;
    first.context().on('request', (request) => {
      if (request.url().endsWith('/api/events')) streams++;
    });
    const others = await Promise.all([first.context().newPage(), first.context().newPage()]);
    for (const page of others) {
      await page.goto(`${server.url}/feed`);
      await page.getByText(/^Live/).waitFor();
    }
    await server.call(agent, { ...CALLS.read, arguments: { path: 'docs/ONE.md' } });
    for (const page of [first, ...others]) await page.getByText('docs/ONE.md').first().waitFor();
    expect(streams).toBe(0);

    await first.close();
    await server.call(agent, { ...CALLS.read, arguments: { path: 'docs/TWO.md' } });
    for (const page of others) await page.getByText('docs/TWO.md').first().waitFor();
    expect(streams).toBe(1);

    server.cutEvents();
    for (const page of others) await page.getByText(/Connection lost at/).waitFor();
    await server.call(agent, { ...CALLS.read, arguments: { path: 'docs/THREE.md' } });
    server.allowEvents();
    for (const page of others) await page.getByText('docs/THREE.md').first().waitFor();
    for (const page of others) expect(await page.getByText('docs/TWO.md').count()).toBeGreaterThan(0);
  });
});

describe('what happens shows up', () => {
  it('within 300 ms of its happening', async () => {
    const page = await open('viewer', '/feed');
    await page.getByRole('log').waitFor();
    const times: number[] = [];
    for (let i = 0; i < 5; i++) {
      const seen = page.waitForFunction((text) => document.body.innerText.includes(text), `docs/STEP-${i}.md`, { polling: 'raf' });
      const from = performance.now();
      await server.call(agent, { ...CALLS.read, arguments: { path: `docs/STEP-${i}.md` } });
      await seen;
      times.push(performance.now() - from);
    }
    expect(times.sort((a, b) => a - b)[2]).toBeLessThan(300);
  });

  it('in the feed without moving what is being read', async () => {
    await callMany(79, note);
    await server.call(agent, note(79));
    const page = await open('viewer', '/feed');
    const list = page.getByRole('log', { name: 'Feed' });
    await list.getByText('notes/79.md').waitFor();
    await list.evaluate((element) => element.scrollTo({ top: 600 }));
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    const before = await list.evaluate((element) => element.scrollTop);
    for (let i = 0; i < 3; i++) await server.call(agent, { ...CALLS.read, arguments: { path: `late/${i}.md` } });
    await page.getByRole('button', { name: '3 new entries' }).waitFor();
    expect(await list.evaluate((element) => element.scrollTop)).toBe(before);
    expect(await list.getByText('late/2.md').count()).toBe(0);
    await page.getByRole('button', { name: '3 new entries' }).click();
    await list.getByText('late/2.md').waitFor();
  });

  it('in the feed back to the first entry, page by page, with only the visible rows in the page', async () => {
    await callMany(319, note);
    await server.call(agent, note(319));
    const page = await open('viewer', '/feed');
    await page.getByRole('button', { name: 'Calls' }).click();
    const list = page.getByRole('log', { name: 'Feed' });
    await list.getByText('notes/319.md').waitFor();
    const footer = page.locator('.feedv-f');
    expect(await footer.innerText()).toContain('older ones follow');
    await expect
      .poll(
        async () => {
          await list.evaluate((element) => element.scrollTo({ top: element.scrollHeight }));
          return footer.innerText();
        },
        { timeout: 20_000 },
      )
      .toMatch(/^\d+ entries$/);
    expect(Number.parseInt(await footer.innerText(), 10)).toBeGreaterThanOrEqual(320);
    expect(await list.locator('.feed-row').count()).toBeLessThan(120);
  });
});
