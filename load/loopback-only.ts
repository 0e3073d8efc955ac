/** Loaded into a rival before its own code: whatever it listens on, it listens on loopback only. */
import { Server } from 'node:net';

const listen = Server.prototype.listen;
Server.prototype.listen = function listenOnLoopback(this: Server, ...args: unknown[]) {
  const [first] = args;
  const callback = args.find((each) => typeof each === 'function');
  const port = typeof first === 'object' && first !== null ? (first as { port?: number }).port : first;
  return Reflect.apply(listen, this, [{ port: Number(port), host: '127.0.0.1' }, ...(callback ? [callback] : [])]);
} as typeof listen;
