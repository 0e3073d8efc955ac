// @ts-check
/**
 * Speaks the interface of the gate (`/v1/...` on the Mission Control proxy) over plain node:http. Everything that goes
 * out and comes back is bounded in size, time and number of attempts, and whatever is not a clear "run it" comes back
 * as a refusal with a sentence that a model can act on: this file never turns an unknown into a yes.
 *
 * node:http and not fetch: OpenClaw swaps the process-wide fetch dispatcher for the proxy of its environment, and the
 * gate must not depend on a proxy being reachable.
 */
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';

/**
 * @typedef {null | boolean | number | string | unknown[] | { [key: string]: unknown }} Json
 * @typedef {object} Clock
 * @property {() => number} now
 * @property {(ms: number, signal?: AbortSignal, background?: boolean) => Promise<void>} sleep ends early when the signal fires; in the
 *   background it does not keep a process alive that has nothing else to do
 *
 * @typedef {{ debug?(text: string): void, info(text: string): void, warn(text: string): void, error(text: string): void }} Log
 *
 * @typedef {object} Call One tool call as the gate wants it (`POST /v1/tool-calls`).
 * @property {string} tool
 * @property {Record<string, unknown>} arguments
 * @property {string} [callId]
 * @property {string} [agentId]
 * @property {string} [sessionKey]
 * @property {string} [runId]
 * @property {string} [cwd]
 * @property {string} [workspace]
 * @property {string} [toolKind]
 * @property {string} [traceId]
 *
 * @typedef {{ verdict: 'run', id: string, arguments: Record<string, unknown> | undefined }} Run
 * @typedef {{ verdict: 'refuse', text: string, recorded: boolean }} Refuse `recorded`: the proxy has a record of the call
 * @typedef {{ status: 'success' | 'failed', output?: string, error?: string, durationMs: number }} Outcome
 * @typedef {{ status: number, body: Record<string, unknown> | null }} Reply
 */

/** @typedef {{ [K in keyof typeof LIMITS]: number }} Limits */

/** Every bound of the client, with its unit. Tests pass smaller ones. */
const LIMITS = Object.freeze({
  /** How long one long poll asks the proxy to wait. */
  pollMs: 25_000,
  /** What a request may take on top of the wait it asked for. */
  requestMs: 10_000,
  /** How much longer than the inline wait is asked: the proxy ends the wait and so knows that the agent has to be told later. */
  overtimeMs: 5_000,
  /** How long an unreachable proxy is tried again before a call that was never accepted is refused. */
  firstContactMs: 5_000,
  retryMinMs: 200,
  retryMaxMs: 5_000,
  /** Answers carry edited arguments, so they may be as large as a file that is written. */
  answerBytes: 16 * 1024 * 1024,
  outputBytes: 64 * 1024,
  outcomeQueue: 1_000,
  /** After this an outcome that could not be delivered is given up; the proxy then settles at its own estimate. */
  outcomeMs: 10 * 60_000,
  cancelAttempts: 3,
});

/** @type {Clock} */
export const systemClock = {
  now: () => Date.now(),
  sleep: (ms, signal, background = false) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      if (background) timer.unref();
      signal?.addEventListener('abort', done, { once: true });
    }),
};

/**
 * A client of one Mission Control proxy.
 *
 * @param {object} options
 * @param {string} options.proxyUrl http or https, without credentials; a path is kept as a prefix
 * @param {string} [options.token] the gateway token, or
 * @param {string} [options.tokenFile] where it stands; read for every request, so that a rotated token works at once
 * @param {number} options.inlineMs how long a held call is waited for
 * @param {Log} options.log
 * @param {Clock} [options.clock]
 * @param {() => number} [options.random]
 * @param {Partial<Limits>} [options.limits]
 */
