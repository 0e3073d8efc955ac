/**
 * The key folder (SPEC 8.3): one master key, made at first start, readable by its owner only, and what is derived from it.
 * Secrets at rest are sealed with AES-256-GCM and bound to the row that they belong to.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Db } from './db/database.ts';

export interface Keys {
  /** Key of the call digests (SPEC 3.1), base64url; handed to proxies over the authenticated line. */
  digestKey: string;
  /** Key of what proxies give MCP clients to keep (session ids, requestState), base64url; handed to them likewise. */
  stateKey: string;
  /** Names the master key without telling anything of it. */
  fingerprint: string;
  /** Encrypts `text` for the row named by `context`; opens only with the same context. */
  seal: (text: string, context: string) => string;
  /** @throws Error when the text was changed, belongs to another row or to another key folder. */
  open: (sealed: string, context: string) => string;
}

/**
 * Opens the key folder, creating it and the master key at first start.
 * @throws Error when the key file is damaged or others may read it.
 */
export function openKeys(keyDir: string): Keys {
  mkdirSync(keyDir, { recursive: true, mode: 0o700 });
  const master = readMaster(join(keyDir, 'master.key'));
  const derive = (purpose: string) => Buffer.from(hkdfSync('sha256', master, Buffer.alloc(0), `mission-control/${purpose}/v1`, 32));
  const sealing = derive('sealing');
  return {
    digestKey: derive('call-digest').toString('base64url'),
    stateKey: derive('mcp-state').toString('base64url'),
    fingerprint: derive('fingerprint').subarray(0, 16).toString('base64url'),
    seal(text, context) {
      const nonce = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', sealing, nonce);
      cipher.setAAD(Buffer.from(context));
      return Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]).toString('base64url');
    },
    open(sealed, context) {
      const bytes = Buffer.from(sealed, 'base64url');
      const decipher = createDecipheriv('aes-256-gcm', sealing, bytes.subarray(0, 12));
      decipher.setAAD(Buffer.from(context));
      decipher.setAuthTag(bytes.subarray(-16));
      return Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]).toString('utf8');
    },
  };
}

/**
 * Refuses a key folder that is not the one of this database: what was sealed with another key could not be opened, and digests would differ
 * from process to process. @throws Error
 */
export async function claimDatabase(db: Db, { fingerprint }: Keys): Promise<void> {
  const known = await db.transaction().execute(async (tx) => {
    const row = await tx.selectFrom('system_state').select('key_fingerprint').where('id', '=', 1).executeTakeFirstOrThrow();
    if (row.key_fingerprint !== null) return row.key_fingerprint;
    await tx.updateTable('system_state').set({ key_fingerprint: fingerprint }).where('id', '=', 1).execute();
    return fingerprint;
  });
  if (known === fingerprint) return;
  throw new Error(
    'the key folder belongs to another database: give every control and workers process the same MC_KEY_DIR, or restore the right one',
  );
}

function readMaster(file: string): Buffer {
  const key = provideKeyFile(file, () => randomBytes(32));
  if (key.length !== 32) throw new Error(`${file} is damaged (${key.length} bytes instead of 32); restore it from a backup`);
  return key;
}

/**
 * The content of a key file, made at first start by `make`; readable by its owner only.
 * @throws Error when others may read it.
 */
export function provideKeyFile(file: string, make: () => Buffer): Buffer {
  if (!existsSync(file)) {
    // Made whole under another name: another process that starts at the same moment sees all of it or nothing.
    const made = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`;
    const fd = openSync(made, 'wx', 0o600);
    writeSync(fd, make());
    fsyncSync(fd);
    closeSync(fd);
    try {
      linkSync(made, file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      rmSync(made, { force: true });
    }
  }
  if (statSync(file).mode & 0o077) throw new Error(`${file} can be read by others; run: chmod 600 ${file}`);
  return readFileSync(file);
}
