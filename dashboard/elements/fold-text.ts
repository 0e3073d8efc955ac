/**
 * Long text made short without hiding how it ends: its beginning and its end stay, the middle can be unfolded. Pure.
 * What stands at the very end of a long text is what somebody who wants to hide something writes there.
 */

export interface FoldLimits {
  lines: number;
  characters: number;
}

export interface FoldedText {
  head: string;
  /** What is folded away between the two; head, hidden and tail in this order are the whole text. */
  hidden: string;
  tail: string;
}

/** The share of the shown lines and characters that the end of the text gets. */
const TAIL_SHARE = 0.25;

/** The folded text, or null where all of it fits. */
export function foldText(text: string, limits: FoldLimits): FoldedText | null {
  const lines = text.split('\n');
  if (lines.length <= limits.lines && text.length <= limits.characters) return null;
  const tailLines = Math.max(1, Math.floor(limits.lines * TAIL_SHARE));
  const tailCharacters = Math.floor(limits.characters * TAIL_SHARE);
  const headCharacters = limits.characters - tailCharacters;
  const first = lines.slice(0, limits.lines - tailLines).join('\n').length;
  const last = lines.slice(-tailLines).join('\n').length;
  const headEnd = wholeCharacter(text, Math.min(first, headCharacters), -1);
  const tailStart = wholeCharacter(text, Math.max(headEnd, text.length - Math.min(last, tailCharacters)), 1);
  return { head: text.slice(0, headEnd), hidden: text.slice(headEnd, tailStart), tail: text.slice(tailStart) };
}

/** A cut never halves a surrogate pair. */
function wholeCharacter(text: string, at: number, step: -1 | 1): number {
  return /[\udc00-\udfff]/.test(text[at] ?? '') && /[\ud800-\udbff]/.test(text[at - 1] ?? '') ? at + step : at;
}
