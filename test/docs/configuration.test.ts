/** docs/configuration.md lists exactly the settings that exist. `UPDATE_DOCS=1 npx vitest run configuration` writes the table anew. */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fileKey, readSettings, SETTINGS, SettingsError } from '../../settings.ts';

const FILE = new URL('../../docs/configuration.md', import.meta.url);
const START = '<!-- settings -->';
const END = '<!-- end -->';

function table(): string {
  const rows = Object.entries(SETTINGS).map(
    ([name, { default: fallback, help }]) =>
      `| \`${name}\` | \`${fileKey(name)}\` | ${fallback === null ? 'not set' : `\`${fallback}\``} | ${help} |`,
  );
  return ['| environment | file | default | |', '|---|---|---|---|', ...rows].join('\n');
}

describe('settings', () => {
  it('are listed in the documentation', () => {
    const text = readFileSync(FILE, 'utf8');
    const [before = '', rest = ''] = text.split(START);
    const after = rest.slice(rest.indexOf(END));
    const expected = `${before}${START}\n${table()}\n${after}`;
    if (process.env.UPDATE_DOCS) writeFileSync(FILE, expected);
    else expect(text).toBe(expected);
  });

  it.each([
    [{ MC_CONTROL_PORT: '99999' }, /MC_CONTROL_PORT: "99999"/],
    [{ MC_CONTROLPORT: '3000' }, /MC_CONTROLPORT is not a setting. Known: .*MC_CONTROL_PORT/],
    [{ MC_ADMIN_TOKEN: 'short' }, /MC_ADMIN_TOKEN: the given value must have at least 16 characters/],
    [{ MC_KEY_DIR: 'data/keys' }, /MC_KEY_DIR: .* is inside the data folder/],
    [{ OPENCLAW_GATEWAY_URL: 'ftp://x' }, /OPENCLAW_GATEWAY_URL/],
    [{ MC_PROXY_WORKERS: '0' }, /MC_PROXY_WORKERS: "0" must be 1 or more/],
    [{ MC_PROXY_WORKERS: '4' }, /MC_PROXY_WORKERS: 4 needs MC_ROLE=proxy, and MC_ROLE is all/],
    [{ MC_ROLE: 'proxy', MC_PROXY_WORKERS: '4', MC_PROXY_PORT: '3198' }, /MC_EGRESS_PORT: 3200 is the port of a worker \(3199 to 3202\)/],
  ])('a mistake names the key, the value and what is allowed: %o', (environment, message) => {
    expect(() => readSettings(environment, '/tmp/nowhere-in-particular')).toThrow(SettingsError);
    expect(() => readSettings(environment, '/tmp/nowhere-in-particular')).toThrow(message);
  });

  it('never repeat a secret in a message', () => {
    expect(() => readSettings({ MC_ADMIN_TOKEN: 'hunter2' }, '/tmp/nowhere-in-particular')).toThrow(/^(?!.*hunter2)/s);
  });

  it('lie beside each other by default, keys never inside the data', () => {
    const { dataDir, keyDir, controlUrl } = readSettings({ MC_DATA_DIR: '/srv/mc' }, '/home/somebody');
    expect({ dataDir, keyDir, controlUrl }).toEqual({ dataDir: '/srv/mc', keyDir: '/srv/mc-keys', controlUrl: 'http://127.0.0.1:3000' });
  });
});
