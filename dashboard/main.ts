/** Starts the dashboard: theme, clock, addresses, keys, the app itself, and then whoever comes in. */
import { startClock } from './clock.ts';
import { startKeyboard } from './keyboard.ts';
import { applyTheme } from './preferences.ts';
import { startRouter } from './routes.ts';
import { startSearchKey } from './searching.ts';
import { enter } from './sessions.ts';
import './app.ts';

applyTheme();
startClock();
startRouter();
startKeyboard();
startSearchKey();
// Not waited for: the views' code imports from this file, and would wait with it.
void enter();
