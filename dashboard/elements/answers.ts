/** The five questions and their answers, as one list to read from top to bottom. */
import { html, nothing, type TemplateResult } from 'lit';
import { type Answers, QUESTIONS } from './answers-text.ts';
import { seen, seenLine } from './parts.ts';
import { toLine } from './visible-text.ts';
import './answers.css';

const WORDS: Record<keyof Answers, string> = { happened: 'What happened', who: 'Who', why: 'Why', cost: 'What it cost', next: 'What next' };

export function answersList(answers: Answers): TemplateResult {
  return html`<dl class="ans">${QUESTIONS.map((question) => {
    const { text, detail, quote, link } = answers[question];
    return html`<div><dt>${WORDS[question]}</dt><dd>${text}${detail === undefined ? nothing : html` <span class="ink2">${seen(toLine(detail))}</span>`}${quote === undefined ? nothing : html` <q class="ans-q">${seenLine(quote)}</q>`}${link ? html` <a href=${link.href}>${link.label}</a>` : nothing}</dd></div>`;
  })}</dl>`;
}
