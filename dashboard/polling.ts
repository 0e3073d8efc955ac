/** Asking again while somebody looks: for what no event tells of. */
import type { ReactiveControllerHost } from 'lit';

/**
 * While the element is on the page: does `work` at once and then again `everyMs` after each end, not while the page is hidden, and at once
 * when it is shown again.
 */
export function workWhileShown(element: ReactiveControllerHost, work: () => Promise<void>, everyMs: number): void {
  let end = () => {};
  element.addController({
    hostConnected: () => {
      end = repeatWhileShown(work, everyMs);
    },
    hostDisconnected: () => end(),
  });
}

/** @returns what ends it. */
export function repeatWhileShown(work: () => Promise<void>, everyMs: number): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isEnded = false;
  let isWorking = false;
  const turn = async () => {
    clearTimeout(timer);
    if (isEnded || isWorking || document.hidden) return;
    isWorking = true;
    await work();
    isWorking = false;
    if (!isEnded) timer = setTimeout(() => void turn(), everyMs);
  };
  const onShown = () => void turn();
  document.addEventListener('visibilitychange', onShown);
  void turn();
  return () => {
    isEnded = true;
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', onShown);
  };
}
