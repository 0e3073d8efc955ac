/** A budget as it stands and as it would stand if a held call ran: spent of the cap, and what the call could add at most. */
import { html, nothing, type TemplateResult } from 'lit';
import { callMoney, capMoney, money } from '../words.ts';
import { meter, spentOf } from './parts.ts';

export interface BudgetView {
  name: string;
  /** USD. */
  spent: number;
  /** USD; null = no cap. */
  cap: number | null;
  /** What is said where no cap is known here; "no cap" unless told otherwise. */
  uncapped?: string;
  /** What the call could add at most, USD; 0 = nothing. */
  adds: number;
}

export function budgetRow({ name, spent, cap, adds, uncapped }: BudgetView): TemplateResult {
  return html`<div class="cost"><span class="ink2 cut">${name}</span>${spentOf(spent, cap, uncapped)}${meter(spent, cap)}${adds > 0 ? effect(spent, cap, adds) : nothing}</div>`;
}

/** Exactly the cap passes; more than the cap does not (SPEC 4.3). */
function effect(spent: number, cap: number | null, adds: number): TemplateResult {
  const after = spent + adds;
  if (cap !== null && after > cap)
    return html`<span class="cost-after m-red">with this call up to ${money(after, cap)}, ${callMoney(after - cap)} over the cap of ${capMoney(cap)}</span>`;
  return html`<span class="cost-after muted">with this call at most ${money(after, cap)}</span>`;
}
