/** The report card of drills in the mock: two proxies, a month of nights in which everything went as declared, and whatever a test adds. */
import type { DrillCard, DrillName, DrillStarted } from '../../control/contract.ts';
import type { World } from './world.ts';

type Run = DrillCard['items'][number]['results'][number];
const DAY_MS = 86_400_000;
const NIGHTS = 8;
const HISTORY = 20;
/** As the product declares them. */
const DECLARED: Record<DrillName, string> = {
  'counters-gone': 'Without the budget counters no priced call runs; green, unpriced ones as failModes.ledger says.',
  'control-away': 'Once the picture is older than limits.snapshotMaxAgeMs, everything is refused (SNAPSHOT_STALE).',
  'clock-skew': 'A clock that jumps ahead lets nothing run by an old picture, and revives no grant.',
  'policy-corrupt': 'Without a policy that compiles everything is refused.',
  'journal-full': 'What cannot be recorded does not run, and nothing stays reserved for it.',
  'approver-absent':
    'A call that nobody decides about never runs: its caller is told to end its turn, and it is refused when the approval expires.',
  'approval-used-twice': 'One approval lets one call run.',
  'budget-race': 'Calls at the same moment spend no more than the cap.',
  'emergency-stop': 'After the stop nothing runs, also with an approval.',
  'quarantined-while-held': 'An approval does not release a call of an agent that was quarantined meanwhile.',
  'gate-silent': "A call that the gate of its agent did not ask about is judged as an intern's, or refused.",
  'upstream-hanging': 'An upstream that never answers is given up in time, and its caller is told.',
};
export const DRILL_NAMES = Object.keys(DECLARED) as DrillName[];
/** What a drill of the mock is said to have seen. */
const SEEN: Record<Run['outcome'], string> = {
  passed: 'refused, as declared',
  inconclusive: 'the active policy lets nothing run that would show it',
  failed: 'a call ran that had to be refused',
};

export class MockDrills {
  readonly #world: World;
  readonly #runs: (Run & { name: DrillName })[] = [];
  readonly #lastAt: number;
  #requests = 0;

  constructor(world: World) {
    this.#world = world;
    this.#lastAt = world.now() - 5 * 3_600_000;
  }

  /** A squad that has worked for a while has drilled every night; a new one has not. */
  fillNights(): void {
    for (let night = NIGHTS; night > 0; night--)
      for (const name of DRILL_NAMES) this.add(name, 'passed', this.#lastAt - (night - 1) * DAY_MS, `night-${night}`);
    this.add('approver-absent', 'inconclusive', this.#lastAt, 'night-1');
  }

  /** The result of one proxy; of the newest moment it is the last one. */
  add(name: DrillName, outcome: Run['outcome'], at = this.#world.now(), requestId = 'req-0'): void {
    for (const { id } of this.#world.overview().proxies)
      this.#runs.unshift({ name, at, proxyId: id, outcome, found: SEEN[outcome], durationMs: 3, requestId });
  }

  start(name: DrillName | undefined): DrillStarted {
    const requestId = `req-${++this.#requests}`;
    const names = name === undefined ? DRILL_NAMES : [name];
    for (const one of names) this.add(one, 'passed', this.#world.now(), requestId);
    return { requestId, names, proxies: this.#world.overview().proxies.length };
  }

  card(): DrillCard {
    return {
      items: DRILL_NAMES.map((name) => {
        const history = this.#runs.filter((run) => run.name === name).map(({ name: _name, ...run }) => run);
        const results = [...new Map([...history].reverse().map((run) => [run.proxyId, run])).values()];
        const outcome = (['failed', 'inconclusive', 'passed'] as const).find((one) => results.some((run) => run.outcome === one)) ?? null;
        return { name, declares: DECLARED[name], outcome, at: results[0]?.at ?? null, results, history: history.slice(0, HISTORY) };
      }),
      nextAt: this.#runs.length === 0 ? null : this.#lastAt + DAY_MS,
    };
  }
}
