/**
 * The first hour of somebody who knows nothing, with the real OpenClaw: `npm run e2e:first-hour [-- --pictures FOLDER]`. A copy of the
 * tracked files in a throw-away folder with a clean home, the commands as README.md and the first steps of the dashboard print them, typed
 * into terminals; a real browser for the rest. It ends with a table of what each took, and with exit code 1 when something did not do what
 * the text says, or the commands took more than five minutes. Only the ports are those of the run: 3000 may be taken here.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync } from 'node:fs';
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { Page } from 'playwright-core';
import { readDocuments } from '../docs/documents.ts';
import { launchBrowser } from '../setup/chromium.ts';
import { freePort } from './child.ts';
import { type Installation, installOpenClaw } from './installation.ts';
import { OpenClawGateway } from './openclaw-gateway.ts';
import { ScriptedModel } from './scripted-model.ts';
import { Terminal } from './terminal.ts';

const REPOSITORY = path.join(import.meta.dirname, '../..');
const COMMANDS_MAX_MS = 5 * 60_000;
const STEP_MAX_MS = 120_000;

const { values } = parseArgs({ options: { pictures: { type: 'string' } } });
const pictures = values.pictures === undefined ? null : path.resolve(values.pictures);
if (pictures !== null) mkdirSync(pictures, { recursive: true });

const took: { what: string; ms: number; isCommand: boolean }[] = [];
let nth = 0;

const root = path.join(tmpdir(), `mc-first-hour-${process.pid}`);
const home = path.join(root, 'home');
const clone = path.join(home, 'mission-control');
const logFile = path.join(root, 'terminals.out');
const installation = await installOpenClaw();
await rm(root, { recursive: true, force: true });
await mkdir(home, { recursive: true });
const model = await ScriptedModel.start();
model.script('list', /List the files of your workspace/, [[{ name: 'exec', arguments: { command: 'ls' } }]]);
model.script('date', /Run this command: date/, [[{ name: 'exec', arguments: { command: 'date' } }]]);
const openclaw = new OpenClawGateway(installation, root, await freePort(), path.join(home, '.openclaw'));
const env = await strangersEnvironment(installation);
/** What is open, in the order in which it was opened. */
const opened: { end: () => Promise<void> }[] = [];
const browser = await launchBrowser();
try {
  await openclaw.configure(model.baseUrl);
  await openclaw.start();
  copyTrackedFiles(clone);
  await firstHour();
} catch (error) {
  process.exitCode = 1;
  console.error(error instanceof Error ? (error.stack ?? error.message) : error);
} finally {
  await browser.close();
  for (const { end } of opened) await end();
  await openclaw.stop();
  await model.stop();
}
const commandsMs = took.filter(({ isCommand }) => isCommand).reduce((sum, { ms }) => sum + ms, 0);
const wholeMs = took.reduce((sum, { ms }) => sum + ms, 0);
console.log(`\n${took.map(({ what, ms }) => `${seconds(ms).padStart(7)} s  ${what}`).join('\n')}`);
console.log(`\n${seconds(commandsMs)} s of commands, ${seconds(wholeMs)} s with the browser; at most ${COMMANDS_MAX_MS / 1000} s`);
if (commandsMs > COMMANDS_MAX_MS) process.exitCode = 1;
if (process.exitCode === 1) console.log(`Logs and data are left in ${root}`);
else await rm(root, { recursive: true, force: true });

