// @ts-check
/**
 * The OpenClaw plugin of Mission Control: asks before every tool call, waits while a person decides, and obeys. It has no
 * opinion of its own; whatever is unclear (no configuration, no answer, an answer it cannot read) blocks the call.
 * `register` cannot throw: OpenClaw boots and runs tools ungated when it does.
 */
import path from 'node:path';
import { createGate, isObject, systemClock } from './gate.mjs';

const VERSION = '0.1.0';
const HEARTBEAT_MS = 10_000;
const DEFAULT_INLINE_MS = 240_000;
const MAX_INLINE_MS = 300_000;
/** OpenClaw must not give up on the hook before we do, or a call that is allowed a moment later has nobody to run it. */
const HOOK_MARGIN_MS = 30_000;
/** Calls that are running and whose outcome is still to be reported. */
const MAX_RUNNING = 5_000;

/**
 * The gate is the last of all `before_tool_call` handlers and names the arguments it was asked about. OpenClaw gives every
 * handler the caller's own arguments and lets the last one that names any win: anywhere else in the order, another plugin
 * could rewrite a call after it was judged.
 */
const LAST = -1_000_000;

/** Their inner call fires a hook of its own; counting both would judge and charge one call twice. */
const WRAPPERS = new Set(['tool_call', 'tool_search', 'tool_describe']);

/**
 * @typedef {import('./gate.mjs').Gate} Gate
 * @typedef {import('./gate.mjs').Log} Log
 * @typedef {{ toolName: string, params: Record<string, unknown>, toolCallId?: string, runId?: string, toolKind?: string }} BeforeToolCall
 * @typedef {BeforeToolCall & { result?: unknown, error?: string, durationMs?: number }} AfterToolCall
 * @typedef {object} Context
 * @property {string} [agentId]
 * @property {string} [sessionKey]
 * @property {string} [runId]
 * @property {string} [toolCallId]
 * @property {string} [toolKind]
 * @property {AbortSignal} [abortSignal]
 * @property {{ traceId?: string }} [trace]
 *
 * @typedef {object} Api What this plugin uses of the object that OpenClaw hands to `register`.
 * @property {Record<string, unknown>} [pluginConfig]
 * @property {unknown} [config]
 * @property {string} [registrationMode]
 * @property {Log} [logger]
 * @property {any} [runtime]
 * @property {(hook: string, handler: (event: any, ctx: any) => unknown, options?: Record<string, unknown>) => void} on
 * @property {(service: { id: string, start(): void, stop(): Promise<void> }) => void} [registerService]
 */

export default createPlugin();

/**
 * The plugin, with the parts that a test replaces.
 *
 * @param {{ clock?: import('./gate.mjs').Clock, random?: () => number, limits?: Partial<import('./gate.mjs').Limits>, heartbeatMs?: number }} [parts]
 */
export function createPlugin(parts = {}) {
  return {
    id: 'mission-control',
    name: 'Mission Control',
    description: 'Asks Mission Control before every tool call, waits while a person decides, and obeys the answer.',
    version: VERSION,
    /** @param {Api} api */
    register(api) {
      const log = calm(attempt(() => api.logger) ?? console);
      try {
        const settings = readSettings(api.pluginConfig, api.config);
        if (typeof settings === 'string') refuseEverything(api, settings, log);
        else gateEverything(api, settings, log, parts);
      } catch (error) {
        attempt(() => refuseEverything(api, `it could not start: ${error instanceof Error ? error.message : String(error)}`, log));
      }
    },
  };
}

/**
 * @param {Api} api
 * @param {Settings} settings
 * @param {Log} log
 * @param {NonNullable<Parameters<typeof createPlugin>[0]>} parts
 */
