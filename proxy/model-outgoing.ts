/** A request to a model as it goes out: what was judged, with the few members that we answer for set in its text. */
import type { UpstreamPicture } from '../control/contract.ts';
import type { Json, JsonObject } from '../policies/index.ts';
import { limitMemberFor } from '../policies/model-request.ts';
import { providerIdOf } from '../policies/prices.ts';
import { withMember } from './json-members.ts';
import { isLimitAdded, type Metering } from './model-metering.ts';

/** The request as it goes out: the limit that was reserved, and the usage asked for. Otherwise the bytes that were judged. */
export function outgoingText(
  text: string,
  body: JsonObject,
  { request, bound, granted }: Omit<Metering, 'prices'>,
  upstream: Pick<UpstreamPicture, 'name' | 'url'>,
): string {
  const { api, model, limits, stream, includesUsage } = request;
  let changed = text;
  for (const { member, tokens } of limits) if (tokens > granted) changed = withMember(changed, member, String(granted));
  if (isLimitAdded(request, bound)) {
    const provider = providerIdOf(upstream.name, upstream.url);
    changed = withMember(changed, limitMemberFor(api, model, provider === 'openai' || provider === 'azure'), String(granted));
  }
  // "auto" can mean a dearer tier by a setting of the account that no request shows.
  if (api !== 'messages' && providerIdOf('', upstream.url) === 'openai' && (body.service_tier ?? 'auto') === 'auto')
    changed = withMember(changed, 'service_tier', '"default"');
  if (stream && !includesUsage) {
    const options = isObject(body.stream_options) ? body.stream_options : {};
    changed = withMember(changed, 'stream_options', JSON.stringify({ ...options, include_usage: true }));
  }
  return changed;
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
