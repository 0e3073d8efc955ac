import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../policies/index.ts';
import { costBoundOf, type ModelApi, readModelRequest } from '../../policies/model-request.ts';
import { pricesOf } from '../../policies/prices.ts';
import { outgoingText } from '../../proxy/model-outgoing.ts';
import { policyWith } from '../policies/scene.ts';

const policy = policyWith({ model: { prices: { '*': { input: 1, output: 10, contextTokens: 1_000 }, free: { input: 0, output: 0 } } } });

/** @param granted the limit that was reserved. */
function sent(api: ModelApi, text: string, granted: number, upstream = { name: 'house', url: 'https://models.example/v1' }): string {
  const body = JSON.parse(text) as JsonObject;
  const request = readModelRequest(api, body, text.length);
  if ('why' in request) throw new Error(request.why);
  const prices = pricesOf({ upstream: upstream.name, url: upstream.url, model: request.model, at: 0 }, policy);
  const bound = prices && costBoundOf(request, prices);
  if (bound === null || 'why' in bound) throw new Error('no bound');
  return outgoingText(text, body, { request, bound, granted }, upstream);
}
const OPENAI = { name: 'paid', url: 'https://api.openai.com/v1' };

describe('a request as it goes out', () => {
  it('is byte for byte what came where nothing has to be set', () => {
    const text = '{ "seed": 12345678901234567890, "model": "m", "max_tokens": 100, "messages": [] , "x": 1.0}';
    expect(sent('chat', text, 100)).toBe(text);
    expect(sent('messages', text, 400)).toBe(text);
  });

  it('has every limit lowered to what was reserved, and no other byte changed', () => {
    const text = '{"model":"m","max_tokens": 5000,"max_completion_tokens":90,"messages":[],"seed": 12345678901234567890}';
    expect(sent('chat', text, 100)).toBe(text.replace('5000', '100'));
  });

  it('gets a limit where it has none, by the member that its server knows; output that is free needs none', () => {
    const open = '{"model":"m","messages":[],"input":"x"}';
    expect(JSON.parse(sent('chat', open, 7))).toMatchObject({ max_tokens: 7 });
    expect(JSON.parse(sent('chat', open.replace('"m"', '"gpt-5-mini"'), 7))).toMatchObject({ max_completion_tokens: 7 });
    expect(JSON.parse(sent('chat', open, 7, OPENAI))).toMatchObject({ max_completion_tokens: 7 });
    expect(JSON.parse(sent('responses', open, 70))).toMatchObject({ max_output_tokens: 70 });
    expect(JSON.parse(sent('messages', open, 7))).toMatchObject({ max_tokens: 7 });
    expect(sent('chat', open.replace('"m"', '"free"'), 7)).toBe(open.replace('"m"', '"free"'));
  });

  it('asks for the usage of a stream, and keeps its other options', () => {
    const text = '{"model":"m","max_tokens":9,"messages":[],"stream":true,"stream_options":{"include_obfuscation":false}}';
    const body = JSON.parse(sent('chat', text, 9)) as JsonObject;
    expect(body.stream_options).toEqual({ include_obfuscation: false, include_usage: true });
    const asked = text.replace('"include_obfuscation":false', '"include_usage":true');
    expect(sent('chat', asked, 9)).toBe(asked);
    const other = '{"model":"m","max_output_tokens":90,"input":"x","stream":true}';
    expect(sent('responses', other, 90)).toBe(other);
  });

  it('names the usual service tier at OpenAI where it leaves that to a setting of the account', () => {
    const text = (tier: string) => `{"model":"m","max_output_tokens":90,"input":"x"${tier}}`;
    for (const tier of ['', ',"service_tier":null', ',"service_tier":"auto"'])
      expect(JSON.parse(sent('responses', text(tier), 90, OPENAI))).toMatchObject({ service_tier: 'default' });
    expect(JSON.parse(sent('responses', text(',"service_tier":"flex"'), 90, OPENAI))).toMatchObject({ service_tier: 'flex' });
    expect(sent('responses', text(''), 90)).toBe(text(''));
  });
});
