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
  agent = await server.addAgent('Forge-03');
});

describe('a held call', () => {
  it('is where one lands, read as the policy read it, and runs once after a click', async () => {
    const id = await server.call(agent, CALLS.build);
    const page = await open('approver', '/');
    await page.waitForURL(`**/approvals/${id}`);
    await page.getByRole('heading', { level: 1, name: 'Run cargo build' }).waitFor();
    const rows = page.getByRole('list', { name: 'Parsed command' }).getByRole('listitem');
    expect(await rows.count()).toBe(2);
    expect(await rows.nth(1).innerText()).toContain('cargo build --release');
    expect(await rows.nth(1).locator('mark').innerText()).toBe('cargo');
    expect(await page.getByText('SHELL_NOT_ALLOWLISTED').count()).toBe(1);
    expect(await page.getByText('allowlists.shell').count()).toBe(1);

    await page.getByRole('button', { name: /^Approve/ }).click();
    await page.getByText('Approved once. Forge-03 is told.').waitFor();
    expect(await server.approval(id)).toMatchObject({ status: 'approved', approver: 'Ada Lind', editedArguments: null });

    await server.redeem(id, 'Finished release in 3.1 s');
    await page.getByRole('link', { name: 'open the call' }).click();
    await page.getByText('Finished release in 3.1 s').waitFor();
  });

  it('is denied by key, and the note goes with it', async () => {
    const id = await server.call(agent, CALLS.build);
    const page = await open('approver', '/approvals');
    await page.getByRole('button', { name: /^Deny/ }).waitFor();
    await page.keyboard.press('n');
    await page.keyboard.type('use the cached build');
    await page.keyboard.press('Escape');
    await page.keyboard.press('d');
    await page.getByText('Denied. Forge-03 is told why.').waitFor();
    expect(await server.approval(id)).toMatchObject({ status: 'denied', decision: 'use the cached build' });
  });

  it('that is red needs a note: the buttons say so and do nothing without one', async () => {
    const id = await server.call(agent, CALLS.message);
    const page = await open('approver', '/approvals');
    const approve = page.getByRole('button', { name: /^Approve/ });
    await approve.waitFor();
    expect(await approve.getAttribute('aria-disabled')).toBe('true');
    await page.getByText('A red call needs a note from whoever decides.').waitFor();
    await approve.click({ force: true });
    await page.keyboard.press('a');
    expect((await server.approval(id)).status).toBe('pending');
    // The key leads to the note; a ready-made one counts.
    expect(await page.evaluate(() => document.activeElement?.tagName)).toBe('TEXTAREA');
    await page.getByRole('button', { name: 'Checked, as intended' }).click();
    await approve.click();
    await page.getByText('Approved once').waitFor();
    expect(await server.approval(id)).toMatchObject({ status: 'approved', decision: 'Checked, as intended' });
  });

  it('shows what the agent wrote as text, with hidden characters by name', async () => {
    await server.call(agent, CALLS.message);
    const page = await open('viewer', '/approvals');
    const text = page.locator('.args mc-voice', { hasText: 'Hello' });
    await text.waitFor();
    expect(await text.innerText()).toContain('Hello <b>all</b>');
    expect(await text.innerText()).toContain('RIGHT-TO-LEFT OVERRIDE');
    expect(await text.locator('b').count()).toBe(0);
  });

  it('runs with edited arguments, old and new side by side, judged beforehand', async () => {
    const id = await server.call(agent, CALLS.build);
    const page = await open('approver', '/approvals');
    await page.getByRole('button', { name: /^Edit arguments/ }).waitFor();
    await page.keyboard.press('e');
    const field = page.getByRole('textbox', { name: 'command' });
    await field.fill('ls web');
    await page.getByText('Judged without your approval:').waitFor();
    // The edited call is read again; what was sent stays beside it.
    const edited = page.getByRole('list', { name: 'What would run' }).getByRole('listitem');
    expect(await edited.locator('code').allInnerTexts()).toEqual(['ls web']);
    await page.locator('.kv--facts').getByText('/srv/ws/web').waitFor();
    expect(await page.getByRole('list', { name: 'Parsed command' }).getByRole('listitem').count()).toBe(2);
    expect(await page.locator('.ae-old').innerText()).toBe('ls web && cargo build --release');
    await page.getByRole('button', { name: 'Approve the edited call, once' }).click();
    await page.getByText('Approved once with your arguments.').waitFor();
    expect((await server.approval(id)).editedArguments).toEqual({ command: 'ls web' });
    await page.getByRole('heading', { name: 'Arguments as approved' }).waitFor();
  });

  it('that somebody else decides stays in view, says who was first, and takes no second decision', async () => {
    const id = await server.call(agent, CALLS.build);
    await server.call(agent, CALLS.message);
    const page = await open('approver', `/approvals/${id}`, { expected: /409|ERR_/ });
    await page.getByRole('button', { name: /^Approve/ }).waitFor();
    // The event is late: the click crosses the other decision on the way.
    server.cutEvents();
    await server.decide(id, 'deny', 'wrong branch');
    await page.getByRole('button', { name: /^Approve/ }).click();
    await page.getByText(/Jon Reyes decided first.*denied, "wrong branch"/).waitFor();
    expect(new URL(page.url()).pathname).toBe(`/approvals/${id}`);
    expect(await page.getByRole('button', { name: /^Approve/ }).count()).toBe(0);
    expect(await server.approval(id)).toMatchObject({ status: 'denied', approver: 'Jon Reyes' });
    server.allowEvents();
  });

  it('that is withdrawn says so where it stands', async () => {
    const id = await server.call(agent, CALLS.build);
    const page = await open('approver', `/approvals/${id}`);
    await page.getByRole('button', { name: /^Approve/ }).waitFor();
    await server.withdraw(id);
    await page.getByText('The call was withdrawn before anybody decided. Nothing ran.').waitFor();
  });

  it('can be read but not decided by a viewer, with the reason', async () => {
    const id = await server.call(agent, CALLS.build);
    const page = await open('viewer', '/approvals');
    const approve = page.getByRole('button', { name: /^Approve/ });
    await approve.waitFor();
    await page.getByText('Needs the approver role; you are a viewer.').first().waitFor();
    await approve.click({ force: true });
    await page.keyboard.press('a');
    expect((await server.approval(id)).status).toBe('pending');
  });
});

