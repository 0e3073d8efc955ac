import { z } from 'zod';
import { listOf, SEARCH_KINDS, SearchHitSchema } from '../contract.ts';
import type { Search } from '../search.ts';
import { type Api, PAGE, route } from './route.ts';

/** Search over everything that a viewer may read in the lists of its kinds. */
export function searchRoutes(app: Api, { search }: { search: Search }): void {
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
}
