import { readFileSync } from 'node:fs';
import { calcPrice, findProvider } from '@pydantic/genai-prices';
import { assert, constantFrom, integer, property, record } from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  costOf,
  dearestInputCost,
  dearestOutputRate,
  type ModelPrices,
  PRICE_TABLE,
  pricesOf,
  roundUp,
  type Usage,
} from '../../policies/prices.ts';
import { policyWith } from './scene.ts';

const AT = Date.UTC(2026, 10, 22, 12);
const shipped = policyWith({});
const priced = (model: string, upstream = 'openai', policy = shipped, at = AT): ModelPrices => {
  const found = pricesOf({ upstream, url: null, model, at }, policy);
  if (found === null) throw new Error(`no price for ${model}`);
  return found;
};

describe('the price of a model', () => {
  it('comes from the table, by the provider that address or name tells', () => {
    expect(priced('gpt-4o-mini')).toMatchObject({ source: 'table', entry: 'openai/gpt-4o-mini', contextTokens: 128_000 });
    expect(priced('gpt-4o-mini-2024-07-18').entry).toBe('openai/gpt-4o-mini');
    expect(priced('claude-haiku-4-5', 'anthropic-eu').entry).toBe('anthropic/claude-haiku-4-5');
    const byUrl = pricesOf({ upstream: 'x', url: 'https://api.anthropic.com', model: 'claude-haiku-4-5', at: AT }, shipped);
    expect(byUrl?.entry).toBe('anthropic/claude-haiku-4-5');
  });

  it('of an upstream that could be anybody is the dearest that anybody takes for it', () => {
    const prices = priced('claude-haiku-4-5', 'some-reseller');
    const usage = { inputTokens: 1_000_000, outputTokens: 1_000_000 };
    const known = ['anthropic', 'google', 'azure'].map((upstream) => costOf(usage, priced('claude-haiku-4-5', upstream)));
    expect(costOf(usage, prices)).toBe(Math.max(...known));
  });

  it('that nobody knows refuses, or is the worst that is known, as the policy says', () => {
    const question = { upstream: 'openai', url: null, model: 'gpt-99-unheard-of', at: AT };
    expect(pricesOf(question, shipped)).toBeNull();
    const worst = pricesOf(question, policyWith({ model: { unknownPrice: 'worst' } }));
    expect(worst?.source).toBe('worst');
    const usage = { inputTokens: 1_000_000, outputTokens: 1_000_000 };
    for (const { id } of findProvider({ providerId: 'openai' })?.models ?? []) {
      const known = pricesOf({ upstream: 'openai', url: null, model: id, at: AT }, shipped);
      if (known && worst) expect(costOf(usage, worst)).toBeGreaterThanOrEqual(costOf(usage, known));
    }
    const anybody = pricesOf({ upstream: 'local', url: null, model: 'my-model', at: AT }, policyWith({ model: { unknownPrice: 'worst' } }));
    if (anybody && worst) expect(costOf(usage, anybody)).toBeGreaterThanOrEqual(costOf(usage, worst));
  });

  it('in the policy goes first: the most particular entry speaks', () => {
    const policy = policyWith({
      model: {
        prices: {
          '*': { input: 9, output: 9 },
          'gpt-*': { input: 1, output: 1 },
          'gpt-4o-mini': { input: 2, output: 2 },
          'cheap/*': { input: 3, output: 3 },
          'cheap/gpt-4o-mini': { input: 0.123456, output: 4, cacheRead: 0, request: 0.005, contextTokens: 9 },
        },
      },
    });
    const inputOf = (model: string, upstream: string) => costOf({ inputTokens: 1_000_000 }, priced(model, upstream, policy));
    expect(inputOf('gpt-9', 'openai')).toBe(1_000_000);
    expect(inputOf('other', 'openai')).toBe(9_000_000);
    // A model may have a "/" in its own name.
    expect(inputOf('house/other', 'openai')).toBe(9_000_000);
    expect(inputOf('gpt-4o-mini', 'openai')).toBe(2_000_000);
    expect(inputOf('gpt-9', 'cheap')).toBe(3_000_000);
    const own = priced('gpt-4o-mini', 'cheap', policy);
    expect(own).toMatchObject({ source: 'policy', entry: 'cheap/gpt-4o-mini', contextTokens: 9 });
    expect(costOf({ inputTokens: 1_000_000, cacheReadTokens: 500_000, outputTokens: 1 }, own)).toBe(61_728 + 4 + 5_000);
  });

  it('is that of the moment: a price that changed on a day has changed on that day', () => {
    const usage = { inputTokens: 1_000_000 };
    expect(costOf(usage, priced('o3', 'openai', shipped, Date.UTC(2025, 4, 1)))).toBe(10_000_000);
    expect(costOf(usage, priced('o3', 'openai', shipped, Date.UTC(2025, 6, 1)))).toBe(2_000_000);
  });

  it('is dated by the release of the table that is installed', () => {
    const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: Record<string, string> };
    expect(PRICE_TABLE).toBe(`genai-prices ${dependencies['@pydantic/genai-prices']}`);
  });

  it('a name without end or with a trap in it finds no price', () => {
    for (const model of ['x'.repeat(100_000), '__proto__', 'constructor', '']) {
      expect(pricesOf({ upstream: 'openai', url: null, model, at: AT }, shipped)).toBeNull();
    }
  });
});

