/**
 * What a process that a test starts has in its environment. The suite starts the product about two hundred times; half of what a start
 * costs is reading our TypeScript, which node keeps here once it is read.
 */
import { join } from 'node:path';

export const CHILD_ENV = {
  PATH: process.env.PATH,
  NODE_COMPILE_CACHE: join(import.meta.dirname, '..', '..', 'node_modules/.cache/compiled'),
};