export function createGate({ proxyUrl, token, tokenFile, inlineMs, log, clock = systemClock, random = Math.random, limits: overrides }) {
  const limits = { ...LIMITS, ...overrides };
  const base = new URL(proxyUrl);
  const transport = base.protocol === 'https:' ? https : http;
  const agent = new transport.Agent({ keepAlive: true, keepAliveMsecs: 5_000, maxFreeSockets: 16 });
  const prefix = base.pathname.replace(/\/+$/, '');
  /** @type {{ what: string, path: string, body: unknown, since: number }[]} */
  const outcomes = [];
  let delivering = /** @type {Promise<void> | null} */ (null);

  return { ask, report, checkRun, endRun, noteSpawn, noteUnasked, heartbeat, settleOutcomes };

  /**
   * Asks for one call and waits until it may run, is refused, or the inline wait is over. Never throws. When the run is
   * aborted meanwhile the call is withdrawn at the proxy, so that a late approval cannot start it.
   *
   * @param {Call} call
   * @param {AbortSignal | undefined} signal the run's own
   * @param {number} [waitMs] a shorter wait than `inlineMs`, where the host would give up earlier
   * @returns {Promise<Run | Refuse>}
   */
  async function ask(call, signal, waitMs = inlineMs) {
    const deadline = clock.now() + Math.min(waitMs, inlineMs) + limits.overtimeMs;
    const first = await firstAnswer(call, signal);
    if (first.failure !== null) return { ...refuse(first.failure), recorded: false };
    /** The id under which the proxy holds the call, once it has said so. @type {string | null} */
    let heldAs = null;
    let approval = '';
    let failures = 0;
    let askedAt = clock.now();

    for (let reply = /** @type {Reply | null} */ (first.reply); ; ) {
      const answer = readAnswer(reply);
      if (signal?.aborted) {
        const id = heldAs ?? answer.id;
        if (id !== null) await cancel(id);
        return refuse('This run was aborted. The call was withdrawn and did not run.');
      }
      if (answer.kind === 'run') return { verdict: 'run', id: answer.id, arguments: answer.arguments };
      if (answer.kind === 'refuse') return { ...refuse(answer.text), recorded: reply?.status === 403 };
      if (answer.kind === 'unclear' && heldAs === null) {
        const text = `Mission Control answered in a way that cannot be understood (${answer.text}). The call did not run.`;
        return { ...refuse(text), recorded: false };
      }

      const remaining = deadline - clock.now();
      const over = answer.kind === 'hold' && answer.over;
      if (answer.kind === 'hold') approval = answer.approval || approval;
      if (over || remaining <= 0) return refuse(pendingText(approval, call.tool));
      if (answer.kind === 'unclear') {
        failures += 1;
        await clock.sleep(Math.min(backoff(failures), remaining), signal);
      } else {
        // A proxy that says "still held" without having waited must not be asked again in a tight circle.
        const early = heldAs !== null && clock.now() - askedAt < 1_000;
        heldAs = answer.id;
        failures = 0;
        if (early) await clock.sleep(Math.min(answer.again, remaining), signal);
      }
      askedAt = clock.now();
      reply = heldAs === null ? null : await poll(heldAs, deadline, signal);
    }
  }

  /**
   * The first answer of the proxy. Repeating the request is safe: the same run, call id and arguments find the same
   * record, never a second approval.
   *
   * @param {Call} call
   * @param {AbortSignal | undefined} signal
   * @returns {Promise<{ failure: string, reply: null } | { failure: null, reply: Reply }>}
   */
  async function firstAnswer(call, signal) {
    const started = clock.now();
    for (let attempt = 1; ; attempt++) {
      if (signal?.aborted) return { failure: 'This run was aborted. The call did not run.', reply: null };
      let problem = '';
      try {
        // The run's signal is not passed on here: an answer that arrives after the abort names the id to withdraw.
        const reply = await request('POST', '/v1/tool-calls', call, limits.requestMs);
        if (reply.status < 500) return { failure: null, reply };
        problem = problemText(reply);
      } catch (error) {
        problem = describe(error);
      }
      const wait = backoff(attempt);
      if (clock.now() - started + wait > limits.firstContactMs) {
        log.warn(`mission-control: ${call.tool} was refused because the gate could not be asked: ${problem}`);
        return {
          failure:
            `Mission Control could not be asked whether this call may run (${problem}), so it did not run. Every tool call is refused until ` +
            'Mission Control answers again. Tell the person you work for; do not look for another way.',
          reply: null,
        };
      }
      await clock.sleep(wait, signal);
    }
  }

  /**
   * One long poll of a held call. A connection that breaks is an unclear answer, not a refusal: the hold is a record
   * on the other side and outlives a restart.
   *
   * @param {string} id
   * @param {number} deadline
   * @param {AbortSignal | undefined} signal
   * @returns {Promise<Reply | null>}
   */
  async function poll(id, deadline, signal) {
    const waitMs = Math.max(0, Math.min(limits.pollMs, deadline - clock.now()));
    try {
      const path = `/v1/tool-calls/${encodeURIComponent(id)}?waitMs=${Math.round(waitMs)}`;
      const reply = await request('GET', path, undefined, waitMs + limits.requestMs, signal);
      return reply.status >= 500 || reply.status === 429 || reply.status === 408 ? null : reply;
    } catch (error) {
      if (!signal?.aborted) log.info(`mission-control: lost the connection while a call is held, asking again: ${describe(error)}`);
      return null;
    }
  }

  /** @param {string} id */
  async function cancel(id) {
    for (let attempt = 1; attempt <= limits.cancelAttempts; attempt++) {
      try {
        const reply = await request('POST', `/v1/tool-calls/${encodeURIComponent(id)}/cancel`, {}, limits.requestMs);
        if (reply.status < 500) return;
      } catch (error) {
        if (attempt === limits.cancelAttempts) log.warn(`mission-control: call ${id} could not be withdrawn: ${describe(error)}`);
      }
      if (attempt < limits.cancelAttempts) await clock.sleep(backoff(attempt));
    }
  }

  /**
   * Asks whether a run may start at all.
   *
   * @param {{ agentId?: string, sessionKey?: string, runId?: string, traceId?: string }} run
   * @returns {Promise<{ allowed: true } | { allowed: false, code: string, message: string }>} never throws
   */
  async function checkRun(run) {
    const started = clock.now();
    for (let attempt = 1; ; attempt++) {
      let problem = '';
      try {
        const reply = await request('POST', '/v1/runs/check', run, limits.requestMs);
        if (reply.status === 200 && reply.body?.allowed === true) return { allowed: true };
        if (reply.status < 500) return runRefusal(reply);
        problem = problemText(reply);
      } catch (error) {
        problem = describe(error);
      }
      const wait = backoff(attempt);
      if (clock.now() - started + wait > limits.firstContactMs) {
        const message = `Mission Control could not be asked whether this run may start (${problem}), so it was not started.`;
        return { allowed: false, code: 'UNREACHABLE', message };
      }
      await clock.sleep(wait);
    }
  }

  /**
   * Tells the proxy how a call ended, in the background: queued, bounded, retried.
   *
   * @param {string} id
   * @param {Outcome} outcome
   */
  function report(id, outcome) {
    queue(`call ${id}`, `/v1/tool-calls/${encodeURIComponent(id)}/outcome`, boundOutcome(outcome, limits.outputBytes));
  }

  /**
   * Tells the proxy that a run is over, in the same way.
   *
   * @param {{ agentId?: string, sessionKey?: string, runId: string, status: 'success' | 'failed', error?: string, durationMs?: number }} run
   */
  function endRun(run) {
    queue(`run ${run.runId}`, '/v1/runs/end', run);
  }

  /**
   * Tells the proxy that a sub-agent began or ended.
   *
   * @param {{ agentId?: string, sessionKey?: string, childSessionKey: string, label?: string, lasting?: boolean, state: 'began' | 'ended' }} spawn
   */
  function noteSpawn(spawn) {
    queue(`sub-agent ${spawn.childSessionKey}`, '/v1/spawns', spawn);
  }

  /**
   * Tells the proxy that a result will come of a call which it was not asked about, and why that is right.
   *
   * @param {{ agentId?: string, sessionKey?: string, runId?: string, callId: string, tool: string, why: 'rejected' | 'refused' | 'program' }} call
   */
  function noteUnasked(call) {
    queue(`call ${call.callId}`, '/v1/unasked', call);
  }

  /**
   * @param {string} what
   * @param {string} path
   * @param {unknown} body
   */
  function queue(what, path, body) {
    if (outcomes.length >= limits.outcomeQueue) {
      const lost = outcomes.shift();
      log.warn(`mission-control: more than ${limits.outcomeQueue} outcomes wait to be reported; the one of ${lost?.what} is lost`);
    }
    outcomes.push({ what, path, body, since: clock.now() });
    deliver();
  }

  function deliver() {
    delivering ??= deliverAll().finally(() => {
      delivering = null;
      if (outcomes.length > 0) deliver();
    });
  }

  async function deliverAll() {
    for (let failures = 0; outcomes.length > 0; ) {
      const next = /** @type {{ what: string, path: string, body: unknown, since: number }} */ (outcomes[0]);
      try {
        const reply = await request('POST', next.path, next.body, limits.requestMs);
        if (reply.status >= 500 || reply.status === 429) throw new Error(problemText(reply));
        if (reply.status >= 400 && reply.status !== 409) {
          log.warn(`mission-control: the outcome of ${next.what} was not taken: ${problemText(reply)}`);
        }
        if (outcomes[0] === next) outcomes.shift();
        failures = 0;
      } catch (error) {
        failures += 1;
        if (clock.now() - next.since > limits.outcomeMs && outcomes[0] === next) {
          outcomes.shift();
          log.warn(`mission-control: the outcome of ${next.what} could not be reported: ${describe(error)}`);
        }
        await clock.sleep(backoff(failures), undefined, true);
      }
    }
  }

  /**
   * Waits until nothing is left to report, or the time is up.
   *
   * @param {number} ms
   */
  async function settleOutcomes(ms) {
    if (delivering === null) return;
    const enough = new AbortController();
    await Promise.race([delivering, clock.sleep(ms, enough.signal)]);
    enough.abort();
  }

  /**
   * Proves that the plugin is alive.
   *
   * @param {Record<string, unknown>} beat
   * @returns {Promise<string | null>} what is wrong, or null
   */
  async function heartbeat(beat) {
    try {
      const reply = await request('POST', '/v1/heartbeats', beat, limits.requestMs);
      return reply.status < 300 ? null : problemText(reply);
    } catch (error) {
      return describe(error);
    }
  }

  /** @param {number} attempt 1 for the first retry */
  function backoff(attempt) {
    const ceiling = Math.min(limits.retryMaxMs, limits.retryMinMs * 2 ** Math.min(attempt - 1, 16));
    return Math.round(ceiling / 2 + (ceiling / 2) * random());
  }

  /**
   * One request. Rejects on a broken connection, a timeout, an abort and an answer beyond the bound; redirects are not
   * followed (the caller sees a status it does not know).
   *
   * @param {'GET' | 'POST'} method
   * @param {string} path
   * @param {unknown} body
   * @param {number} timeoutMs
   * @param {AbortSignal} [signal]
   * @returns {Promise<Reply>}
   */
  async function request(method, path, body, timeoutMs, signal) {
    const secret = await readToken();
    const payload = body === undefined ? null : Buffer.from(JSON.stringify(body));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => outgoing.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
      const aborted = () => outgoing.destroy(new Error('aborted'));
      const settle = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', aborted);
      };
      const outgoing = transport.request(
        {
          protocol: base.protocol,
          hostname: base.hostname.replace(/^\[|\]$/g, ''),
          port: base.port,
          path: prefix + path,
          method,
          agent,
          headers: {
            authorization: `Bearer ${secret}`,
            accept: 'application/json, application/problem+json',
            ...(payload === null ? {} : { 'content-type': 'application/json', 'content-length': payload.length }),
          },
        },
        (incoming) => {
          /** @type {Buffer[]} */
          const chunks = [];
          let size = 0;
          incoming.on('data', (/** @type {Buffer} */ chunk) => {
            size += chunk.length;
            if (size > limits.answerBytes) incoming.destroy(new Error(`the answer is larger than ${limits.answerBytes} bytes`));
            else chunks.push(chunk);
          });
          incoming.on('error', (error) => {
            settle();
            reject(error);
          });
          incoming.on('end', () => {
            settle();
            resolve({ status: incoming.statusCode ?? 0, body: parseObject(Buffer.concat(chunks).toString('utf8')) });
          });
        },
      );
      outgoing.on('error', (error) => {
        settle();
        reject(error);
      });
      if (signal?.aborted) aborted();
      else signal?.addEventListener('abort', aborted, { once: true });
      outgoing.end(payload ?? undefined);
    });
  }

  async function readToken() {
    const secret = (tokenFile === undefined ? (token ?? '') : await readFile(tokenFile, 'utf8')).trim();
    if (!/^[\x21-\x7e]{8,512}$/.test(secret))
      throw new Error(`the gateway token ${tokenFile === undefined ? '' : `in ${tokenFile} `}is not usable`);
    return secret;
  }
}

