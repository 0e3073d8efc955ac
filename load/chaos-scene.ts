/**
 * Everything that can be broken in an installation, by the process it belongs to: the process itself (killed, frozen), its lines to its
 * neighbours (cut, silent), its clock (jumps), and the disk of its journal (full). What is broken is healed by `heal`, whatever it was.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Service } from '../deploy/topology.ts';
import type { Installation, InstallationSize } from './installation.ts';
import { type Relay, startRelay } from './relay.ts';

export type Neighbour = 'control' | 'postgres' | 'redis' | 'itself';

export interface Scene {
  /** For the installation that it is made of. */
  rewire: NonNullable<InstallationSize['rewire']>;
  /** SIGKILL; it is down when this resolves. */
  kill: (service: Service) => Promise<void>;
  /** When it was killed, each time: from the moment before the signal to the moment at which it was gone, epoch milliseconds. */
  kills: (service: Service) => readonly { from: number; until: number }[];
  /** Starts what was killed, and goes on until it is up. */
  revive: (service: Service) => Promise<void>;
  freeze: (service: Service) => void;
  thaw: (service: Service) => void;
  /** Cuts or silences the lines of a process to the named neighbours; `itself`: those of all others to it, past the lines. */
  part: (service: Service, from: readonly Neighbour[], how: 'cut' | 'silence') => void;
  /** Sets the clock of a process apart from the machine's. */
  moveClock: (service: Service, aheadMs: number) => void;
  /** Fills the disk that the journal of a proxy is on. */
  fillDisk: (service: Service) => void;
  /** Whether disks can be filled: a file system of our own needs the right to mount one. */
  hasDisks: () => boolean;
  /** Takes everything back and waits until every process is up. */
  heal: (running: Installation) => Promise<void>;
  /** Processes that have ended without having been killed, and what they said. */
  fallen: () => string[];
  /** Follows a process that has been started, so that its end is noticed. */
  follow: (service: Service) => void;
  close: () => void;
}

const DISK = 'size=40m';
const FILLER = 'filler';

export function createScene(): Scene {
  const relays = new Map<string, Relay>();
  const clocks = new Map<string, string>();
  const disks = new Set<string>();
  const frozen = new Set<Service>();
  const down = new Set<Service>();
  const moved = new Set<Service>();
  const fallen: string[] = [];
  const killed = new Map<Service, { from: number; until: number }[]>();

  /** The same URL, or each of several, by way of a relay of its own. */
  async function relayed(name: string, to: Neighbour, urls: string): Promise<string> {
    const ways = urls.split(',').map(async (text, index) => {
      const url = new URL(text);
      const relay = await startRelay(Number(url.port));
      relays.set(`${name} ${to} ${index}`, relay);
      url.port = String(relay.port);
      return url.href.replace(/\/$/, '');
    });
    return (await Promise.all(ways)).join(',');
  }

  async function rewire(name: string, settings: Readonly<Record<string, string>>): Promise<Record<string, string>> {
    const { MC_ROLE, MC_DATA_DIR = '', MC_CONTROL_URL = '', MC_PROXY_PORT, DATABASE_URL = '', REDIS_URL = '' } = settings;
    const clock = `${MC_DATA_DIR}.clock`;
    clocks.set(name, clock);
    const own = {
      NODE_OPTIONS: `--import=${join(import.meta.dirname, 'shifted-clock.ts')}`,
      CHAOS_CLOCK_FILE: clock,
      REDIS_URL: await relayed(name, 'redis', REDIS_URL),
    };
    if (MC_ROLE !== 'proxy') return { ...own, DATABASE_URL: await relayed(name, 'postgres', DATABASE_URL) };
    mkdirSync(MC_DATA_DIR, { recursive: true });
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', DISK, 'none', MC_DATA_DIR]);
    if (mounted.status === 0) disks.add(MC_DATA_DIR);
    return {
      ...own,
      MC_CONTROL_URL: await relayed(name, 'control', MC_CONTROL_URL),
      MC_ADVERTISE_URL: await relayed(name, 'itself', `http://127.0.0.1:${MC_PROXY_PORT}`),
    };
  }

  const waysOf = ({ name }: Service, to: Neighbour) =>
    [...relays].flatMap(([key, relay]) => (key.startsWith(`${name} ${to} `) ? [relay] : []));

  async function kill(service: Service): Promise<void> {
    down.add(service);
    frozen.delete(service);
    const from = Date.now();
    await service.end('SIGKILL');
    killed.set(service, [...(killed.get(service) ?? []), { from, until: Date.now() }]);
  }

  async function revive(service: Service): Promise<void> {
    // While a neighbour is away a start may fail; a supervisor would go on as well.
    for (let tried = 0; ; tried++) {
      try {
        await service.start();
        break;
      } catch (error) {
        if (tried === START_TRIES) throw error;
      }
    }
    down.delete(service);
    follow(service);
  }

  function follow(service: Service): void {
    const { pid } = service;
    const one = pid();
    void service.ended().then((code) => {
      if (one === pid() && !down.has(service))
        fallen.push(`${service.name} ended by itself (exit ${code}): ${service.output().slice(-1_500)}`);
    });
  }

  function moveClock(service: Service, aheadMs: number): void {
    writeFileSync(clocks.get(service.name) ?? '', String(aheadMs));
    moved.add(service);
    service.signal('SIGUSR2');
  }

  async function heal({ controls, workers, proxies, postgres, redis }: Installation): Promise<void> {
    for (const relay of relays.values()) relay.heal();
    for (const folder of disks) rmSync(join(folder, FILLER), { force: true });
    for (const service of frozen) service.signal('SIGCONT');
    frozen.clear();
    for (const service of moved) moveClock(service, 0);
    moved.clear();
    postgres.thaw();
    redis.thaw();
    for (const some of [[...controls, ...workers], proxies])
      await Promise.all(some.filter((service) => down.has(service)).map((service) => revive(service)));
  }

  return {
    rewire,
    kill,
    kills: (service) => killed.get(service) ?? [],
    revive,
    freeze: (service) => {
      frozen.add(service);
      service.signal('SIGSTOP');
    },
    thaw: (service) => {
      frozen.delete(service);
      service.signal('SIGCONT');
    },
    part: (service, from, how) => {
      for (const relay of from.flatMap((to) => waysOf(service, to))) relay[how]();
    },
    moveClock,
    fillDisk: ({ dataDir }) => {
      if (disks.has(dataDir)) spawnSync('dd', ['if=/dev/zero', `of=${join(dataDir, FILLER)}`, 'bs=64k']);
    },
    hasDisks: () => disks.size > 0,
    heal,
    fallen: () => fallen,
    follow,
    close: () => {
      for (const relay of relays.values()) relay.close();
      for (const folder of disks) spawnSync('umount', ['-l', folder]);
    },
  };
}

const START_TRIES = 20;

/** The name by which a proxy is known in receipts. */
export function proxyIdOf({ dataDir }: Service): string {
  const file = join(dataDir, 'journal', 'proxy-id');
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
}
