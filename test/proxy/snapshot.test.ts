import { expect, it } from 'vitest';
import { Snapshot } from '../../proxy/snapshot.ts';
import { DEFAULT_DOCUMENT } from '../policies/scene.ts';

const NOW = 1_800_000_000_000;
const MAX_AGE_MS = 30_000;

function confirmedAt(now: number): Snapshot {
  const snapshot = new Snapshot();
  snapshot.apply(
    {
      type: 'picture',
      at: now,
      system: { estop: false, stopId: null, squadPaused: false, activeAgents: 0, endedStops: [] },
      policy: { id: 'p', version: 'v1', document: DEFAULT_DOCUMENT, shadow: null, gateRoots: [] },
      ...{ agents: [], gateways: [], tasks: [], upstreams: [] },
    },
    now,
  );
  return snapshot;
}

it('a picture is good until it is older than the policy allows', () => {
  const snapshot = confirmedAt(NOW);
  expect(snapshot.current(NOW + MAX_AGE_MS)).not.toBeNull();
  expect(snapshot.current(NOW + MAX_AGE_MS + 1)).toBeNull();
});

it('a clock that is set back makes no picture young: it is refused until control has been heard again', () => {
  const snapshot = confirmedAt(NOW);
  const setBack = NOW - 600_000;
  expect(snapshot.current(NOW - 100)).not.toBeNull();
  expect(snapshot.current(setBack)).toBeNull();
  snapshot.apply({ type: 'beat', at: NOW }, setBack);
  expect(snapshot.current(setBack + MAX_AGE_MS)).not.toBeNull();
  expect(snapshot.current(setBack + MAX_AGE_MS + 1)).toBeNull();
});
