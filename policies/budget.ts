/**
 * Money and caps: which caps bind a call, what remains of each, and which day a moment belongs to.
 * Everything is whole micro-dollars; dollars exist only at the edge, where they are converted digit by digit and never by a float product.
 */
import type { Facts, Micros, ReasonCode, TaskType } from './model.ts';
import type { Policy } from './policy.ts';

/** One million: micro-dollars in a dollar. */
export const MICROS_PER_USD = 1_000_000;

/** The caps a call can run into (SPEC 5), in the order in which they are reported. */
const BUDGET_SCOPES = ['run', 'task', 'agentDay', 'fleetDay'] as const;
export type BudgetScope = (typeof BUDGET_SCOPES)[number];

/** A cap that this call would exceed. */
export interface Excess {
  scope: BudgetScope;
  code: ReasonCode;
  spend: Micros;
  cap: Micros;
  estimate: Micros;
  /** What is settled has reached the cap, so that not even a cheaper call would fit. What is only reserved may come back (SPEC 5). */
  reached: boolean;
}

/** The caps that bind a call of this agent and task; null = none. */
export interface Caps {
  run: Micros | null;
  task: Micros | null;
  agentDay: Micros | null;
  fleetDay: Micros | null;
}

const CODES: Record<BudgetScope, ReasonCode> = {
  run: 'BUDGET_RUN',
  task: 'BUDGET_TASK',
  agentDay: 'BUDGET_DAILY',
  fleetDay: 'BUDGET_FLEET',
};

/**
 * The caps that bind a call: what the caller knows of this agent and task, else the defaults of the policy.
 * Without a task there is no task cap, unless the caller names one.
 */
export function bindingCaps(facts: Facts, policy: Policy): Caps {
  const given = facts.caps;
  const type: TaskType | null = facts.task?.type ?? null;
  const usual = policy.capsFor(facts.agent.autonomy, type);
  return {
    run: given.run === undefined ? usual.run : given.run,
    task: raisedBy(given.task === undefined ? usual.task : given.task, facts.raised?.task),
    agentDay: raisedBy(given.agentDay === undefined ? usual.agentDay : given.agentDay, facts.raised?.agentDay),
    fleetDay: given.fleetDay === undefined ? usual.fleetDay : given.fleetDay,
  };
}

/** What is not limited stays unlimited. */
function raisedBy(cap: Micros | null, micros: Micros = 0): Micros | null {
  return cap === null ? null : cap + micros;
}

/**
 * Every cap that spend plus estimate would exceed. Exactly the cap passes (SPEC 4.3).
 * @param estimate upper bound of what the call costs.
 */
export function findExcesses(facts: Facts, caps: Caps, estimate: Micros): readonly Excess[] {
  let excesses: Excess[] | null = null;
  for (const scope of BUDGET_SCOPES) {
    const cap = caps[scope];
    if (cap === null) continue;
    const spend = facts.spend[scope];
    if (spend + estimate <= cap) continue;
    excesses ??= [];
    const settled = scope === 'agentDay' ? (facts.settledDay ?? spend) : spend;
    excesses.push({ scope, code: CODES[scope], spend, cap, estimate, reached: settled >= cap });
  }
  return excesses ?? NONE;
}

const NONE: readonly Excess[] = Object.freeze([]);

/** What is left of each cap before this call; null = unlimited. Never negative. */
export function remaining(facts: Facts, caps: Caps): Caps {
  const left = (scope: BudgetScope) => {
    const cap = caps[scope];
    return cap === null ? null : Math.max(0, cap - facts.spend[scope]);
  };
  return { run: left('run'), task: left('task'), agentDay: left('agentDay'), fleetDay: left('fleetDay') };
}

/**
 * Dollars as written to whole micro-dollars, exactly.
 * @param usd a non-negative decimal with at most six places, as a number or as text ("0.75"). The noise that binary floats carry below a
 *   ten-thousandth of a micro-dollar is dropped (0.1 + 0.2 is 0.3).
 * @throws RangeError for negative, non-finite, too precise or too large amounts.
 */
export function microsFromUsd(usd: number | string): Micros {
  if (typeof usd === 'string') return microsFromText(usd);
  const scaled = usd * MICROS_PER_USD;
  const micros = Math.round(scaled);
  if (!Number.isFinite(usd) || usd < 0 || !Number.isSafeInteger(micros)) throw new RangeError(`${usd} is not an amount in USD`);
  // Beside the float's own rounding (relative 2^-52) nothing may be left below a micro-dollar.
  if (Math.abs(scaled - micros) > Math.max(1e-4, micros * 2 ** -50)) throw new RangeError(`${usd} USD has more than six decimals`);
  return micros === 0 ? 0 : micros;
}

function microsFromText(usd: string): Micros {
  const match = /^(\d{1,10})(?:\.(\d{1,6}))?$/.exec(usd);
  if (match === null) throw new RangeError(`"${usd.slice(0, 40)}" is not an amount in USD with at most six decimals`);
  const micros = Number(match[1]) * MICROS_PER_USD + Number((match[2] ?? '').padEnd(6, '0'));
  if (!Number.isSafeInteger(micros)) throw new RangeError(`${usd} USD is too large`);
  return micros;
}

/** Whole micro-dollars to dollars, for answers. The nearest double; it prints with at most six decimals. */
export function usdFromMicros(micros: Micros): number {
  return micros / MICROS_PER_USD;
}

/** An amount for a sentence: "$0.75", "$0.000123". At least two decimals, at most six, never rounded. */
export function formatUsd(micros: Micros): string {
  const sign = micros < 0 ? '-' : '';
  const digits = String(Math.abs(micros)).padStart(7, '0');
  const fraction = digits.slice(-6).replace(/0{1,4}$/, '');
  return `${sign}$${digits.slice(0, -6)}.${fraction}`;
}

const DAY_MS = 86_400_000;

/**
 * The calendar day a moment belongs to, as the key of the daily caps ("2026-11-23").
 * @param epochMs milliseconds since the epoch; handed in, never read from a clock.
 * @param timezone IANA name; the policy's `budgets.timezone`.
 * @throws RangeError for an unknown zone or an impossible time.
 */
export function dayOf(epochMs: number, timezone: string): string {
  if (timezone === 'UTC') return new Date(epochMs).toISOString().slice(0, 10);
  return formatterFor(timezone).format(epochMs);
}

/**
 * The moment at which the daily caps start anew: the first instant of the next calendar day in the zone.
 * Right across daylight saving changes, also where midnight itself is skipped.
 */
export function nextDayStart(epochMs: number, timezone: string): number {
  const today = dayOf(epochMs, timezone);
  // A calendar day lasts at most 25 hours; the boundary is found by halving, since zones change their offset as they please.
  let inside = epochMs;
  let beyond = epochMs + DAY_MS + 3_600_000 * 2;
  while (beyond - inside > 1) {
    const middle = Math.floor((inside + beyond) / 2);
    if (dayOf(middle, timezone) === today) inside = middle;
    else beyond = middle;
  }
  return beyond;
}

/** Formatters are costly to make (about 30 µs); there are about 600 zones, so this cannot grow without bound. */
const formatters = new Map<string, Intl.DateTimeFormat>();

function formatterFor(timezone: string): Intl.DateTimeFormat {
  let formatter = formatters.get(timezone);
  if (formatter === undefined) {
    // en-CA prints year-month-day.
    formatter = new Intl.DateTimeFormat('en-CA', { timeZone: timezone, year: 'numeric', month: '2-digit', day: '2-digit' });
    formatters.set(timezone, formatter);
  }
  return formatter;
}
