/**
 * An OAuth 2.1 authorization server on loopback, and an MCP server behind it that takes its tokens only: what hosted MCP servers are.
 * It checks what it is sent as a strict one would, counts its grants, and can be told to misbehave.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface AuthorizationServer {
  url: string;
  /** Address of the MCP server that it guards. */
  mcpUrl: string;
  /** What it does; may be changed while it runs. */
  rules: Rules;
  /** Grants that were given, by grant type. */
  grants: Map<string, number>;
  /** Bodies of the token requests, as they came. */
  tokenRequests: URLSearchParams[];
  registered: Record<string, unknown>[];
  /** Paths that were asked for. */
  paths: string[];
  /** Tokens that are good now; taking one away revokes it. */
  accessTokens: Set<string>;
  refreshTokens: Set<string>;
  /** Every token that was ever given. */
  given: string[];
  close: () => Promise<void>;
}

interface Rules {
  expiresIn: number | null;
  /** Clients that were made by hand: id → secret. */
  clients: Map<string, string>;
  allowRegistration: boolean;
  /** Whom the MCP server names for its tokens; null = this server. */
  namedServer: string | null;
  /** What the metadata says it is called; null = the truth. */
  issuerInMetadata: string | null;
  /** What it says in its answers (RFC 9207); null = nothing. */
  iss: string | null;
  saysIss: boolean;
  /** The token endpoint fails. */
  isDown: boolean;
  /** Documents that are far too large. */
  isFlood: boolean;
  scope: string | null;
  /** What every access token begins with. */
  tokenPrefix: string;
}

/** @param target the MCP server that answers once a token was taken. */
export async function startAuthorizationServer(target: string): Promise<AuthorizationServer> {
  const grants = new Map<string, number>();
  const tokenRequests: URLSearchParams[] = [];
  const registered: Record<string, unknown>[] = [];
  const paths: string[] = [];
  const accessTokens = new Set<string>();
  const refreshTokens = new Set<string>();
  const given: string[] = [];
  const codes = new Map<string, { challenge: string; redirectUri: string; resource: string | null; clientId: string }>();
  const rules: Rules = {
    expiresIn: 3600,
    clients: new Map(),
    allowRegistration: true,
    namedServer: null,
    issuerInMetadata: null,
    iss: null,
    saysIss: true,
    isDown: false,
    isFlood: false,
    scope: null,
    tokenPrefix: 'at-',
  };
  let url = '';

  const server = createServer(async (request, response) => {
    const asked = new URL(request.url ?? '/', url);
    paths.push(asked.pathname);
    const json = (status: number, body: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    switch (asked.pathname) {
      case '/mcp': {
        const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
        if (token !== undefined && accessTokens.has(token)) return pass(request, response);
        const scope = rules.scope === null ? '' : `, scope="${rules.scope}"`;
        response.writeHead(401, { 'www-authenticate': `Bearer resource_metadata="${url}/resource"${scope}` }).end();
        return;
      }
      case '/resource':
        if (rules.isFlood) return json(200, { resource: `${url}/mcp`, filling: 'x'.repeat(2_000_000) });
        return json(200, { resource: `${url}/mcp`, authorization_servers: [rules.namedServer ?? url] });
      case '/.well-known/oauth-authorization-server':
        return json(200, {
          issuer: rules.issuerInMetadata ?? url,
          authorization_endpoint: `${url}/authorize`,
          token_endpoint: `${url}/token`,
          ...(rules.allowRegistration && { registration_endpoint: `${url}/register` }),
          response_types_supported: ['code'],
          grant_types_supported: ['authorization_code', 'refresh_token', 'client_credentials'],
          code_challenge_methods_supported: ['S256'],
          token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'none'],
          authorization_response_iss_parameter_supported: rules.saysIss,
        });
      case '/register': {
        const body = JSON.parse(await textOf(request)) as Record<string, unknown>;
        registered.push(body);
        const secret = randomUUID();
        const id = `client-${randomUUID()}`;
        rules.clients.set(id, secret);
        return json(201, { ...body, client_id: id, client_secret: secret });
      }
      case '/authorize': {
        const query = asked.searchParams;
        const redirectUri = query.get('redirect_uri') ?? '';
        if (!rules.clients.has(query.get('client_id') ?? '') || query.get('code_challenge_method') !== 'S256') return json(400, {});
        const code = randomUUID();
        codes.set(code, {
          challenge: query.get('code_challenge') ?? '',
          redirectUri,
          resource: query.get('resource'),
          clientId: query.get('client_id') ?? '',
        });
        const back = new URL(redirectUri);
        back.searchParams.set('code', code);
        back.searchParams.set('state', query.get('state') ?? '');
        if (rules.saysIss) back.searchParams.set('iss', rules.iss ?? url);
        response.writeHead(302, { location: back.href }).end();
        return;
      }
      case '/token': {
        if (rules.isDown) return json(503, {});
        return json(...grant(new URLSearchParams(await textOf(request)), request.headers.authorization));
      }
      default:
        return json(404, {});
    }
  });

  function grant(body: URLSearchParams, authorization: string | undefined): [number, unknown] {
    tokenRequests.push(body);
    const [id, secret] = authorization
      ? Buffer.from(authorization.replace(/^Basic /, ''), 'base64')
          .toString()
          .split(':')
      : [body.get('client_id') ?? '', body.get('client_secret') ?? undefined];
    if (rules.clients.get(id ?? '') !== secret) return [401, { error: 'invalid_client' }];
    const type = body.get('grant_type') ?? '';
    switch (type) {
      case 'authorization_code': {
        const code = codes.get(body.get('code') ?? '');
        codes.delete(body.get('code') ?? '');
        const challenge = createHash('sha256')
          .update(body.get('code_verifier') ?? '')
          .digest('base64url');
        const isGood =
          code?.challenge === challenge &&
          code.redirectUri === body.get('redirect_uri') &&
          code.resource === body.get('resource') &&
          code.clientId === id;
        if (!isGood) return [400, { error: 'invalid_grant' }];
        break;
      }
      case 'refresh_token':
        // Each is good once (OAuth 2.1, 4.3.1).
        if (!refreshTokens.delete(body.get('refresh_token') ?? '')) return [400, { error: 'invalid_grant' }];
        break;
      case 'client_credentials':
        break;
      default:
        return [400, { error: 'unsupported_grant_type' }];
    }
    grants.set(type, (grants.get(type) ?? 0) + 1);
    const [access, renewal] = [`${rules.tokenPrefix}${randomUUID()}`, `rt-${randomUUID()}`];
    accessTokens.add(access);
    refreshTokens.add(renewal);
    given.push(access, renewal);
    return [
      200,
      {
        access_token: access,
        token_type: 'Bearer',
        ...(rules.expiresIn !== null && { expires_in: rules.expiresIn }),
        ...(type !== 'client_credentials' && { refresh_token: renewal }),
      },
    ];
  }

  function pass(request: IncomingMessage, response: ServerResponse): void {
    const onward = httpRequest(target, { method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    response.on('close', () => onward.destroy());
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    mcpUrl: `${url}/mcp`,
    rules,
    grants,
    tokenRequests,
    registered,
    paths,
    accessTokens,
    refreshTokens,
    given,
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += chunk;
  return text;
}
