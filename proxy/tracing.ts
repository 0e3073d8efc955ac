/**
 * Traces of calls for OpenTelemetry, by the conventions for generative AI: a span of the call, and within it its judgement, its hold and what
 * ran. Loaded only where OTEL_EXPORTER_OTLP_ENDPOINT is set. Spans are made when a call is over, from what the journal says, so that nothing
 * of this is on the path of a call; what cannot be exported is dropped by the exporter, never waited for.
 */
import { type Attributes, type Context, context, ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import type { CallStory } from './call-stories.ts';

export interface Tracing {
  /** Makes the spans of a call that is over. */
  tell: (story: CallStory) => void;
  /** Sends what is left, within the exporter's bounds. @throws Error where that could not be done. */
  close: () => Promise<void>;
}

const EXPORT_EVERY_MS = 1_000;
const EXPORT_MAX_MS = 3_000;

/** @param endpoint of an OTLP receiver over HTTP, without `/v1/traces`. */
export function startTracing(endpoint: string, version: string): Tracing {
  const exporter = new OTLPTraceExporter({ url: `${endpoint.replace(/\/$/, '')}/v1/traces` });
  const resource = resourceFromAttributes({ 'service.name': 'mission-control-proxy', 'service.version': version });
  const processor = new BatchSpanProcessor({ exporter, scheduledDelayMillis: EXPORT_EVERY_MS, exportTimeoutMillis: EXPORT_MAX_MS });
  const provider = new TracerProvider({ resource, spanProcessors: [processor] });
  const tracer = provider.getTracer('mission-control', version);

  function tell(story: CallStory): void {
    const { call, judged, judgedAt, heldAt, startedAt, endedAt, end } = story;
    const isModel = call.entry === 'model';
    const name = isModel ? `chat ${call.model?.name ?? ''}`.trim() : `execute_tool ${call.tool.slice(0, 200)}`;
    const span = tracer.startSpan(name, { kind: SpanKind.SERVER, startTime: call.at, attributes: attributesOf(story) }, parentOf(story));
    const inside = trace.setSpan(ROOT_CONTEXT, span);
    const part = (what: string, from: number, to: number, attributes: Attributes = {}, kind = SpanKind.INTERNAL) =>
      tracer.startSpan(what, { kind, startTime: from, attributes }, inside).end(to);
    part('judgement', call.at, judgedAt, { 'mc.verdict': judged.verdict, 'mc.policy.version': judged.policyVersion });
    if (heldAt !== null) part('hold', heldAt, startedAt ?? endedAt);
    if (startedAt !== null) part('upstream', startedAt, endedAt, {}, SpanKind.CLIENT);
    if (end === 'failed' || end === 'unknown') span.setStatus({ code: SpanStatusCode.ERROR, message: end });
    span.end(endedAt);
  }

  return { tell, close: () => provider.shutdown() };
}

/** The trace that the caller named goes on here; without one a new one begins. */
function parentOf({ call: { traceId, parentSpanId } }: CallStory): Context {
  if (traceId === null || parentSpanId === undefined) return ROOT_CONTEXT;
  return trace.setSpanContext(context.active(), { traceId, spanId: parentSpanId, traceFlags: TraceFlags.SAMPLED, isRemote: true });
}

function attributesOf({ call, judged, end, codes, costMicros, meter }: CallStory): Attributes {
  const usage = meter?.usage ?? null;
  return {
    'gen_ai.operation.name': call.entry === 'model' ? 'chat' : 'execute_tool',
    'gen_ai.agent.id': call.agentId,
    ...(call.sessionKey !== '' && { 'gen_ai.conversation.id': call.sessionKey }),
    ...(call.entry === 'model'
      ? {
          'gen_ai.provider.name': call.model?.provider,
          'gen_ai.request.model': call.model?.name,
          'gen_ai.usage.input_tokens': usage?.inputTokens,
          'gen_ai.usage.output_tokens': usage?.outputTokens,
        }
      : { 'gen_ai.tool.name': call.tool.slice(0, 200), 'gen_ai.tool.call.id': call.callId ?? call.id }),
    'mc.call.id': call.id,
    'mc.entry': call.entry,
    'mc.risk': judged.risk,
    'mc.end': end,
    'mc.cost.usd': costMicros / 1_000_000,
    ...(codes.length > 0 && { 'mc.reasons': [...codes] }),
    ...(call.taskId !== null && { 'mc.task.id': call.taskId }),
    ...(call.runId !== null && { 'mc.run.id': call.runId }),
    ...(call.traceId !== null && { 'mc.trace.id': call.traceId }),
  };
}
