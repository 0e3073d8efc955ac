/**
 * OAuth 2.1 as MCP wants it (specification 2025-11-25 and 2026-07-28, Authorization), with the official client's own steps: whom a
 * server names for tokens (RFC 9728, 8414), registration (RFC 7591), PKCE, resource indicator (RFC 8707), refresh, client credentials.
 * Keeps nothing. What a server says in its errors is not repeated: it may hold what was sent.
 */
import type { AuthorizationServerMetadata, OAuthClientInformationMixed, OAuthTokens } from '@modelcontextprotocol/client';
import type { Outbound } from './outbound.ts';

/** Loaded when it is first needed: most installations have no upstream that asks for it. */
const official = () => import('@modelcontextprotocol/client');

export interface OAuthClient {
  clientId: string;
  clientSecret: string | null;
  /** How it shows who it is at the token endpoint, where its registration said so. */
  authMethod: string | null;
}

/** What was found out about whom a server trusts. */
export interface Discovery {
  /** The authorization server, as it names itself. */
  issuer: string;
  serverUrl: string;
  metadata: AuthorizationServerMetadata | null;
  /** The resource that tokens are for, letter for letter as the server names it; null where it says nothing. */
  resource: string | null;
  /** Scopes that the server asked for; null where it says nothing. */
  scope: string | null;
}

/** A token, and all that is needed for the next one. Bound to the authorization server that gave it. */
export interface Connection {
  discovery: Discovery;
  client: OAuthClient;
  accessToken: string;
  refreshToken: string | null;
}

/** Something is not as the protocol says. `isFinal`: trying again will not help; a person has to act. */
export class OAuthFailure extends Error {
  readonly isFinal: boolean;
  constructor(message: string, isFinal: boolean, options?: ErrorOptions) {
    super(message, options);
    this.isFinal = isFinal;
  }
}

/** Codes of RFC 6749 5.2 and 4.1.2.1 after which the same request fails for ever. */
const FINAL = new Set([
  'invalid_grant',
  'invalid_client',
  'unauthorized_client',
  'invalid_scope',
  'invalid_target',
  'unsupported_grant_type',
  'access_denied',
]);
const TOKEN_MAX_CHARS = 16_384;
const PING = JSON.stringify({ jsonrpc: '2.0', id: 0, method: 'ping' });

/**
 * Finds out whom `upstreamUrl` names for its tokens. @param issuer the only authorization server that is taken; null = whichever.
 * @throws OAuthFailure
 */
export async function discover(upstreamUrl: string, issuer: string | null, { fetch }: Outbound): Promise<Discovery> {
  const { discoverOAuthServerInfo, extractWWWAuthenticateParams, checkResourceAllowed, resourceUrlFromServerUrl } = await official();
  return asFailure(async () => {
    // Asked without a credential, so that it says where to get one. A ping does nothing and opens no session.
    const challenge = await fetch(upstreamUrl, {
      method: 'POST',
      headers: { accept: 'application/json, text/event-stream', 'content-type': 'application/json' },
      body: PING,
    });
    const { resourceMetadataUrl, scope } = challenge.status === 401 ? extractWWWAuthenticateParams(challenge) : {};
    const info = await discoverOAuthServerInfo(upstreamUrl, { ...(resourceMetadataUrl && { resourceMetadataUrl }), fetchFn: fetch });
    const resource = info.resourceMetadata?.resource ?? null;
    if (
      resource !== null &&
      !checkResourceAllowed({ requestedResource: resourceUrlFromServerUrl(upstreamUrl), configuredResource: resource })
    )
      throw new OAuthFailure(`the server says that its tokens are for ${resource.slice(0, 200)}, which is not its address`, true);
    const found = info.authorizationServerMetadata?.issuer ?? info.authorizationServerUrl;
    if (issuer !== null && withoutSlash(issuer) !== withoutSlash(found))
      throw new OAuthFailure(`the server names ${found.slice(0, 200)} for its tokens, and only ${issuer} is taken`, true);
    return {
      issuer: found,
      serverUrl: info.authorizationServerUrl,
      metadata: info.authorizationServerMetadata ?? null,
      resource,
      scope: scope ?? info.resourceMetadata?.scopes_supported?.join(' ') ?? null,
    };
  });
}