const usages = record({
  input: integer({ min: 0, max: 500_000 }),
  cached: integer({ min: 0, max: 500_000 }),
  written: integer({ min: 0, max: 500_000 }),
  long: integer({ min: 0, max: 500_000 }),
  output: integer({ min: 0, max: 200_000 }),
  reasoning: integer({ min: 0, max: 200_000 }),
});
const models = constantFrom(
  ...[
    ['openai', 'gpt-4o-mini'],
    ['openai', 'gpt-5.4'],
    ['openai', 'gpt-6-sol'],
    ['openai', 'o3'],
  ].concat([
    ['anthropic', 'claude-sonnet-4-5'],
    ['anthropic', 'claude-opus-4-6'],
    ['anthropic', 'claude-fable-5-1'],
    ['perplexity', 'sonar'],
  ]),
);
const usageOf = ({
  input,
  cached,
  written,
  long,
  output,
  reasoning,
}: Record<'input' | 'cached' | 'written' | 'long' | 'output' | 'reasoning', number>) => {
  const cacheWriteLongTokens = Math.min(long, written);
  return {
    inputTokens: input + cached + written,
    cacheReadTokens: cached,
    cacheWriteTokens: written,
    cacheWriteLongTokens,
    outputTokens: output + reasoning,
    reasoningTokens: reasoning,
  } satisfies Usage;
};

describe('a cost', () => {
  it('is what the table’s own arithmetic says, rounded up to the micro-dollar', () => {
    assert(
      property(usages, models, (parts, [provider = '', model = '']) => {
        const usage = usageOf(parts);
        const theirs = calcPrice(
          {
            input_tokens: usage.inputTokens,
            cache_read_tokens: usage.cacheReadTokens,
            cache_write_tokens: usage.cacheWriteTokens,
            cache_write_1h_tokens: usage.cacheWriteLongTokens,
            output_tokens: usage.outputTokens,
            output_reasoning_tokens: usage.reasoningTokens,
          },
          model,
          { providerId: provider, timestamp: new Date(AT) },
        );
        const micros = (theirs?.total_price ?? Number.NaN) * 1_000_000;
        const ours = costOf(usage, priced(model, provider));
        expect(ours).toBeGreaterThanOrEqual(micros - 1e-3);
        expect(ours).toBeLessThan(micros + 1 + 1e-3);
      }),
      { numRuns: 2_000 },
    );
  });

  it('of nothing is nothing, and of what was not said as well', () => {
    const prices = priced('gpt-4o-mini');
    expect(costOf({ inputTokens: 0, outputTokens: 0 }, prices)).toBe(0);
    expect(costOf({}, prices)).toBe(0);
  });

  it('is exact: no float comes near it', () => {
    const prices = priced('gpt-4o-mini'); // 0.15 and 0.6 per million
    expect(costOf({ inputTokens: 20, outputTokens: 5 }, prices)).toBe(6);
    expect(costOf({ inputTokens: 7, outputTokens: 0 }, prices)).toBe(2); // 1.05 up
    expect(costOf({ inputTokens: 100_000_000, outputTokens: 0 }, prices)).toBe(15_000_000);
  });

  it('counts searches, audio and what a provider contradicts itself in at the dearer word', () => {
    expect(costOf({ inputTokens: 0, outputTokens: 0, webSearches: 3 }, priced('claude-haiku-4-5', 'anthropic'))).toBe(30_000);
    expect(costOf({ inputTokens: 0, outputTokens: 0, webSearches: 1 }, priced('gpt-4'))).toBe(35_000);
    const audio = priced('gpt-audio');
    expect(
      costOf({ inputTokens: 1_000_000, inputAudioTokens: 1_000_000, outputTokens: 1_000_000, outputAudioTokens: 400_000 }, audio),
    ).toBe(32_000_000 + 6_000_000 + 25_600_000);
    expect(costOf({ inputTokens: 10, cacheReadTokens: 1_000_000, outputTokens: 0 }, priced('gpt-4o'))).toBe(1_250_000);
  });
});

describe('the dearest cost', () => {
  it('is never below what any usage within the bounds costs', () => {
    assert(
      property(usages, models, integer({ min: 0, max: 50_000 }), (parts, [provider = '', model = ''], slack) => {
        const usage = usageOf(parts);
        const prices = priced(model, provider);
        const bound = usage.inputTokens + slack;
        const cacheWrites = usage.cacheWriteLongTokens > 0 ? 'long' : usage.cacheWriteTokens > 0 ? 'short' : 'none';
        const most =
          dearestInputCost(bound, { cacheWrites, audio: false }, prices) +
          roundUp(dearestOutputRate(bound, false, prices) * BigInt(usage.outputTokens));
        expect(most).toBeGreaterThanOrEqual(costOf(usage, prices));
      }),
      { numRuns: 2_000 },
    );
  });
});
