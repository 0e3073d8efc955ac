/**
 * One server process for many callers: every caller gets a channel that looks like its own. Ids, progress tokens and subscriptions are
 * renamed on the way in and back on the way out, so that two callers never meet; the handshake is made once and its result told to all.
 */
import type { JsonObject } from '../policies/index.ts';
import type { Channel } from './mcp-exchange.ts';
import { errorMessage, isObject, metaOf, RPC, type RpcId, readServerMessage } from './mcp-message.ts';

const SUBSCRIPTION = 'io.modelcontextprotocol/subscriptionId';

interface Pending {
  to: Member;
  id: RpcId;
  /** The caller's own progress token. */
  token: RpcId | null;
}

interface Member extends Channel {
  isOpen: boolean;
}

export class Multiplexer {
  readonly #channel: Channel;
  readonly #members = new Set<Member>();
  /** By our id, in the order in which they were sent. */
  readonly #pending = new Map<string, Pending>();
  #count = 0;
  #initialized: Promise<JsonObject> | null = null;
  #onInitialized: ((message: JsonObject) => void) | null = null;
  #saidInitialized = false;

  /** @param channel to the process; its messages are ours from now on. @param onClose it has ended. */
  constructor(channel: Channel, onClose: (why: string) => void) {
    this.#channel = channel;
    channel.onMessage = (text) => this.#receive(text);
    channel.onClose = (why) => {
      onClose(why);
      for (const member of this.#members) member.onClose(why);
      this.#members.clear();
    };
  }

  /** A channel for one caller. Closing it cancels what it still waits for. */
  open(): Channel {
    const member: Member = {
      isOpen: true,
      onMessage: () => {},
      onClose: () => {},
      send: (text) => this.#send(member, text),
      close: () => this.#leave(member),
    };
    this.#members.add(member);
    return member;
  }

  close(): void {
    this.#channel.close();
  }

  async #send(member: Member, text: string): Promise<void> {
    const message = JSON.parse(text) as JsonObject;
    const { id, method } = message;
    if (method === 'initialize' && (typeof id === 'string' || typeof id === 'number')) return this.#initialize(member, id, message);
    if (method === 'notifications/initialized') {
      if (this.#saidInitialized) return;
      this.#saidInitialized = true;
    }
    if (method === 'notifications/cancelled') {
      const named = isObject(message.params) ? message.params.requestId : undefined;
      const own = [...this.#pending].find(([, pending]) => pending.to === member && pending.id === named)?.[0];
      if (own === undefined) return;
      return this.#channel.send(JSON.stringify({ ...message, params: { ...(message.params as JsonObject), requestId: own } }));
    }
    if (typeof method !== 'string' || (typeof id !== 'string' && typeof id !== 'number')) return this.#channel.send(text);
    return this.#channel.send(JSON.stringify(this.#rename(member, id, message)));
  }

  #rename(member: Member, id: RpcId, message: JsonObject): JsonObject {
    const own = `mc-${++this.#count}`;
    const params = isObject(message.params) ? message.params : {};
    const meta = metaOf(params);
    const token = typeof meta.progressToken === 'string' || typeof meta.progressToken === 'number' ? meta.progressToken : null;
    this.#pending.set(own, { to: member, id, token });
    const renamed = token === null ? message.params : { ...params, _meta: { ...meta, progressToken: own } };
    return { ...message, id: own, ...(renamed !== undefined && { params: renamed }) };
  }

  async #initialize(member: Member, id: RpcId, message: JsonObject): Promise<void> {
    if (this.#initialized === null) {
      const { promise, resolve } = Promise.withResolvers<JsonObject>();
      this.#initialized = promise;
      this.#onInitialized = resolve;
      await this.#channel.send(JSON.stringify({ ...message, id: 'mc-initialize' }));
    }
    void this.#initialized.then((answer) => {
      if (member.isOpen) member.onMessage(JSON.stringify({ ...answer, id }));
    });
  }

  #receive(text: string): void {
    const message = readServerMessage(text);
    if (message === null) return;
    const value = JSON.parse(text) as JsonObject;
    if (message.kind === 'response') {
      if (message.id === 'mc-initialize') {
        this.#onInitialized?.(value);
        // A handshake that failed is made again by the next caller.
        if (message.error !== undefined) this.#initialized = null;
        return;
      }
      const pending = this.#pending.get(String(message.id));
      if (!pending) return;
      this.#pending.delete(String(message.id));
      pending.to.onMessage(JSON.stringify({ ...value, id: pending.id }));
      return;
    }
    if (message.kind === 'request') {
      const asker = [...this.#pending.values()].at(-1)?.to;
      if (asker) asker.onMessage(text);
      else
        void this.#channel
          .send(JSON.stringify(errorMessage(message.id, RPC.methodNotFound, 'Nobody is there to be asked.')))
          .catch(() => {});
      return;
    }
    const { params } = message;
    if (message.method === 'notifications/progress') {
      const pending = this.#pending.get(String(params.progressToken));
      pending?.to.onMessage(JSON.stringify({ ...value, params: { ...params, progressToken: pending.token } }));
      return;
    }
    const subscription = metaOf(params)[SUBSCRIPTION];
    if (subscription !== undefined) {
      const pending = this.#pending.get(String(subscription));
      const meta = { ...metaOf(params), [SUBSCRIPTION]: pending?.id ?? null };
      pending?.to.onMessage(JSON.stringify({ ...value, params: { ...params, _meta: meta } }));
      return;
    }
    for (const member of this.#members) member.onMessage(text);
  }

  #leave(member: Member): void {
    member.isOpen = false;
    this.#members.delete(member);
    for (const [own, pending] of this.#pending) {
      if (pending.to !== member) continue;
      this.#pending.delete(own);
      const params = { requestId: own, reason: 'the caller left' };
      void this.#channel.send(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params })).catch(() => {});
    }
  }
}
