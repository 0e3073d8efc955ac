/** docs/API.md names every route with who may call it, made from the routes themselves. `UPDATE_DOCS=1 npx vitest run test/docs/api.test.ts` writes it anew. */
import { describe, expect, it } from 'vitest';
import { type ApiDocument, type ApiOperation, type ApiSchema, apiDocument } from '../support/api-document.ts';
import { expectGenerated, tableOf } from './generated-part.ts';

const ROLES = ['viewer', 'approver', 'operator', 'admin'];

interface Route {
  method: string;
  path: string;
  operation: ApiOperation;
  /** The least role; null where anybody may ask. */
  role: string | null;
  agents: boolean;
}

const document = apiDocument();
const routes: Route[] = Object.entries(document.paths)
  .flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({
      method: method.toUpperCase(),
      path,
      operation,
      role: /^Role: (\w+)/.exec(operation.description ?? '')?.[1] ?? null,
      agents: /agent for what is its own/.test(operation.description ?? ''),
    })),
  )
  .toSorted((a, b) => (a.path === b.path ? a.method.localeCompare(b.method) : a.path.localeCompare(b.path)));

describe('docs/API.md', () => {
  it('says who may call what', () => {
    const mark = (may: boolean) => (may ? 'yes' : '');
    const rows = routes.map(({ method, path, role, agents }) => [
      `\`${method} ${path}\``,
      ...ROLES.map((_, index) => mark(role === null || ROLES.indexOf(role) <= index)),
      role === null ? 'anybody' : agents ? 'its own' : '',
    ]);
    expectGenerated('API.md', 'roles', tableOf(['route', ...ROLES, 'agent'], rows));
  });

  it('describes every route', () => {
    const tags = [...new Set(routes.map(({ operation }) => operation.tags?.[0] ?? ''))].toSorted();
    const text = tags
      .map((tag) => {
        const own = routes.filter(({ operation }) => operation.tags?.[0] === tag);
        const rows = own.map(({ method, path, operation }) => [
          `\`${method} ${path}\``,
          operation.summary ?? '',
          askedOf(operation, document),
          answeredOf(operation),
        ]);
        return `### ${tag}\n\n${tableOf(['route', 'does', 'takes', 'answers'], rows)}`;
      })
      .join('\n\n');
    expectGenerated('API.md', 'reference', text);
  });

  it('would notice a route without a role: only those of the session have none', () => {
    expect(routes.filter(({ role }) => role === null).map(({ path }) => path)).toEqual(Array(3).fill('/api/session'));
    expect(routes.length).toBeGreaterThan(100);
  });
});

/** Query parameters and fields of the body; what must be given is marked with a star. */
function askedOf({ parameters = [], requestBody }: ApiOperation, { components }: ApiDocument): string {
  const query = parameters.filter((parameter) => parameter.in === 'query').map(({ name, required }) => `${name}${required ? '*' : ''}`);
  const schema = requestBody?.content?.['application/json']?.schema;
  const body = schema === undefined ? [] : fieldsOf(schema, components.schemas);
  return [query.length > 0 && `query: ${query.map(code).join(', ')}`, body.length > 0 && `body: ${body.map(code).join(', ')}`]
    .filter(Boolean)
    .join('; ');
}

function fieldsOf(schema: ApiSchema, schemas: Record<string, ApiSchema>): string[] {
  const name = schema.$ref?.split('/').at(-1);
  if (name !== undefined) return fieldsOf(schemas[name] ?? {}, schemas);
  const choices = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  if (choices) return [...new Set(choices.flatMap((choice) => fieldsOf(choice, schemas)))];
  return Object.keys(schema.properties ?? {}).map((field) => `${field}${schema.required?.includes(field) ? '*' : ''}`);
}

function answeredOf({ responses = {} }: ApiOperation): string {
  const [status, response] = Object.entries(responses).find(([key]) => /^2/.test(key)) ?? ['', {}];
  const schema = response.content?.['application/json']?.schema;
  const name =
    schema?.$ref?.split('/').at(-1) ??
    (schema?.properties?.items?.items?.$ref && `page of ${schema.properties.items.items.$ref.split('/').at(-1)}`);
  return `${status}${name ? ` ${name}` : ''}`;
}

function code(name: string): string {
  return `\`${name}\``;
}