/** @typedef {ReturnType<typeof createGate>} Gate */

/**
 * What an answer of the gate means. Only a well-formed 200 runs anything.
 *
 * @param {Reply | null} reply null when there was none
 * @returns {{ kind: 'run', id: string, arguments: Record<string, unknown> | undefined }
 *   | { kind: 'hold', id: string, approval: string, again: number, over: boolean }
 *   | { kind: 'refuse', id: null, text: string }
 *   | { kind: 'unclear', id: null, text: string }}
 */
function readAnswer(reply) {
  if (reply === null) return { kind: 'unclear', id: null, text: 'no answer' };
  const { status, body } = reply;
  const id = typeof body?.id === 'string' && body.id !== '' ? body.id : null;
  const verdict = body?.verdict;
  if (status === 200 && verdict === 'allow' && id !== null) {
    const edited = body?.arguments;
    if (edited === undefined) return { kind: 'run', id, arguments: undefined };
    if (isObject(edited)) return { kind: 'run', id, arguments: edited };
    return { kind: 'refuse', id: null, text: 'Mission Control sent edited arguments that are not an object. The call did not run.' };
  }
  if (status === 202 && verdict === 'hold' && id !== null) {
    const approval = body?.approvalNumber ?? body?.approvalId;
    const again = body?.retryAfterMs;
    return {
      kind: 'hold',
      id,
      approval: typeof approval === 'string' || typeof approval === 'number' ? String(approval) : '',
      again: typeof again === 'number' && Number.isFinite(again) ? Math.max(0, Math.min(again, 5_000)) : 1_000,
      over: body?.waiting === false,
    };
  }
  if (status === 403 && verdict === 'deny') return { kind: 'refuse', id: null, text: deniedText(reply) };
  if (status >= 400 && status < 500) {
    return { kind: 'refuse', id: null, text: `Mission Control refused this call: ${problemText(reply)}. It did not run.` };
  }
  return { kind: 'unclear', id: null, text: `status ${status}${body === null ? ' without a readable body' : ''}` };
}

