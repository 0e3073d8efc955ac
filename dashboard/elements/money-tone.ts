/** When spend against a cap becomes amber and red. */

/** From this share of the cap on it is near. */
const NEAR = 0.8;

/** '' below 80 % or without a cap, `amber` from 80 %, `red` at the cap. */
export function meterTone(spent: number, cap: number | null): 'amber' | 'red' | '' {
  if (cap === null) return '';
  const share = cap === 0 ? 1 : spent / cap;
  return share >= 1 ? 'red' : share >= NEAR ? 'amber' : '';
}
