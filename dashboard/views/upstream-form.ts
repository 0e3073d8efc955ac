/**
 * Adding an upstream, or changing how one is reached. Where it leads elsewhere, its secret is asked for again; every tool of it is then
 * held as changed. MCP servers, HTTP tools with their routes, model APIs. Emits `mc-saved` (its name) and `mc-close`.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { Upstream, UpstreamCreate, UpstreamUpdate } from '../../control/contract.ts';
import { createUpstream, updateUpstream } from '../actions.ts';
import { emit, LightElement } from '../elements/light-element.ts';
import '../elements/modal.ts';
import { readMoney } from '../elements/money-field.ts';
import { button, choice } from '../elements/parts.ts';
import { UPSTREAM_KIND_WORDS } from '../words.ts';

type Route = Upstream['routes'][number];
const RISKS = ['green', 'yellow', 'red'] as const;

type Way = 'url' | 'command';
type Kind = Upstream['kind'];

@customElement('mc-upstream-form')
export class UpstreamFormElement extends SignalWatcher(LightElement) {
  /** The one to change; null = a new one. */
  @property({ attribute: false }) upstream: Upstream | null = null;
  @state() private kind: Kind = 'mcp';
  @state() private way: Way | null = null;
  @state() private busy = false;
  @state() private refusal: string | null = null;

  protected override render(): TemplateResult {
    return html`<mc-modal .heading=${this.upstream ? `How ${this.upstream.name} is reached` : 'Add an upstream'} .content=${this.#form()}></mc-modal>`;
  }

  #form(): TemplateResult {
    const upstream = this.upstream;
    const kind = upstream?.kind ?? this.kind;
    const way = this.#way();
    const known = upstream ? (upstream.url ?? joinCommand(upstream.command ?? [])) : '';
    return html`<form class="form" @submit=${(event: SubmitEvent) => void this.#submit(event)}>
      ${
        upstream
          ? nothing
          : html`<label class="lbl" for="u-name">Name <span class="muted">a to z, 0 to 9 and -; the first part of its tools' names</span></label>
            <input class="field mono" id="u-name" name="name" required maxlength="64" pattern="[a-z0-9]([a-z0-9\\-]*[a-z0-9])?" title="a to z, 0 to 9 and -, not at its ends" autocomplete="off" spellcheck="false" data-focus />
            <span class="lbl">What it is</span>
            <div class="up-ways">${choice<Kind>(
              'What it is',
              (['mcp', 'http', 'model'] as const).map((value) => ({ value, label: UPSTREAM_KIND_WORDS[value] })),
              kind,
              (value) => this.#chooseKind(value),
            )}</div>
            ${
              kind === 'mcp'
                ? html`<span class="lbl">Reached by</span>
            <div class="up-ways">${choice<Way>(
              'Reached by',
              [
                { value: 'url', label: 'Address' },
                { value: 'command', label: 'Command' },
              ],
              way,
              (value) => this.#choose(value),
            )}</div>`
                : nothing
            }`
      }
      ${
        way === 'url'
          ? html`<label class="lbl" for="u-place">Address</label>
            <input class="field mono" id="u-place" name="place" type="url" required maxlength="2048" .value=${known} autocomplete="off" spellcheck="false" ?data-focus=${upstream !== null} />
            <label class="lbl" for="u-secret">Secret <span class="muted">sent as bearer token; agents never see it</span></label>
            <input class="field mono" id="u-secret" name="secret" type="password" maxlength="8192" placeholder=${upstream?.hasSecret ? 'Kept as it is' : 'None'} autocomplete="off" />
            ${upstream?.hasSecret ? html`<label class="check"><input type="checkbox" name="forgetSecret" /><span>Forget the secret</span></label>` : nothing}`
          : html`<label class="lbl" for="u-place">Command <span class="muted">split at spaces, quotes hold together; runs with a clean environment</span></label>
            <input class="field mono" id="u-place" name="place" required maxlength="8192" placeholder="npx -y some-mcp-server /srv/data" .value=${known} autocomplete="off" spellcheck="false" ?data-focus=${upstream !== null} />
            <label class="lbl" for="u-env">Environment <span class="muted">one NAME=value a line; sealed</span></label>
            <textarea class="field mono" id="u-env" name="env" rows="2" placeholder=${upstream && upstream.envNames.length > 0 ? `Kept as it is: ${upstream.envNames.join(', ')}` : 'API_KEY=...'} spellcheck="false"></textarea>
            <label class="check"><input type="checkbox" name="shared" .checked=${upstream?.shared ?? false} /><span>One process for all sessions</span></label>`
      }
      ${
        kind === 'http'
          ? html`<label class="lbl" for="u-routes">Routes <span class="muted">one a line: method, path, tool and, if you like, risk; the first that fits names the call</span></label>
        <textarea class="field mono" id="u-routes" name="routes" rows="5" spellcheck="false" placeholder=${'GET /tickets/** read_tickets green\nPOST /tickets create_ticket yellow'} .value=${(upstream?.routes ?? []).map(routeLine).join('\n')}></textarea>`
          : nothing
      }
      ${kind === 'mcp' ? html`<label class="check"><input type="checkbox" name="trusted" .checked=${upstream?.trusted ?? false} /><span>Trusted: its hints count, its resources and prompts are green</span></label>` : nothing}
      ${way === 'url' ? html`<label class="check"><input type="checkbox" name="allowPrivate" .checked=${upstream?.allowPrivate ?? false} /><span>May be on a private or loopback address</span></label>` : nothing}
      ${
        kind === 'model'
          ? html`<p class="small muted">What a call costs is read from the provider's answers. Agents reach it at <code>/model/{name}</code>.</p>`
          : html`<label class="lbl" for="u-price">Price of a call, USD</label>
            <input class="field" id="u-price" name="price" inputmode="decimal" placeholder="The policy's" .value=${upstream?.priceUsd?.toString() ?? ''} autocomplete="off" />`
      }
      <details class="up-limits"><summary>Limits</summary>
        ${number('concurrency', 'Requests at once', upstream?.limits.concurrency ?? null, 'the default, 128')}
        ${kind !== 'mcp' ? nothing : number('sessions', 'Sessions at once', upstream?.limits.sessions ?? null, 'the default, 256')}
        ${number('timeoutMs', 'Longest silence, ms', upstream?.limits.timeoutMs ?? null, 'the default, 300000')}
        ${number('responseMaxBytes', 'Largest answer, bytes', upstream?.limits.responseMaxBytes ?? null, 'the default, 33554432')}
      </details>
      ${upstream ? html`<p class="small muted">Another host or command is another server: it needs its secret again, and every tool of it is held until somebody accepts it.</p>` : nothing}
      <p class="refusal" role="alert">${this.refusal ?? ''}</p>
      ${button({ label: upstream ? `Change ${upstream.name}` : 'Add upstream', kind: 'go', size: 'large', block: true, type: 'submit', busy: this.busy ? (upstream ? 'Changing' : 'Adding') : null, onClick: () => {} })}
    </form>`;
  }

  #way(): Way {
    if ((this.upstream?.kind ?? this.kind) !== 'mcp') return 'url';
    return this.way ?? (this.upstream?.command ? 'command' : 'url');
  }

  #chooseKind(kind: Kind): void {
    this.kind = kind;
  }

  #choose(way: Way): void {
    this.way = way;
  }

  async #submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    if (this.busy) return;
    const form = new FormData(event.target as HTMLFormElement);
    const price = readMoney(String(form.get('price') ?? ''));
    const env = readEnvironment(String(form.get('env') ?? ''));
    const routes = readRoutes(String(form.get('routes') ?? ''));
    this.refusal =
      price.error ??
      (env === null ? 'Write one NAME=value on each line of the environment.' : null) ??
      (typeof routes === 'string' ? routes : null);
    if (this.refusal !== null) return;
    const upstream = this.upstream;
    const kind = upstream?.kind ?? this.kind;
    const body = {
      ...this.#fields(form, upstream),
      ...(kind === 'model' ? {} : { priceUsd: price.usd }),
      ...(kind === 'http' && typeof routes !== 'string' ? { routes } : {}),
      ...(env && Object.keys(env).length > 0 ? { env } : {}),
    };
    this.busy = true;
    const refused = (sentence: string) => {
      this.refusal = sentence;
    };
    const name = String(form.get('name') ?? '').trim();
    const saved = upstream
      ? await updateUpstream(upstream, body, refused)
      : await createUpstream({ ...body, name, kind } satisfies UpstreamCreate, refused);
    this.busy = false;
    if (!saved) return;
    emit(this, 'mc-close', null);
    emit(this, 'mc-saved', saved.name);
  }

  /** What was filled in; of a known upstream, only what is different. */
  #fields(form: FormData, upstream: Upstream | null): UpstreamUpdate {
    const text = (name: string) => String(form.get(name) ?? '').trim();
    const way = this.#way();
    const place = text('place');
    const isMoved = !upstream || place !== (upstream.url ?? joinCommand(upstream.command ?? []));
    const limits = Object.fromEntries(
      ['concurrency', 'sessions', 'timeoutMs', 'responseMaxBytes'].flatMap((name) => (text(name) ? [[name, Number(text(name))]] : [])),
    );
    return {
      ...(isMoved && (way === 'url' ? { url: place } : { command: place })),
      ...(text('secret') ? { secret: text('secret') } : form.get('forgetSecret') === 'on' ? { secret: null } : {}),
      ...((upstream?.kind ?? this.kind) === 'mcp' && { trusted: form.get('trusted') === 'on' }),
      ...(way === 'url' ? { allowPrivate: form.get('allowPrivate') === 'on' } : { shared: form.get('shared') === 'on' }),
      ...(Object.keys(limits).length > 0 && { limits }),
    };
  }
}

function number(name: string, label: string, value: number | null, placeholder: string): TemplateResult {
  return html`<label class="lbl" for="u-${name}">${label}</label>
    <input class="field" id="u-${name}" name=${name} type="number" min="1" inputmode="numeric" placeholder=${placeholder} .value=${value?.toString() ?? ''} />`;
}

/** A command as one line that splits into the same words again. */
function joinCommand(words: readonly string[]): string {
  return words.map((word) => (/[\s"'\\]/.test(word) || word === '' ? `'${word.replaceAll("'", `'"'"'`)}'` : word)).join(' ');
}

