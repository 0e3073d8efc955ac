/**
 * `npm run check:deploy`: what a test of seconds cannot check of deploy/. The compose file is read by docker-compose itself, where that is
 * installed, and what the Dockerfile installs and copies is put together in a temporary folder and started. Exits with 1 where something fails.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assembleImage } from './image.ts';

const folder = mkdtempSync(join(tmpdir(), 'mc-deploy-'));
try {
  const checks = [readCompose(folder), startAssembled(folder)];
  process.exitCode = checks.every(Boolean) ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function readCompose(place: string): boolean {
  const env = join(place, 'env');
  writeFileSync(env, readFileSync(join(import.meta.dirname, '.env.example'), 'utf8').replaceAll(/=$/gm, '=a-value-for-this-check'));
  const read = spawnSync(
    'docker-compose',
    ['--env-file', env, '-f', join(import.meta.dirname, 'docker-compose.yml'), 'config', '--quiet'],
    {
      encoding: 'utf8',
    },
  );
  if (read.error) {
    console.log('docker-compose is not installed: the compose file was not read by it');
    return true;
  }
  console.log(read.status === 0 ? 'docker-compose reads the compose file' : `docker-compose refuses the compose file:\n${read.stderr}`);
  return read.status === 0;
}

/** The dependencies of the image are installed anew, so that one that is missing among them is found. */
function startAssembled(place: string): boolean {
  const image = join(place, 'image');
  assembleImage(image);
  const root = join(import.meta.dirname, '..');
  for (const file of ['package-lock.json', '.npmrc']) writeFileSync(join(image, file), readFileSync(join(root, file)));
  const installed = spawnSync('npm', ['ci', '--ignore-scripts', '--omit=dev', '--omit=optional'], { cwd: image, encoding: 'utf8' });
  if (installed.status !== 0) {
    console.log(`what the image needs could not be installed:\n${installed.stdout}${installed.stderr}`);
    return false;
  }
  const started = spawnSync(process.execPath, ['cli.ts', '--version'], { cwd: image, encoding: 'utf8' });
  console.log(started.status === 0 ? `the image's files start: version ${started.stdout.trim()}` : `they do not start:\n${started.stderr}`);
  return started.status === 0;
}
