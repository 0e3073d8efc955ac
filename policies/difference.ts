/**
 * What two policy documents differ in, by path: for people who review a draft, and for the history. Lists whose order has no meaning (every
 * list of a policy but its rules) are compared as sets; rules by their names, or by what they say.
 */
import { canonicalJson } from './canonical.ts';
import type { Json } from './model.ts';

/** One difference. `before` is absent where something was added, `after` where it was removed. */
export interface DocumentChange {
  /** Dotted: "budgets.perRun.intern"; of a list the list itself, of rules "rules" and the name or place. */
  path: string;
  kind: 'added' | 'removed' | 'changed';
  before?: Json;
  after?: Json;
}

/** @returns every difference, in the order of the documents. Neither argument needs to be a valid policy. */
export function diffDocuments(before: unknown, after: unknown): DocumentChange[] {
  const changes: DocumentChange[] = [];
  compare(before as Json | undefined, after as Json | undefined, [], changes);
  return changes;
}

function compare(before: Json | undefined, after: Json | undefined, path: readonly string[], changes: DocumentChange[]): void {
  if (before !== undefined && after !== undefined && canonicalJson(before) === canonicalJson(after)) return;
  if (isObject(before) && isObject(after)) {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
    for (const key of keys) compare(memberOf(before, key), memberOf(after, key), [...path, key], changes);
    return;
  }
  if (Array.isArray(before) && Array.isArray(after)) {
    if (path.at(-1) === 'rules' && path.length === 1) compareRules(before, after, changes);
    else compareSets(before, after, path.join('.'), changes);
    return;
  }
  changes.push({
    path: path.join('.'),
    kind: before === undefined ? 'added' : after === undefined ? 'removed' : 'changed',
    ...(before !== undefined && { before }),
    ...(after !== undefined && { after }),
  });
}

function compareSets(before: Json[], after: Json[], path: string, changes: DocumentChange[]): void {
  const [had, has] = [new Set(before.map(canonicalJson)), new Set(after.map(canonicalJson))];
  for (const item of before) if (!has.has(canonicalJson(item))) changes.push({ path, kind: 'removed', before: item });
  for (const item of after) if (!had.has(canonicalJson(item))) changes.push({ path, kind: 'added', after: item });
}

/** Rules with a name are matched by it; the others by what they say. Their order bears on nothing but the messages (docs/POLICY_V1.md). */
function compareRules(before: Json[], after: Json[], changes: DocumentChange[]): void {
  const [had, has] = [byName(before), byName(after)];
  for (const [name, rule] of had) if (!has.has(name)) changes.push({ path: `rules.${name}`, kind: 'removed', before: rule });
  for (const [name, rule] of has) {
    const old = had.get(name);
    if (old === undefined) changes.push({ path: `rules.${name}`, kind: 'added', after: rule });
    else compare(old, rule, ['rules', name], changes);
  }
}

function byName(rules: Json[]): Map<string, Json> {
  return new Map(
    rules.map((rule) => {
      const name = isObject(rule) && typeof rule.name === 'string' ? rule.name : null;
      return [name ?? (isObject(rule) && typeof rule.when === 'string' ? `[${rule.when}]` : canonicalJson(rule)), rule];
    }),
  );
}

function memberOf(object: { [key: string]: Json }, key: string): Json | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

function isObject(value: Json | undefined): value is { [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
