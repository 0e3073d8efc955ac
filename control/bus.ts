/**
 * The bus between the processes of one installation. It carries hints, never authority: whoever hears that something changed reads it
 * where it is kept, and whoever hears nothing finds out a moment later by looking. So a message that is lost costs time, and one that is
 * forged costs a look; the stop is the exception, and it travels signed (control/stop-order.ts).
 *
 * Every message reaches every listener of every process, the sender's own among them, at most once.
 */
import { createClient } from 'redis';
import { BUS_CHANNEL, type BusMessage, BusMessageSchema } from './contract.ts';

export interface Bus {
  /** Says something; returns at once and never throws. */
  publish: (message: BusMessage) => void;
  /** Whether what is said here reaches the other processes now. */
  isConnected: () => boolean;
  /** @returns a function that ends it. */
  subscribe: (listener: (message: BusMessage) => void) => () => void;
  close: () => Promise<void>;
}

const CONNECT_MAX_MS = 2_000;
const RECONNECT_MS = 250;

/** The bus of a process that is alone. */
export function createLocalBus(): Bus {
  const listeners = new Set<(message: BusMessage) => void>();
  return {
    publish: (message) => {
      // Not on the caller's stack, as on the other bus.
      queueMicrotask(() => {
        for (const listener of listeners) listener(message);
      });
    },
    isConnected: () => true,
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: async () => listeners.clear(),
  };
}

/**
 * The bus on Redis. Without Redis it is silent and tries to connect again.
 * @param onError hears of it when Redis is away, and of messages that are none.
 */
export function createRedisBus(url: string, onError: (error: unknown) => void): Bus {
  const listeners = new Set<(message: BusMessage) => void>();
  const options = {
    url,
    RESP: 2 as const,
    disableOfflineQueue: true,
    socket: { connectTimeout: CONNECT_MAX_MS, reconnectStrategy: RECONNECT_MS },
  };
  const sending = createClient(options);
  // A connection that listens can do nothing else; what it listens to is asked for again by itself when it is back.
  const hearing = createClient({ ...options, disableOfflineQueue: false });
  for (const client of [sending, hearing]) client.on('error', onError);
  const connecting = Promise.allSettled([sending.connect(), hearing.connect()]);
  hearing.subscribe(BUS_CHANNEL, hear).catch(onError);

  function hear(text: string): void {
    let message: BusMessage;
    try {
      message = BusMessageSchema.parse(JSON.parse(text));
    } catch (error) {
      onError(new Error('something on the bus is no message', { cause: error }));
      return;
    }
    for (const listener of listeners) listener(message);
  }

  return {
    publish: (message) => {
      if (sending.isReady) sending.publish(BUS_CHANNEL, JSON.stringify(message)).catch(onError);
    },
    isConnected: () => sending.isReady && hearing.isReady,
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: async () => {
      listeners.clear();
      sending.destroy();
      hearing.destroy();
      await connecting;
    },
  };
}
