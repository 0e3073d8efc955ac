/**
 * Trying a policy out: one call judged by what is in the editor, the recorded calls of a week judged by a saved version, and a saved version
 * beside the policy in force on live calls. None of them changes anything.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { Replay, Shadow } from '../../control/contract.ts';
import type { Reason } from '../../policies/model.ts';
import type { SimulateResult } from '../../policies/simulate.ts';
import { sentence } from '../actions.ts';
import * as api from '../api.ts';
import { serverNow } from '../clock.ts';
import { reasonRows } from '../elements/call-facts.ts';
import '../elements/command-list.ts';
import { flipList, flipRows } from '../elements/flip-list.ts';
import { chip, glyph, riskChip, verdictGlyph } from '../elements/glyph.ts';
import { LightElement } from '../elements/light-element.ts';
import { button, choice, failed, why } from '../elements/parts.ts';
import { numberOf } from '../elements/task-text.ts';
import { say } from '../notices.ts';
import { reasonAgainst } from '../permissions.ts';
import type { Checked } from '../policy-judge.ts';
import { agents, tasks } from '../store.ts';
import { count, plural, VERDICT_WORDS, when } from '../words.ts';
import { readLine } from './policy-line.ts';

const POLL_MS = 500;
const SHADOW_MS = 3_000;

@customElement('mc-policy-trials')
export class PolicyTrialsElement extends SignalWatcher(LightElement) {
  @property({ attribute: false }) policy: api.PolicyVersion | null = null;
  @property({ attribute: false }) active: api.PolicyVersion | null = null;
  /** What is in the editor, checked. */
  @property({ attribute: false }) checked: Checked | null = null;
  @property({ attribute: false }) isDraft = false;
  @property({ attribute: false }) judge: typeof import('../policy-judge.ts') | null = null;
  @state() private line = 'exec npm publish --tag next';
  @state() private agentId = '';
  @state() private taskId = '';
  @state() private judgedBy: 'editor' | 'active' = 'editor';
  @state() private replay: Replay | null = null;
  @state() private shadow: Shadow | null = null;
  @state() private busy: 'replay' | 'shadow' | null = null;
  @state() private failure: string | null = null;
  /** The last document without problems, so that typing does not take the judgement away. */
  #sound: Checked | null = null;
  #soundIsOld = false;
  #activeChecked: { id: string; checked: Checked } | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#readShadow();
    this.#timer = setInterval(() => void this.#readShadow(), SHADOW_MS);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.#timer);
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    super.willUpdate(changed);
    if (changed.has('checked') && this.checked) {
      if (this.checked.policy) this.#sound = this.checked;
      this.#soundIsOld = this.checked.policy === null;
    }
    if (changed.has('policy') && changed.get('policy')?.id !== this.policy?.id) void this.#readReplay();
  }

  protected override render(): TemplateResult {
    return html`<aside class="po-t scroll" aria-label="Try it out" tabindex="0">${this.#simulate()}${this.#replays()}${this.#shadows()}</aside>`;
  }

  /* ---------------------------------------------------------------- one call */

  #simulate(): TemplateResult {
    const editor = `${this.policy?.version ?? ''}${this.isDraft ? ' draft' : ''}`;
    const result = this.#judge();
    const squad = agents.all().sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
    const open = tasks
      .all()
      .filter((task) => task.status !== 'done')
      .sort((a, b) => b.number - a.number)
      .slice(0, 200);
    return html`<section class="panel">
      <div class="panel-h"><h2 class="grow">Simulate</h2>${
        this.policy?.active && !this.isDraft
          ? nothing
          : choice(
              'Judged by',
              [
                { value: 'active', label: this.active?.version ?? 'active' },
                { value: 'editor', label: editor },
              ] as const,
              this.judgedBy,
              (value) => this.#judgeBy(value),
            )
      }</div>
      <div class="panel-b form">
        <label class="lbl" for="sim-line">A call <span class="muted">tool, then its command, path or address, or JSON</span></label>
        <textarea class="field mono" id="sim-line" rows="2" spellcheck="false" .value=${this.line} @input=${this.#lineTyped}></textarea>
        <div class="po-as">
          <label class="lbl" for="sim-agent">as</label>
          <select class="field" id="sim-agent" @change=${this.#agentChosen}><option value="">a specialist</option>${squad.map((agent) => html`<option value=${agent.id} ?selected=${agent.id === this.agentId}>${agent.name}, ${agent.autonomyLevel}</option>`)}</select>
          <label class="lbl" for="sim-task">in</label>
          <select class="field" id="sim-task" @change=${this.#taskChosen}><option value="">no task</option>${open.map((task) => html`<option value=${task.id} ?selected=${task.id === this.taskId}>${numberOf(task)} ${task.title.slice(0, 40)}</option>`)}</select>
        </div>
        <div role="status">${
          result === null
            ? html`<p class="small muted">${this.judge === null ? 'The judgement is being fetched.' : 'Nothing to judge by: the text has problems.'}</p>`
            : this.#verdict(result)
        }</div>
      </div>
    </section>`;
  }

  #verdict(result: SimulateResult): TemplateResult {
    const tone = { allow: 'allowed', hold: 'held', deny: 'denied' } as const;
    const commands = result.trace?.commands ?? [];
    const line = readLine(this.line)?.arguments.command;
    return html`<p class="row po-j">${chip({ allow: 'green', hold: 'amber', deny: 'red' }[result.verdict] as 'green', html`${verdictGlyph(result.verdict)}${VERDICT_WORDS[result.verdict]}`)}${riskChip(result.risk)}${this.judgedBy === 'editor' && this.#soundIsOld ? html`<span class="small muted">by the text as it was before the problem</span>` : nothing}</p>
      ${reasonRows(result.reasons as Reason[], tone[result.verdict])}
      ${commands.length > 0 && typeof line === 'string' ? html`<mc-command-list .line=${line} .commands=${commands}></mc-command-list>` : nothing}`;
  }

  #judge(): SimulateResult | null {
    const call = readLine(this.line);
    const policy = this.judgedBy === 'active' || (this.policy?.active && !this.isDraft) ? this.#activePolicy() : this.#sound?.policy;
    if (!this.judge || !policy || !call) return null;
    const agent = agents.get(this.agentId);
    const task = tasks.get(this.taskId);
    return this.judge.judgeCase(policy, {
      id: 'here',
      ...call,
      ...(agent?.workspace ? { workspace: agent.workspace, cwd: agent.workspace } : { cwd: '/workspace' }),
      agent: agent
        ? {
            id: agent.id,
            autonomy: agent.autonomyLevel,
            status: agent.status,
            depth: agent.depth,
            ...(agent.toolPermissions === null ? {} : { toolPermissions: agent.toolPermissions }),
          }
        : { autonomy: 'specialist', status: 'active' },
      ...(task
        ? { task: { id: task.id, type: task.type, status: task.status, assigneeIds: task.assigneeIds }, spend: { taskUsd: task.spend } }
        : {}),
    });
  }

  #activePolicy() {
    if (!this.judge || !this.active) return null;
    if (this.#activeChecked?.id !== this.active.id)
      this.#activeChecked = { id: this.active.id, checked: this.judge.checkPolicy(this.active.source) };
    return this.#activeChecked.checked.policy;
  }

  /* ---------------------------------------------------------------- a week */

  #replays(): TemplateResult | typeof nothing {
    const policy = this.policy;
    if (!policy || policy.active) return nothing;
    const { replay } = this;
    const against = reasonAgainst('replay') ?? (this.isDraft ? 'Save the draft as a version first.' : null);
    const running = replay?.status === 'running';
    const flips = replay?.result
      ? Object.values(replay.result.calls.flips).reduce((sum, n) => sum + n, 0) +
        Object.values(replay.result.cases.flips).reduce((sum, n) => sum + n, 0)
      : 0;
    return html`<section class="panel">
      <div class="panel-h"><h2>Replay</h2><span class="small muted grow">${replay ? `${plural(replay.total, 'call')} of 7 days` : 'the calls of 7 days'}</span>${
        replay?.result ? html`<b>${plural(flips, 'flip')}</b>` : nothing
      }${
        running && replay
          ? button({ label: 'Break off', size: 'small', onClick: () => void this.#cancel(replay.id) })
          : button({
              label: replay ? 'Again' : 'Replay',
              size: 'small',
              busy: this.busy === 'replay' ? 'Replaying' : null,
              reason: against,
              reasonId: 'rp-why',
              onClick: () => void this.#startReplay(),
            })
      }</div>
      ${against === null ? nothing : html`<div class="po-w">${why(against, 'rp-why')}</div>`}
      ${this.failure === null ? nothing : failed('The replay failed', this.failure, () => void this.#startReplay())}
      ${running && replay ? html`<p class="panel-b small muted" role="status">Judged ${count(replay.judged)} of ${count(replay.total)}</p>` : nothing}
      ${replay?.result ? this.#found(replay.result) : nothing}
    </section>`;
  }

  #found(result: NonNullable<Replay['result']>): TemplateResult {
    const nameOf = (id: string) => agents.get(id)?.name;
    const counts = Object.fromEntries(
      (Object.keys(result.calls.flips) as (keyof typeof result.calls.flips)[]).map((kind) => [
        kind,
        result.calls.flips[kind] + result.cases.flips[kind],
      ]),
    ) as typeof result.calls.flips;
    return html`${flipList({ counts, examples: result.examples, nameOf })}
      ${
        result.redFlips.count > 0
          ? html`<div class="po-red"><p class="m-red">${glyph('cross', 'red')} ${plural(result.redFlips.count, 'red call')} would now be allowed. Activating asks for it in words.</p>${flipRows(result.redFlips.items.slice(0, 5), nameOf)}</div>`
          : html`<p class="po-ok small">${glyph('tick', 'green')} No red call gets looser.</p>`
      }
      ${result.unseen.count > 0 ? html`<p class="po-ok small muted">${plural(result.unseen.count, 'call')} could not be judged whole: what they named was redacted.</p>` : nothing}`;
  }

  /* ---------------------------------------------------------------- live */

  #shadows(): TemplateResult | typeof nothing {
    const { shadow, policy } = this;
    const live = shadow?.stoppedAt === null;
    if (!live && (!policy || policy.active)) return nothing;
    const against = reasonAgainst('change the policy') ?? (!live && this.isDraft ? 'Save the draft as a version first.' : null);
    const nameOf = (id: string) => agents.get(id)?.name;
    const judged = shadow?.calls.judged ?? 0;
    const differ = judged - (shadow?.calls.same ?? 0);
    return html`<section class="panel">
      <div class="panel-h"><h2>Shadow</h2><span class="small muted grow">${live && shadow ? `${shadow.policy.name} beside ${this.active?.version ?? 'the active one'} since ${when(shadow.startedAt, serverNow())}` : 'on live calls, without effect'}</span>${
        live
          ? button({
              label: 'End',
              size: 'small',
              busy: this.busy === 'shadow' ? 'Ending' : null,
              reason: against,
              reasonId: 'sh-why',
              onClick: () => void this.#stopShadow(),
            })
          : button({
              label: `Start with ${policy?.version ?? ''}`,
              size: 'small',
              busy: this.busy === 'shadow' ? 'Starting' : null,
              reason: against,
              reasonId: 'sh-why',
              onClick: () => void this.#startShadow(),
            })
      }</div>
      ${against === null ? nothing : html`<div class="po-w">${why(against, 'sh-why')}</div>`}
      ${
        live && shadow
          ? html`<dl class="po-s"><div><dt>Judged live</dt><dd>${count(judged)}</dd></div><div><dt>Would differ</dt><dd>${count(differ)}${judged > 0 ? html` <span class="small muted">${((differ / judged) * 100).toFixed(1)} %</span>` : nothing}</dd></div><div><dt>Red, looser</dt><dd class=${shadow.redFlips > 0 ? 'm-red' : ''}>${count(shadow.redFlips)}</dd></div></dl>
            ${flipList({ counts: shadow.calls.flips, examples: shadow.examples, nameOf })}
            ${shadow.skipped > 0 ? html`<p class="po-ok small muted">${plural(shadow.skipped, 'call')} left out so that live ones are not slowed down.</p>` : nothing}`
          : nothing
      }
    </section>`;
  }

  /* ---------------------------------------------------------------- doing */

  readonly #lineTyped = (event: InputEvent): void => {
    if (event.target instanceof HTMLTextAreaElement) this.line = event.target.value;
  };

  readonly #agentChosen = (event: Event): void => {
    if (event.target instanceof HTMLSelectElement) this.agentId = event.target.value;
  };

  readonly #taskChosen = (event: Event): void => {
    if (event.target instanceof HTMLSelectElement) this.taskId = event.target.value;
  };

  #judgeBy(value: 'editor' | 'active'): void {
    this.judgedBy = value;
  }

  async #startReplay(): Promise<void> {
    const policy = this.policy;
    if (!policy) return;
    this.busy = 'replay';
    this.failure = null;
    try {
      this.replay = await api.startReplay(policy.version);
      await this.#follow(policy.id);
    } catch (error) {
      this.failure = sentence(error);
    }
    this.busy = null;
  }

  async #follow(policyId: string): Promise<void> {
    while (this.isConnected && this.policy?.id === policyId && this.replay?.status === 'running') {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      this.replay = await api.readReplay(this.replay.id);
    }
    if (this.replay?.status === 'failed') this.failure = this.replay.error ?? 'It gave no reason.';
  }

  async #cancel(id: string): Promise<void> {
    try {
      this.replay = await api.cancelReplay(id);
    } catch (error) {
      say('refused', `Not broken off. ${sentence(error)}`);
    }
  }

  /** The newest replay of this version, where there is one. */
  async #readReplay(): Promise<void> {
    const policy = this.policy;
    this.replay = null;
    this.failure = null;
    if (!policy || policy.active) return;
    try {
      const { items } = await api.listReplays({ limit: 50 });
      const known = items.find((item) => item.policy.id === policy.id && (item.status === 'done' || item.status === 'running'));
      if (!known || this.policy?.id !== policy.id) return;
      this.replay = await api.readReplay(known.id);
      await this.#follow(policy.id);
    } catch {
      // Shown as "no replay yet"; starting one says what is wrong.
    }
  }

  async #readShadow(): Promise<void> {
    try {
      this.shadow = (await api.listShadows({ limit: 1 })).items[0] ?? null;
    } catch {
      // The age of the data in the header says that the server is away.
    }
  }

  async #startShadow(): Promise<void> {
    const policy = this.policy;
    if (!policy) return;
    this.busy = 'shadow';
    try {
      this.shadow = await api.startShadow(policy.version, '');
      say('done', `${policy.version} judges live calls beside the active policy. It decides nothing.`);
    } catch (error) {
      say('refused', `No shadow was started. ${sentence(error)}`);
    }
    this.busy = null;
  }

  async #stopShadow(): Promise<void> {
    if (!this.shadow) return;
    this.busy = 'shadow';
    try {
      this.shadow = await api.stopShadow(this.shadow.id);
      say('done', 'The shadow has ended; its figures stay.');
    } catch (error) {
      say('refused', `Not ended. ${sentence(error)}`);
    }
    this.busy = null;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-policy-trials': PolicyTrialsElement;
  }
}