describe('the inbox', () => {
  it('moves on after a decision, and a second press in the same breath decides nothing', async () => {
    const first = await server.call(agent, CALLS.build);
    const second = await server.call(agent, { ...CALLS.build, arguments: { command: 'make all' } });
    const page = await open('approver', `/approvals/${first}`);
    await page.getByRole('button', { name: /^Approve/ }).waitFor();
    await page.keyboard.press('a');
    await page.waitForURL(`**/approvals/${second}`);
    await page.keyboard.press('a');
    await page.getByRole('button', { name: /^Approve/ }).click();
    expect((await server.approval(first)).status).toBe('approved');
    expect((await server.approval(second)).status).toBe('pending');
  });

  it('is walked with J and K, oldest first, and keeps a note that was begun', async () => {
    const ids: string[] = [];
    for (const command of ['make a', 'cargo b', 'ninja c']) ids.push(await server.call(agent, { ...CALLS.build, arguments: { command } }));
    const page = await open('approver', '/approvals');
    await page.waitForURL(`**/approvals/${ids[0]}`);
    await page.getByRole('textbox', { name: /^Note/ }).fill('half a thou');
    await page.keyboard.press('Escape');
    await page.keyboard.press('j');
    await page.waitForURL(`**/approvals/${ids[1]}`);
    expect(await page.getByRole('textbox', { name: /^Note/ }).inputValue()).toBe('');
    await page.keyboard.press('j');
    await page.keyboard.press('j');
    await page.waitForURL(`**/approvals/${ids[2]}`);
    await page.keyboard.press('k');
    await page.keyboard.press('k');
    await page.waitForURL(`**/approvals/${ids[0]}`);
    expect(await page.getByRole('textbox', { name: /^Note/ }).inputValue()).toBe('half a thou');
  });

  it('puts like calls into one group and shows what arrives without moving what is read', async () => {
    const first = await server.call(agent, { ...CALLS.build, arguments: { command: 'ninja -C tokens' } });
    const page = await open('approver', '/approvals');
    await page.waitForURL(`**/approvals/${first}`);
    await server.call(agent, { ...CALLS.build, arguments: { command: 'ninja -C icons' } });
    await page.getByText('×2').waitFor();
    expect(new URL(page.url()).pathname).toBe(`/approvals/${first}`);
    expect(await page.title()).toContain('(2)');
  });

  it('says when nothing waits, and fills itself when something does', async () => {
    const page = await open('approver', '/approvals');
    await page.getByRole('heading', { level: 1, name: 'Nothing waits for you' }).waitFor();
    const id = await server.call(agent, CALLS.build);
    await page.waitForURL(`**/approvals/${id}`);
    await page.getByRole('button', { name: /^Approve/ }).waitFor();
  });

  it('works with one thumb on a phone', async () => {
    const id = await server.call(agent, CALLS.message);
    const page = await open('approver', '/', PHONE);
    await page.getByRole('navigation', { name: 'Main' }).getByText('Approvals').tap();
    await page.getByRole('button', { name: 'Wrong target' }).tap();
    const deny = page.getByRole('button', { name: /^Deny/ });
    expect((await deny.boundingBox())?.height).toBeGreaterThanOrEqual(44);
    await deny.tap();
    await page.getByText('Denied. Forge-03 is told why.').waitFor();
    expect(await server.approval(id)).toMatchObject({ status: 'denied', decision: 'Wrong target' });
  });
});

