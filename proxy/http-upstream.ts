/**
 * The way to one HTTP tool at one revision of its registration: its connections, its secret, its bounds, its circuit breaker. The secret
 * is set here and nowhere else; redirects are not followed, they would lead past what an administrator registered.
 */
import { isIP } from 'node:net';
import type { UpstreamPicture } from '../control/contract.ts';
import { isSpecialAddress } from '../policies/index.ts';
import { publicLookup } from './addresses.ts';
import { Circuit } from './circuit.ts';
import { DEFAULT_FORWARD_BOUNDS, Forwarder, type ForwardFailure, type Outgoing, type Relayed, type RelayOptions } from './forward.ts';
import { secretHeader } from './upstream-secret.ts';

/** The upstream said that our own credential is wrong: nothing for the agent, which would take it for its own. */
class CredentialRefused extends Error {}

/** Sessions of an upstream would let one agent go on where another one was; what carries credentials of ours stays here. */
const NOT_FOR_AGENTS = ['set-cookie', 'set-cookie2', 'www-authenticate', 'authentication-info'];
const CONNECT_MS = 10_000;

export class HttpUpstream {
  readonly picture: UpstreamPicture;
  readonly base: URL;
  readonly #circuit: Circuit;
  readonly #forwarder: Forwarder;
  /** Why it may not be asked at all. */
  readonly #never: string | null;

  /** @param found how the upstream was found; for the registry. */
  constructor(picture: UpstreamPicture, clock: () => number, found: (ok: boolean, error: string | null) => void) {
    const { limits, secret, allowPrivate } = picture;
    this.picture = picture;
    this.base = new URL(picture.url ?? '');
    this.#circuit = new Circuit(clock, found);
    const host = this.base.hostname.replace(/^\[|\]$/g, '');
    this.#never = !allowPrivate && isIP(host) !== 0 && isSpecialAddress(host) ? `${host} is a private address` : null;
    this.#forwarder = new Forwarder(
      {
        origin: this.base.origin,
        setHeaders: secret === null ? [] : secretHeader(secret),
        removeHeaders: [],
        removeAnswerHeaders: NOT_FOR_AGENTS,
        ...(!allowPrivate && { lookup: publicLookup }),
      },
      {
        ...DEFAULT_FORWARD_BOUNDS,
        connectionsMax: limits.concurrency,
        queueMax: limits.concurrency,
        connectMaxMs: CONNECT_MS,
        headMaxMs: limits.timeoutMs,
        silenceMaxMs: limits.timeoutMs,
      },
    );
  }

  /** Sends a request on and streams the answer to the client (Forwarder.relay). */
  async relay(
    outgoing: Outgoing,
    response: Parameters<Forwarder['relay']>[1],
    options: RelayOptions & { tap: NonNullable<RelayOptions['tap']> },
  ): Promise<Relayed | ForwardFailure> {
    const why = this.#never ?? this.#circuit.refusal();
    if (why !== null)
      return { outcome: 'failed', failure: 'unreachable', message: why, mayHaveRun: false, answered: false, status: null, bytes: 0 };
    let refused: CredentialRefused | null = null;
    const { tap } = options;
    const result = await this.#forwarder.relay(outgoing, response, {
      ...options,
      maxBytes: this.picture.limits.responseMaxBytes,
      tap: {
        chunk: tap.chunk,
        head: (status, headers) => {
          if (status === 401 || status === 407) {
            refused = new CredentialRefused(`it refused our credential (HTTP ${status})`);
            throw refused;
          }
          tap.head(status, headers);
        },
      },
    });
    if (refused !== null && result.outcome === 'failed') return { ...result, message: 'it refused our credential', mayHaveRun: false };
    this.#learn(result);
    return result;
  }

  close(): Promise<void> {
    return this.#forwarder.close();
  }

  #learn(result: Relayed | ForwardFailure): void {
    if (result.outcome === 'relayed') {
      if (result.status >= 500) this.#circuit.failed(`HTTP ${result.status}`);
      else this.#circuit.succeeded();
      return;
    }
    // What the client, a person or the caller did says nothing about the upstream.
    if (result.failure === 'unreachable' || result.failure === 'timeout' || result.failure === 'broken')
      this.#circuit.failed(result.message);
  }
}
