/** What each agent spent and called on each of the last days, read from the spend of the record; and how that is drawn and said. */
import type { TemplateResult } from 'lit';
import type { SpendView } from '../../control/contract.ts';
import * as api from '../api.ts';
import { type AgentDays, agentDaysOf } from '../elements/chart-scale.ts';
import { sparkline } from '../elements/sparkline.ts';
import { money, plural } from '../words.ts';

const DAYS = 14;
const DAY_MS = 86_400_000;
/** A page of the server, and so many of them: 14 days of 140 agents. */
const [PAGE, PAGES] = [500, 4];

/** By the agent's id; who spent nothing is not in it. @throws Refusal */
export async function readAgentDays(now: number): Promise<ReadonlyMap<string, AgentDays>> {
  const since = now - (DAYS - 1) * DAY_MS - (now % DAY_MS);
  const rows: SpendView['items'] = [];
  let until = now;
  let cursor: string | null = null;
  for (let page = 0; page < PAGES; page++) {
    const view: SpendView = await api.readSpend({ groupBy: 'day,agent', since, limit: PAGE, ...(cursor !== null && { cursor }) });
    rows.push(...view.items);
    until = view.until;
    cursor = view.nextCursor;
    if (cursor === null) break;
  }
  return agentDaysOf(rows, until, DAYS);
}

/** The last days as a line against the cap of a day. */
export function daysLine({ costs, calls }: AgentDays, cap: number | null): TemplateResult {
  const [sum, most] = [costs.reduce((total, cost) => total + cost, 0), Math.max(...costs)];
  const made = calls.reduce((total, count) => total + count, 0);
  return sparkline(
    costs,
    cap,
    `${money(sum)} in ${plural(made, 'priced call')} over ${plural(costs.length, 'day')}, at most ${money(most)} in a day`,
  );
}
