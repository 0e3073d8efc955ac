import { defineConfig } from 'vitest/config';

/** Five processes start where otherwise one does (test/support/topology.ts). */
const starts = process.env.TEST_WORLD === 'topology' ? 5 : 1;

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    reporters: ['default', './test/setup/reporter.ts'],
    maxWorkers: 2,
    testTimeout: 30_000 * starts,
    hookTimeout: 60_000 * starts,
  },
});
