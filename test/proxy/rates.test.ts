import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Rates } from '../../proxy/rates.ts';

const START = 1_800_000_000_000;

describe('calls in the last minute', () => {
  it('are those of the sixty seconds before, except the one that is asked about', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20_000), { minLength: 1, maxLength: 60 }), (gaps) => {
        const rates = new Rates();
        const times: number[] = [];
        let now = START;
        for (const gap of gaps) {
          now += gap;
          rates.count('a', 't', now);
          times.push(now);
          const second = Math.floor(now / 1000);
          const expected = times.filter((time) => Math.floor(time / 1000) > second - 60).length - 1;
          expect(rates.lastMinute('a', 't', now)).toBe(expected);
        }
      }),
    );
  });

  it('are forgotten after a quiet minute, and a clock that steps back forgets nothing', () => {
    const rates = new Rates();
    for (let count = 0; count < 5; count++) rates.count('a', 't', START);
    expect(rates.lastMinute('a', 't', START - 30_000)).toBe(4);
    expect(rates.lastMinute('a', 't', START + 59_000)).toBe(4);
    expect(rates.lastMinute('a', 't', START + 60_000)).toBe(0);
  });

  it('are kept apart by agent and tool, also where names could run together', () => {
    const rates = new Rates();
    rates.count('a', 'bc', START);
    rates.count('a', 'bc', START);
    expect(rates.lastMinute('ab', 'c', START)).toBe(0);
    expect(rates.lastMinute('a', 'bc', START)).toBe(1);
  });

  it('stay right for a busy pair when tens of thousands of others come', () => {
    const rates = new Rates();
    for (let count = 0; count < 3; count++) rates.count('busy', 't', START);
    for (let index = 0; index < 15_000; index++) rates.count(`quiet-${index}`, 't', START);
    for (let index = 0; index < 15_000; index++) rates.count(`later-${index}`, 't', START + 61_000);
    rates.count('busy', 't', START + 61_000);
    expect(rates.lastMinute('busy', 't', START + 61_000)).toBe(0);
    expect(rates.lastMinute('later-14999', 't', START + 61_000)).toBe(0);
  });
});
