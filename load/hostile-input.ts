/**
 * Arguments that are meant to be slow to judge: one unit repeated to a length, in every place where a tool reads text. The units are those
 * that parsers, patterns and detectors stumble over; what was slow once stays in the list.
 */
import type { JsonObject, ToolCall } from '../policies/index.ts';

const UNITS = [
  ...[
    'a ',
    '[a] ',
    '{a,b} ',
    '*',
    '?',
    '$(a) ',
    '`a` ',
    'a;',
    'a|',
    'a&&',
    '(',
    '((',
    '$((1+',
    '"a" ',
    "'a' ",
    '\\a',
    'a=b ',
    '<a ',
    '>a ',
  ],
  ...[
    '<<E ',
    '~a ',
    '!a ',
    '$a ',
    '${a:-',
    '{',
    '[',
    '[[ a ]] ',
    'if a;then b;',
    'for i in a;do ',
    'case a in a) ',
    'f(){ ',
    'a\n',
    '\t',
    '#',
  ],
  ...['a/../', '../', './a/', '-a ', '--a=b ', 'git -c a=b ', 'env ', 'nice ', 'xargs ', 'sh -c ', 'find . -exec ', 'sudo ', 'cat <<E\n'],
  ...[
    'echo a>b;',
    'curl https://github.com/a ',
    'grep -r a ',
    '\u202e',
    '\u00e9',
    '%20',
    '%41',
    '\\u0041',
    '=',
    '-',
    '@',
    'a@b ',
    '0x',
    '0.',
  ],
  ...['1.1.1.1 ', '[::1] ', 'xn--', '?a=b', '&a=b', '&token=abcd', 'token=abcd1234 ', 'key: abc ', 'Authorization: Bearer abcdefgh '],
  ...['eyJhbGciOi', '.eyJ', '=eyJ', 'AKIA', '-----BEGIN ', '://a:b@', 'https://a:b@c/ ', 'postgres://u:p@h/d ', 'sk-abc', 'password '],
  ...['"password":"x",', '{"a":', '["token=a"],', 'cookie: a=b; ', '_pat', 'secret=', 'export A=b;', '--password ', 'login --password x '],
  ...['curl -u a:bcdefgh ', 'mysql -pabc ', 'sshpass -p abc ', 'redis-cli -a abc ', 'htpasswd -b a b c ', '1:5432:a:b:c\n', '\\"', '\\\\"'],
];

const SIZES = [2_000, 30_000, 1_000_000];

/** Every hostile call, with a name that says which it is. Made one after the other: together they would fill the memory. */
export function* hostileCalls(): Generator<{ name: string; call: ToolCall }> {
  for (const unit of UNITS) {
    for (const size of SIZES) {
      const text = unit.repeat(Math.ceil(size / unit.length)).slice(0, size);
      for (const [place, tool, args] of placesOf(text)) {
        const call = { tool, arguments: args, cwd: null, workspace: '/workspace', toolKind: null };
        yield { name: `${place}: ${JSON.stringify(unit)} to ${size.toLocaleString('en')} characters`, call };
      }
    }
  }
  yield* nestedCalls();
}

function placesOf(text: string): [place: string, tool: string, args: JsonObject][] {
  return [
    ['a command', 'exec', { command: text }],
    ['operands', 'exec', { command: `cat ${text}` }],
    ['a quoted operand', 'exec', { command: `grep -rn '${text}` }],
    ['a path', 'read', { path: text }],
    ['content', 'write', { path: 'output/a', content: text }],
    ['an address', 'web_fetch', { url: `https://github.com/${text}` }],
    ['a query', 'web_fetch', { url: `https://github.com/?x=1${text}` }],
    ['a host', 'web_fetch', { url: `https://${text}` }],
    ['a text', 'post_comment', { text }],
  ];
}

/** Many parts, many credentials, much structure. */
function* nestedCalls(): Generator<{ name: string; call: ToolCall }> {
  const many = <T>(count: number, make: (index: number) => T) => Array.from({ length: count }, (_, index) => make(index));
  const values: Record<string, JsonObject[string]> = {
    'objects with passwords': JSON.stringify(many(50_000, () => ({ password: 'hunter2x' }))),
    'texts with tokens, all different': JSON.stringify(many(60_000, (i) => `token=ab${i}`)),
    'one object with many keys': JSON.stringify(Object.fromEntries(many(40_000, (i) => [`password${i}`, 'hunter2x']))),
    'nested lists': `${'['.repeat(500_000)}${']'.repeat(500_000)}`,
    'parts in a list': many(19_000, () => 'token=abcd1234&token=abcd1234'),
    'parts in an object': Object.fromEntries(many(9_000, (i) => [`key${i}Url`, 'https://a:b@example.com/'])),
    'nested parentheses': '('.repeat(10_000),
  };
  for (const [name, value] of Object.entries(values)) {
    for (const tool of ['post_comment', 'exec', 'frobnicate']) {
      const args: JsonObject = { [tool === 'exec' ? 'command' : 'text']: value };
      yield { name: `${tool} with ${name}`, call: { tool, arguments: args, cwd: null, workspace: '/workspace', toolKind: null } };
    }
  }
}
