import { HealthSchema } from '../contract.ts';
import type { HealthReport } from '../health.ts';
import { type Api, route } from './route.ts';

/** How the installation itself is doing. */
export function healthRoutes(app: Api, { health }: { health: HealthReport }): void {
  route(
    app,
    {
      method: 'get',
      path: '/health',
      tag: 'system',
      summary: 'How each part of the installation is doing, asked now',
      access: { role: 'viewer' },
      response: HealthSchema,
    },
    () => health.read(),
  );
}