describe('what would happen', () => {
  it('names whom a message reaches, by which way and what goes with it', async () => {
    const text = 'Hello <b>all</b> \u202eevil\u202c';
    const args = { action: 'send', channel: 'slack', to: ['team@acme.example', '#ops'], cc: 'all@rival.example', text, media: 'a.pdf' };
    await server.call(agent, { tool: 'message', arguments: args });
    const page = await open('viewer', '/approvals');
    await page.getByRole('heading', { level: 1, name: 'Send a message to team@acme.example and 2 more' }).waitFor();
    const facts = page.locator('.kv--facts');
    expect((await facts.innerText()).split('\n').filter((line) => /example|#ops|slack|pdf/.test(line))).toEqual([
      'team@acme.example',
      '#ops',
      'all@rival.example cc',
      'slack',
      'a.pdf',
    ]);
    expect(await facts.locator('mc-voice').innerText()).toContain('RIGHT-TO-LEFT OVERRIDE');
    expect(await facts.locator('b').count()).toBe(0);
  });

  it('shows the lines that an edit takes out and puts in, at the path where they would stand', async () => {
    const edits = [{ oldText: 'port = 80\nlisten()', newText: 'port = 8080\nlisten()' }];
    await server.call(agent, { tool: 'edit', arguments: { path: 'docs/../src/app.ts', edits } });
    const page = await open('viewer', '/approvals');
    const change = page.locator('mc-file-change');
    await change.waitFor();
    expect(await change.locator('.fc-l--gone code').allInnerTexts()).toEqual(['port = 80']);
    expect(await change.locator('.fc-l--came code').allInnerTexts()).toEqual(['port = 8080']);
    expect(await change.locator('.fc-l--same code').allInnerTexts()).toEqual(['listen()']);
    await page.getByText('/srv/ws/src/app.ts').waitFor();
  });

  it('shows a file too long for the record whole, folded, and says that its old content is not known', async () => {
    const content = Array.from({ length: 9_000 }, (_, i) => `const x${i} = ${i};`).join('\n');
    const id = await server.call(agent, { tool: 'write', arguments: { path: 'src/big.ts', content } });
    expect(JSON.stringify((await server.approval(id)).arguments).length).toBeLessThan(content.length);
    const page = await open('viewer', '/approvals');
    const change = page.locator('mc-file-change');
    await change.getByText('const x8999 = 8999;').waitFor();
    await change.getByText('What stands there now is not known here').waitFor();
    expect(await change.getByText('const x4000 = 4000;').count()).toBe(0);
    await change.getByRole('button', { name: 'Show all 9,000 lines' }).click();
    await change.getByText('const x4000 = 4000;').waitFor();
  });

  it('folds a long command around the words that caused the hold, and unfolds it', async () => {
    await server.call(agent, { tool: 'exec', arguments: { command: `echo "${'a b c '.repeat(400)}" | sort >/etc/motd` } });
    const page = await open('viewer', '/approvals');
    const first = page.getByRole('list', { name: 'Parsed command' }).getByRole('listitem').first();
    await first.getByText('characters not shown').waitFor();
    expect(await first.locator('mark').first().isVisible()).toBe(true);
    await first.getByRole('button', { name: /^Show all/ }).click();
    expect(await first.locator('code').innerText()).toContain('a b c '.repeat(400).trim());
  });

  it('names the digest that the call then runs under, the budgets it counts against, its task and the calls before it', async () => {
    const task = await server.addTask({ title: 'Ship it', type: 'engineering', assigneeIds: [agent], budget: 8 });
    await server.call(agent, CALLS.read);
    const id = await server.call(agent, { ...CALLS.build, taskId: task.id });
    const page = await open('approver', '/approvals');
    const digest = (await server.approval(id)).digest ?? '';
    await page.getByText(`${digest.slice(0, 4)} ${digest.slice(4, 8)} … ${digest.slice(-4)}`).waitFor();
    const context = page.locator('mc-approval-context');
    await context.getByRole('link', { name: /Ship it/ }).waitFor();
    await context.getByText(/^Task MC-/).waitFor();
    await context.getByText('of $8').waitFor();
    await context.getByText('read docs/PLAN.md').waitFor();
    await page.getByRole('button', { name: /^Approve/ }).click();
    await page.getByText('Approved once.').waitFor();
    await server.redeem(id, 'built');
    expect((await server.approval(id)).digest).toBe(digest);
  });
});