function gateEverything(api, settings, log, parts) {
  const gate = createGate({ ...settings, log, ...parts });
  /** Host key of a call → the proxy's id of it, from "run it" until its outcome. @type {Map<string, string>} */
  const running = new Map();
  /** Host keys of calls that were refused, until OpenClaw says that they are over. @type {Set<string>} */
  const refused = new Set();
  const timeoutMs = settings.inlineMs + HOOK_MARGIN_MS;

  api.on('before_tool_call', (event, ctx) => admit(event, ctx ?? {}), { priority: LAST, registrationId: 'gate', timeoutMs });
  api.on('after_tool_call', (event, ctx) => settle(event, ctx ?? {}), { registrationId: 'outcome' });
  api.on('before_agent_run', (event, ctx) => admitRun(event ?? {}, ctx ?? {}), {
    priority: LAST,
    registrationId: 'run',
    timeoutMs: HOOK_MARGIN_MS,
  });
  api.on('agent_end', (event, ctx) => endRun(event ?? {}, ctx ?? {}), { registrationId: 'run-end' });
  api.on('subagent_spawned', (event, ctx) => noteSpawn(event ?? {}, ctx ?? {}, 'began'), { registrationId: 'spawned' });
  api.on('subagent_ended', (event, ctx) => noteSpawn(event ?? {}, ctx ?? {}, 'ended'), { registrationId: 'despawned' });
  // Only now: a heartbeat says that the gate stands.
  if (api.registrationMode === undefined || api.registrationMode === 'full') beat(api, gate, log, parts);

  /**
   * @param {BeforeToolCall} event
   * @param {Context} ctx
   */
  async function admit(event, ctx) {
    const tool = event.toolName;
    if (WRAPPERS.has(tool)) return undefined;
    const toolKind = event.toolKind ?? ctx.toolKind;
    const agentId = ctx.agentId ?? agentOf(ctx.sessionKey);
    const key = keyOf(event, ctx);
    if (toolKind === 'code_mode_exec') {
      const answer = admitCodeMode(api, agentId);
      noteUnasked(event, ctx, answer === undefined ? 'program' : 'refused');
      if (key !== null) keep(refused, key);
      return answer;
    }

    const judged = event.params;
    const verdict = await gate.ask(
      compact({
        tool,
        arguments: judged,
        callId: event.toolCallId ?? ctx.toolCallId,
        agentId,
        sessionKey: ctx.sessionKey,
        runId: event.runId ?? ctx.runId,
        ...whereabouts(api, agentId, ctx.sessionKey, tool, judged),
        toolKind,
        traceId: ctx.trace?.traceId,
      }),
      ctx.abortSignal,
      settings.waitMs,
    );
    if (verdict.verdict === 'refuse') {
      if (!verdict.recorded) noteUnasked(event, ctx, 'refused');
      if (key !== null) keep(refused, key);
      return { block: true, blockReason: verdict.text };
    }
    if (key !== null) {
      running.set(key, verdict.id);
      for (const oldest of running.keys()) {
        if (running.size <= MAX_RUNNING) break;
        running.delete(oldest);
      }
    }
    return { params: replacing(judged, verdict.arguments ?? judged) };
  }

  /**
   * @param {AfterToolCall} event
   * @param {Context} ctx
   */
  function settle(event, ctx) {
    const key = keyOf(event, ctx);
    const id = key === null ? undefined : running.get(key);
    if (key === null) return;
    if (id === undefined) {
      if (!refused.delete(key)) noteUnseen(event, ctx);
      return;
    }
    running.delete(key);
    gate.report(id, outcomeOf(event));
  }

  /**
   * The end of a call that never came here. One that failed was rejected before the hooks: by its schema, or by another plugin. One that
   * went well without having been asked about is not excused, unless it only looks up tools: that is what Mission Control must see.
   *
   * @param {AfterToolCall} event
   * @param {Context} ctx
   */
  function noteUnseen(event, ctx) {
    const failed = outcomeOf(event).status === 'failed';
    if (event.toolName !== 'tool_call' && WRAPPERS.has(event.toolName)) noteUnasked(event, ctx, 'program');
    else if (failed) noteUnasked(event, ctx, 'rejected');
  }

  /**
   * @param {BeforeToolCall} event
   * @param {Context} ctx
   * @param {'rejected' | 'refused' | 'program'} why
   */
  function noteUnasked(event, ctx, why) {
    const callId = event.toolCallId ?? ctx.toolCallId;
    if (callId === undefined) return;
    const agentId = ctx.agentId ?? agentOf(ctx.sessionKey);
    gate.noteUnasked(compact({ agentId, sessionKey: ctx.sessionKey, runId: event.runId ?? ctx.runId, callId, tool: event.toolName, why }));
  }

  /**
   * @param {{ runId?: string }} event
   * @param {Context} ctx
   */
  async function admitRun(event, ctx) {
    const answer = await gate.checkRun(
      compact({
        agentId: ctx.agentId ?? agentOf(ctx.sessionKey),
        sessionKey: ctx.sessionKey,
        runId: ctx.runId ?? event.runId,
        // The run's requests to its model carry the same trace, and nothing else that names the run.
        traceId: ctx.trace?.traceId,
      }),
    );
    return answer.allowed ? { outcome: 'pass' } : { outcome: 'block', reason: answer.code, message: answer.message };
  }

  /**
   * @param {{ childSessionKey?: string, targetSessionKey?: string, label?: string, mode?: string }} event
   * @param {{ childSessionKey?: string, requesterSessionKey?: string }} ctx
   * @param {'began' | 'ended'} state
   */
  function noteSpawn(event, ctx, state) {
    const childSessionKey = event.childSessionKey ?? event.targetSessionKey ?? ctx.childSessionKey;
    const sessionKey = ctx.requesterSessionKey;
    // A sub-agent whose parent is not named is registered by its first call.
    if (childSessionKey === undefined || sessionKey === undefined) return;
    gate.noteSpawn(
      compact({
        agentId: agentOf(sessionKey),
        sessionKey,
        childSessionKey,
        label: text(event.label)?.slice(0, 120),
        lasting: event.mode === 'session' ? true : undefined,
        state,
      }),
    );
  }

  /**
   * @param {{ runId?: string, success?: boolean, error?: unknown, durationMs?: number }} event
   * @param {Context} ctx
   */
  function endRun(event, ctx) {
    const runId = event.runId ?? ctx.runId;
    if (runId === undefined) return;
    gate.endRun(
      compact({
        agentId: ctx.agentId ?? agentOf(ctx.sessionKey),
        sessionKey: ctx.sessionKey,
        runId,
        status: event.success === false ? 'failed' : 'success',
        error: text(event.error)?.slice(0, 2_000),
        durationMs: typeof event.durationMs === 'number' ? Math.max(0, Math.round(event.durationMs)) : undefined,
      }),
    );
  }
}

