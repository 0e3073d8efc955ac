/** How much room there is: below 640 px the shell, not only its widths, is another one; below the others the sides of the board open over it. */
import { signal } from '@lit-labs/signals';

export const isPhone = below(640);
/** No room for the agents beside the board. */
export const isNarrow = below(1024);
/** No room for the feed beside the board. */
export const isMedium = below(1280);

/** Whether the window is narrower than this, kept up to date. */
function below(width: number) {
  const query = matchMedia(`(max-width: ${width - 1}px)`);
  const state = signal(query.matches);
  query.addEventListener('change', () => state.set(query.matches));
  return state;
}
