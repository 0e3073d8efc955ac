/** The OpenAPI document of the control API, made from its routes without starting anything: no service behind them is ever asked. */
import { createApi, type Services } from '../../control/api.ts';

export interface ApiOperation {
  tags?: string[];
  summary?: string;
  /** Says who may call it: "Role: viewer, or an agent for what is its own." */
  description?: string;
  parameters?: { name: string; in: 'path' | 'query'; required?: boolean; schema?: ApiSchema }[];
  requestBody?: { content?: Record<string, { schema?: ApiSchema }> };
  responses?: Record<string, { description?: string; content?: Record<string, { schema?: ApiSchema }> }>;
}
export interface ApiSchema {
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  $ref?: string;
  items?: ApiSchema;
  properties?: Record<string, ApiSchema>;
  required?: string[];
  anyOf?: ApiSchema[];
  oneOf?: ApiSchema[];
  allOf?: ApiSchema[];
  description?: string;
  additionalProperties?: ApiSchema | boolean;
}
export interface ApiDocument {
  paths: Record<string, Record<string, ApiOperation>>;
  components: { schemas: Record<string, ApiSchema> };
}

const nothing: object = new Proxy(() => nothing, { get: () => nothing });

export function apiDocument(): ApiDocument {
  const app = createApi(nothing as Services);
  const document: unknown = app.getOpenAPI31Document({ openapi: '3.1.0', info: { title: 'Mission Control for OpenClaw', version: '' } });
  return document as ApiDocument;
}