/**
 * Code Mode's outer `exec` runs a program whose every tool call fires a hook of its own, so the program itself is let
 * through, but only under QuickJS: the other executor, node:vm, shares the privileges of the gateway and can be left
 * without any tool call ("not a security boundary", OpenClaw's own documentation).
 *
 * @param {Api} api
 * @param {string | undefined} agentId
 */
function admitCodeMode(api, agentId) {
  if (codeModeExecutor(currentConfig(api), agentId) === 'quickjs') return undefined;
  return {
    block: true,
    blockReason:
      'Mission Control refused this Code Mode program, and nothing ran: its executor can reach the machine without any tool call that could be ' +
      'judged. A person has to set tools.codeMode.executor to "quickjs", or switch Code Mode off, in the OpenClaw configuration. End your turn and say so.',
  };
}

/**
 * @param {Api} api
 * @param {Gate} gate
 * @param {Log} log
 * @param {NonNullable<Parameters<typeof createPlugin>[0]>} parts
 */
function beat(api, gate, log, { clock = systemClock, heartbeatMs = HEARTBEAT_MS }) {
  /** @type {AbortController | null} */
  let stopped = null;
  /** What the last heartbeat met, so that the log says a change once and not every ten seconds. @type {string | null} */
  let problem = null;

  const start = () => {
    stopped?.abort();
    const mine = new AbortController();
    stopped = mine;
    void (async () => {
      while (!mine.signal.aborted) {
        const now = await gate.heartbeat(
          compact({ pluginVersion: VERSION, openclawVersion: versionOf(api), agents: agentIds(currentConfig(api)).slice(0, 1_000) }),
        );
        if (now !== problem) {
          if (now === null) log.info('mission-control: the gate answers');
          else log.warn(`mission-control: the gate does not answer, every tool call is refused meanwhile: ${now}`);
          problem = now;
        }
        await clock.sleep(heartbeatMs, mine.signal, true);
      }
    })();
  };
  const stop = async () => {
    stopped?.abort();
    stopped = null;
    await gate.settleOutcomes(2_000);
  };
  if (typeof api.registerService === 'function') api.registerService({ id: 'mission-control-heartbeat', start, stop });
  else {
    api.on('gateway_start', start);
    api.on('gateway_stop', stop);
  }
}