/** Registers Mission Control at an authorization server. @throws OAuthFailure where it takes no strangers. */
export async function register(discovery: Discovery, redirectUri: string, scope: string | null, { fetch }: Outbound): Promise<OAuthClient> {
  const { registerClient } = await official();
  const { metadata, serverUrl } = discovery;
  if (metadata !== null && metadata.registration_endpoint === undefined)
    throw new OAuthFailure(`${discovery.issuer} lets no client register itself: give a client id that was made there`, true);
  const registered = await asFailure(() =>
    registerClient(serverUrl, {
      ...(metadata !== null && { metadata }),
      clientMetadata: {
        client_name: 'Mission Control for OpenClaw',
        redirect_uris: [redirectUri],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        application_type: isLoopback(redirectUri) ? 'native' : 'web',
      },
      ...(scope !== null && { scope }),
      fetchFn: fetch,
    }),
  );
  return {
    clientId: registered.client_id,
    clientSecret: registered.client_secret ?? null,
    authMethod: registered.token_endpoint_auth_method ?? null,
  };
}

/** The scopes to ask for: what the administrator said, else what the server asked for; with them a token that can be renewed. */
export function scopeFor(discovery: Discovery, wanted: string | null): string | null {
  const scope = wanted ?? discovery.scope;
  const offers = discovery.metadata?.scopes_supported ?? [];
  if (scope === null || !offers.includes('offline_access') || scope.split(' ').includes('offline_access')) return scope;
  return `${scope} offline_access`;
}

/** Begins an authorization by a person. @returns the address to open, and the PKCE verifier that goes with it. @throws OAuthFailure */
export async function begin(
  discovery: Discovery,
  client: OAuthClient,
  { redirectUri, scope, state }: { redirectUri: string; scope: string | null; state: string },
): Promise<{ url: string; verifier: string }> {
  const { startAuthorization } = await official();
  // A server that does not say that it knows S256 must not be used (MCP Authorization, Authorization Code Protection).
  if (discovery.metadata !== null && !discovery.metadata.code_challenge_methods_supported?.includes('S256'))
    throw new OAuthFailure(`${discovery.issuer} does not say that it supports PKCE with S256, without which a code can be stolen`, true);
  const { authorizationUrl, codeVerifier } = await asFailure(() =>
    startAuthorization(discovery.serverUrl, {
      ...(discovery.metadata !== null && { metadata: discovery.metadata }),
      clientInformation: informationOf(client),
      redirectUrl: redirectUri,
      state,
      ...(scope !== null && { scope }),
      ...(discovery.resource !== null && { resource: discovery.resource }),
    }),
  );
  return { url: authorizationUrl.href, verifier: codeVerifier };
}

/**
 * Says whether an answer to an authorization request comes from the server that was asked (RFC 9207). To be asked before anything else
 * of the answer is read. @param iss as it came; null where it did not.
 */
export async function comesFrom({ metadata, issuer }: Discovery, iss: string | null): Promise<boolean> {
  const { validateAuthorizationResponseIssuer } = await official();
  try {
    validateAuthorizationResponseIssuer({
      iss: iss ?? undefined,
      expectedIssuer: metadata?.issuer ?? issuer,
      issParameterSupported: metadata?.authorization_response_iss_parameter_supported === true,
    });
    return true;
  } catch {
    return false;
  }
}

