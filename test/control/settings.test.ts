import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readSettings, SETTINGS, SettingsError } from '../../settings.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mc-settings-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const file = (yaml: string) => writeFileSync(join(folder, 'mission-control.yaml'), yaml);
const read = (environment: Record<string, string> = {}) => readSettings(environment, folder);
function mistakesOf(environment: Record<string, string> = {}): string {
  try {
    read(environment);
  } catch (error) {
    if (error instanceof SettingsError) return error.message;
    throw error;
  }
  return '';
}

describe('settings', () => {
  it('have defaults that work: loopback, keys beside the data', () => {
    const settings = read({ PATH: '/bin', UNRELATED: 'x' });
    expect(settings).toMatchObject({ MC_HOST: '127.0.0.1', MC_CONTROL_PORT: 3000, MC_PROXY_PORT: 3100, MC_ADMIN_TOKEN: null });
    expect(settings.dataDir).toBe(join(folder, 'data'));
    expect(settings.keyDir).toBe(join(folder, 'data-keys'));
    expect(settings.controlUrl).toBe('http://127.0.0.1:3000');
    expect(read({ MC_HOST: '::1' }).controlUrl).toBe('http://[::1]:3000');
  });

  it('come from the file, and from the environment before it', () => {
    file('controlPort: 4000\nproxyPort: "4100"\ndataDir: /somewhere/data\nopenclawGatewayUrl: ws://127.0.0.1:18789\n');
    expect(read({ MC_CONTROL_PORT: '5000', MC_PROXY_PORT: '' })).toMatchObject({
      MC_CONTROL_PORT: 5000,
      MC_PROXY_PORT: 4100,
      dataDir: '/somewhere/data',
      OPENCLAW_GATEWAY_URL: 'ws://127.0.0.1:18789',
    });
    file('');
    expect(read().MC_CONTROL_PORT).toBe(3000);
  });

  it('that are wrong name the key and what is allowed, all of them at once', () => {
    const said = mistakesOf({ MC_CONTROL_PORT: '70000', MC_LOG_LEVEL: 'loud', MC_TYPO: '1', OPENCLAW_GATEWAY_URL: 'ftp://x' });
    for (const part of ['MC_CONTROL_PORT: "70000"', 'MC_LOG_LEVEL: "loud"', 'MC_TYPO is not a setting', 'OPENCLAW_GATEWAY_URL']) {
      expect(said).toContain(part);
    }
    for (const name of Object.keys(SETTINGS)) if (name.startsWith('MC_')) expect(said).toContain(name);
  });

  it('take a port as a whole number and as nothing else', () => {
    for (const value of ['-1', '1.5', 'abc', '30O0', '1e3', '0x10', ' ', '65536', '3000 3001']) {
      expect(mistakesOf({ MC_CONTROL_PORT: value }), value).toContain('MC_CONTROL_PORT');
    }
    for (const value of ['true', '[]', '{}', '1.5', '"x"', '-1', '~']) {
      file(`controlPort: ${value}`);
      expect(mistakesOf(), value).toContain('MC_CONTROL_PORT');
    }
    file('');
    for (const value of ['0', '65535']) expect(read({ MC_PROXY_PORT: value }).MC_PROXY_PORT).toBe(Number(value));
  });

  it('never show a secret, not even a wrong one', () => {
    const said = mistakesOf({ MC_ADMIN_TOKEN: 'too-short', MC_METRICS_TOKEN: 'also-short' });
    expect(said).toContain('MC_ADMIN_TOKEN');
    expect(said).not.toMatch(/too-short|also-short/);
  });

  it('keep the keys out of the data, however it is spelled', () => {
    for (const keyDir of ['data', 'data/..keys', 'data/keys', './data/../data/keys', join(folder, 'data', 'x')]) {
      expect(mistakesOf({ MC_KEY_DIR: keyDir }), keyDir).toContain('MC_KEY_DIR');
    }
    expect(read({ MC_KEY_DIR: 'datakeys' }).keyDir).toBe(join(folder, 'datakeys'));
    expect(read({ MC_KEY_DIR: '..data' }).keyDir).toBe(join(folder, '..data'));
  });

  it('from a file that cannot be read as one are refused', () => {
    for (const yaml of [
      '- a',
      'just text',
      'a: [',
      'controlPort: 1\ncontrolPort: 2',
      'unknownKey: 1',
      'MC_CONTROL_PORT: 1',
      'a: &a [*a]',
    ]) {
      file(yaml);
      expect(mistakesOf(), yaml).not.toBe('');
    }
  });
});
