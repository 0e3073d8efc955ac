/** What is kept of a call: redacted, bounded, and one line that says what it is about. Redaction comes before everything else. */
import { type Preview, storable, storableJson } from '../control/contract.ts';
import { type Classification, type Json, type JsonObject, redact, redactArguments, redactText } from '../policies/index.ts';

const SUMMARY_MAX_CHARS = 300;
/** What is kept of a member's name where the arguments are too long to be kept whole. */
const NAME_MAX_CHARS = 100;

/**
 * The arguments as they may be stored: redacted, and cut to `maxChars` of JSON with a mark where something is missing. The same object
 * comes back where nothing had to be changed. A call is recorded more than once; the work is done once.
 */
export function recordedInput(args: JsonObject, maxChars: number): JsonObject {
  const known = recorded.get(args);
  if (known?.maxChars === maxChars) return known.input;
  const input = makeInput(args, maxChars);
  recorded.set(args, { maxChars, input });
  return input;
}

const recorded = new WeakMap<JsonObject, { maxChars: number; input: JsonObject }>();

function makeInput(args: JsonObject, maxChars: number): JsonObject {
  const { value } = redactArguments(args);
  const text = JSON.stringify(value);
  const clean = storableJson(text);
  const redacted = (clean === text ? value : JSON.parse(clean)) as JsonObject;
  if (text.length <= maxChars) return redacted;
  const each = Math.max(200, Math.floor(maxChars / Math.max(1, Object.keys(redacted).length)) - 100);
  const cut = Object.entries(redacted)
    .slice(0, 200)
    .map(([name, value]) => [cutText(name, NAME_MAX_CHARS), cutValue(value, each)] as const);
  return { ...Object.fromEntries(cut), '…': `shortened from ${text.length} characters` };
}

function cutValue(value: Json, maxChars: number): Json {
  if (typeof value === 'string') return cutText(value, maxChars);
  const text = JSON.stringify(value);
  return text.length <= maxChars ? value : cutText(text, maxChars);
}

/** A text as it may be stored. */
export function recordedText(text: string | null, maxChars: number): string | null {
  return text === null ? null : cutText(redactText(text).text, maxChars);
}

/** Also mends a surrogate pair that the cut would halve. */
function cutText(text: string, maxChars: number): string {
  return storable(text.length <= maxChars ? text : `${text.slice(0, maxChars)}… (${text.length - maxChars} more characters)`);
}

/** Fields that say in one glance what a call is about, in this order. */
const TELLING = ['command', 'path', 'file_path', 'url', 'to', 'target', 'query', 'message', 'task', 'action'];

/** Runs of white space other than a single space: in ordinary text there is then nothing to replace (1.2 µs instead of 2.8 for 500 characters). */
const ODD_SPACE = / ?[^\S ]\s*| {2,}\s*/g;

/** One line for tables and feeds, without the tool's name. @param input the recorded arguments. */
export function summaryOf(input: JsonObject): string {
  const name = TELLING.find((candidate) => typeof input[candidate] === 'string' && input[candidate] !== '');
  const text = name ? String(input[name]) : Object.keys(input).length > 0 ? JSON.stringify(input) : '';
  return cutText(text.trim().replaceAll(ODD_SPACE, ' '), SUMMARY_MAX_CHARS);
}

/** How the call was read, for the card; every text in it is redacted. */
export function previewOf({ mappedTool, commands, paths, hosts }: Classification): Preview {
  const preview = { mappedTool, commands: commands.slice(0, 100), paths: paths.slice(0, 100), hosts: hosts.slice(0, 100) };
  return redact(preview as unknown as JsonObject).value as unknown as Preview;
}
