import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../policies/index.ts';
import { recordedInput } from '../../proxy/record.ts';
import { ADMIN, factsOfCall, holdRequest, type Services, startServices } from '../support/services.ts';

let services: Services;
let agentId: string;
beforeAll(async () => {
  services = await startServices();
  agentId = (await services.agents.create(ADMIN, { name: 'a', autonomyLevel: 'specialist' })).id;
});
afterAll(() => services.close());

const TOKEN = `ghp_${'a1B2'.repeat(9)}`;
const LONG = 'line of text\n'.repeat(10_000);

let made = 0;
async function hold(original: JsonObject): Promise<string> {
  const request = holdRequest(factsOfCall({ id: `long-${++made}`, agentId, digest: `digest-${made}` }));
  const held = await services.holds.open({ ...request, arguments: original, redacted: recordedInput(original, 64 * 1024) });
  return held.approvalId;
}

describe('the arguments of a call that is too long for its record', () => {
  it('can be read whole, redacted, while the call waits, and are gone with it', async () => {
    const id = await hold({ path: 'a.md', content: `${LONG}${TOKEN}` });
    expect(JSON.stringify((await services.approvals.get(id)).arguments).length).toBeLessThan(70_000);
    const { content } = (await services.approvals.wholeArguments(id)).arguments;
    expect(content).toMatch(/^line of text\n/);
    expect(String(content).length).toBeGreaterThan(LONG.length);
    expect(content).not.toContain(TOKEN);
    await services.approvals.decide(ADMIN, id, 'denied', { note: 'no' });
    await expect(services.approvals.wholeArguments(id)).rejects.toMatchObject({ status: 409, code: 'ORIGINAL_GONE' });
  });

  it('are edited whole: what was left alone stays the original', async () => {
    const id = await hold({ path: 'a.md', content: `${LONG}${TOKEN}` });
    const shown = (await services.approvals.wholeArguments(id)).arguments;
    const state = await services.approvals.decide(ADMIN, id, 'approved', {
      note: 'n',
      arguments: { ...shown, path: 'b.md' } as JsonObject,
    });
    expect(state.editedArguments).toMatchObject({ path: 'b.md' });
    const held = await services.holds.state(id, `long-${made}`);
    expect(held?.editedArguments).toEqual({ path: 'b.md', content: `${LONG}${TOKEN}` });
  });

  it('are never run in part: an edit of the shortened form is refused', async () => {
    const id = await hold({ path: 'a.md', content: LONG });
    const shortened = (await services.approvals.get(id)).arguments as JsonObject;
    await expect(
      services.approvals.decide(ADMIN, id, 'approved', { note: 'n', arguments: { ...shortened, path: 'b.md' } }),
    ).rejects.toMatchObject({ status: 422, code: 'EDIT_CUT' });
    expect((await services.approvals.get(id)).status).toBe('pending');
  });
});
