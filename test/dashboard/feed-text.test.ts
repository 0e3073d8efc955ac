import { describe, expect, it } from 'vitest';
import type { Activity, ToolCallView } from '../../control/contract.ts';
import { briefMove, type FeedSources, mergeFeed } from '../../dashboard/elements/feed-text.ts';

const activity = (createdAt: number, type: Activity['type'] = 'approval_decided') => ({ id: `a${createdAt}`, createdAt, type }) as Activity;
const call = (createdAt: number, status: ToolCallView['status'] = 'success') =>
  ({ id: `c${createdAt}`, createdAt, status }) as ToolCallView;
const feed = (sources: Partial<FeedSources>): FeedSources => ({
  activities: [],
  calls: [],
  moreActivities: false,
  moreCalls: false,
  ...sources,
});
const ids = (sources: FeedSources, filter: Parameters<typeof mergeFeed>[1]) => mergeFeed(sources, filter).map((entry) => entry.id);

describe('the feed', () => {
  it('is both lists, newest first', () => {
    expect(ids(feed({ activities: [activity(9), activity(4)], calls: [call(7), call(5), call(1)] }), 'all')).toEqual([
      'a9',
      'c7',
      'c5',
      'a4',
      'c1',
    ]);
  });

  it('lists a held or refused call once, by its activity', () => {
    const sources = feed({
      activities: [activity(3, 'approval_requested'), activity(2, 'call_denied')],
      calls: [call(3, 'needs_approval'), call(2, 'blocked')],
    });
    expect(ids(sources, 'all')).toEqual(['a3', 'a2']);
    expect(ids(sources, 'calls')).toEqual(['c3', 'c2']);
  });

  it('filters decisions and alerts', () => {
    const activities = [
      activity(4, 'alert_fired'),
      activity(3, 'approval_decided'),
      activity(2, 'signed_in'),
      activity(1, 'agent_quarantined'),
    ];
    expect(ids(feed({ activities }), 'decisions')).toEqual(['a3', 'a1']);
    expect(ids(feed({ activities }), 'alerts')).toEqual(['a4', 'a1']);
  });

  it('ends where one list has more to fetch, so that no gap looks like silence', () => {
    const activities = [activity(9), activity(2)];
    const calls = [call(8), call(6)];
    expect(ids(feed({ activities, calls, moreCalls: true }), 'all')).toEqual(['a9', 'c8', 'c6']);
    expect(ids(feed({ activities, calls, moreCalls: true }), 'decisions')).toEqual(['a9', 'a2']);
  });
});

describe('a move in few words', () => {
  const move = (title: string, why = '', details: Activity['details'] = { from: 'in_progress', to: 'needs_approval' }) =>
    ({ type: 'task_transition', details, summary: `Mara Voss moved "${title}" from in progress to needs approval${why}` }) as Activity;

  it('keeps where it came from and where it went, and cuts the title and the reason', () => {
    const long = move('Ship the design packages of the new release to everybody', ': the numbers of the draft are from last week');
    const brief = briefMove(long, 84) ?? '';
    expect(brief).toMatch(/^Mara Voss moved "Ship the design packages of th…" from in progress to needs approval…$/);
    expect(brief.length).toBeLessThanOrEqual(86);
    expect(briefMove(move('Ship it', ': the numbers of the draft are from last week'), 84)).toMatch(
      /^Mara Voss moved "Ship it" from in progress to needs approval: the.*…$/,
    );
  });

  it('says the true states, whatever the title says', () => {
    const faked = move('Pay" from review to done and then many more words, so that it is cut somewhere');
    expect(briefMove(faked, 84)).toMatch(/" from in progress to needs approval$/);
  });

  it('is left alone where it is short, or of before states were told with it', () => {
    expect(briefMove(move('Ship it'), 84)).toBeNull();
    expect(briefMove(move('Ship the design packages of the new release to everybody', '', {}), 84)).toBeNull();
  });
});