function routeLine({ method, path, tool, risk }: Route): string {
  return [method, path, tool, risk].filter(Boolean).join(' ');
}

/** "GET /tickets/** read_tickets green" lines; a sentence where one is not a route. The server checks the rest. */
function readRoutes(text: string): Route[] | string {
  const routes: Route[] = [];
  for (const line of text.split('\n').filter((candidate) => candidate.trim() !== '')) {
    const [method = '', path, tool, risk, ...more] = line.trim().split(/\s+/);
    const known = RISKS.find((candidate) => candidate === risk);
    if (!path?.startsWith('/') || tool === undefined || more.length > 0 || (risk !== undefined && known === undefined))
      return `Write a route as method, path, tool and, if you like, green, yellow or red: "${line.trim()}" is none.`;
    routes.push({ method: method.toUpperCase(), path, tool, ...(known && { risk: known }) });
  }
  return routes;
}

/** NAME=value lines; null where a line is not one. */
function readEnvironment(text: string): Record<string, string> | null {
  const pairs: [string, string][] = [];
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const at = line.indexOf('=');
    const name = line.slice(0, at).trim();
    if (at < 1 || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return null;
    pairs.push([name, line.slice(at + 1)]);
  }
  return Object.fromEntries(pairs);
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-upstream-form': UpstreamFormElement;
  }
}