/** @param {Reply} reply */
function deniedText(reply) {
  const said = reply.body?.message;
  const codes = reasonCodes(reply.body);
  const why = typeof said === 'string' && said.trim() !== '' ? said.trim() : reasonMessages(reply.body).join(' ');
  const text = `Mission Control refused this call${codes.length === 0 ? '' : ` (${codes.join(', ')})`}. It did not run. ${why}`;
  return `${text.trim()} Do not repeat it unchanged and do not try to reach the same effect another way.`;
}

/**
 * @param {string} approval
 * @param {string} tool
 */
function pendingText(approval, tool) {
  return (
    `Mission Control is holding this ${tool} call until a person decides: approval ${approval || '(number unknown)'} is pending. Nothing has run. ` +
    'Do not repeat the call now and do not try to reach the same effect another way. End your turn; you will be told in this session ' +
    'when it is decided, and if it is approved, make exactly the same call once more.'
  );
}

/**
 * @param {Reply} reply
 * @returns {{ allowed: false, code: string, message: string }}
 */
function runRefusal(reply) {
  const codes = reasonCodes(reply.body);
  const said = reply.body?.message;
  const why = typeof said === 'string' && said.trim() !== '' ? said.trim() : reasonMessages(reply.body).join(' ') || problemText(reply);
  return {
    allowed: false,
    code: codes.join(', ') || `HTTP_${reply.status}`,
    message: `Mission Control did not let this run start. ${why}`,
  };
}

