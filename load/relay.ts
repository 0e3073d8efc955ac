/**
 * A stretch of network between two of our processes, which can be cut (connections end, new ones are refused), go silent (everything is
 * taken and nothing arrives, and arrives late once it is healed), and be healed.
 */
import { connect, createServer, type Socket } from 'node:net';

export interface Relay {
  port: number;
  cut: () => void;
  silence: () => void;
  heal: () => void;
  close: () => void;
}

type State = 'open' | 'cut' | 'silent';

/** Starts one on the loopback interface. @param port where it leads. */
export async function startRelay(port: number): Promise<Relay> {
  let state: State = 'open';
  const pairs = new Set<readonly [Socket, Socket]>();
  const waiting = new Set<Socket>();

  const server = createServer({ pauseOnConnect: true }, (near) => {
    near.on('error', () => {});
    if (state === 'cut') return void near.destroy();
    if (state === 'open') return join(near);
    waiting.add(near);
    near.on('close', () => waiting.delete(near));
  });

  function join(near: Socket): void {
    const far = connect(port, '127.0.0.1');
    const pair = [near, far] as const;
    pairs.add(pair);
    const end = () => {
      pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const side of pair) side.setNoDelay(true).on('error', end).on('close', end);
    near.pipe(far);
    far.pipe(near);
    if (state === 'silent') quiet(pair);
    else near.resume();
  }

  function end(): void {
    for (const [near, far] of pairs) {
      near.destroy();
      far.destroy();
    }
    for (const near of waiting) near.destroy();
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address ? address.port : 0,
    cut: () => {
      state = 'cut';
      end();
    },
    silence: () => {
      state = 'silent';
      for (const pair of pairs) quiet(pair);
    },
    heal: () => {
      const wasSilent = state === 'silent';
      state = 'open';
      if (!wasSilent) return;
      for (const [near, far] of pairs) {
        near.pipe(far);
        far.pipe(near);
      }
      for (const near of waiting) join(near);
      waiting.clear();
    },
    close: () => {
      server.close();
      end();
    },
  };
}

/** What is sent now waits in the kernel, as on a network that drops it and is asked again. */
function quiet([near, far]: readonly [Socket, Socket]): void {
  near.unpipe(far).pause();
  far.unpipe(near).pause();
}