describe('calls alike', () => {
  it('are one card; some of them are decided at once with one note, and what somebody else decided takes nothing from the others', async () => {
    const other = await server.addAgent('Scout-05');
    const ids: string[] = [];
    for (const [by, folder] of [
      [agent, 'a'],
      [agent, 'b'],
      [other, 'c'],
      [agent, 'd'],
      [agent, 'e'],
    ] as const)
      ids.push(await server.call(by, { ...CALLS.build, arguments: { command: `ninja -C ${folder}` } }));
    const page = await open('approver', `/approvals/${ids[0]}`, { expected: /ERR_/ });
    const card = page.getByRole('region', { name: 'Calls alike' });
    await card.getByRole('heading', { name: /^5 calls alike/ }).waitFor();
    expect(await card.getByRole('link').allInnerTexts()).toEqual(['a', 'b', 'c', 'd', 'e']);
    await card.getByText('Scout-05').waitFor();
    await page.keyboard.press('n');
    await page.keyboard.type('the nightly build');
    await page.keyboard.press('Escape');
    await page.keyboard.press('s');
    await page.getByRole('button', { name: 'Approve 5 calls, once each' }).waitFor();
    await page.keyboard.press('j');
    await page.waitForURL(`**/approvals/${ids[1]}`);
    await page.keyboard.press('x');
    // An edit is for one call, and choosing several is not possible beside it.
    await page.keyboard.press('e');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: /^Approve once/ }).waitFor();
    await page.keyboard.press('s');
    await page.getByText('An edit is for one call.').waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('s');
    await page.keyboard.press('x');
    expect(await page.getByRole('textbox', { name: /^Note/ }).inputValue()).toBe('the nightly build');
    // The event of the other decision does not arrive in time.
    server.cutEvents();
    await server.decide(ids[3] ?? '', 'deny', 'not d');
    await page.getByRole('button', { name: 'Approve 4 calls, once each' }).click();
    await page.getByText(/Approved 3 of 4 calls\. Of the other one: .*already denied by Jon Reyes/).waitFor();
    server.allowEvents();
    const outcomes = [];
    for (const id of ids) outcomes.push((await server.approval(id)).status);
    expect(outcomes).toEqual(['approved', 'pending', 'approved', 'denied', 'approved']);
    expect((await server.approval(ids[2] ?? '')).decision).toBe('the nightly build');
  });
});