/** @param {Record<string, unknown> | null} body */
function reasonCodes(body) {
  return reasons(body).flatMap((reason) => (typeof reason.code === 'string' ? [reason.code] : []));
}

/** @param {Record<string, unknown> | null} body */
function reasonMessages(body) {
  return reasons(body).flatMap((reason) => (typeof reason.message === 'string' ? [reason.message] : []));
}

/** @param {Record<string, unknown> | null} body */
function reasons(body) {
  const list = body?.reasons;
  return Array.isArray(list) ? list.filter(isObject) : [];
}

/** @param {Reply} reply */
function problemText(reply) {
  const parts = ['message', 'detail', 'title', 'code'].map((key) => reply.body?.[key]);
  const said = parts.find((part) => typeof part === 'string' && part.trim() !== '');
  return typeof said === 'string' ? `${said.trim().slice(0, 500)} (status ${reply.status})` : `status ${reply.status}`;
}

/**
 * @param {Outcome} outcome
 * @param {number} bytes
 * @returns {Outcome}
 */
function boundOutcome(outcome, bytes) {
  return {
    status: outcome.status,
    ...(outcome.output === undefined ? {} : { output: clip(outcome.output, bytes) }),
    ...(outcome.error === undefined ? {} : { error: clip(outcome.error, 4_096) }),
    durationMs: outcome.durationMs,
  };
}

/**
 * @param {string} text
 * @param {number} bytes
 */
function clip(text, bytes) {
  const raw = Buffer.from(text, 'utf8');
  if (raw.length <= bytes) return text;
  // A cut inside a character leaves replacement characters at the end; they carry nothing.
  return `${raw
    .subarray(0, bytes)
    .toString('utf8')
    .replace(/\uFFFD+$/, '')}\n[cut: ${raw.length - bytes} more bytes]`;
}

/**
 * @param {string} text
 * @returns {Record<string, unknown> | null}
 */
function parseObject(text) {
  try {
    const value = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
export function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @param {string} text @returns {Refuse} */
function refuse(text) {
  return { verdict: 'refuse', text, recorded: true };
}

/** @param {unknown} error */
function describe(error) {
  if (!(error instanceof Error)) return String(error);
  const code = /** @type {NodeJS.ErrnoException} */ (error).code;
  return code === undefined || error.message.includes(code) ? error.message : `${code}: ${error.message}`;
}
