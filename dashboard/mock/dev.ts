/**
 * `npm run dev:dashboard`: the dashboard with a working squad behind it and no back end needed. Sources are served by vite and reload as they
 * change. Sign in with the printed link, or as another role by pasting its name: viewer, approver, operator, admin. The gallery is at /gallery.html.
 */
import { join } from 'node:path';
import { createServer as createVite } from 'vite';
import { fillWorld } from './samples.ts';
import { playScript } from './script.ts';
import { serveWorld } from './server.ts';
import { World } from './world.ts';

const world = new World(() => Date.now());
fillWorld(world);
const vite = await createVite({
  configFile: join(import.meta.dirname, '../vite.config.ts'),
  server: { middlewareMode: true },
  appType: 'spa',
  logLevel: 'warn',
});
const server = await serveWorld(world, (request, response) => vite.middlewares(request, response), Number(process.env.PORT ?? 3030));
playScript(world);
console.log(
  `Dashboard:  ${server.url}/sign-in#token=admin\nGallery:    ${server.url}/gallery.html\nOther roles: paste viewer, approver or operator as the token.`,
);