/**
 * The gate that stands where no gate can be asked.
 *
 * @param {Api} api
 * @param {string} problem
 * @param {Log} log
 */
function refuseEverything(api, problem, log) {
  log.error(`mission-control: every tool call is refused: ${problem}`);
  const text = `Mission Control is installed but cannot be asked (${problem}), so nothing may run. A person has to mend its configuration.`;
  api.on('before_tool_call', () => ({ block: true, blockReason: text }), { priority: LAST, registrationId: 'gate' });
}

/**
 * @typedef {{ proxyUrl: string, token?: string, tokenFile?: string, inlineMs: number, waitMs: number }} Settings
 * @param {unknown} pluginConfig
 * @param {unknown} config
 * @returns {Settings | string} what is wrong, in words
 */
function readSettings(pluginConfig, config) {
  const given = isObject(pluginConfig) ? pluginConfig : {};
  const { proxyUrl, token, tokenFile, inlineMs = DEFAULT_INLINE_MS } = given;
  if (typeof proxyUrl !== 'string' || !URL.canParse(proxyUrl)) return 'proxyUrl is not set to a URL';
  const url = new URL(proxyUrl);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return `proxyUrl must be http or https, not ${url.protocol}`;
  if (url.username !== '' || url.password !== '') return 'proxyUrl must not carry credentials';
  if (typeof inlineMs !== 'number' || !(inlineMs >= 1_000 && inlineMs <= MAX_INLINE_MS)) return `inlineMs must be 1000 to ${MAX_INLINE_MS}`;
  // Where an operator gave the hook less time than a hold needs, the wait ends before OpenClaw stops listening.
  const waitMs = Math.max(0, Math.min(inlineMs, operatorTimeoutMs(config) - HOOK_MARGIN_MS));
  if (typeof tokenFile === 'string' && tokenFile !== '') {
    return path.isAbsolute(tokenFile) ? { proxyUrl, tokenFile, inlineMs, waitMs } : 'tokenFile must be an absolute path';
  }
  if (typeof token === 'string' && token !== '') return { proxyUrl, token, inlineMs, waitMs };
  return 'neither tokenFile nor token is set';
}

/** @param {unknown} config */
function operatorTimeoutMs(config) {
  const hooks = at(config, 'plugins', 'entries', 'mission-control', 'hooks');
  const own = at(hooks, 'timeouts', 'before_tool_call') ?? at(hooks, 'timeoutMs');
  return typeof own === 'number' && own > 0 ? own : Number.POSITIVE_INFINITY;
}

/**
 * Where the call works. OpenClaw tells a hook neither directory, so they are derived as OpenClaw derives them: what the
 * session was spawned with, then the agent's configuration. The proxy takes the registered workspace as the ceiling.
 *
 * @param {Api} api
 * @param {string | undefined} agentId
 * @param {string | undefined} sessionKey
 * @param {string} tool
 * @param {Record<string, unknown>} params
 * @returns {{ workspace?: string, cwd?: string }}
 */
function whereabouts(api, agentId, sessionKey, tool, params) {
  if (agentId === undefined) return {};
  const session = attempt(() => api.runtime?.agent?.session?.getSessionEntry?.({ agentId, sessionKey }));
  const config = currentConfig(api);
  const workspace =
    text(at(session, 'spawnedWorkspaceDir')) ?? text(attempt(() => api.runtime?.agent?.resolveAgentWorkspaceDir?.(config, agentId)));
  const configured = text(at(config, 'agents', 'entries', agentId, 'cwd')) ?? text(at(config, 'agents', 'defaults', 'cwd'));
  const base = text(at(session, 'spawnedCwd')) ?? expandHome(configured) ?? workspace;
  const named = tool === 'exec' ? text(params.workdir) : undefined;
  const cwd = named === undefined ? base : base === undefined ? named : path.resolve(base, named);
  return compact({ workspace, cwd });
}

/**
 * The arguments that OpenClaw shall run with. It merges what a hook returns over the original arguments, so one that an
 * approver removed has to be named as undefined to be gone.
 *
 * @param {Record<string, unknown>} original
 * @param {Record<string, unknown>} wanted
 */
function replacing(original, wanted) {
  const removed = Object.keys(original).filter((key) => !Object.hasOwn(wanted, key));
  return { ...wanted, ...Object.fromEntries(removed.map((key) => [key, undefined])) };
}

