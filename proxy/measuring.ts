/**
 * Metrics of calls for OpenTelemetry, by the conventions for generative AI, and a few of our own. Loaded only where
 * OTEL_EXPORTER_OTLP_ENDPOINT is set, beside the traces (proxy/tracing.ts) and from the same stories: nothing of this is on the path of a
 * call. Prometheus has more (proxy/telemetry.ts); this is for who sends everything to one receiver.
 *
 * Invariant: all attributes are from closed lists, but for names of models, of which so many are kept apart and no more.
 */
import type { Attributes } from '@opentelemetry/api';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import type { CallStory } from './call-stories.ts';

export interface Measuring {
  /** Counts a call that is over. */
  tell: (story: CallStory) => void;
  /** Sends what is left, within the exporter's bounds. @throws Error where that could not be done. */
  close: () => Promise<void>;
}

const EXPORT_EVERY_MS = 10_000;
const EXPORT_MAX_MS = 3_000;
/** Callers choose the names of models. */
const MODELS_MAX = 200;
/** Both as the conventions advise: seconds, and tokens. */
const SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const TOKENS = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864];
/** A person decides within seconds or hours. */
const HOLD_SECONDS = [1, 5, 15, 60, 240, 900, 3_600, 14_400, 86_400];

/** @param endpoint of an OTLP receiver over HTTP, without `/v1/metrics`. @param everyMs how often it is sent. */
export function startMeasuring(endpoint: string, version: string, everyMs = EXPORT_EVERY_MS): Measuring {
  const exporter = new OTLPMetricExporter({ url: `${endpoint.replace(/\/$/, '')}/v1/metrics`, timeoutMillis: EXPORT_MAX_MS });
  const resource = resourceFromAttributes({ 'service.name': 'mission-control-proxy', 'service.version': version });
  const reader = new PeriodicExportingMetricReader({
    exporter,
    exportIntervalMillis: everyMs,
    exportTimeoutMillis: Math.min(everyMs, EXPORT_MAX_MS),
  });
  const provider = new MeterProvider({ resource, readers: [reader] });
  const meter = provider.getMeter('mission-control', version);
  const histogram = (name: string, unit: string, boundaries: number[], description: string) =>
    meter.createHistogram(name, { unit, description, advice: { explicitBucketBoundaries: boundaries } });
  const tokens = histogram('gen_ai.client.token.usage', '{token}', TOKENS, 'Tokens of a call of a model, as the provider counted them.');
  const duration = histogram('gen_ai.client.operation.duration', 's', SECONDS, 'From when a call was sent on to its last answer.');
  const held = histogram('mc.call.hold.duration', 's', HOLD_SECONDS, 'How long a call was held until it ran or was over.');
  const calls = meter.createCounter('mc.calls', { unit: '{call}', description: 'Calls that are over, by how they ended.' });
  const cost = meter.createCounter('mc.cost', { unit: 'USD', description: 'What calls cost, as they were settled.' });
  const models = new Set<string>();

  function tell({ call, judged, heldAt, startedAt, endedAt, end, costMicros, meter: metered }: CallStory): void {
    const isModel = call.entry === 'model';
    calls.add(1, { 'mc.entry': call.entry, 'mc.verdict': judged.verdict, 'mc.risk': judged.risk, 'mc.end': end });
    if (costMicros > 0) cost.add(costMicros / 1_000_000, { 'mc.entry': call.entry });
    if (heldAt !== null) held.record(Math.max(0, (startedAt ?? endedAt) - heldAt) / 1000, { 'mc.entry': call.entry, 'mc.end': end });
    if (startedAt === null) return;
    const attributes: Attributes = {
      'gen_ai.operation.name': isModel ? 'chat' : 'execute_tool',
      ...(isModel && { 'gen_ai.provider.name': call.model?.provider, 'gen_ai.request.model': nameOf(call.model?.name ?? '') }),
      ...((end === 'failed' || end === 'unknown') && { 'error.type': end }),
    };
    duration.record(Math.max(0, endedAt - startedAt) / 1000, attributes);
    const usage = metered?.usage ?? null;
    if (!isModel || usage === null) return;
    const counts = { input: usage.inputTokens, output: usage.outputTokens };
    for (const [type, count] of Object.entries(counts))
      if (count !== undefined) tokens.record(count, { ...attributes, 'gen_ai.token.type': type });
  }

  function nameOf(model: string): string {
    if (models.has(model)) return model;
    if (models.size >= MODELS_MAX) return '_OTHER';
    models.add(model);
    return model;
  }

  return { tell, close: () => provider.shutdown() };
}
