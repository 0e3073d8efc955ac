/** The bus, in one process and on Redis: what whoever publishes and whoever listens may count on. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bus, createLocalBus, createRedisBus } from '../../control/bus.ts';
import { BUS_CHANNEL, type BusMessage } from '../../control/contract.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { until } from '../support/world.ts';

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis?.close());

const changes = (from: string): BusMessage => ({ type: 'changes', from });
const heardBy = (bus: Bus) => {
  const heard: BusMessage[] = [];
  return { heard, leave: bus.subscribe((message) => heard.push(message)) };
};
/** Says something until it is heard: a bus that has just been opened may still be connecting. */
const connected = (bus: Bus, heard: readonly BusMessage[]) =>
  until(
    () => {
      bus.publish(changes('first'));
      return heard.length;
    },
    (count) => count > 0,
  );

for (const [name, open] of [
  ['in one process', () => createLocalBus()],
  ['on Redis', () => createRedisBus(redis.url, () => {})],
] as const) {
  describe(`a bus ${name}`, () => {
    it('brings each message to every listener, in order, until that leaves', async () => {
      const bus = open();
      const [one, two] = [heardBy(bus), heardBy(bus)];
      await connected(bus, one.heard);
      await until(
        () => one.heard.length === two.heard.length,
        (same) => same,
      );
      two.leave();
      const [before, quiet] = [one.heard.length, two.heard.length];
      for (const from of ['a', 'b', 'c']) bus.publish(changes(from));
      await until(
        () => one.heard.slice(before).filter((message) => message.type !== 'stop' && message.from !== 'first').length,
        (count) => count === 3,
      );
      const order = one.heard.slice(before).flatMap((message) => (message.type === 'stop' ? [] : message.from));
      expect(order.filter((from) => from !== 'first')).toEqual(['a', 'b', 'c']);
      expect(two.heard).toHaveLength(quiet);
      await bus.close();
    });

    it('takes what is said after its end without a word', async () => {
      const bus = open();
      await bus.close();
      expect(() => bus.publish(changes('late'))).not.toThrow();
    });
  });
}

describe('a bus on Redis', () => {
  it('drops what is no message, and is heard again when Redis comes back', async () => {
    const errors: unknown[] = [];
    const [one, two] = [createRedisBus(redis.url, (error) => errors.push(error)), createRedisBus(redis.url, () => {})];
    const { heard } = heardBy(one);
    await connected(two, heard);
    for (const text of ['no JSON', '{}', '{"type":"lift"}', '{"type":"changes"}']) await redis.client.publish(BUS_CHANNEL, text);
    await until(
      () => errors.length,
      (count) => count === 4,
    );
    expect(heard.every(({ type }) => type === 'changes')).toBe(true);
    await redis.kill();
    expect(() => two.publish(changes('into the void'))).not.toThrow();
    await redis.start();
    heard.length = 0;
    await connected(two, heard);
    await Promise.all([one.close(), two.close()]);
  });
});
