/** What is kept of a call: redacted and bounded. Redaction comes before everything else. */
import { type Preview, storable, storableJson } from '../control/contract.ts';
import { type Classification, type Json, type JsonObject, redact, redactArguments, redactText, shorten } from '../policies/index.ts';

/** What is kept of a member's name where the arguments are too long to be kept whole. */
const NAME_MAX_CHARS = 100;

/**
 * The arguments as they may be stored: redacted, and cut to `maxChars` of JSON with a mark where something is missing. The same object
 * comes back where nothing had to be changed. Total: arguments that are no object, which a caller may have sent and every entry point
 * refuses, are kept as the member `value` of one; none at all as an empty one.
 */
export function recordedInput(args: Json | undefined, maxChars: number): JsonObject {
  if (args === undefined) return {};
  if (args === null || typeof args !== 'object' || Array.isArray(args)) return recordedInput({ value: args }, maxChars);
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

function cutText(text: string, maxChars: number): string {
  return storable(shorten(text, maxChars));
}

/** How the call was read, for the card; every text in it is redacted. */
export function previewOf({ mappedTool, commands, paths, hosts }: Classification): Preview {
  const preview = { mappedTool, commands: commands.slice(0, 100), paths: paths.slice(0, 100), hosts: hosts.slice(0, 100) };
  return redact(preview as unknown as JsonObject).value as unknown as Preview;
}
