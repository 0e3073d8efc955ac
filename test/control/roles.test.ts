/** What a process must be told when it is not the only one. */
import { describe, expect, it } from 'vitest';
import { readSettings, SettingsError } from '../../settings.ts';

const read = (environment: Record<string, string>) => readSettings(environment, '/nowhere-in-particular');
function missing(environment: Record<string, string>): string[] {
  try {
    read(environment);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    return [...error.message.matchAll(/^(\w+) must be set/gm)].map(([, name]) => name ?? '').sort();
  }
  return [];
}
const SHARED = {
  MC_CLUSTER_SECRET: 'a-cluster-secret-for-tests',
  REDIS_URL: 'redis://127.0.0.1:6379',
  DATABASE_URL: 'postgres://mc@127.0.0.1/mc',
};

describe('a process', () => {
  it('that is alone needs nothing; one that is not needs what the others have too', () => {
    expect(missing({})).toEqual([]);
    expect(missing({ REDIS_URL: SHARED.REDIS_URL })).toEqual([]);
    expect(missing({ DATABASE_URL: SHARED.DATABASE_URL })).toEqual(['MC_CLUSTER_SECRET', 'REDIS_URL']);
    expect(missing({ MC_ROLE: 'control' })).toEqual(['DATABASE_URL', 'MC_CLUSTER_SECRET', 'REDIS_URL']);
    expect(missing({ MC_ROLE: 'workers' })).toEqual(['DATABASE_URL', 'MC_CLUSTER_SECRET', 'REDIS_URL']);
    expect(missing({ MC_ROLE: 'proxy' })).toEqual(['MC_CLUSTER_SECRET', 'MC_CONTROL_URL', 'REDIS_URL']);
    expect(missing({ ...SHARED, MC_HOST: '0.0.0.0' })).toEqual(['MC_ADVERTISE_URL']);
    for (const MC_ROLE of ['all', 'control', 'workers', 'control,workers', 'control, proxy', 'control,workers,proxy'])
      expect(missing({ ...SHARED, MC_ROLE }), MC_ROLE).toEqual([]);
  });

  it('takes its roles in any order, and no others', () => {
    expect(read({}).roles).toEqual(['control', 'workers', 'proxy']);
    expect(read({ ...SHARED, MC_ROLE: 'workers,control' }).roles).toEqual(['control', 'workers']);
    for (const MC_ROLE of ['controls', 'all,proxy', 'proxy;control']) expect(() => read({ ...SHARED, MC_ROLE })).toThrow(/MC_ROLE/);
  });

  it('finds every control that is named', () => {
    const { controlUrl, controlUrls } = read({ ...SHARED, MC_CONTROL_URL: 'https://one.example/, https://two.example' });
    expect([controlUrl, controlUrls]).toEqual(['https://one.example', ['https://one.example', 'https://two.example']]);
    expect(() => read({ MC_CONTROL_URL: 'https://one.example,two.example' })).toThrow(/MC_CONTROL_URL/);
  });

  it('never shows where the database is in a message', () => {
    expect(() => read({ DATABASE_URL: 'mysql://someone:hunter2@host/db' })).toThrow(/^(?!.*hunter2)/s);
  });
});
