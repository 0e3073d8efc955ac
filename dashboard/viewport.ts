/** Whether this is a phone: below 640 px the shell, not only its widths, is another one. */
import { signal } from '@lit-labs/signals';

const narrow = matchMedia('(max-width: 639px)');

export const isPhone = signal(narrow.matches);

narrow.addEventListener('change', () => isPhone.set(narrow.matches));
