import type { Profiler } from 'node:inspector';
import { describe, expect, it } from 'vitest';
import { summarise } from '../../load/profile.ts';

const ROOT = 'file:///somewhere';

/** A profile out of stacks, outermost first, with the microseconds that were spent at the end of each. */
function profileOf(stacks: [micros: number, ...frames: [name: string, url: string][]][]): Profiler.Profile {
  const nodes: Profiler.ProfileNode[] = [{ id: 1, callFrame: frame('(root)', ''), children: [] }];
  const samples: number[] = [];
  const timeDeltas: number[] = [];
  for (const [micros, ...frames] of stacks) {
    let at = nodes[0];
    for (const [name, url] of frames) {
      const known = nodes.find(
        (node) => at?.children?.includes(node.id) && node.callFrame.functionName === name && node.callFrame.url === url,
      );
      const next = known ?? { id: nodes.length + 1, callFrame: frame(name, url), children: [] };
      if (!known) {
        nodes.push(next);
        at?.children?.push(next.id);
      }
      at = next;
    }
    samples.push(at?.id ?? 1);
    timeDeltas.push(micros);
  }
  return { nodes, startTime: 0, endTime: 0, samples, timeDeltas };
}

function frame(functionName: string, url: string) {
  return { functionName, url, scriptId: '0', lineNumber: 9, columnNumber: 0 };
}

describe('the summary of a profile', () => {
  const admit: [string, string] = ['admit', `${ROOT}/proxy/admission.ts`];
  const decide: [string, string] = ['decide', `${ROOT}/policies/decide.ts`];
  const lines = summarise(
    profileOf([
      [10, admit],
      [20, admit, decide],
      [30, admit, decide, ['redactArguments', `${ROOT}/policies/secrets.ts`], ['redactString', `${ROOT}/policies/secrets.ts`]],
      [15, ['readMore', `${ROOT}/node_modules/undici/lib/client.js`]],
      [5, ['llhttp', 'wasm://wasm/1']],
      [10, ['parserOnIncoming', 'node:_http_server']],
      [10, ['writev', '']],
      [999, ['(idle)', '']],
      [999, ['post', 'node:inspector']],
    ]),
  );
  const shareOf = (kind: string, name: string) => lines.find((line) => line.kind === kind && line.name === name)?.share;

  it('counts for a step all that it calls, and each moment once', () => {
    expect(shareOf('step', 'decide')).toBeCloseTo(0.5);
    expect(shareOf('step', '- of it: look for credentials')).toBeCloseTo(0.3);
    expect(shareOf('step', 'identity')).toBe(0);
  });

  it('counts for a part its own time, and leaves out waiting and the profile itself', () => {
    expect(shareOf('part', 'proxy/admission')).toBeCloseTo(0.1);
    expect(shareOf('part', 'policies/decide')).toBeCloseTo(0.2);
    expect(shareOf('part', 'policies/secrets')).toBeCloseTo(0.3);
    expect(shareOf('part', 'undici')).toBeCloseTo(0.2);
    expect(shareOf('part', 'node:http')).toBeCloseTo(0.1);
    expect(shareOf('part', 'writing to sockets (native)')).toBeCloseTo(0.1);
    const parts = lines.filter((line) => line.kind === 'part');
    expect(parts.reduce((sum, line) => sum + line.share, 0)).toBeCloseTo(1);
    expect(parts[0]?.name).toBe('policies/secrets');
  });

  it('names functions with their place', () => {
    expect(shareOf('function', 'redactString policies/secrets.ts:10')).toBeCloseTo(0.3);
  });
});