/**
 * @param {AfterToolCall} event
 * @returns {import('./gate.mjs').Outcome}
 */
function outcomeOf(event) {
  const status = at(event.result, 'details', 'status');
  const failed = text(event.error) !== undefined || status === 'error' || status === 'failed' || status === 'blocked';
  const output = outputText(event.result);
  const error = failed ? (text(event.error) ?? output ?? 'the tool failed') : undefined;
  return compact({ status: failed ? 'failed' : 'success', output, error, durationMs: Math.max(0, Math.round(event.durationMs ?? 0)) });
}

/** @param {unknown} result */
function outputText(result) {
  if (result === undefined) return undefined;
  const content = at(result, 'content');
  const parts = Array.isArray(content) ? content.map((part) => at(part, 'text')).filter((part) => typeof part === 'string') : [];
  return parts.length > 0 ? parts.join('\n') : attempt(() => JSON.stringify(result));
}

/**
 * @param {Set<string>} set bounded: the oldest is forgotten
 * @param {string} key
 */
function keep(set, key) {
  set.add(key);
  for (const oldest of set) {
    if (set.size <= MAX_RUNNING) break;
    set.delete(oldest);
  }
}

/**
 * A call in the eyes of OpenClaw. Its id is the model's own and only unique within a run.
 *
 * @param {BeforeToolCall} event
 * @param {Context} ctx
 */
function keyOf(event, ctx) {
  const callId = event.toolCallId ?? ctx.toolCallId;
  return callId === undefined ? null : JSON.stringify([ctx.sessionKey ?? null, event.runId ?? ctx.runId ?? null, callId]);
}

/** @param {Api} api */
function currentConfig(api) {
  return attempt(() => api.runtime?.config?.current?.()) ?? api.config;
}

/** @param {Api} api */
function versionOf(api) {
  return text(attempt(() => api.runtime?.version));
}

/**
 * @param {unknown} config
 * @param {string | undefined} agentId
 */
function codeModeExecutor(config, agentId) {
  const own = agentId === undefined ? undefined : at(config, 'agents', 'entries', agentId, 'tools', 'codeMode', 'executor');
  return own ?? at(config, 'tools', 'codeMode', 'executor') ?? 'node';
}

/** @param {unknown} config */
function agentIds(config) {
  const entries = at(config, 'agents', 'entries');
  if (isObject(entries)) return Object.keys(entries);
  const list = at(config, 'agents', 'list');
  if (Array.isArray(list)) return list.flatMap((entry) => text(at(entry, 'id')) ?? []);
  return ['main'];
}

/** @param {string | undefined} sessionKey `agent:<id>:...` */
function agentOf(sessionKey) {
  return text(/^agent:([^:]+):/.exec(sessionKey ?? '')?.[1]);
}

/** @param {string | undefined} directory */
function expandHome(directory) {
  const home = process.env.HOME;
  if (directory === undefined || home === undefined) return directory;
  return directory === '~' || directory.startsWith('~/') ? path.join(home, directory.slice(1)) : directory;
}

/**
 * @param {unknown} value
 * @param {...string} keys
 * @returns {unknown}
 */
function at(value, ...keys) {
  return keys.reduce((/** @type {unknown} */ inner, key) => (isObject(inner) && Object.hasOwn(inner, key) ? inner[key] : undefined), value);
}

/** @param {unknown} value */
function text(value) {
  return typeof value === 'string' && value.trim() !== '' ? value : undefined;
}

/**
 * @template T
 * @param {() => T} read something of the host that another version may not have
 * @returns {T | undefined}
 */
function attempt(read) {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/**
 * Without the fields that are undefined.
 *
 * @template {Record<string, unknown>} T
 * @param {T} record
 * @returns {{ [K in keyof T]: Exclude<T[K], undefined> }}
 */
function compact(record) {
  return /** @type {any} */ (Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)));
}

/**
 * A log that cannot fail: a line that is lost must not decide about a call.
 *
 * @param {Log} log
 * @returns {Log}
 */
function calm(log) {
  return {
    info: (line) => attempt(() => log.info(line)),
    warn: (line) => attempt(() => log.warn(line)),
    error: (line) => attempt(() => log.error(line)),
  };
}
