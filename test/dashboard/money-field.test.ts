import { expect, it } from 'vitest';
import { readMoney } from '../../dashboard/elements/money-field.ts';

it.each([
  ['', null],
  ['  ', null],
  ['15', 15],
  ['$15.50', 15.5],
  ['0', 0],
  ['0.000001', 0.000001],
])('%j is %s dollars', (text, usd) => expect(readMoney(text)).toEqual({ usd, error: null }));

it.each(['15,00', '-1', '1e3', 'ten', '0.0000001', '1000001', '1.2.3'])('%j is refused with a sentence', (text) =>
  expect(readMoney(text).error).toMatch(/\.$|15\.00$/),
);
