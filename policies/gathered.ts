/**
 * What reading one call has found so far: commands, paths, hosts, findings, and the risk they raise it to. The one place where a reading of
 * a path, an address or a command line becomes a finding.
 */
import { type FileContext, isGatePath, readPath } from './filesystem.ts';
import type {
  Classification,
  CommandReading,
  Facts,
  Finding,
  HostReading,
  JsonObject,
  PathReading,
  ReasonCode,
  Risk,
  ToolCall,
} from './model.ts';
import { RISKS } from './model.ts';
import { readUrl } from './network.ts';
import type { Policy } from './policy.ts';
import { readShell } from './shell.ts';
import type { ToolReading } from './tools.ts';

/** Findings of one code and verdict that are kept; more are not worth reading. */
const MAX_ALIKE = 5;

/** Paths or addresses that one call may name. Each is kept in its record; a megabyte of them would also take too long to read. */
export const MAX_OPERANDS = 500;

/** One per call; findings keep the order in which they were made. */
export class Gathered {
  readonly findings: Finding[] = [];
  readonly commands: CommandReading[] = [];
  readonly paths: PathReading[] = [];
  readonly hosts: HostReading[] = [];
  readonly call: ToolCall;
  readonly facts: Facts;
  readonly policy: Policy;
  readonly tool: ToolReading;
  /** After the arguments read so far. */
  risk: Risk;
  #places: readonly FileContext[] | null = null;

  constructor(call: ToolCall, facts: Facts, policy: Policy, tool: ToolReading) {
    this.call = call;
    this.facts = facts;
    this.policy = policy;
    this.tool = tool;
    this.risk = tool.risk;
  }

  get mapped(): string {
    return this.tool.mapped;
  }

  get arguments(): JsonObject {
    return this.call.arguments;
  }

  /**
   * Where relative paths may start. Two places where the call names a directory that its tool may or may not honour: then what is allowed
   * must be allowed in both.
   */
  get places(): readonly FileContext[] {
    this.#places ??= placesOf(this.call, this.facts, this.mapped);
    return this.#places;
  }

  get fileRules() {
    return this.policy.filesFor(this.facts.agent.id, this.facts.task?.type ?? null);
  }

  raise(risk: Risk | null): void {
    if (risk !== null && RISKS.indexOf(risk) > RISKS.indexOf(this.risk)) this.risk = risk;
  }

  find(verdict: 'hold' | 'deny', code: ReasonCode, risk: Risk | null, message: string, policyPath: string): void {
    this.add({ verdict, code, risk, message, policyPath });
  }

  /** Many equal findings (a command with hundreds of segments) say no more than a few; the risk counts each of them. */
  add(finding: Finding): void {
    this.raise(finding.risk);
    let alike = 0;
    for (const other of this.findings) {
      if (other.code !== finding.code || other.verdict !== finding.verdict) continue;
      if (other.message === finding.message || ++alike >= MAX_ALIKE) return;
    }
    this.findings.push(finding);
  }

  /** More operands than anyone could judge: nothing further is read. */
  get isFull(): boolean {
    return this.paths.length > MAX_OPERANDS || this.hosts.length > MAX_OPERANDS;
  }

  path(given: string, use: 'read' | 'write'): void {
    if (this.isFull) return;
    for (const place of this.places) this.keepPath(readPath(given, use, place, this.fileRules));
    // OpenClaw drops this suffix, which some models leave behind, before it opens the file.
    const suffix = given.indexOf('</arg_value>');
    if (suffix >= 0) this.path(given.slice(0, suffix), use);
  }

  keepPath(reading: PathReading): void {
    this.paths.push(reading);
    this.#guardGate(reading);
    const { use, given } = reading;
    if (reading.secret) this.find('hold', 'SECRETS', 'red', `${quote(given)} is a secret file.`, 'builtin.secretFiles');
    switch (reading.verdict) {
      case 'inside':
        return;
      case 'config':
        this.find('hold', 'FS_CONFIG_BLOCKED', 'yellow', `Writing ${quote(given)}: ${reading.why}.`, 'allowlists.filesystem.writeBlocked');
        return;
      case 'outside':
        if (use === 'read')
          this.find('hold', 'FS_READ_OUTSIDE', 'yellow', `Reading ${quote(given)}: ${reading.why}.`, 'allowlists.filesystem.read');
        else this.find('hold', 'FS_WRITE_OUTSIDE', 'yellow', `Writing ${quote(given)}: ${reading.why}.`, 'allowlists.filesystem.write');
    }
  }

