/**
 * Name to address for everything that this process dials itself (SPEC 4.6): a name is resolved once, every address it leads to is looked
 * at, and what was looked at is what is dialled. There is no second look-up in which a name could lead somewhere else.
 */
import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { connect, isIP, type Socket } from 'node:net';
import { isSpecialAddress } from '../policies/index.ts';

/** A name leads to an address that is not public, and nobody allowed that. Nothing was sent. */
class PrivateAddress extends Error {
  readonly code = 'PRIVATE_ADDRESS';
}

/** For `connect.lookup` of a connection pool: refuses a name of which any address is not public. */
export function publicLookup(name: string, options: object, done: (error: Error | null, addresses: LookupAddress[]) => void): void {
  lookup(name, { ...options, all: true }).then(
    (addresses) => {
      const special = addresses.find(({ address }) => isSpecialAddress(address));
      if (special) done(new PrivateAddress(`${name} leads to the private address ${special.address}`), []);
      else done(null, addresses);
    },
    (error: Error) => done(error, []),
  );
}

/** The way out: names to addresses, and connections to addresses. Given to those who dial, so that both can be seen. */
export interface Network {
  /** All addresses of a name, in the resolver's order. @throws Error where it has none. */
  resolve: (host: string) => Promise<readonly string[]>;
  /** Begins to connect to an address, never to a name. */
  dial: (address: string, port: number) => Socket;
}

export const NETWORK: Network = {
  resolve: async (host) =>
    isIP(host) === 0 ? (await lookup(host, { all: true, order: 'verbatim' })).map(({ address }) => address) : [host],
  dial: (address, port) => {
    if (isIP(address) === 0) throw new Error(`${address} is not an address`);
    return connect({ host: address, port, allowHalfOpen: true });
  },
};

const ADDRESSES_MAX = 4;

/**
 * Connects to the first of these addresses that answers.
 * @param timeoutMs for all of them together. @throws Error where none does.
 */
export async function dialFirst(
  network: Network,
  addresses: readonly string[],
  port: number,
  timeoutMs: number,
  gone: AbortSignal,
): Promise<Socket> {
  const tried = addresses.slice(0, ADDRESSES_MAX);
  let failure: Error = new Error('the name has no address');
  const eachMs = Math.ceil(timeoutMs / Math.max(1, tried.length));
  for (const address of tried) {
    gone.throwIfAborted();
    try {
      return await dialOne(network, address, port, eachMs, gone);
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error));
    }
  }
  throw failure;
}

function dialOne(network: Network, address: string, port: number, timeoutMs: number, gone: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = network.dial(address, port);
    const settle = (error: Error | null) => {
      clearTimeout(timer);
      gone.removeEventListener('abort', onGone);
      socket.off('connect', onConnect).off('error', settle);
      if (error === null) return resolve(socket);
      socket.on('error', () => {}).destroy();
      reject(error);
    };
    const onConnect = () => settle(null);
    const onGone = () => settle(new Error('nobody waits for this connection any more'));
    const timer = setTimeout(() => settle(new Error(`${address} did not answer within ${timeoutMs} ms`)), timeoutMs);
    gone.addEventListener('abort', onGone);
    socket.on('connect', onConnect).on('error', settle);
  });
}
