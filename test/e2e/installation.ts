import { spawn } from 'node:child_process';
import { access, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** The OpenClaw that the end-to-end run is made for; the measured behaviour belongs to this version. */
const OPENCLAW_VERSION = '2026.9.6';
const NODE_VERSION = '24.21.0';
const NODE_PACKAGE = `node-linux-${process.arch}`;

export interface Installation {
  /** The Node that runs it; the machine's own may be too old. */
  node: string;
  /** Its command line, a script for that Node. */
  cli: string;
}

/**
 * The real OpenClaw, installed outside the project and never a dependency of it. An installation that a former run finished is
 * used again; one that was interrupted is removed first.
 */
export async function installOpenClaw(): Promise<Installation> {
  const folder = path.join(tmpdir(), `mc-e2e-openclaw-${OPENCLAW_VERSION}`);
  const installation = {
    node: path.join(folder, 'node_modules', NODE_PACKAGE, 'bin', 'node'),
    cli: path.join(folder, 'node_modules', 'openclaw', 'openclaw.mjs'),
  };
  if (await isWhole(folder, installation)) return installation;
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, 'package.json'), '{"private":true}\n');
  const packages = [`openclaw@${OPENCLAW_VERSION}`, `${NODE_PACKAGE}@${NODE_VERSION}`];
  console.log(`Installing ${packages.join(' and ')} into ${folder} (about 850 MB, once)`);
  await run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', ...packages], folder);
  await writeFile(path.join(folder, 'whole'), '');
  return installation;
}

async function isWhole(folder: string, installation: Installation): Promise<boolean> {
  try {
    await Promise.all([access(path.join(folder, 'whole')), access(installation.node), access(installation.cli)]);
    const manifest = await readFile(path.join(path.dirname(installation.cli), 'package.json'), 'utf8');
    return (JSON.parse(manifest) as { version?: unknown }).version === OPENCLAW_VERSION;
  } catch {
    return false;
  }
}

async function run(command: string, args: string[], cwd: string): Promise<void> {
  const child = spawn(command, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  if (code !== 0) throw new Error(`${command} ${args[0]} ended with ${code}`);
}
