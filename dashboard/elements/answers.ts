/** The five questions and their answers, as one list to read from top to bottom. */
import { html, nothing, type TemplateResult } from 'lit';
import { type Answers, QUESTIONS } from './answers-text.ts';
import { seenLine } from './parts.ts';
import './answers.css';

const WORDS: Record<keyof Answers, string> = { happened: 'What happened', who: 'Who', why: 'Why', cost: 'What it cost', next: 'What next' };

export function answersList(answers: Answers): TemplateResult {
  return html`<dl class="ans">${QUESTIONS.map((question) => {
    const { text, quote, link } = answers[question];
    return html`<div><dt>${WORDS[question]}</dt><dd>${text}${quote === undefined ? nothing : html` <q class="ans-q">${seenLine(quote)}</q>`}${link ? html` <a href=${link.href}>${link.label}</a>` : nothing}</dd></div>`;
  })}</dl>`;
}
