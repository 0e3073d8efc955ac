import { describe, expect, it } from 'vitest';
import { type Kind, type Measurement, type Report, renderReport } from '../../load/report.ts';

const DEFAULTS = { kind: 'http' as Kind, isProxy: true, isGoverned: false, p50: 100, waitedShare: 0.01 };

/** @param cpu per round. */
function measurement(name: string, cpu: number[], fields: Partial<typeof DEFAULTS> = {}): Measurement {
  const { kind, isProxy, isGoverned, p50, waitedShare } = { ...DEFAULTS, ...fields };
  return {
    name,
    kind,
    isProxy,
    isGoverned,
    rounds: cpu.map((cpuMicros) => ({
      cpuMicros,
      controlCpuMicros: isGoverned ? 500 : null,
      perSecond: 1234,
      waitedShare,
      p50,
      p99: 2 * p50,
    })),
    paced: [{ p50, p99: 2 * p50 }],
  };
}

function report(measurements: Measurement[]): Report {
  return {
    at: new Date('2026-01-02T03:04:05Z'),
    machine: 'a machine, 2 cores',
    node: 'v24',
    rivals: { nginx: '1.22.1', supergateway: 'missing' },
    rounds: 3,
    blockMs: 1000,
    connections: 32,
    pacedPerSecond: 400,
    streamsPerSecond: 40,
    isControlApart: false,
    residentBytes: { idle: 100_000_000, after: 200_000_000 },
    measurements,
    profiles: [],
  };
}

const rowOf = (text: string, name: string) => text.split('\n').find((line) => line.startsWith(`| ${name} |`)) ?? '';

describe('the report of a bench', () => {
  it('gives the median of the ratios within the rounds, so that a busy minute does not count', () => {
    const text = renderReport(
      report([
        measurement('nginx', [10, 100, 10]),
        measurement('bare node:http proxy', [50, 500, 50]),
        measurement('governed HTTP forward', [20, 210, 30], { isGoverned: true, p50: 90 }),
      ]),
    );
    expect(rowOf(text, 'governed HTTP forward')).toBe(
      '| governed HTTP forward | 30 µs (20-210) | 2.10 | 0.42 | 1,234 | 1.0 % | 500 µs (500-500) |',
    );
    expect(text).toContain('| CPU of a governed HTTP forward against bare node:http proxy | ≤ 0.5 | 0.42 | met |');
    expect(text).toContain('| CPU of a governed HTTP forward against nginx | ≤ 4.5 | 2.10 | met |');
    expect(text).toContain("| p50 of a governed HTTP forward at 400 calls/s | ≤ 0.10 ms (the bare proxy's) | 0.09 ms | met |");
  });

  it('says so where a promise is missed or could not be measured', () => {
    const text = renderReport(
      report([measurement('bare node:http proxy', [50]), measurement('governed HTTP forward', [26], { isGoverned: true, p50: 101 })]),
    );
    expect(text).toContain('| ≤ 0.5 | 0.52 | MISSED |');
    expect(text).toContain('| ≤ 4.5 | not measured |  |');
    expect(text).toMatch(/forward at 400 calls\/s \|.*MISSED \|/);
  });

  it('compares each kind with its own rivals, and names their versions', () => {
    const text = renderReport(
      report([
        measurement('nginx', [10]),
        measurement('mcp-proxy', [800], { kind: 'mcp' }),
        measurement('governed tools/call', [80], { kind: 'mcp', isGoverned: true }),
      ]),
    );
    expect(rowOf(text, 'governed tools/call')).toBe(
      '| governed tools/call | 80 µs (80-80) | not measured | 0.10 | not measured | 1,234 | 1.0 % | 500 µs (500-500) |',
    );
    expect(text).toContain('| CPU of a governed tools/call against mcp-proxy | ≤ 1/8 | 0.10 | met |');
    expect(text).toContain('nginx 1.22.1, supergateway missing.');
  });

  it('warns where a proxy waited for its core, and only then', () => {
    const text = (waitedShare: number) =>
      renderReport(report([measurement('nginx', [10], { waitedShare }), measurement('bare node:http proxy', [50])]));
    expect(text(0.06)).toContain('up to 6.0 % of the time');
    expect(text(0.05)).not.toContain('busy');
  });

  it('claims no CPU where there is no proxy', () => {
    expect(rowOf(renderReport(report([measurement('direct, no proxy', [0], { isProxy: false })])), 'direct, no proxy')).toBe(
      '| direct, no proxy |  |  |  | 1,234 |  |  |',
    );
  });

  it('shows where the time goes, without what hardly counts', () => {
    const lines = [
      { kind: 'step' as const, name: 'decide', share: 0.25 },
      { kind: 'part' as const, name: 'undici', share: 0.5 },
      { kind: 'function' as const, name: 'tiny', share: 0.001 },
    ];
    const text = renderReport({ ...report([]), profiles: [{ name: 'a call', lines, otherThreads: 0.125 }] });
    expect(text).toContain('| decide | 25.0 % |');
    expect(text).toContain('| undici | 50.0 % |');
    expect(text).toContain('used 12.5 % of');
    expect(text).not.toContain('tiny');
  });
});
