/**
 * What only the proxy that let a call run knows, asked of the others (decision 0026): whether a decision of the gate waits for this MCP call,
 * whether a call opened this host, whether a call still runs. A question goes to one proxy after the other, over the way that control names;
 * both question and answer prove that they know the cluster secret, so that nothing runs because of who stands where a proxy stood.
 *
 * Invariant: whoever cannot be asked has said no. The call is then judged here like any other.
 */
import { createHmac, hash, randomBytes } from 'node:crypto';
import { Agent } from 'undici';
import { z } from 'zod';
import { LINE_PROOF_HEADER } from '../control/contract.ts';
import { RISKS } from '../policies/index.ts';
import { isSameSecret } from './same-secret.ts';
import type { Uplink } from './uplink.ts';

const Text = z.string().max(512);
const QuestionSchema = z.discriminatedUnion('ask', [
  /** Takes the offer that has this key; it is given once. */
  z.object({ ask: z.literal('join'), key: Text }),
  z.object({
    ask: z.literal('opening'),
    owner: z.union([z.strictObject({ agentId: Text }), z.strictObject({ gatewayId: Text })]),
    host: Text,
    port: z.int(),
  }),
  z.object({ ask: z.literal('running'), callId: Text }),
]);
export type Question = z.infer<typeof QuestionSchema>;
const SealedSchema = z.object({ question: QuestionSchema, to: Text, at: z.number(), nonce: Text, seal: Text });

const RunningElsewhereSchema = z.object({ callId: Text, agentId: Text, gatewayId: Text.nullable(), risk: z.enum(RISKS) });
/** A call that another proxy let run, which reports its end. */
export type RunningElsewhere = z.infer<typeof RunningElsewhereSchema>;

export interface Others {
  /** The first yes of all of them; null = none, or nobody could be asked. Never rejects. */
  ask: (question: Question) => Promise<RunningElsewhere | null>;
  /** What one of them says; null = no, undefined = it could not be asked. Never rejects. @param callId names the one that has it. */
  askOwner: (callId: string) => Promise<RunningElsewhere | null | undefined>;
  close: () => Promise<void>;
}

/** A question that takes longer is not waited for: a proxy that stands still must not hold up every call of the others. */
const ASK_MAX_MS = 500;
/** Who could not be asked is left out for so long. */
const AWAY_MS = 5_000;
const KNOWN_MS = 5_000;
const CLOCKS_MAX_MS = 5 * 60_000;

/** Of a proxy that is alone. */
export function noOthers(): Others {
  return { ask: async () => null, askOwner: async () => undefined, close: async () => {} };
}

interface Dependencies {
  proxyId: string;
  clusterSecret: string;
  uplink: Pick<Uplink, 'proxies'>;
  clock: () => number;
}

export function createOthers({ proxyId, clusterSecret, uplink, clock }: Dependencies): Others {
  const agent = new Agent({ connect: { timeout: ASK_MAX_MS }, connections: 16 });
  const awaySince = new Map<string, number>();
  let known: { list: readonly { id: string; url: string }[]; at: number } | null = null;
  let looking: Promise<void> | null = null;

  async function others(): Promise<readonly { id: string; url: string }[]> {
    if (known === null || clock() - known.at > KNOWN_MS) {
      looking ??= uplink
        .proxies()
        .then(
          (list) => {
            known = { list: list.filter(({ id }) => id !== proxyId), at: clock() };
          },
          () => {}, // control is away: whoever was there is asked
        )
        .finally(() => {
          looking = null;
        });
      // Where something is known it will do; the very first time there is nothing.
      if (known === null) await looking;
    }
    return known?.list ?? [];
  }

  /** @returns undefined where it could not be asked. */
  async function askOne(to: { id: string; url: string }, question: Question): Promise<RunningElsewhere | null | undefined> {
    const since = awaySince.get(to.id);
    if (since !== undefined && performance.now() - since < AWAY_MS) return undefined;
    const { body, nonce } = sealQuestion(question, to.id, clock(), clusterSecret);
    try {
      const answer = await agent.request({
        origin: new URL(to.url).origin,
        path: '/internal/v1/question',
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
        signal: AbortSignal.timeout(ASK_MAX_MS),
      });
      const text = await answer.body.text();
      if (
        answer.statusCode !== 200 ||
        !isSameSecret(String(answer.headers[LINE_PROOF_HEADER] ?? ''), proveAnswer(nonce, text, clusterSecret))
      )
        throw new Error(`it answered ${answer.statusCode}, or without proof`);
      awaySince.delete(to.id);
      return RunningElsewhereSchema.nullable().parse(JSON.parse(text));
    } catch {
      awaySince.set(to.id, performance.now());
      return undefined;
    }
  }

  return {
    ask: async (question) => {
      for (const other of await others()) {
        const found = await askOne(other, question);
        if (found) return found;
      }
      return null;
    },
    askOwner: async (callId) => {
      const owner = (await others()).find(({ id }) => callId.startsWith(`${id.replace(/^proxy-/, '')}-`));
      return owner && askOne(owner, { ask: 'running', callId });
    },
    close: () => agent.destroy(),
  };
}

/**
 * Answers a question that another proxy asks this one.
 * @param find what is known here. @returns the answer as it is sent, with its proof; null where nobody of ours has asked this proxy.
 */
export function answerQuestion(
  body: unknown,
  { proxyId, clusterSecret, clock }: Omit<Dependencies, 'uplink'>,
  find: (question: Question) => RunningElsewhere | null,
): { answer: RunningElsewhere | null; proof: string } | null {
  const { data } = SealedSchema.safeParse(body);
  if (!data || data.to !== proxyId || Math.abs(clock() - data.at) > CLOCKS_MAX_MS || !isSameSecret(data.seal, sealOf(data, clusterSecret)))
    return null;
  const answer = find(data.question);
  return { answer, proof: proveAnswer(data.nonce, JSON.stringify(answer), clusterSecret) };
}

function sealQuestion(question: Question, to: string, at: number, clusterSecret: string): { body: string; nonce: string } {
  const said = { question: QuestionSchema.parse(question), to, at, nonce: randomBytes(24).toString('base64url') };
  return { body: JSON.stringify({ ...said, seal: sealOf(said, clusterSecret) }), nonce: said.nonce };
}

/** Its members are parsed on both sides, and so are in the order of the schema. */
function sealOf({ question, to, at, nonce }: Omit<z.infer<typeof SealedSchema>, 'seal'>, clusterSecret: string): string {
  return macOf(clusterSecret, ['mission-control question 1', nonce, to, String(at), JSON.stringify(question)].join('\n'));
}

function proveAnswer(nonce: string, text: string, clusterSecret: string): string {
  return macOf(clusterSecret, ['mission-control answer 1', nonce, hash('sha256', text)].join('\n'));
}

function macOf(clusterSecret: string, text: string): string {
  return createHmac('sha256', clusterSecret).update(text).digest('base64url');
}
