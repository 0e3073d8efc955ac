/**
 * The way to one provider at one revision of its registration: its connections, its key, its bounds. The key is set here and nowhere
 * else. Nothing is retried and redirects are not followed: the one is the client's, the other would lead past what was registered.
 */
import type { ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import type { UpstreamPicture } from '../control/contract.ts';
import { isSpecialAddress } from '../policies/index.ts';
import { publicLookup } from './addresses.ts';
import { DEFAULT_FORWARD_BOUNDS, Forwarder, type ForwardFailure, type Relayed, type RelayOptions } from './forward.ts';

const CONNECT_MS = 10_000;

/** Sessions, where the agent sits, and who pays: none of it is the agent's to say. */
const NOT_FOR_PROVIDERS = [
  'cookie',
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
  'openai-organization',
  'openai-project',
];
/** Sessions of a provider would let one agent go on where another one was. */
const NOT_FOR_AGENTS = ['set-cookie', 'set-cookie2'];

/** A request of a client, as it goes to the provider. */
export interface ModelSend {
  method: string;
  /** Below the provider's address: path and query. */
  path: string;
  rawHeaders: readonly string[];
  body: Buffer | null;
  /** The header in which the client sent its own credential; the key takes its place. */
  credential: 'authorization' | 'x-api-key';
}

export class ModelUpstream {
  readonly picture: UpstreamPicture;
  readonly #base: URL;
  readonly #forwarder: Forwarder;
  /** Why it may not be asked at all. */
  readonly #never: string | null;

  constructor(picture: UpstreamPicture) {
    const { limits, allowPrivate, url } = picture;
    this.picture = picture;
    this.#base = new URL(url ?? '');
    const host = this.#base.hostname.replace(/^\[|\]$/g, '');
    this.#never = !allowPrivate && isIP(host) !== 0 && isSpecialAddress(host) ? `${host} is a private address` : null;
    this.#forwarder = new Forwarder(
      {
        origin: this.#base.origin,
        // What is compressed cannot be metered as it goes by.
        setHeaders: ['accept-encoding', 'identity'],
        removeHeaders: NOT_FOR_PROVIDERS,
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

  /** Sends a request on and streams the answer to the client (Forwarder.relay). Never rejects. */
  async relay(
    { method, path, rawHeaders, body, credential }: ModelSend,
    response: ServerResponse,
    options: RelayOptions,
  ): Promise<Relayed | ForwardFailure> {
    if (this.#never !== null) {
      const nothing = { mayHaveRun: false, answered: false, status: null, bytes: 0 };
      return { outcome: 'failed', failure: 'unreachable', message: this.#never, ...nothing };
    }
    const { secret } = this.picture;
    const key = secret === null ? [] : credential === 'x-api-key' ? ['x-api-key', secret] : ['authorization', `Bearer ${secret}`];
    return this.#forwarder.relay({ method, path: this.#pathOf(path), rawHeaders, body, setHeaders: key }, response, options);
  }

  /** Nothing is under way. */
  get isIdle(): boolean {
    const { running, queued } = this.#forwarder.load;
    return running + queued === 0;
  }

  close(): Promise<void> {
    return this.#forwarder.close();
  }

  /** Below the registered address. Both it and clients may end in the version; it stands once. */
  #pathOf(path: string): string {
    const base = this.#base.pathname.replace(/\/+$/, '');
    const version = /\/v\d+[a-z0-9]*$/.exec(base)?.[0];
    const isTwice = version !== undefined && (path.startsWith(`${version}/`) || path === version);
    return `${base}${isTwice ? path.slice(version.length) : path}`;
  }
}
