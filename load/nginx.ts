/**
 * nginx as the rival that sets the mark: one worker, kept-alive connections to the upstream, nothing else. Where the machine has none,
 * Debian's package is unpacked into a cache folder; nothing is installed and no service starts.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Path of an nginx that runs here, or the reason why there is none. */
export function findNginx(cacheFolder: string): { path: string; version: string } | { missing: string } {
  const installed = ['/usr/sbin/nginx', '/usr/local/sbin/nginx', '/usr/bin/nginx'].find((path) => existsSync(path));
  if (installed !== undefined) return { path: installed, version: versionOf(installed) };
  const unpacked = join(cacheFolder, 'usr/sbin/nginx');
  try {
    if (!existsSync(unpacked)) unpackDebianPackage(cacheFolder);
    return { path: unpacked, version: versionOf(unpacked) };
  } catch (error) {
    return { missing: `nginx is not installed and Debian's package could not be had: ${error instanceof Error ? error.message : error}` };
  }
}

/** Writes a configuration that forwards `port` to `upstreamPort`. @returns the arguments to start nginx with. */
export function configureNginx(folder: string, port: number, upstreamPort: number): string[] {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'nginx.conf');
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  writeFileSync(
    file,
    `${user}
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr error;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  keepalive_requests 100000000;
  upstream stub {
    server 127.0.0.1:${upstreamPort};
    keepalive 256;
    keepalive_requests 100000000;
  }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://stub;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
    location /stream/ {
      proxy_pass http://stub;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }
  }
}
`,
  );
  return ['-c', file, '-e', 'stderr', '-p', folder];
}

function unpackDebianPackage(folder: string): void {
  mkdirSync(folder, { recursive: true });
  const run = (command: string, ...args: string[]) => execFileSync(command, args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  try {
    run('apt-get', 'download', 'nginx');
  } catch {
    // Without package lists nothing can be found; only root may fetch them.
    run('apt-get', 'update');
    run('apt-get', 'download', 'nginx');
  }
  const file = readdirSync(folder).find((name) => /^nginx_.*\.deb$/.test(name));
  if (file === undefined) throw new Error('apt-get downloaded no package');
  run('dpkg-deb', '-x', file, folder);
}

function versionOf(path: string): string {
  // nginx prints its version on stderr.
  const text = execFileSync('sh', ['-c', '"$0" -v 2>&1', path], { encoding: 'utf8' });
  return /nginx\/([\d.]+)/.exec(text)?.[1] ?? text.trim();
}