/** Turns the code that a person brought back into tokens. @throws OAuthFailure */
export async function exchange(
  discovery: Discovery,
  client: OAuthClient,
  { code, iss, verifier, redirectUri }: { code: string; iss: string | null; verifier: string; redirectUri: string },
  { fetch }: Outbound,
): Promise<OAuthTokens> {
  const { exchangeAuthorization } = await official();
  return asFailure(async () =>
    checked(
      await exchangeAuthorization(discovery.serverUrl, {
        ...tokenOptions(discovery, client, fetch),
        authorizationCode: code,
        ...(iss !== null && { iss }),
        codeVerifier: verifier,
        redirectUri,
      }),
    ),
  );
}

/** The next token, from the authorization server that gave the last one. @throws OAuthFailure */
export async function refresh({ discovery, client }: Connection, refreshToken: string, { fetch }: Outbound): Promise<OAuthTokens> {
  const { refreshAuthorization } = await official();
  return asFailure(async () =>
    checked(await refreshAuthorization(discovery.serverUrl, { ...tokenOptions(discovery, client, fetch), refreshToken })),
  );
}

/** A token for Mission Control itself, without a person. @throws OAuthFailure */
export async function askAsClient(
  discovery: Discovery,
  { clientId, clientSecret }: OAuthClient,
  scope: string | null,
  { fetch }: Outbound,
): Promise<OAuthTokens> {
  const { ClientCredentialsProvider, fetchToken } = await official();
  const provider = new ClientCredentialsProvider({
    clientId,
    clientSecret: clientSecret ?? '',
    expectedIssuer: discovery.issuer,
    ...(scope !== null && { scope }),
  });
  return asFailure(async () =>
    checked(
      await fetchToken(provider, discovery.serverUrl, {
        ...(discovery.metadata !== null && { metadata: discovery.metadata }),
        ...(discovery.resource !== null && { resource: discovery.resource }),
        ...(scope !== null && { scope }),
        fetchFn: fetch,
      }),
    ),
  );
}

function tokenOptions({ metadata, resource }: Discovery, client: OAuthClient, fetch: Outbound['fetch']) {
  return {
    ...(metadata !== null && { metadata }),
    clientInformation: informationOf(client),
    ...(resource !== null && { resource }),
    fetchFn: fetch,
  };
}

function informationOf({ clientId, clientSecret, authMethod }: OAuthClient): OAuthClientInformationMixed {
  return {
    client_id: clientId,
    ...(clientSecret !== null && { client_secret: clientSecret }),
    ...(authMethod !== null && { token_endpoint_auth_method: authMethod }),
  };
}

/** Only what fits a bearer credential (RFC 6750 2.1): anything else could be read as another header. @throws OAuthFailure */
function checked(tokens: OAuthTokens): OAuthTokens {
  if (!/^[\w.~+/-]+=*$/.test(tokens.access_token) || tokens.access_token.length > TOKEN_MAX_CHARS)
    throw new OAuthFailure('the authorization server gave a token that is none', true);
  return tokens;
}

async function asFailure<T>(step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (error instanceof OAuthFailure) throw error;
    const { OAuthError, IssuerMismatchError } = await official();
    if (error instanceof IssuerMismatchError)
      throw new OAuthFailure('the authorization server gives itself another name than the one it was found by', true, { cause: error });
    if (error instanceof OAuthError) {
      const code = /^[a-z_]{1,64}$/.test(error.code) ? error.code : 'an error that is not in the standard';
      throw new OAuthFailure(`the authorization server answered ${code}`, FINAL.has(error.code));
    }
    // A TypeError is ours or the network's; anything else may repeat what a server said.
    if (error instanceof TypeError) throw new OAuthFailure(error.message.slice(0, 500), false, { cause: error });
    throw new OAuthFailure(
      `what the server says about its tokens cannot be used (${error instanceof Error ? error.name : 'error'})`,
      false,
    );
  }
}

function isLoopback(url: string): boolean {
  return ['localhost', '127.0.0.1', '[::1]'].includes(new URL(url).hostname);
}

function withoutSlash(url: string): string {
  return url.replace(/\/$/, '');
}
