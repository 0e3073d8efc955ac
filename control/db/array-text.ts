/**
 * PostgreSQL's own text of arrays, both ways. postgres.js would learn the array types from each new connection, in a promise that nobody
 * holds: where the connection breaks in that moment, the rejection ends the process. So they are written down here.
 */

type Element = (text: string) => unknown;
const text: Element = (value) => value;
const json: Element = (value) => JSON.parse(value);
const yes: Element = (value) => value === 't';

/** The array types that PostgreSQL brings along, by their numbers, and what an element is made of its text. */
const ARRAYS: readonly (readonly [oids: readonly number[], element: Element])[] = [
  [[1009, 1015, 1003, 1002, 2951, 1182, 1115, 1185], text], // text, varchar, name, char, uuid, date and times
  [[1005, 1007, 1016, 1231, 1021, 1022, 1028], Number], // int2, int4, int8, numeric, float4, float8, oid
  [[1000], yes],
  [[199, 3807], json], // json, jsonb
];

interface CustomType {
  to: number;
  from: number[];
  serialize: (value: unknown) => string;
  parse: Element;
}

/** For the `types` of a postgres.js client: every array type of {@link ARRAYS}. */
export function arrayTypes(): Record<string, CustomType> {
  return Object.fromEntries(
    ARRAYS.flatMap(([oids, element]) =>
      oids.map((oid) => [
        `array${oid}`,
        { to: oid, from: [oid], serialize: writeArray, parse: (value: string) => readArray(value, element) },
      ]),
    ),
  );
}

/** What is no array passes as it is: it is the text of one already. */
function writeArray(value: unknown): string {
  if (!Array.isArray(value)) return String(value);
  const elements = value.map((item: unknown) => {
    if (item === null || item === undefined) return 'NULL';
    if (Array.isArray(item)) return writeArray(item);
    const written = typeof item === 'object' ? JSON.stringify(item) : String(item);
    return `"${written.replaceAll(/["\\]/g, '\\$&')}"`;
  });
  return `{${elements.join(',')}}`;
}

/** Every quoted element, bare element, brace and comma of an array, one after the other; bounds ("[0:1]=") come before the first brace. */
const PIECES = /"((?:[^"\\]|\\.)*)"|([{}])|([^{},"]+)/gs;

function readArray(value: string, element: Element): unknown[] {
  const outer: unknown[] = [];
  const open = [outer];
  for (const [, quoted, brace, bare] of value.slice(value.indexOf('{')).matchAll(PIECES)) {
    const inner = open.at(-1) ?? outer;
    if (brace === '{') {
      const next: unknown[] = [];
      inner.push(next);
      open.push(next);
    } else if (brace === '}') open.pop();
    else if (quoted !== undefined) inner.push(element(quoted.replaceAll(/\\(.)/gs, '$1')));
    else inner.push(bare === 'NULL' ? null : element(bare ?? ''));
  }
  return (outer[0] as unknown[] | undefined) ?? [];
}
