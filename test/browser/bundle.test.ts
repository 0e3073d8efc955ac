import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { useDashboard } from './browser.ts';
import { CALLS } from './server.ts';

/** What is loaded does not depend on the server behind it. */
const dashboard = useDashboard('mock');
const dist = join(import.meta.dirname, '../../dashboard/dist');
const FIRST_VIEW_BYTES = 120 * 1024;

it('loads at most 120 KB of compressed script for the first view', async () => {
  await dashboard.server.call(await dashboard.server.addAgent('Forge-03'), CALLS.build);
  const page = await dashboard.open('admin', '/');
  const scripts = new Set<string>();
  page.on('response', (response) => {
    if (response.request().resourceType() === 'script') scripts.add(new URL(response.url()).pathname);
  });
  await page.reload();
  await page.getByRole('button', { name: /^Approve/ }).waitFor();
  const bytes = [...scripts].reduce((sum, path) => sum + gzipSync(readFileSync(join(dist, path))).length, 0);
  expect(scripts.size).toBeGreaterThan(0);
  expect(bytes).toBeLessThanOrEqual(FIRST_VIEW_BYTES);
});

it('carries no inline script or style, and names no host but itself', () => {
  const page = readFileSync(join(dist, 'index.html'), 'utf8');
  expect(page).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=/);
  for (const name of readdirSync(join(dist, 'assets')).filter((file) => /\.(js|css)$/.test(file))) {
    const hosts = readFileSync(join(dist, 'assets', name), 'utf8').match(/https?:\/\/[\w.-]+/g) ?? [];
    // Namespaces, the addresses that libraries print in a warning, and the reserved names of placeholders (RFC 2606) are no requests;
    // the browser tests see every request.
    expect(hosts.filter((host) => !/w3\.org|json-schema\.org|lit\.dev|github\.com|\.example$/.test(host))).toEqual([]);
  }
});
