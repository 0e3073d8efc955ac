import { z } from 'zod';
import type { Caps } from '../caps.ts';
import {
  CapRaiseCreateSchema,
  CapRaiseSchema,
  ForecastSchema,
  listOf,
  SPEND_DIMENSIONS,
  type SpendDimension,
  SpendSchema,
} from '../contract.ts';
import type { Spend } from '../spend.ts';
import { type Api, ID, PAGE, route } from './route.ts';

const WINDOW = {
  since: z.coerce.number().int().nonnegative().optional(),
  until: z.coerce.number().int().nonnegative().optional(),
  agentId: z.string().max(128).optional(),
  taskId: z.string().max(128).optional(),
  runId: z.string().max(256).optional(),
  tool: z.string().max(256).optional(),
  model: z.string().max(256).optional(),
  provider: z.string().max(128).optional(),
};
const GroupBy = z
  .string()
  .max(100)
  .default('day')
  .transform((text) => [...new Set(text.split(','))])
  .pipe(z.array(z.enum(SPEND_DIMENSIONS)).min(1).max(3))
  .meta({ description: `One to three of ${SPEND_DIMENSIONS.join(', ')}, parted by commas.` });

/** What was spent on what, where it is heading, and raised caps. */
export function spendRoutes(app: Api, { spend, caps }: { spend: Spend; caps: Caps }): void {
  const tag = 'spend';
  route(
    app,
    {
      method: 'get',
      path: '/spend',
      tag,
      summary: 'Cost by agent, task, run, tool, model, provider and day, of 30 days unless since and until say otherwise',
      access: { role: 'viewer' },
      query: { ...PAGE, ...WINDOW, groupBy: GroupBy },
      response: SpendSchema,
    },
    ({ query }) => spend.rollup({ ...query, groupBy: query.groupBy as readonly SpendDimension[] }),
  );
  route(
    app,
    {
      method: 'get',
      path: '/spend/forecast',
      tag,
      summary: 'Burn-down of the day and projection of the month',
      access: { role: 'viewer' },
      response: ForecastSchema,
    },
    () => spend.forecast(),
  );
  route(
    app,
    {
      method: 'get',
      path: '/spend/export',
      tag,
      summary: 'Every call that cost something, as CSV or NDJSON',
      access: { role: 'viewer' },
      query: { ...WINDOW, format: z.enum(['csv', 'ndjson']).default('ndjson') },
      response: z.any(),
    },
    async ({ query: { format, ...filter } }) =>
      new Response(ReadableStream.from(spend.exported(format, filter)).pipeThrough(new TextEncoderStream()), {
        headers: {
          'content-type': format === 'csv' ? 'text/csv; charset=utf-8' : 'application/x-ndjson',
          'content-disposition': `attachment; filename="spend.${format}"`,
        },
      }),
  );
  route(
    app,
    {
      method: 'get',
      path: '/raises',
      tag,
      summary: 'Raised caps and the allowances of approvals, newest first',
      access: { role: 'viewer' },
      query: { ...PAGE, agentId: z.string().max(128).optional(), taskId: z.string().max(128).optional() },
      response: listOf(CapRaiseSchema),
    },
    ({ query }) => caps.list(query),
  );
  route(
    app,
    {
      method: 'post',
      path: '/raises',
      tag,
      summary: "Add to a task's cap, or to an agent's cap of today",
      access: { role: 'operator' },
      body: CapRaiseCreateSchema,
      response: CapRaiseSchema,
      status: 201,
    },
    ({ actor, body }) => caps.raise(actor, body),
  );
  route(
    app,
    {
      method: 'post',
      path: '/raises/{id}/end',
      tag,
      summary: 'Take a raise back',
      access: { role: 'operator' },
      params: ID,
      body: z.strictObject({}),
      response: CapRaiseSchema,
    },
    ({ actor, params }) => caps.end(actor, params.id),
  );
}
