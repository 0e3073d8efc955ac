/**
 * The value that the given share of them does not exceed (nearest rank); NaN of none.
 * @param values in any order. @param share above 0, at most 1.
 */
export function percentile(values: readonly number[] | Float64Array, share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN;
}