/** README from its first command to the first held call that a person has approved. */
async function firstHour(): Promise<void> {
  const [install = '', start = ''] = commandsUnder('Start');
  const [connect = '', doctor = ''] = commandsUnder('Connect your OpenClaw');
  await typed(install);

  const product = terminal(start);
  opened.push({ end: () => product.interrupt() });
  const begun = Date.now();
  const link = await product.shows(/(http:\/\/\S+\/sign-in#token=\S+)/, STEP_MAX_MS);
  note(start, begun, true);

  const page = await (await browser.newContext({ viewport: { width: 1440, height: 900 } })).newPage();
  page.setDefaultTimeout(STEP_MAX_MS);
  await looked('the sign-in link opens the first steps', page, async () => {
    await page.goto(link);
    await page.getByRole('heading', { name: 'Connect OpenClaw', exact: true }).waitFor();
    assert.equal(await commandOf(page), connect, 'the dashboard and README name the same command');
  });

  await typed(connect, { answer: [/\[y\/N\] $/, 'y\n'], shows: /Connected\./ });
  await looked('the gateway and its plugin are found', page, () => stepIs(page, 'See the first call'));
  await typed(doctor, { shows: /its plugin beats/ });

  await typed(await commandOf(page), { shows: /Done\./ });
  await looked('the first call is seen', page, async () => {
    // The overview has something to show now; the steps go on where its strip leads.
    await page.getByLabel('First steps').getByRole('link', { name: 'Show how' }).click();
    await stepIs(page, 'Decide a held call');
  });

  const asked = Date.now();
  const said = terminal(await commandOf(page));
  await looked('the held call is in the inbox', page, async () => {
    await page.getByRole('link', { name: 'Open the inbox' }).click();
    await page.getByRole('button', { name: /^Approve once/ }).waitFor();
  });
  await looked('it is approved by a click', page, async () => {
    await page.getByRole('button', { name: /^Approve once/ }).click();
    await page.getByText('approved it once').first().waitFor();
  });
  assert.equal(await said.ended(), 0, said.printed);
  note('the agent has its answer, from the command on', asked, true);
  assert.match(said.printed, /Done\..*\d\d:\d\d:\d\d/s, 'the agent was given what the command printed');
  await looked('the first steps are all done', page, async () => {
    await page.goto(new URL('/start', page.url()).href);
    await page.getByRole('heading', { name: 'Everything is connected' }).waitFor();
  });
}

/** Types a command, answers what it asks, and expects it to end well. */
async function typed(command: string, expected: { answer?: [RegExp, string]; shows?: RegExp } = {}): Promise<void> {
  assert.notEqual(command, '', 'the text has a command here');
  const begun = Date.now();
  const run = terminal(command);
  if (expected.answer) {
    await run.shows(expected.answer[0], STEP_MAX_MS);
    run.type(expected.answer[1]);
  }
  assert.equal(await run.ended(), 0, `${command} ended badly:\n${run.printed}`);
  if (expected.shows) assert.match(run.printed, expected.shows);
  note(command, begun, true);
}

async function looked(what: string, page: Page, act: () => Promise<void>): Promise<void> {
  const begun = Date.now();
  await act();
  note(what, begun, false);
  if (pictures === null) return;
  await page.evaluate('document.fonts.ready');
  await page.screenshot({ path: path.join(pictures, `${String(++nth).padStart(2, '0')}-${what.replaceAll(' ', '-')}.png`) });
}

function note(what: string, begun: number, isCommand: boolean): void {
  const ms = Date.now() - begun;
  took.push({ what, ms, isCommand });
  console.log(`${seconds(ms).padStart(7)} s  ${what}`);
}

/** The command that the first steps show now, as it would be copied. */
async function commandOf(page: Page): Promise<string> {
  const text = await page.locator('.fr-steps li.now code').innerText();
  return text.replace(/^\$\s*/, '').trim();
}

async function stepIs(page: Page, title: string): Promise<void> {
  await page.locator('.fr-steps li.now').getByRole('heading', { name: title }).waitFor();
}

function terminal(command: string): Terminal {
  return new Terminal(command, { cwd: clone, env, logFile });
}

/** The lines of the `sh` blocks below a heading of README, in their order. */
function commandsUnder(heading: string): string[] {
  const readme = readDocuments().find((document) => document.path === 'README.md');
  if (!readme) throw new Error('README.md is gone');
  const lines = readme.text.split('\n');
  const from = lines.indexOf(`## ${heading}`) + 1;
  const to = lines.findIndex((line, index) => index >= from && line.startsWith('## '));
  return readme.fences
    .filter(({ language, line }) => language === 'sh' && line > from && line <= to)
    .flatMap(({ text }) => text.trim().split('\n'));
}

/** The machine's own Node (any that README allows), a clean home, and `openclaw` as a user has it. */
async function strangersEnvironment({ node, cli }: Installation): Promise<Record<string, string>> {
  const bin = path.join(root, 'bin');
  await mkdir(bin, { recursive: true });
  await writeFile(path.join(bin, 'openclaw'), `#!/bin/sh\nexec ${node} ${cli} "$@"\n`);
  await chmod(path.join(bin, 'openclaw'), 0o755);
  const [control, proxy, egress] = [await freePort(), await freePort(), await freePort()];
  return {
    PATH: `${bin}:/usr/local/bin:/usr/bin:/bin`,
    HOME: home,
    SHELL: '/bin/sh',
    TERM: 'dumb',
    NO_COLOR: '1',
    MC_CONTROL_PORT: String(control),
    MC_PROXY_PORT: String(proxy),
    MC_EGRESS_PORT: String(egress),
  };
}

function copyTrackedFiles(folder: string): void {
  const names = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: REPOSITORY,
    encoding: 'utf8',
  });
  for (const name of names.split('\0').filter(Boolean)) cpSync(path.join(REPOSITORY, name), path.join(folder, name));
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}
