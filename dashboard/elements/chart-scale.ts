/** The arithmetic of the charts: round steps for an axis, layers on top of each other, what is shown by name and what is summed up. Pure. */

/** One thing over time. */
export interface Series {
  name: string;
  /** One value for each day, USD. */
  values: readonly number[];
  /** `rest`: several summed up; `none`: belongs to nobody. */
  kind: 'named' | 'rest' | 'none';
}

/** A top for the axis that is at least `max`, in three even and round steps: [0, 20, 40, 60]. */
export function axisOf(max: number): readonly [number, number, number, number] {
  const least = Math.max(max, 0.03) / 3;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= least - 1e-9) ?? least;
  return [0, step, step * 2, step * 3].map((value) => Number(value.toPrecision(6))) as [number, number, number, number];
}

/** Lower and upper edge of each series when they stand on each other, first one at the bottom. */
export function stack(series: readonly Series[]): { low: number[]; high: number[] }[] {
  let below: number[] = series[0]?.values.map(() => 0) ?? [];
  return series.map(({ values }) => {
    const low = below;
    below = low.map((base, i) => base + (values[i] ?? 0));
    return { low, high: below };
  });
}

/** The dearest `shown` by name, the others as one; what belongs to nobody stays by itself at the top. */
export function largest(series: readonly Series[], shown: number): Series[] {
  const sum = ({ values }: Series) => values.reduce((total, value) => total + value, 0);
  const named = series.filter(({ kind }) => kind === 'named').sort((a, b) => sum(b) - sum(a) || a.name.localeCompare(b.name));
  const none = series.filter(({ kind }) => kind === 'none');
  const rest = named.slice(shown);
  const [first] = rest;
  if (!first) return [...named, ...none];
  if (rest.length === 1) return [...named, ...none];
  const summed = first.values.map((_, i) => rest.reduce((total, { values }) => total + (values[i] ?? 0), 0));
  return [...named.slice(0, shown), { name: `${rest.length} others`, values: summed, kind: 'rest' }, ...none];
}

/** Days from the first to the last, both "2026-11-23", without a gap. */
export function daysBetween(first: string, last: string): string[] {
  const days: string[] = [];
  for (let at = Date.parse(`${first}T12:00:00Z`); at <= Date.parse(`${last}T12:00:00Z`) && days.length < 400; at += 86_400_000)
    days.push(new Date(at).toISOString().slice(0, 10));
  return days;
}

/** What each agent spent and called day by day, oldest first. */
export interface AgentDays {
  days: readonly string[];
  /** USD of each day. */
  costs: readonly number[];
  /** Priced calls of each day. */
  calls: readonly number[];
}

/** Rows of one day and one agent each as the days of each agent, without a gap; who is in no row is not in the map. The last `count` days up to `until`, epoch ms, or the last day named. */
export function agentDaysOf(
  rows: readonly { agentId?: string | null | undefined; day?: string | undefined; cost: number; calls: number }[],
  until: number,
  count: number,
): Map<string, AgentDays> {
  const last = [dayOf(until), ...rows.flatMap(({ day }) => (day === undefined ? [] : [day]))].sort().at(-1) ?? dayOf(until);
  const days = daysBetween(dayOf(Date.parse(`${last}T12:00:00Z`) - (count - 1) * 86_400_000), last);
  const at = new Map(days.map((day, i) => [day, i]));
  const agents = new Map<string, { days: string[]; costs: number[]; calls: number[] }>();
  for (const { agentId, day, cost, calls } of rows) {
    const i = at.get(day ?? '');
    if (i === undefined || agentId === undefined || agentId === null) continue;
    const one = agents.get(agentId) ?? { days, costs: days.map(() => 0), calls: days.map(() => 0) };
    one.costs[i] = (one.costs[i] ?? 0) + cost;
    one.calls[i] = (one.calls[i] ?? 0) + calls;
    agents.set(agentId, one);
  }
  return agents;
}

function dayOf(at: number): string {
  return new Date(at).toISOString().slice(0, 10);
}
