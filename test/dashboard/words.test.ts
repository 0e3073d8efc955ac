import { describe, expect, it } from 'vitest';
import { age, callMoney, capMoney, count, dataAge, money, monthName, plural, took, wait, when } from '../../dashboard/words.ts';

describe('money', () => {
  it('has two decimals, a thousands comma, and a dash where nothing is known', () => {
    expect(money(9.84)).toBe('$9.84');
    expect(money(0)).toBe('$0.00');
    expect(money(1234.5)).toBe('$1,234.50');
    expect(money(null)).toBe('–');
    expect(money(-0.5)).toBe('−$0.50');
  });

  it('never rounds across its cap', () => {
    expect(money(11.996, 12)).toBe('$11.99');
    expect(money(12.001, 12)).toBe('$12.01');
    expect(money(12, 12)).toBe('$12.00');
    expect(money(3.456, 12)).toBe('$3.46');
  });

  it('shows caps short and calls to four decimals', () => {
    expect(capMoney(12)).toBe('$12');
    expect(capMoney(1.5)).toBe('$1.50');
    expect(callMoney(0.0912)).toBe('$0.0912');
    expect(callMoney(0)).toBe('$0.00');
    expect(callMoney(null)).toBe('–');
  });
});

describe('time', () => {
  it.each([
    [0, '0 s'],
    [-5_000, '0 s'],
    [59_999, '59 s'],
    [60_000, '1 min'],
    [3_599_000, '59 min'],
    [3_600_000, '1 h'],
    [47 * 3_600_000, '47 h'],
    [48 * 3_600_000, '2 d'],
  ])('an age of %i ms reads %s', (ms, text) => expect(age(ms)).toBe(text));

  it.each([
    [51_000, '0:51'],
    [252_000, '4:12'],
    [3_852_000, '1:04:12'],
    [100 * 3_600_000, '4 d 4 h'],
  ])('a wait of %i ms reads %s', (ms, text) => expect(wait(ms)).toBe(text));

  it('shows tenths of the data age only while they matter', () => {
    expect(dataAge(340)).toBe('0.3 s');
    expect(dataAge(42_400)).toBe('42 s');
  });

  it('says how long a call ran', () => {
    expect(took(4.4)).toBe('4 ms');
    expect(took(38_100)).toBe('38.1 s');
    expect(took(72_000)).toBe('1:12');
    expect(took(null)).toBe('–');
  });

  it('names a moment by its day', () => {
    const now = new Date(2026, 10, 23, 14, 32).getTime();
    expect(when(new Date(2026, 10, 23, 9, 5).getTime(), now)).toBe('09:05');
    expect(when(new Date(2026, 10, 24, 14, 28).getTime(), now)).toBe('tomorrow 14:28');
    expect(when(new Date(2026, 10, 22, 23, 59).getTime(), now)).toBe('yesterday 23:59');
    expect(when(new Date(2026, 10, 8, 7, 0).getTime(), now)).toBe('8 Nov 07:00');
  });
});

it('counts with a comma and the right number', () => {
  expect(count(12_345)).toBe('12,345');
  expect(plural(1, 'call')).toBe('1 call');
  expect(plural(0, 'entry', 'entries')).toBe('0 entries');
});

it('says a month by its name, and anything else as it came', () => {
  expect(monthName('2026-11')).toBe('November');
  expect(monthName('2027-01')).toBe('January');
  expect(monthName('this month')).toBe('this month');
});