  /** The working directory itself, where the call or its arguments name one: a command without operands works there. */
  workingDirectory(): void {
    for (const place of this.places) {
      if (place.cwd === null) continue;
      const reading = readPath('.', 'read', place, this.fileRules);
      // An odd spelling is lost in the canonical path of ".", so the text is judged as well.
      const spelled = readPath(place.cwd, 'read', { ...place, cwd: null }, this.fileRules);
      this.keepPath({ ...(spelled.verdict === 'inside' ? reading : spelled), given: place.cwd });
    }
  }

  /** Every command of a command line, in each place where it may run. */
  command(text: string): void {
    for (const [i, { cwd, workspace, symlinks }] of this.places.entries()) {
      const { policy, facts, fileRules } = this;
      const context = { cwd, workspace, symlinks, dns: facts.network.dns, files: fileRules, network: policy.network };
      const reading = readShell(text, policy.shell, context);
      for (const finding of reading.findings) this.add(finding);
      this.raise(reading.risk);
      // The commands are the same wherever they run; where they lead is not.
      if (i === 0) for (const command of reading.commands) this.commands.push(command);
      for (const host of reading.hosts) this.hosts.push(host);
      for (const path of reading.paths) {
        this.paths.push(path);
        this.#guardGate(path);
      }
    }
  }

  url(given: string): void {
    if (this.isFull) return;
    this.keepHost(readUrl(given, this.facts.network, this.policy.network));
  }

  keepHost(reading: HostReading): void {
    this.hosts.push(reading);
    if (reading.verdict === 'listed') return;
    const verdict = reading.verdict === 'refused' ? 'deny' : 'hold';
    this.find(verdict, 'NET_NOT_ALLOWLISTED', 'red', `${quote(reading.given)}: ${reading.why}.`, 'allowlists.network');
  }

  /** Writing to what configures the gate is red for everybody (SPEC 4.1). */
  #guardGate({ path, use, given }: PathReading): void {
    if (path !== null && use === 'write' && isGatePath(path))
      this.find('hold', 'FS_CONFIG_BLOCKED', 'red', `Writing ${quote(given)} could change the gate itself.`, 'builtin.gatePaths');
  }

  finish(): Classification {
    return {
      mappedTool: this.mapped,
      baseRisk: this.tool.risk,
      risk: this.risk,
      findings: this.findings,
      commands: this.commands,
      paths: this.paths,
      hosts: this.hosts,
    };
  }
}

/**
 * A shell call runs in the directory that it names (OpenClaw's `exec` knows `workdir` only). Other tools may take no notice of such an
 * argument, and `exec` takes none of `cwd`: there the directory that came with the call counts too.
 */
function placesOf(call: ToolCall, facts: Facts, mapped: string): readonly FileContext[] {
  const { workdir, cwd } = call.arguments;
  const base: FileContext = { workspace: call.workspace, cwd: call.cwd, symlinks: facts.files.symlinks };
  const named = [workdir, cwd].find((value) => typeof value === 'string' && value !== '');
  if (typeof named !== 'string') return [base];
  const resolved = named.startsWith('/') || call.cwd === null ? named : `${call.cwd}/${named}`;
  const isHonoured = mapped === 'shell_exec' && (call.tool !== 'exec' || named === workdir);
  const there = { ...base, cwd: resolved };
  return isHonoured ? [there] : [base, there];
}

/** For messages: the text as it was given, short, with every character that would end a line, turn the text or not be seen written out. */
export function quote(text: string): string {
  const short = text.length > 120 ? `${text.slice(0, 120)}…` : text;
  return JSON.stringify(short).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}
