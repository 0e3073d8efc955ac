/** Reads a command line the way the policy's reader would, well enough for sample data: splits at operators, knows a few allowed programs. */
import type { CommandReading } from '../../policies/model.ts';

const ALLOWED = /^(ls|pwd|cat|head|tail|grep|find|git (status|diff|log|add|commit)|npm (test|run \w+)|cd)\b/;
const BLOCKED = /^(sudo|rm -rf|chmod 777|dd|mkfs)\b/;

export function readCommands(line: string): CommandReading[] {
  const readings: CommandReading[] = [];
  for (const match of line.matchAll(/[^|&;\n]+/g)) {
    const text = match[0].trim();
    if (!text) continue;
    const start = match.index + match[0].indexOf(text);
    const verdict = BLOCKED.test(text) ? 'blocked' : ALLOWED.test(text) ? 'allowed' : 'held';
    const words = [...text.matchAll(/\S+/g)];
    const decisive = words.slice(0, /^(npm|git|docker|curl|ssh)$/.test(words[0]?.[0] ?? '') ? 2 : 1);
    const last = decisive.at(-1);
    readings.push({
      text,
      span: [start, start + text.length],
      argv: words.map((word) => word[0]),
      verdict,
      red: verdict === 'blocked' || /^(npm publish|ssh|curl|docker push)/.test(text),
      why: {
        allowed: 'on the allowlist',
        held: `${decisive.map((word) => word[0]).join(' ')} matches no rule`,
        blocked: 'on the block list',
      }[verdict],
      offending: verdict === 'allowed' || !last ? [] : [[start, start + last.index + last[0].length]],
    });
  }
  return readings;
}
