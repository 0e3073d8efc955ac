/** Asking again while somebody looks: for what no event tells of. */

/**
 * Does `work` at once and then again `everyMs` after each end, not while the page is hidden, and at once when it is shown again.
 * @returns what ends it.
 */
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
