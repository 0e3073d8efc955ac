/**
 * `npm run chaos:mutations`: shows that the campaigns notice what they are there for. In a throw-away copy of the tree one guard after the
 * other is broken on purpose, and the campaign that watches over it is played in its short form: it must end with a violation, and with
 * one that names what was broken. First every campaign must be green on the copy as it is. Exits with 1 where one stays green or fails for
 * another reason. `--only 'guard;guard'` for some (`--list` names them).
 */
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({ options: { only: { type: 'string' }, list: { type: 'boolean', default: false } } });
const ROOT = join(import.meta.dirname, '..');
const CAMPAIGN_MAX_MS = 240_000;
const SEED = '5';
/** Not of the tree, or larger than all of it. */
const LEFT_OUT: ReadonlySet<string> = new Set(['node_modules', '.git', 'data', 'data-keys']);

interface Campaign {
  /** What node runs. */
  run: readonly string[];
  env?: Record<string, string>;
}

interface Mutation {
  guard: string;
  file: string;
  /** Each text stands in the file once. */
  edits: readonly (readonly [from: string, to: string])[];
  campaign: Campaign;
  /** What the campaign must say. */
  noticed: RegExp;
}

const trouble = (rounds: number, ...names: string[]): Campaign => ({
  run: ['load/chaos-topology.ts', '--seed', SEED, '--rounds', String(rounds), '--only', names.join(';')],
});
const suite = (file: string, env: Record<string, string> = {}): Campaign => ({
  run: ['node_modules/vitest/vitest.mjs', 'run', file],
  env,
});

const MUTATIONS: readonly Mutation[] = [
  {
    guard: 'judged again after the decision',
    file: 'proxy/admission.ts',
    edits: [
      ["if (decision.verdict === 'deny') return this.#deny(", "if (hold === null && decision.verdict === 'deny') return this.#deny("],
      ["if (decision.verdict === 'hold') return this.#hold(", "if (hold === null && decision.verdict === 'hold') return this.#hold("],
      ['const reserved = await ledger.reserve(', "const reserved = hold !== null ? 'reserved' : await ledger.reserve("],
    ],
    campaign: trouble(12, 'nothing'),
    noticed: /ran on 0\.\d+|spent .* of 0\.\d+ by the record/,
  },
  {
    guard: 'an expired lease counts as spent',
    file: 'proxy/ledger-scripts.ts',
    edits: [["      add(scopeKey(scope), 'spent', open)\n", '']],
    campaign: suite('test/chaos/ledger.test.ts', { LEDGER_ROUNDS: '24' }),
    noticed: /on a cap of|still not so/,
  },
  {
    guard: 'an approval lets one call run',
    file: 'control/approvals.ts',
    edits: [
      [
        "        .where((eb) => eb.or([eb('redeemed_by', '=', callId), eb.and([eb('redeemed_by', 'is', null), eb('grant_expires_at', '>', now)])]))\n",
        '',
      ],
    ],
    campaign: trouble(12, 'nothing'),
    noticed: /ran \d+ times|one approval let it run more than once/,
  },
  {
    guard: 'recorded before it runs',
    file: 'proxy/admission.ts',
    // Written down a good while later, if the proxy still lives then.
    edits: [
      [
        "await journal.append({ type: 'intent', at: clock(), call, judged, input, approvalId }, isDurable);",
        "setTimeout(() => void journal.append({ type: 'intent', at: clock(), call, judged, input, approvalId }, isDurable), 1_000);",
      ],
    ],
    campaign: trouble(6, 'kill a proxy as it sends'),
    noticed: /times in the record|is not in the record/,
  },
  {
    guard: 'an intent is on the disk, not only written',
    file: 'proxy/journal.ts',
    edits: [['      if (waiter.durable) this.#awaitingSync.push(waiter);\n      else waiter.resolve();', '      waiter.resolve();']],
    campaign: suite('test/proxy/journal.test.ts'),
    noticed: /when a sync fails/,
  },
  {
    guard: 'an approval is for these arguments',
    file: 'proxy/fingerprint.ts',
    edits: [['      call.arguments,\n', '']],
    campaign: trouble(12, 'nothing'),
    noticed: /which nobody gave for it|times in the record|ran \d+ times/,
  },
  {
    guard: 'a stop outlives a restart without the database',
    file: 'control/emergency.ts',
    edits: [['let stop: StopNote | null = readNote(file);', 'let stop: StopNote | null = null;']],
    campaign: trouble(4, 'stop while postgres is frozen, then kill everything'),
    noticed: /has forgotten the stop/,
  },
  {
    guard: 'a stop that came past the line holds',
    file: 'proxy/snapshot.ts',
    edits: [
      [
        'return this.#ordered === null || this.#system.estop ? this.#system : { ...this.#system, estop: true, stopId: this.#ordered };',
        'return this.#system;',
      ],
    ],
    campaign: trouble(8, 'stop while the lines are cut'),
    noticed: /ran although there was the stop/,
  },
  {
    guard: 'an old picture lets nothing run',
    file: 'proxy/snapshot.ts',
    edits: [['if (age > this.#policy.snapshotMaxAgeMs || age < -CLOCK_SLIP_MS) return null;', 'if (age < -CLOCK_SLIP_MS) return null;']],
    campaign: trouble(4, 'cut a proxy off from control'),
    noticed: /ran although there was a proxy without control/,
  },
  {
    guard: 'a clock that goes back makes no picture young',
    file: 'proxy/snapshot.ts',
    edits: [
      [
        'if (age > this.#policy.snapshotMaxAgeMs || age < -CLOCK_SLIP_MS) return null;',
        'if (age > this.#policy.snapshotMaxAgeMs) return null;',
      ],
    ],
    campaign: trouble(4, 'cut a proxy off, its clock going back'),
    noticed: /ran although there was a proxy without control/,
  },
  {
    guard: 'the journal stays until control has it',
    file: 'proxy/journal.ts',
    edits: [
      [
        '      this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);',
        '      this.#dropAcknowledged(this.#pending[batch.length - 1]?.lastSeq ?? 0);',
      ],
    ],
    campaign: trouble(6, 'kill both controls', 'restart postgres'),
    noticed: /is not in the record|times in the record|still running by the record/,
  },
];

