/** The policies of the mock: versions, activation, replays and shadows with figures of a picture, so that the view can be worked on. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PolicyProfileSchema, PolicySchema, Replay, Shadow } from '../../control/contract.ts';
import { diffDocuments } from '../../policies/difference.ts';
import { FLIP_KINDS, type FlipKind } from '../../policies/model.ts';
import { applyPatch, compilePolicy, parsePolicyText } from '../../policies/policy.ts';

type Policy = (typeof PolicySchema)['_output'];
type Profile = (typeof PolicyProfileSchema)['_output'];
type Flip = NonNullable<Replay['result']>['redFlips']['items'][number];
type Refuse = (status: number, code: string, detail: string, extra?: Record<string, unknown>) => Error;

const PROFILES = join(import.meta.dirname, '../../policies/profiles');
const SHIPPED = readFileSync(join(import.meta.dirname, '../../policies/default.yaml'), 'utf8');

export class MockPolicies {
  readonly versions: Policy[] = [];
  readonly replays: Replay[] = [];
  readonly shadows: Shadow[] = [];
  readonly #now: () => number;
  readonly #refuse: Refuse;

  /** @param refuse makes the refusal that is thrown. */
  constructor(now: () => number, refuse: Refuse) {
    this.#now = now;
    this.#refuse = refuse;
    this.clear();
  }

  /** The shipped policy alone. */
  clear(): void {
    this.versions.length = 0;
    this.replays.length = 0;
    this.shadows.length = 0;
    const shipped = this.#keep(SHIPPED, 'the shipped policy', 'system');
    shipped.active = true;
    shipped.activatedAt = shipped.createdAt;
    shipped.activatedBy = 'system';
  }

  get active(): Policy {
    const active = this.versions.find((version) => version.active);
    if (!active) throw new Error('the mock has no active policy');
    return active;
  }

  find(key: string): Policy {
    const found = key === 'active' ? this.active : this.versions.find(({ id, version }) => id === key || version === key);
    if (!found) throw this.#refuse(404, 'NOT_FOUND', `There is no policy ${key}.`);
    return found;
  }

  create(text: string, note: string, by: string): { id: string; version: string } {
    const { id, version } = this.#keep(text, note, by);
    return { id, version };
  }

  /** The shipped profiles. */
  profiles(): Profile[] {
    return readdirSync(PROFILES).map((file) => {
      const source = readFileSync(join(PROFILES, file), 'utf8');
      const parsed = parsePolicyText(source);
      if ('errors' in parsed) throw new Error(`the profile ${file} cannot be read`);
      const head = source.split('\n').filter((line) => line.startsWith('#'));
      const description = head.map((line) => line.slice(2)).join('\n');
      return { name: file.replace('.yaml', ''), description, patch: parsed.document as Profile['patch'], source };
    });
  }

  createFrom(profile: string, note: string, by: string): { id: string; version: string } {
    const found = this.profiles().find(({ name }) => name === profile);
    if (!found) throw this.#refuse(404, 'NOT_FOUND', `There is no profile ${profile}.`);
    return this.create(JSON.stringify(applyPatch(this.active.document, found.patch), null, 2), note, by);
  }

  #keep(text: string, note: string, by: string): Policy {
    const parsed = parsePolicyText(text);
    const compiled = 'errors' in parsed ? parsed : compilePolicy(parsed.document, text);
    if ('errors' in compiled) {
      const [first] = compiled.errors;
      const detail = `The policy has ${compiled.errors.length} mistake(s); the first: line ${first?.line}, ${first?.path}: ${first?.message}`;
      throw this.#refuse(422, 'POLICY_INVALID', detail, { errors: compiled.errors });
    }
    const policy: Policy = {
      id: `po_${this.versions.length + 1}`,
      version: `v${this.versions.length + 1}`,
      createdAt: this.#now(),
      createdBy: by,
      note,
      active: false,
      activatedAt: null,
      activatedBy: null,
      document: compiled.policy.document as unknown as Record<string, unknown>,
      source: text,
    };
    this.versions.unshift(policy);
    return policy;
  }

  activate(key: string, given: { confirmRedFlips?: number }, by: string): Policy {
    const policy = this.find(key);
    const replay = this.replays.find((item) => item.policy.id === policy.id) ?? this.replay(policy.version, by);
    const red = replay.result?.redFlips ?? { count: 0, items: [] };
    if (red.count !== (given.confirmRedFlips ?? 0))
      throw this.#refuse(409, 'RED_FLIPS', `${red.count} call(s) that were red and not allowed would be allowed by ${policy.version}.`, {
        replayId: replay.id,
        redFlips: red,
      });
    for (const version of this.versions) version.active = version.id === policy.id;
    policy.activatedAt = this.#now();
    policy.activatedBy = by;
    return policy;
  }

  difference(key: string, from: string): unknown {
    const [before, after] = [this.find(from), this.find(key)];
    return {
      from: { id: before.id, version: before.version },
      to: { id: after.id, version: after.version },
      changes: diffDocuments(before.document, after.document),
    };
  }

  /** Judged in no time; what gets looser is a matter of whether the text mentions "publish". */
  replay(key: string, by: string): Replay {
    const policy = this.find(key);
    const loose: Flip[] = /npm publish/.test(policy.source) ? [flip('npm publish --tag next', 'red')] : [];
    const held = [flip('npm view @acme/icons version', 'yellow'), flip('git tag --tag v2.4.0-next.1', 'yellow')];
    const replay: Replay = {
      id: `rp_${this.replays.length + 1}`,
      createdAt: this.#now(),
      createdBy: by,
      policy: { id: policy.id, name: policy.version },
      base: { id: this.active.id, version: this.active.version },
      since: this.#now() - 7 * 86_400_000,
      until: this.#now(),
      status: 'done',
      judged: 98_412,
      total: 98_412,
      finishedAt: this.#now(),
      error: null,
      result: {
        calls: { judged: 98_412, same: 98_371 - loose.length, flips: counts({ holdToAllow: 41 + loose.length }), unreadable: 0 },
        cases: { judged: 214, same: 214, flips: counts({}) },
        examples: { ...none(), holdToAllow: [...held, ...loose] },
        redFlips: { count: loose.length, items: loose },
        unseen: { count: 0, items: [] },
      },
    };
    this.replays.unshift(replay);
    return replay;
  }

  shadow(key: string, note: string, by: string): Shadow {
    const policy = this.find(key);
    const shadow: Shadow = {
      id: `sh_${this.shadows.length + 1}`,
      startedAt: this.#now(),
      startedBy: by,
      note,
      policy: { id: policy.id, name: policy.version },
      stoppedAt: null,
      stoppedBy: null,
      calls: { judged: 3_907, same: 3_895, flips: counts({ holdToAllow: 9, allowToHold: 3 }) },
      skipped: 0,
      redFlips: 0,
      examples: { ...none(), holdToAllow: [flip('git tag --tag nightly', 'yellow')] },
    };
    this.shadows.unshift(shadow);
    return shadow;
  }

  stopShadow(id: string, by: string): Shadow {
    const shadow = this.shadows.find((item) => item.id === id);
    if (!shadow) throw this.#refuse(404, 'NOT_FOUND', `There is no shadow ${id}.`);
    shadow.stoppedAt = this.#now();
    shadow.stoppedBy = by;
    return shadow;
  }
}

function counts(some: Partial<Record<FlipKind, number>>): Record<FlipKind, number> {
  return { ...(Object.fromEntries(FLIP_KINDS.map((kind) => [kind, 0])) as Record<FlipKind, number>), ...some };
}

function none(): Record<FlipKind, Flip[]> {
  return Object.fromEntries(FLIP_KINDS.map((kind) => [kind, []])) as unknown as Record<FlipKind, Flip[]>;
}

function flip(summary: string, risk: Flip['after']['risk']): Flip {
  return {
    source: 'call',
    id: `tc_${summary.length}`,
    tool: 'exec',
    summary,
    agentId: null,
    at: null,
    before: { verdict: 'hold', risk, codes: ['SHELL_NOT_ALLOWLISTED'] },
    after: { verdict: 'allow', risk, codes: ['OK'], message: 'Inside every allowlist' },
  };
}
