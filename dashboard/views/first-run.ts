/**
 * The first steps of an installation, each with what to do and what was found. They tick themselves off as the server tells of it; somebody who
 * does not want them hides them in this browser, and finds them again in the menu and in Settings.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { firstSteps, nextStep, type Step } from '../elements/first-steps.ts';
import { glyph } from '../elements/glyph.ts';
import { type IconName, icon } from '../elements/icon.ts';
import { LightElement } from '../elements/light-element.ts';
import { button, seen } from '../elements/parts.ts';
import { say } from '../notices.ts';
import { firstStepsHidden, hideFirstSteps } from '../preferences.ts';
import { agents, approvals, gateways, overview, pendingApprovals, toolCalls } from '../store.ts';
import './first-run.css';

@customElement('mc-first-run')
export class FirstRunElement extends SignalWatcher(LightElement) {
  /** One line with the step to take, over a view that has more to show. */
  @property({ attribute: false }) brief = false;

  protected override render(): TemplateResult | typeof nothing {
    const steps = stepsNow();
    const next = nextStep(steps);
    if (this.brief) return next ? strip(steps, next) : nothing;
    return html`<div class="fr">
      <div class="fr-m scroll" tabindex="0" role="region" aria-label="First steps">
        <h1>${next ? 'Connect OpenClaw' : 'Everything is connected'}</h1>
        <p class="fr-lead">${
          next
            ? 'Once your gateway is connected, every call of its agents passes the gate. Each step ticks itself off.'
            : html`Calls are judged, and people decide what is held. <a href="/overview">Go to the overview</a>`
        }</p>
        <ol class="fr-steps">${steps.map((step, i) => row(step, i + 1, step === next))}</ol>
        <p class="ink2">An agent without OpenClaw can be <a href="/agents">registered by hand</a> and given a token.</p>
        ${next && !firstStepsHidden.get() ? html`<p class="fr-hide">${button({ label: 'Hide these steps', kind: 'quiet', size: 'small', onClick: hide })}</p>` : nothing}
      </div>
      <aside class="fr-side" aria-label="What you will see"><h2>What you will see here</h2><ul>
        ${WHAT.map(([name, title, text]) => html`<li>${icon(name, 16)}<div><b>${title}</b>${text}</div></li>`)}
      </ul></aside>
    </div>`;
  }
}

/** Whether the steps are still to be shown of themselves: neither done nor hidden. */
export function firstStepsDue(): boolean {
  return overview.get() !== null && !firstStepsHidden.get() && nextStep(stepsNow()) !== null;
}

function stepsNow(): Step[] {
  const about = overview.get();
  if (!about) return [];
  return firstSteps({
    overview: about,
    gateways: gateways.all(),
    agents: agents.all(),
    call: toolCalls.all()[0] ?? null,
    pending: pendingApprovals.get().length,
    decided: approvals.all().find(({ status }) => status === 'approved' || status === 'denied') ?? null,
  });
}

function row(step: Step, number: number, isNext: boolean): TemplateResult {
  const { isDone, title, says, command, waitsFor, link } = step;
  return html`<li class=${isDone ? 'ok' : isNext ? 'now' : 'wait'} aria-current=${isNext ? 'step' : nothing}>
    <span class="no">${isDone ? html`${glyph('tick', 'green')}<span class="sr">Done</span>` : number}</span>
    <div><h2>${title}</h2><p>${seen(says)}</p>
      ${isNext && command ? snippet(command) : nothing}
      ${isNext && waitsFor ? html`<p class="fr-wait" role="status"><span class="spin"></span>${waitsFor}</p>` : nothing}
      ${link && (isNext || isDone) ? html`<p class="fr-link"><a href=${link.href}>${link.label}</a></p>` : nothing}
    </div></li>`;
}

function snippet(command: string): TemplateResult {
  return html`<div class="sn"><code><span class="op" aria-hidden="true">$ </span>${command}</code>${button({ label: 'Copy', icon: 'copy', size: 'small', onClick: () => void copy(command) })}</div>`;
}

function strip(steps: readonly Step[], next: Step): TemplateResult {
  const done = steps.filter((step) => step.isDone).length;
  return html`<section class="fr-strip" aria-label="First steps">
    <span class="muted nb">${done} of ${steps.length} steps done</span>
    <span class="grow"><b class="b">${next.title}</b> <span class="ink2">${next.waitsFor}</span></span>
    <a href=${next.link?.href ?? '/start'}>${next.link?.label ?? 'Show how'}</a>
    ${button({ label: 'Hide these steps', icon: 'x', iconOnly: true, kind: 'quiet', size: 'small', onClick: hide })}
  </section>`;
}

const WHAT: readonly (readonly [IconName, string, string])[] = [
  ['circle-pause', 'Approvals', 'Risky calls wait for you: everything red, and yellow for interns.'],
  ['bot', 'Agents', 'Who is alive, what each spends, how old its last heartbeat is.'],
  ['square-kanban', 'Board', 'Seven columns. Agents move their tasks themselves, within the rules.'],
  ['activity', 'Feed', 'Each decision, call and alert as it happens.'],
  ['triangle-alert', 'Alerts', 'A missing gate, a spent budget, a loop.'],
];

function hide(): void {
  hideFirstSteps(true);
  say('done', 'The first steps are hidden here. They stand in the menu at the top right and in Settings.', {
    label: 'Undo',
    run: () => hideFirstSteps(false),
  });
}

async function copy(command: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(command);
    say('done', 'Copied.');
  } catch {
    say('refused', 'Not copied: the browser did not allow it. Select the text and copy it.');
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-first-run': FirstRunElement;
  }
}
