/**
 * Lays out how a command line was read: one row per command that would run, with the operator before it, its depth inside others, and the
 * words that caused a hold marked. Pure; positions are those of the whole line, in UTF-16 units.
 */
import type { CommandReading } from '../../policies/model.ts';

export interface CommandRow {
  reading: CommandReading;
  /** What joins it to the command before: "&&", "|", ";" …; empty for the first and for commands inside another. */
  operator: string;
  /** How many of the other commands it stands inside of. */
  depth: number;
  parts: readonly TextPart[];
}

export interface TextPart {
  text: string;
  offending: boolean;
}

/** `line` is the whole command line where it is known; without it operators and marks are left out. */
export function layOutCommands(line: string | null, readings: readonly CommandReading[]): CommandRow[] {
  return readings.map((reading, index) => {
    const placed = line !== null && line.slice(reading.span[0], reading.span[1]) === reading.text;
    const depth = readings.filter((other, at) => at !== index && contains(other.span, reading.span, at < index)).length;
    return {
      reading,
      operator: placed && line !== null ? operatorBefore(line, readings, index) : '',
      depth,
      parts: placed
        ? markWords(reading)
        : [{ text: reading.text, offending: reading.offending.length > 0 && reading.verdict !== 'allowed' }],
    };
  });
}

type Span = readonly [number, number];

/** Of two equal spans the earlier one counts as the outer. */
function contains(outer: Span, inner: Span, outerFirst: boolean): boolean {
  if (outer[0] === inner[0] && outer[1] === inner[1]) return outerFirst;
  return outer[0] <= inner[0] && outer[1] >= inner[1];
}

/** The operator characters right before the command, if there are only those and spaces since the end of another one. */
function operatorBefore(line: string, readings: readonly CommandReading[], index: number): string {
  const start = readings[index]?.span[0] ?? 0;
  const ends = readings.filter((other, at) => at !== index && other.span[1] <= start).map((other) => other.span[1]);
  const from = ends.length ? Math.max(...ends) : 0;
  const between = line.slice(from, start).trim();
  return /^(&&|\|\||\|&|[|;&\n])$/.test(between) ? between : '';
}

function markWords(reading: CommandReading): TextPart[] {
  const [start, end] = reading.span;
  const parts: TextPart[] = [];
  let at = start;
  for (const [from, to] of [...reading.offending].sort((a, b) => a[0] - b[0])) {
    const [left, right] = [Math.max(at, from), Math.min(end, to)];
    if (right <= left) continue;
    if (left > at) parts.push({ text: reading.text.slice(at - start, left - start), offending: false });
    parts.push({ text: reading.text.slice(left - start, right - start), offending: true });
    at = right;
  }
  if (at < end) parts.push({ text: reading.text.slice(at - start), offending: false });
  return joinMarks(parts);
}

/** Marked words with nothing but a space between them read better as one mark. */
function joinMarks(parts: TextPart[]): TextPart[] {
  const joined: TextPart[] = [];
  for (const part of parts) {
    const [gap, mark] = [joined.at(-1), joined.at(-2)];
    if (part.offending && gap && mark?.offending && !gap.offending && /^ +$/.test(gap.text)) {
      joined.splice(-2, 2, { text: mark.text + gap.text + part.text, offending: true });
    } else joined.push(part);
  }
  return joined;
}
