import { z } from 'zod';
import { CoverageSchema, IncidentSchema, listOf, SEARCH_KINDS, SearchHitSchema } from '../contract.ts';
import type { CoverageMap } from '../coverage.ts';
import { type Incidents, incidentAsMarkdown } from '../incidents.ts';
import type { Search } from '../search.ts';
import { type Api, PAGE, route } from './route.ts';

/** What is asked of the whole record: search, the answer after an incident, the coverage of the gate. All that a viewer may read in the lists of its kinds. */
export function searchRoutes(
  app: Api,
  { search, incidents, coverage }: { search: Search; incidents: Incidents; coverage: CoverageMap },
): void {
  route(
    app,
    {
      method: 'get',
      path: '/search',
      tag: 'record',
      summary: 'Search tasks, agents, messages, calls, approvals and the audit log, newest first',
      access: { role: 'viewer' },
      query: {
        q: z.string().trim().min(1).max(200),
        kind: z.enum(SEARCH_KINDS).optional(),
        each: z.coerce.number().int().min(1).max(20).optional(),
        limit: PAGE.limit.pipe(z.number().max(100)).default(30),
        cursor: PAGE.cursor,
      },
      response: listOf(SearchHitSchema),
    },
    ({ query }) => search.find(query),
  );
  route(
    app,
    {
      method: 'get',
      path: '/incidents',
      tag: 'record',
      summary: 'What happened, who, why, at which cost, what next: of a task, an agent or a window of time; as JSON or Markdown',
      access: { role: 'viewer' },
      query: {
        task: z.string().min(1).max(128).optional(),
        agent: z.string().min(1).max(128).optional(),
        from: z.coerce.number().int().min(0).optional(),
        to: z.coerce.number().int().min(0).optional(),
        format: z.enum(['json', 'markdown']).default('json'),
      },
      response: IncidentSchema,
    },
    async ({ query: { format, ...query } }) => {
      const incident = await incidents.answer(query);
      if (format === 'json') return incident;
      return new Response(incidentAsMarkdown(incident), {
        headers: { 'content-type': 'text/markdown; charset=utf-8', 'content-disposition': 'attachment; filename="incident.md"' },
      });
    },
  );
  route(
    app,
    {
      method: 'get',
      path: '/coverage',
      tag: 'record',
      summary: 'For each agent and way in, how and when it was last shown that calls are judged there',
      access: { role: 'viewer' },
      response: CoverageSchema,
    },
    () => coverage.read(),
  );
}