describe('approving for longer', () => {
  it('shows what each pattern would cover, and the next call like it needs nobody; revoked, it does again', async () => {
    const id = await server.call(agent, { ...CALLS.build, arguments: { command: 'python3 tools/report.py --month 3' } });
    const page = await open('approver', `/approvals/${id}`);
    await page.getByRole('button', { name: /^Approve/ }).waitFor();
    await page.keyboard.press('f');
    const dialog = page.getByRole('dialog');
    const narrow = dialog.getByRole('group', { name: 'Which calls' }).getByRole('radio').first();
    await narrow.waitFor();
    expect(await narrow.isChecked()).toBe(true);
    expect(await narrow.evaluate((field) => field === document.activeElement)).toBe(true);
    await dialog.getByText('python3 tools/<any>.py --month 3').waitFor();
    await dialog.getByRole('heading', { name: 'Would cover' }).waitFor();
    await dialog.getByRole('radio', { name: '1 h' }).check();
    await dialog.getByRole('spinbutton', { name: /^How often/ }).fill('2');
    expect(await violations(page)).toEqual([]);
    await dialog.getByRole('button', { name: 'Approve, and 2 more calls for 1 h' }).click();
    await page.getByText('Approved, and calls like it for longer.').waitFor();
    await page.getByRole('link', { name: 'calls like it for longer' }).click();
    await page.getByText('0 of 2 uses').waitFor();
    // The call that was approved runs; the next one like it is released by the grant.
    await server.redeem(id, 'built');
    const next = await server.call(agent, { ...CALLS.build, arguments: { command: 'python3 tools/report.py --month 3' } });
    await page.getByText('1 of 2 uses').waitFor();
    expect(next).not.toBe(id);
    await page.getByRole('button', { name: 'Revoke', exact: true }).click();
    await page.getByRole('textbox', { name: /^Reason/ }).fill('enough');
    await page.getByRole('button', { name: /^Revoke grant/ }).click();
    await page.getByText(/is revoked\. The next call needs a person again/).waitFor();
    const held = await server.call(agent, { ...CALLS.build, arguments: { command: 'python3 tools/report.py --month 3' } });
    expect((await server.approval(held)).status).toBe('pending');
  });

  it('decides by it what waits already, where somebody asks for that', async () => {
    const run = (name: string) => server.call(agent, { ...CALLS.build, arguments: { command: `python3 tools/${name}.py --month 3` } });
    const [id, other] = [await run('report'), await run('digest')];
    const page = await open('approver', `/approvals/${id}`);
    await page
      .getByRole('button', { name: /^Approve/ })
      .first()
      .waitFor();
    await page.keyboard.press('f');
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('radio', { name: /python3 tools\/<any>\.py --month 3/ }).check();
    await dialog.getByRole('checkbox', { name: /1 call alike that wait already/ }).check();
    await dialog.getByRole('button', { name: /^Approve, and/ }).click();
    await page.getByText('Approved, and calls like it for longer.').waitFor();
    await expect.poll(async () => (await server.approval(other)).status).toBe('approved');
  });

  it('is not offered for a red call, and says why where the server does not grant', async () => {
    await server.call(agent, CALLS.message);
    const page = await open('approver', '/approvals');
    await page.getByRole('button', { name: /^Approve/ }).waitFor();
    expect(await page.getByRole('button', { name: /^Grant calls like it/ }).count()).toBe(0);
    await page.keyboard.press('f');
    await page.getByRole('dialog').getByText('It can be approved once.').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  });
});

describe('on a phone', () => {
  it('a red call is read whole and approved with two taps', async () => {
    const command = `cd web && ${'npm run build --silent && '.repeat(6)}npm publish --access public --tag next`;
    const id = await server.call(agent, { tool: 'exec', arguments: { command } });
    const page = await open('approver', '/', PHONE);
    const rows = page.getByRole('list', { name: 'Parsed command' }).getByRole('listitem');
    await rows.first().waitFor();
    // Every command stands there in full: nothing is cut off at the side, nothing is folded.
    expect((await rows.locator('code').allInnerTexts()).join(' ')).toBe(command);
    for (const code of await rows.locator('code').all()) {
      const box = await code.boundingBox();
      expect((box?.x ?? 0) + (box?.width ?? 999)).toBeLessThanOrEqual(390);
      expect(await code.evaluate((element) => element.scrollWidth <= element.clientWidth)).toBe(true);
    }
    expect((await server.approval(id)).risk).toBe('red');
    await page.getByRole('button', { name: 'Checked, as intended' }).tap();
    await page.getByRole('button', { name: /^Approve/ }).tap();
    await page.getByText('Approved once.').waitFor();
    expect(await server.approval(id)).toMatchObject({ status: 'approved', decision: 'Checked, as intended' });
  });

  it('a message is read with its recipients before it is decided', async () => {
    await server.call(agent, CALLS.message);
    const page = await open('viewer', '/', { ...PHONE, reducedMotion: 'reduce' });
    await page.locator('.kv--facts').getByText('team@acme.example').waitFor();
    await page.locator('.kv--facts mc-voice').getByText('Hello <b>all</b>').waitFor();
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      expect([colorScheme, await violations(page)]).toEqual([colorScheme, []]);
    }
  });
});
