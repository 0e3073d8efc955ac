/** The course of a figure over time, as text that Markdown and a terminal show alike. */

const COLUMNS = 72;
const BARS = '▁▂▃▄▅▆▇█';

/** One line of bars, from the first value to the last: each stands for the highest of its part, from 0 to the highest of all. */
export function plotOf(title: string, values: readonly number[]): string {
  const known = values.filter((value) => Number.isFinite(value));
  const highest = Math.max(0, ...known);
  const columns = Math.min(COLUMNS, known.length);
  const bars = Array.from({ length: columns }, (_, column) => {
    const part = known.slice(Math.floor((column * known.length) / columns), Math.floor(((column + 1) * known.length) / columns));
    const share = highest === 0 ? 0 : Math.max(...part) / highest;
    return BARS[Math.min(BARS.length - 1, Math.floor(share * BARS.length))];
  });
  const figure = (value = Number.NaN) => (value >= 100 ? value.toFixed(0) : value.toFixed(1));
  return `${title.padEnd(26)} ${bars.join('')}  ${figure(known[0])} → ${figure(known.at(-1))}, at most ${figure(highest)}`;
}
