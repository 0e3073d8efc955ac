/** What a product under load looks like from outside, again and again: its memory, how soon it answers, its journal, its disk. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { request } from 'undici';
import type { OneProcess } from '../test/support/world.ts';
import { percentile } from './percentile.ts';
import { plotOf } from './plot.ts';
import type { Kind, Traffic } from './scripted-agents.ts';

export const METRICS_TOKEN = 'metrics-token-of-the-load';
const SAMPLE_MS = 5_000;

export interface Sample {
  atMs: number;
  residentBytes: number;
  answerMs: number;
  journalDepth: number;
  diskBytes: number;
}

/** Adds a sample every few seconds until it is ended. */
export function watch(product: OneProcess, { repeat, client }: Traffic, samples: Sample[]): { end: () => Promise<void> } {
  const begun = performance.now();
  return repeat(SAMPLE_MS, async () => {
    const asked = performance.now();
    const headers = { authorization: `Bearer ${METRICS_TOKEN}` };
    const page = await request(`${product.gateUrl}/metrics`, { headers, dispatcher: client });
    const text = await page.body.text();
    samples.push({
      atMs: asked - begun,
      residentBytes: Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${product.pid()}/status`, 'utf8'))?.[1] ?? 0) * 1024,
      answerMs: performance.now() - asked,
      journalDepth: Number(/^mc_proxy_journal_depth(?:\{[^}]*\})? (\d+)/m.exec(text)?.[1] ?? Number.NaN),
      diskBytes: Number(execFileSync('du', ['-sb', product.dataDir], { encoding: 'utf8' }).split('\t')[0]),
    });
  });
}

/** Markdown: the latencies of each kind, milliseconds, and the course of the samples. */
export function reportOf(samples: readonly Sample[], latencies: ReadonlyMap<Kind, readonly number[]>): string {
  const rows = [...latencies].map(([kind, values]) => {
    const at = (share: number) => percentile(values, share).toFixed(1);
    return `| ${kind} | ${values.length} | ${at(0.5)} | ${at(0.9)} | ${at(0.99)} | ${at(0.999)} |`;
  });
  const course = (title: string, value: (sample: Sample) => number) => plotOf(title, samples.map(value));
  return [
    '| kind | calls | p50 ms | p90 ms | p99 ms | p99.9 ms |',
    '| --- | --- | --- | --- | --- | --- |',
    ...rows,
    '',
    '```text',
    course('resident memory, MB', ({ residentBytes }) => residentBytes / 1e6),
    course('a look at /metrics, ms', ({ answerMs }) => answerMs),
    course('journal depth, events', ({ journalDepth }) => journalDepth),
    course('data folder, MB', ({ diskBytes }) => diskBytes / 1e6),
    '```',
  ].join('\n');
}

export function machineOf(): string {
  return `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores shared with the load, load average ${loadavg()[0]?.toFixed(1)}, Node ${process.versions.node}`;
}
