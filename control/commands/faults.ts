/**
 * What is wrong on this machine before anybody is asked: folders, keys, credential, disk, and whether the process that should answer is there.
 * Reads only; each finding says what it saw and what to do.
 */
import { existsSync, readdirSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { ResolvedSettings } from '../../settings.ts';
import { CLI_TOKEN_FILE } from './client.ts';

export interface Finding {
  ok: boolean;
  subject: string;
  says: string;
  /** What to do; only where something is wrong. */
  remedy?: string;
}

/** Below this much room the next writes fail soon: journal and database refuse, and every call with them. */
const ROOM_MIN_BYTES = 1024 ** 3;
const MASTER_KEY = 'master.key';

/** What is wrong with the folders that these settings name; empty where all is well. */
export function localFaults({ dataDir, keyDir, MC_ADMIN_TOKEN }: ResolvedSettings, roomMinBytes = ROOM_MIN_BYTES): Finding[] {
  const wrong = (subject: string, says: string, remedy: string): Finding => ({ ok: false, subject, says, remedy });
  const findings: Finding[] = [];
  const hasData = existsSync(dataDir);
  const hasKeys = existsSync(join(keyDir, MASTER_KEY));
  if (!hasData)
    findings.push(
      wrong(
        'data folder',
        `${dataDir} does not exist: nothing was ever started with these settings`,
        'Start it: npm start. Or run this with the MC_DATA_DIR of the process that runs.',
      ),
    );
  if (hasData && existsSync(join(dataDir, 'pg')) && !hasKeys)
    findings.push(
      wrong(
        'key folder',
        `${keyDir} holds no key, and the data in ${dataDir} was sealed with one`,
        'Bring the key folder back from where you keep its copy, or set MC_KEY_DIR to where it is. A new key opens nothing.',
      ),
    );
  for (const [name, folder] of [
    ['data folder', dataDir],
    ['key folder', keyDir],
  ] as const) {
    if (existsSync(folder) && isOpenToOthers(folder))
      findings.push(wrong(name, `${folder} can be read by other users of this machine`, `Close it: chmod 700 ${folder}`));
  }
  for (const file of hasKeys ? readdirSync(keyDir) : []) {
    const path = join(keyDir, file);
    if (statSync(path).isFile() && isOpenToOthers(path))
      findings.push(wrong('key', `${path} can be read by other users; the next start is refused`, `Close it: chmod 600 ${path}`));
  }
  if (hasKeys && statSync(join(keyDir, MASTER_KEY)).size !== 32)
    findings.push(
      wrong(
        'key',
        `${join(keyDir, MASTER_KEY)} is damaged: ${statSync(join(keyDir, MASTER_KEY)).size} bytes instead of 32`,
        'Bring it back from its copy. A new key opens nothing that was sealed with this one.',
      ),
    );
  if (hasKeys && MC_ADMIN_TOKEN === null && !existsSync(join(keyDir, CLI_TOKEN_FILE)))
    findings.push(
      wrong(
        'credential',
        `${join(keyDir, CLI_TOKEN_FILE)} is not there, so the command line has none`,
        'Restart Mission Control: it makes a new one at its start. Or set MC_ADMIN_TOKEN, for it and for this.',
      ),
    );
  const free = hasData ? roomAt(dataDir) : null;
  if (free !== null && free < roomMinBytes)
    findings.push(
      wrong(
        'disk',
        `${Math.round(free / 1024 ** 2)} MiB are free where ${dataDir} is; when it is full every call is refused`,
        'Make room, or move the data folder while Mission Control is stopped.',
      ),
    );
  return findings;
}

/** The process that holds the data folder, by its lock; null where none does. */
export function holderOf(dataDir: string): number | null {
  let text: string;
  try {
    text = readFileSync(join(dataDir, 'mc.lock'), 'utf8');
  } catch {
    return null;
  }
  const pid = Number(text.split(' ')[0]);
  try {
    process.kill(pid, 0);
    return pid;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' ? pid : null;
  }
}

function isOpenToOthers(path: string): boolean {
  return (statSync(path).mode & 0o077) !== 0;
}

function roomAt(path: string): number | null {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  } catch {
    return null;
  }
}