if (options.list) {
  console.log(MUTATIONS.map(({ guard }) => guard).join('\n'));
  process.exit(0);
}
const only = options.only?.split(';').map((guard) => guard.trim());
const chosen = MUTATIONS.filter(({ guard }) => only?.includes(guard) ?? true);
if (chosen.length === 0) throw new Error('there is no such guard; --list names them');

const copy = mkdtempSync(join(tmpdir(), 'mc-mutations-'));
let child: ReturnType<typeof spawn> | null = null;
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    child?.kill('SIGTERM');
    rmSync(copy, { recursive: true, force: true });
    process.exit(130);
  });
let isShown = false;
try {
  cpSync(ROOT, copy, { recursive: true, filter: (path) => !LEFT_OUT.has(basename(path)) });
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  isShown = await showAll();
} finally {
  rmSync(copy, { recursive: true, force: true });
}
process.exit(isShown ? 0 : 1);

async function showAll(): Promise<boolean> {
  for (const campaign of distinct(chosen.map((mutation) => mutation.campaign))) {
    const { code, said } = await play(campaign);
    if (code === 0) continue;
    console.log(said.slice(-6_000));
    console.log(`${campaign.run.join(' ')} is not green on the tree as it is: nothing can be shown with it`);
    return false;
  }
  const lines: string[] = [];
  let missed = 0;
  for (const { guard, file, edits, campaign, noticed } of chosen) {
    const path = join(copy, file);
    const whole = readFileSync(path, 'utf8');
    writeFileSync(
      path,
      edits.reduce((text, edit) => changed(text, edit, file), whole),
    );
    const begunAt = performance.now();
    const { code, said } = await play(campaign).finally(() => writeFileSync(path, whole));
    const found = code !== 0 ? noticed.exec(said)?.[0] : undefined;
    if (found === undefined) {
      missed++;
      console.log(said.slice(-3_000));
    }
    const line = `| ${guard} | ${file} | ${found === undefined ? `NOT NOTICED (exit ${code})` : `noticed: ${found}`} | ${Math.round((performance.now() - begunAt) / 1000)} s |`;
    process.stderr.write(`${line}\n`);
    lines.push(line);
  }
  console.log(`| guard | broken in | the campaign | |\n| --- | --- | --- | --- |\n${lines.join('\n')}`);
  console.log(`${lines.length - missed} of ${lines.length} noticed`);
  return missed === 0;
}

/** @throws Error where the text does not stand there once: the table must be brought up to date. */
function changed(text: string, [from, to]: readonly [string, string], file: string): string {
  if (text.split(from).length !== 2) throw new Error(`${file} does not have this once: ${from}`);
  return text.replace(from, () => to);
}

function distinct(campaigns: readonly Campaign[]): Campaign[] {
  return [...new Map(campaigns.map((campaign) => [campaign.run.join(' '), campaign])).values()];
}

function play({ run, env }: Campaign): Promise<{ code: number | null; said: string }> {
  return new Promise((resolve) => {
    const playing = spawn(process.execPath, [...run], { cwd: copy, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    child = playing;
    let said = '';
    const hear = (chunk: Buffer) => {
      said += chunk;
    };
    playing.stdout.on('data', hear);
    playing.stderr.on('data', hear);
    const timer = setTimeout(() => playing.kill('SIGTERM'), CAMPAIGN_MAX_MS);
    playing.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code, said });
    });
  });
}
