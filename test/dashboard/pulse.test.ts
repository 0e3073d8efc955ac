import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { tellSoon } from '../../dashboard/pulse.ts';

beforeEach(() => {
  vi.useFakeTimers();
  // As after a quiet while, whatever was told before.
  vi.advanceTimersByTime(10_000);
});
afterEach(() => vi.useRealTimers());

it('tells at once while little happens', () => {
  const tell = vi.fn();
  for (let i = 1; i <= 5; i++) {
    tellSoon(tell);
    vi.advanceTimersByTime(0);
    expect(tell).toHaveBeenCalledTimes(i);
    vi.advanceTimersByTime(1_000);
  }
});

it('tells ten times a second in a storm, and last of all what came last', () => {
  const tell = vi.fn();
  const last = vi.fn();
  for (let i = 0; i < 1_000; i++) {
    tellSoon(tell);
    vi.advanceTimersByTime(10);
  }
  expect(tell.mock.calls.length).toBeGreaterThanOrEqual(98);
  expect(tell.mock.calls.length).toBeLessThanOrEqual(105);
  tellSoon(last);
  vi.advanceTimersByTime(100);
  expect(last).toHaveBeenCalledTimes(1);
});
