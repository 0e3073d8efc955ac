/** How the dashboard is bundled: one entry, hashed assets under /assets, the licences of fonts and icons beside them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig, type Plugin } from 'vite';

const root = import.meta.dirname;

/**
 * A browser asks one server for six files at a time, so twenty small ones cost the first paint four round trips. What every page needs is one
 * file, what several views share another, and each view brings only its own.
 */
const SHELL = {
  debugName: 'shell',
  name: (id: string, modules: Modules) => (isNeededAtOnce(id, modules, new Set()) ? 'shell' : null),
  priority: 2,
};
const SHARED = { name: 'shared', test: /[\\/]dashboard[\\/]|node_modules[\\/]@?lit/, minShareCount: 2, priority: 1 };

interface Modules {
  getModuleInfo(id: string): { isEntry: boolean; importers: readonly string[] } | null;
}

/** Whether the page cannot start without this module: a chain of plain imports leads to it from the entry. */
function isNeededAtOnce(id: string, modules: Modules, seen: Set<string>): boolean {
  if (seen.has(id)) return false;
  seen.add(id);
  const info = modules.getModuleInfo(id);
  return info !== null && (info.isEntry || info.importers.some((importer) => isNeededAtOnce(importer, modules, seen)));
}

export default defineConfig({
  root,
  base: '/',
  publicDir: false,
  plugins: [licences()],
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The judgement (570 KB, 130 KB compressed) is one part that only the policy view fetches; the first view has a limit of its own in a test.
    chunkSizeWarningLimit: 700,
    // How long its parts took is said on a slow machine only, and helps nobody who starts the product there.
    rolldownOptions: { checks: { bundlerTimings: false }, output: { codeSplitting: { groups: [SHELL, SHARED] } } },
  },
});

/** OFL and ISC ask that their text goes with every copy. */
function licences(): Plugin {
  const files = ['fonts/LICENSE-Inter', 'fonts/LICENSE-JetBrains-Mono', 'icons/LICENSE'];
  return {
    name: 'licences',
    apply: 'build',
    generateBundle() {
      const source = files.map((file) => `${file}\n\n${readFileSync(join(root, file), 'utf8')}`).join('\n\n');
      this.emitFile({ type: 'asset', fileName: 'licences.txt', source });
    },
  };
}
