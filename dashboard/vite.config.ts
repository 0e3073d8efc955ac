/** How the dashboard is bundled: one entry, hashed assets under /assets, the licences of fonts and icons beside them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig, type Plugin } from 'vite';

const root = import.meta.dirname;

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
