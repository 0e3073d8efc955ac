/** A field for dollars: empty means the default, a point for cents, and a sentence when it cannot be read. Pure. */

/** What was typed: an amount, null for empty, or why it is neither. */
export type MoneyInput = { usd: number | null; error: null } | { usd: null; error: string };

const MAX_USD = 1_000_000;

export function readMoney(text: string): MoneyInput {
  const plain = text.trim().replace(/^\$/, '').trim();
  if (plain === '') return { usd: null, error: null };
  if (!/^\d+(\.\d{1,6})?$/.test(plain)) return { usd: null, error: 'Write dollars with a point, for example 15.00' };
  const usd = Number(plain);
  return usd > MAX_USD ? { usd: null, error: 'At most 1000000.' } : { usd, error: null };
}
