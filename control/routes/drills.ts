import { DrillCardSchema, DrillRequestSchema, DrillStartedSchema } from '../contract.ts';
import type { Drills } from '../drills.ts';
import { type Api, route } from './route.ts';

/** Drills: the report card, and running them now. */
export function drillRoutes(app: Api, { drills }: { drills: Drills }): void {
  route(
    app,
    {
      method: 'get',
      path: '/drills',
      tag: 'record',
      summary: 'The report card: what is declared to happen when something is taken away, and how the last drill went at each proxy',
      access: { role: 'viewer' },
      response: DrillCardSchema,
    },
    () => drills.card(),
  );
  route(
    app,
    {
      method: 'post',
      path: '/drills',
      tag: 'record',
      summary: 'Run one drill, or all of them, at every proxy; no call of anybody is touched',
      access: { role: 'operator' },
      body: DrillRequestSchema,
      status: 201,
      response: DrillStartedSchema,
    },
    ({ actor, body }) => drills.start(actor, body.name),
  );
}
