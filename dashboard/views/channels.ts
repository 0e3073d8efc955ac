/**
 * The ways to people outside the dashboard: channels with their health, what did not arrive, and who one is there oneself. A secret is
 * sent once and never comes back.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import type { Channel, ChannelCreate, ChannelUpdate, ChatIdentity, Notification } from '../../control/contract.ts';
import { sentence } from '../actions.ts';
import * as api from '../api.ts';
import { serverNow } from '../clock.ts';
import { icon } from '../elements/icon.ts';
import { LightElement } from '../elements/light-element.ts';
import '../elements/modal.ts';
import { onceShown } from '../elements/once-shown.ts';
import { ago, button, empty, failed, moment, seen, skeleton, why } from '../elements/parts.ts';
import { say } from '../notices.ts';
import { reasonAgainst } from '../permissions.ts';
import { session } from '../store.ts';
import { CHANNEL_EVENT_WORDS, CHANNEL_WORDS, NOTIFICATION_WORDS, plural } from '../words.ts';
import './channels.css';

const READ_EVERY_MS = 5_000;
const KINDS: readonly Channel['kind'][] = ['telegram', 'slack', 'webhook'];
const PLACES: Record<Channel['kind'], { label: string; example: string }> = {
  telegram: { label: 'Number of the chat', example: '-1001234567890' },
  slack: { label: 'Id of the conversation', example: 'C0123456789' },
  webhook: { label: 'Address', example: 'An https address' },
};
const HEALTH = {
  ok: { word: 'Arrives', tone: 'm-green', icon: 'activity' },
  unknown: { word: 'Not used yet', tone: 'ink2', icon: 'hourglass' },
  failing: { word: 'Fails', tone: 'm-red', icon: 'unplug' },
} as const;

@customElement('mc-channels')
export class ChannelsElement extends SignalWatcher(LightElement) {
  @state() private channels: readonly Channel[] | null = null;
  @state() private dead: readonly Notification[] = [];
  @state() private mine: readonly ChatIdentity[] = [];
  @state() private failure: string | null = null;
  @state() private open: { what: 'add' } | { what: 'edit' | 'remove'; channel: Channel } | null = null;
  @state() private kind: Channel['kind'] = 'telegram';
  @state() private code: api.ChatCode | null = null;
  @state() private secret: { name: string; secret: string } | null = null;
  @state() private busy: string | null = null;
  @state() private refusal: string | null = null;
  #timer: ReturnType<typeof setInterval> | null = null;

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#read();
    this.#timer = setInterval(() => void this.#read(), READ_EVERY_MS);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  protected override render(): TemplateResult {
    const against = reasonAgainst('manage channels');
    return html`<section class="panel st">
      <div class="panel-h"><h2 class="grow">Channels</h2>${button({ label: 'Add a channel', icon: 'plus', size: 'small', kind: 'quiet', reason: against, reasonId: 'ch-why', onClick: () => this.#show({ what: 'add' }) })}</div>
      ${against === null ? nothing : html`<div class="panel-b st-why">${why(against, 'ch-why')}</div>`}
      ${this.#list(against)}
      ${this.dead.length === 0 ? nothing : this.#deadLetters()}
      ${this.#dialogs()}
    </section>`;
  }

  #list(against: string | null): TemplateResult {
    if (this.failure !== null) return failed('The channels could not be read', this.failure, () => void this.#read());
    if (this.channels === null) return skeleton(2);
    if (this.channels.length === 0)
      return empty('Nobody is told outside this page', 'Add Telegram, Slack or a webhook, and approvals reach people on their phones.');
    return html`<ul>${this.channels.map((channel) => this.#row(channel, against))}</ul>`;
  }

  #row(channel: Channel, against: string | null): TemplateResult {
    const now = serverNow();
    const { state: health, error, errorAt, successAt, heldUntil } = channel.health;
    const shown = channel.enabled ? HEALTH[health] : { word: 'Switched off', tone: 'ink2', icon: 'circle-pause' as const };
    const me = this.mine.filter((identity) => identity.channelId === channel.id);
    return html`<li class="ch">
      <div class="gw-h"><b class="b">${seen(channel.name)}</b><span class="muted">${CHANNEL_WORDS[channel.kind]}${channel.account ? `, ${channel.account}` : ''}</span><span class="grow"></span>
        ${channel.kind === 'webhook' ? nothing : button({ label: 'Link my account', icon: 'user-check', size: 'small', kind: 'quiet', busy: this.busy === `code:${channel.id}` ? 'Making a code' : null, onClick: () => void this.#link(channel) })}
        ${button({ label: `Test ${channel.name}`, icon: 'activity', size: 'small', kind: 'quiet', busy: this.busy === `test:${channel.id}` ? 'Sending' : null, reason: against, reasonId: 'ch-why', onClick: () => void this.#test(channel) })}
        ${button({ label: `Edit ${channel.name}`, icon: 'pencil', iconOnly: true, size: 'small', kind: 'quiet', reason: against, reasonId: 'ch-why', onClick: () => this.#show({ what: 'edit', channel }) })}
        ${button({ label: `Remove ${channel.name}`, icon: 'x', iconOnly: true, size: 'small', kind: 'deny', reason: against, reasonId: 'ch-why', onClick: () => this.#show({ what: 'remove', channel }) })}
      </div>
      <dl class="kv">
        <dt>State</dt><dd><span class="bare ${shown.tone}">${icon(shown.icon, 14)}${shown.word}</span> <span class="muted">${successAt === null ? 'Nothing was taken there yet.' : html`Took something ${ago(successAt, now)}.`}${error === null ? nothing : html` ${errorAt === null ? nothing : ago(errorAt, now)}: ${seen(error)}.`}${heldUntil === null ? nothing : html` Tried again at ${moment(heldUntil)}.`}</span></dd>
        <dt>To</dt><dd><code>${seen(channel.destination)}</code></dd>
        <dt>Tells of</dt><dd>${channel.events.length === 0 ? 'nothing' : channel.events.map((event) => CHANNEL_EVENT_WORDS[event]).join(', ')}</dd>
        ${channel.inboundPath === null ? nothing : html`<dt>Is called at</dt><dd><code>${channel.inboundPath}</code></dd>`}
        ${channel.waiting === 0 ? nothing : html`<dt>Waits</dt><dd>${plural(channel.waiting, 'message')}</dd>`}
        ${me.length === 0 ? nothing : html`<dt>You are</dt><dd>${me.map((identity) => html`${seen(identity.externalName)} ${button({ label: `Unlink ${identity.externalName}`, icon: 'x', iconOnly: true, size: 'small', kind: 'quiet', onClick: () => void this.#unlink(identity) })}`)}</dd>`}
      </dl>
    </li>`;
  }

  #deadLetters(): TemplateResult {
    const against = reasonAgainst('retry notifications');
    return html`<div class="panel-b"><h3 class="ch-dead">Did not arrive</h3>
      ${against === null ? nothing : why(against, 'nt-why')}
      <ul>${this.dead.map(
        (one) => html`<li class="ch-d">
          <span class="grow"><b>${NOTIFICATION_WORDS[one.kind]}</b> on ${seen(one.channelName)}: ${seen(one.summary)} <span class="muted">${one.lastError === null ? '' : seen(one.lastError)}</span></span>
          ${button({ label: 'Try again', icon: 'rotate-cw', size: 'small', busy: this.busy === one.id ? 'Trying' : null, reason: against, reasonId: 'nt-why', onClick: () => void this.#retry(one) })}
        </li>`,
      )}</ul></div>`;
  }

  #dialogs(): TemplateResult {
    const { open } = this;
    const close = () => this.#show(null);
    return html`${open?.what === 'add' ? html`<mc-modal heading="Add a channel" .content=${this.#form(null)} @mc-close=${close}></mc-modal>` : nothing}
      ${open?.what === 'edit' ? html`<mc-modal heading="Change ${open.channel.name}" .content=${this.#form(open.channel)} @mc-close=${close}></mc-modal>` : nothing}
      ${open?.what === 'remove' ? html`<mc-modal heading="Remove ${open.channel.name}" .content=${this.#removeForm(open.channel)} @mc-close=${close}></mc-modal>` : nothing}
      ${this.code ? html`<mc-modal heading="Link my account" .content=${onceShown(this.code.code, `${this.code.instruction}. It works once, for ten minutes.`)} @mc-close=${() => this.#forget()}></mc-modal>` : nothing}
      ${this.secret ? html`<mc-modal heading="Signing key of ${this.secret.name}" .content=${onceShown(this.secret.secret, 'The receiver checks the signature of each message with it.')} @mc-close=${() => this.#forget()}></mc-modal>` : nothing}`;
  }

  #form(channel: Channel | null): TemplateResult {
    const kind = channel?.kind ?? this.kind;
    const { label, example } = PLACES[kind];
    const secretLabel = kind === 'slack' ? 'Signing secret of the app' : 'Signing key';
    return html`<form class="form" @submit=${(event: SubmitEvent) => void this.#save(event, channel)}>
      ${
        channel
          ? nothing
          : html`<label class="lbl" for="ch-kind">Kind</label>
              <select class="field" id="ch-kind" @change=${(event: Event) => this.#choose(event)}>${KINDS.map((one) => html`<option value=${one} ?selected=${one === kind}>${CHANNEL_WORDS[one]}</option>`)}</select>`
      }
      <label class="lbl" for="ch-name">Name</label>
      <input class="field" id="ch-name" name="name" required maxlength="120" autocomplete="off" .value=${channel?.name ?? CHANNEL_WORDS[kind]} data-focus />
      <label class="lbl" for="ch-to">${label}</label>
      <input class="field mono" id="ch-to" name="destination" required maxlength="2000" placeholder=${example} autocomplete="off" spellcheck="false" .value=${channel?.destination ?? ''} />
      ${
        kind === 'webhook'
          ? nothing
          : html`<label class="lbl" for="ch-token">Token of the bot</label>
              <input class="field mono" id="ch-token" name="token" type="password" maxlength="500" ?required=${channel === null} placeholder=${channel ? 'Kept as it is' : ''} autocomplete="off" />`
      }
      ${
        kind === 'telegram'
          ? nothing
          : html`<label class="lbl" for="ch-secret">${secretLabel} ${kind === 'webhook' ? html`<span class="muted">without one we make it</span>` : nothing}</label>
              <input class="field mono" id="ch-secret" name="secret" type="password" maxlength="500" ?required=${channel === null && kind === 'slack'} placeholder=${channel ? 'Kept as it is' : ''} autocomplete="off" />`
      }
      ${
        kind === 'telegram'
          ? html`<label class="lbl" for="ch-mode">What people do there</label>
              <select class="field" id="ch-mode" name="mode"><option value="polling" ?selected=${channel?.mode !== 'webhook'}>is fetched (needs no address of ours)</option><option value="webhook" ?selected=${channel?.mode === 'webhook'}>is sent to us (needs MC_CONTROL_URL)</option></select>`
          : nothing
      }
      <fieldset class="ch-ev"><legend class="lbl">Tells of</legend>${Object.entries(CHANNEL_EVENT_WORDS).map(([event, word]) => html`<label class="ch-check"><input type="checkbox" name="events" value=${event} ?checked=${channel === null || channel.events.some((one) => one === event)} />${word}</label>`)}</fieldset>
      ${kind === 'webhook' ? nothing : html`<label class="ch-check"><input type="checkbox" name="topics" ?checked=${channel?.topics ?? false} />A thread for each task</label>`}
      ${channel ? html`<label class="ch-check"><input type="checkbox" name="enabled" ?checked=${channel.enabled} />Switched on</label>` : nothing}
      <details ?open=${(channel?.apiRoot ?? null) !== null || channel?.allowPrivate === true}><summary>Another server</summary>
        ${kind === 'webhook' ? nothing : html`<label class="lbl" for="ch-root">Address of its API <span class="muted">empty = the usual one</span></label><input class="field mono" id="ch-root" name="apiRoot" type="url" maxlength="2000" autocomplete="off" spellcheck="false" .value=${channel?.apiRoot ?? ''} />`}
        <label class="ch-check"><input type="checkbox" name="allowPrivate" ?checked=${channel?.allowPrivate ?? false} />Private addresses and plain HTTP are meant</label>
      </details>
      <p class="refusal" role="alert">${this.refusal ?? ''}</p>
      ${button({ label: channel ? `Change ${channel.name}` : 'Add a channel', kind: 'go', size: 'large', block: true, type: 'submit', busy: this.busy === 'save' ? 'Saving' : null, onClick: () => {} })}
    </form>`;
  }

  #removeForm(channel: Channel): TemplateResult {
    return html`<p class="ink2">What waits for ${channel.name} is given up, and nobody can decide from there any more. What was decided stays on record.</p>
      <div class="form-f">${button({ label: `Remove ${channel.name}`, kind: 'deny', size: 'large', block: true, busy: this.busy === 'remove' ? 'Removing' : null, onClick: () => void this.#remove(channel) })}</div>`;
  }

  #show(open: typeof this.open): void {
    this.open = open;
    this.refusal = null;
  }

  #choose(event: Event): void {
    if (event.target instanceof HTMLSelectElement) this.kind = event.target.value as Channel['kind'];
  }

  #forget(): void {
    this.code = null;
    this.secret = null;
  }

  async #read(): Promise<void> {
    const me = session.get()?.operator.id;
    try {
      const [channels, dead, mine] = await Promise.all([
        api.listChannels(),
        api.listDeadNotifications(),
        me === undefined ? [] : api.listChatIdentities(me),
      ]);
      [this.channels, this.dead, this.mine, this.failure] = [channels, dead.items, mine, null];
    } catch (error) {
      if (this.channels === null) this.failure = sentence(error);
    }
  }

  async #save(event: SubmitEvent, channel: Channel | null): Promise<void> {
    event.preventDefault();
    if (this.busy) return;
    const form = new FormData(event.target as HTMLFormElement);
    const kind = channel?.kind ?? this.kind;
    const text = (name: string) => String(form.get(name) ?? '').trim();
    const body: ChannelUpdate = {
      name: text('name'),
      destination: text('destination'),
      events: form.getAll('events').map(String) as Channel['events'],
      topics: form.has('topics'),
      allowPrivate: form.has('allowPrivate'),
      ...(kind !== 'webhook' && { apiRoot: text('apiRoot') || null }),
      ...(kind === 'telegram' && { mode: text('mode') === 'webhook' ? ('webhook' as const) : ('polling' as const) }),
      ...(text('token') !== '' && { token: text('token') }),
      ...(text('secret') !== '' && { secret: text('secret') }),
    };
    this.busy = 'save';
    this.refusal = null;
    try {
      if (channel) {
        await api.updateChannel(channel.id, { ...body, enabled: form.has('enabled') });
        say('done', `${body.name} is changed.`);
      } else {
        const made = await api.createChannel({ ...body, kind } as ChannelCreate);
        say('done', `${made.name} is added. Test it.`);
        if (made.secret !== null) this.secret = { name: made.name, secret: made.secret };
      }
      this.open = null;
      await this.#read();
    } catch (error) {
      this.refusal = sentence(error);
    }
    this.busy = null;
  }

  async #remove(channel: Channel): Promise<void> {
    await this.#do('remove', async () => {
      await api.removeChannel(channel.id);
      this.open = null;
      say('done', `${channel.name} is removed.`);
    });
  }

  async #test(channel: Channel): Promise<void> {
    await this.#do(`test:${channel.id}`, async () => {
      await api.testChannel(channel.id);
      say('done', `A message is on its way to ${channel.name}. Its state here says whether it was taken.`);
    });
  }

  async #link(channel: Channel): Promise<void> {
    const me = session.get()?.operator.id;
    if (me === undefined) return;
    await this.#do(`code:${channel.id}`, async () => {
      this.code = await api.makeChatCode(me, channel.id);
    });
  }

  async #unlink(identity: ChatIdentity): Promise<void> {
    await this.#do(identity.id, async () => {
      await api.removeChatIdentity(identity.operatorId, identity.id);
      say('done', `${identity.externalName} on ${identity.channelName} is nobody here any more.`);
    });
  }

  async #retry(notification: Notification): Promise<void> {
    await this.#do(notification.id, async () => {
      await api.retryNotification(notification.id);
      say('done', 'It is tried again now.');
    });
  }

  async #do(busy: string, act: () => Promise<void>): Promise<void> {
    this.busy = busy;
    try {
      await act();
    } catch (error) {
      say('refused', `Not done. ${sentence(error)}`);
    }
    this.busy = null;
    await this.#read();
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-channels': ChannelsElement;
  }
}
