import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codesOf, decide, gateOf, usePolicy } from '../support/calls.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.close());

const newCaller = async (fields: Record<string, unknown> = {}) => {
  const agent = await newAgent(world, fields);
  return { ...agent, gate: gateOf(world, agent.token) };
};

describe('two agents', () => {
  it('cannot see, settle or withdraw each other’s calls', async () => {
    const [one, two] = [await newCaller(), await newCaller()];
    const held = await one.gate.exec('make release');
    const running = await one.gate.exec('ls docs');
    for (const { body } of [held, running]) {
      for (const answer of [await two.gate.poll(body.id), await two.gate.end(body.id), await two.gate.cancel(body.id)]) {
        expect(answer).toMatchObject({ status: 404, body: { code: 'NOT_FOUND' } });
      }
    }
    // The same answer as for a call that nobody made: no word on which ids exist.
    const nothing = await two.gate.poll('00000000-0000-0000-0000-000000000000');
    const foreign = await two.gate.poll(held.body.id);
    expect(String(foreign.body.detail).replace(held.body.id, '')).toBe(
      String(nothing.body.detail).replace('00000000-0000-0000-0000-000000000000', ''),
    );
    expect((await one.gate.poll(held.body.id)).status).toBe(202);
    expect((await one.gate.poll(running.body.id)).status).toBe(200);
  });

  it('with the same call do not share an approval, nor a call id', async () => {
    const [one, two] = [await newCaller(), await newCaller()];
    const first = await one.gate.exec('make release', { callId: 'same' });
    const second = await two.gate.exec('make release', { callId: 'same' });
    expect(second.body.approvalId).not.toBe(first.body.approvalId);
    await decide(world, first.body.approvalId, 'approve');
    expect((await one.gate.poll(first.body.id)).status).toBe(200);
    expect((await two.gate.poll(second.body.id)).status).toBe(202);
  });
});

describe('an approval', () => {
  const variants: Record<string, [args: Record<string, unknown>, more: Record<string, unknown>]> = {
    'other arguments': [{ command: 'make release ' }, {}],
    'one argument more': [{ command: 'make release', timeout: 5 }, {}],
    'another folder': [{ command: 'make release' }, { cwd: '/workspace/docs' }],
    'another session': [{ command: 'make release' }, { sessionKey: 'other' }],
    'a narrower workspace': [{ command: 'make release' }, { workspace: '/workspace/docs' }],
    'another kind of tool': [{ command: 'make release' }, { toolKind: 'x' }],
  };
  for (const [what, [args, more]] of Object.entries(variants)) {
    it(`given for a call does not release one with ${what}`, async () => {
      const { gate } = await newCaller();
      const held = await gate.exec('make release', { cwd: '/workspace' });
      await decide(world, held.body.approvalId, 'approve');
      const other = await gate.call('exec', args, { cwd: '/workspace', ...more });
      expect([other.status, other.body.approvalId === held.body.approvalId]).toEqual([202, false]);
      expect((await gate.poll(held.body.id)).status).toBe(200);
    });
  }

  it('releases the same arguments in another order, in a later run, under another call id: it is the same call', async () => {
    const { gate } = await newCaller();
    const held = await gate.call('send_email', { to: 'a@example.org', body: { b: 1, a: 2 } });
    await decide(world, held.body.approvalId, 'approve');
    const again = await gate.call('send_email', { body: { a: 2, b: 1 }, to: 'a@example.org' }, { runId: 'later' });
    expect([again.status, codesOf(again)[0]]).toEqual([200, 'APPROVED']);
  });

  it('is used once: a third call of the same kind is held anew, and so is every further one', async () => {
    const { gate } = await newCaller();
    const held = await gate.exec('make once');
    await decide(world, held.body.approvalId, 'approve');
    expect((await gate.poll(held.body.id)).status).toBe(200);
    // The answer was lost: the same call gets it again, until its outcome is known.
    expect((await gate.poll(held.body.id)).status).toBe(200);
    await gate.end(held.body.id);
    expect(codesOf(await gate.poll(held.body.id))).toEqual(['DUPLICATE']);
    const third = await gate.exec('make once');
    expect(third.status).toBe(202);
    expect(third.body.approvalId).not.toBe(held.body.approvalId);
    expect((await gate.exec('make once')).body.approvalId).toBe(third.body.approvalId);
  });

  it('is used once by ten callers that wait for it at the same time', async () => {
    const { gate } = await newCaller();
    const held = await Promise.all(Array.from({ length: 10 }, () => gate.exec('make race')));
    expect(new Set(held.map((answer) => answer.body.approvalId)).size).toBe(1);
    const waiting = held.map((answer) => gate.poll(answer.body.id, 10_000));
    await decide(world, held[0]?.body.approvalId ?? '', 'approve');
    const answers = await Promise.all(waiting);
    expect(answers.map((answer) => answer.status).toSorted()).toEqual([200, ...Array(9).fill(202)]);
    // The nine that are held anew wait together for the next approval.
    expect(new Set(answers.filter((answer) => answer.status === 202).map((answer) => answer.body.approvalId)).size).toBe(1);
  });

  it('that was denied stays denied for its call, and does not stand in the way of the next', async () => {
    const { gate } = await newCaller();
    const held = await gate.exec('make nothing');
    await decide(world, held.body.approvalId, 'deny', { note: 'not today' });
    expect(codesOf(await gate.poll(held.body.id))[0]).toBe('APPROVAL_DENIED');
    expect(codesOf(await gate.poll(held.body.id))[0]).toBe('APPROVAL_DENIED');
    const next = await gate.exec('make nothing');
    expect([next.status, next.body.approvalId === held.body.approvalId]).toEqual([202, false]);
  });

  it('cannot be edited into something that is blocked, or with a placeholder left half', async () => {
    const { gate } = await newCaller();
    const held = await gate.exec('make release');
    await decide(world, held.body.approvalId, 'approve', { arguments: { command: 'sudo make release' } });
    const refused = await gate.poll(held.body.id);
    expect([refused.status, codesOf(refused)]).toEqual([403, expect.arrayContaining(['SHELL_BLOCKED'])]);

    const token = 'ghp_8rT2kQv5Zx0LmN7bW3cYpD9sHfJ1aGe4uVtR';
    const secret = await gate.call('send_email', { to: 'a@example.org', body: `use ${token} now` });
    const shown = (await world.api<{ arguments: { body: string } }>('GET', `/approvals/${secret.body.approvalId}`)).body.arguments;
    expect(shown.body).not.toContain(token);
    const edit = { ...shown, body: `${shown.body}!` };
    expect(await decide(world, secret.body.approvalId, 'approve', { arguments: edit })).toMatchObject({
      status: 422,
      body: { code: 'EDIT_PLACEHOLDER' },
    });
    expect((await world.api('GET', `/approvals/${secret.body.approvalId}`)).body).toMatchObject({ status: 'pending' });
  });
});

describe('a call id', () => {
  it('of a call under way gives that call, whether it runs or waits', async () => {
    const { gate } = await newCaller();
    const [running, repeated] = [await gate.exec('ls docs', { callId: 'a' }), await gate.exec('ls docs', { callId: 'a' })];
    expect([repeated.status, repeated.body.id]).toEqual([200, running.body.id]);
    const [held, again] = [await gate.exec('make x', { callId: 'b' }), await gate.exec('make x', { callId: 'b' })];
    expect([again.status, again.body.id, again.body.approvalId]).toEqual([202, held.body.id, held.body.approvalId]);
    const many = await Promise.all(Array.from({ length: 20 }, () => gate.exec('make y', { callId: 'c' })));
    expect(new Set(many.map((answer) => answer.body.id)).size).toBe(1);
  });

  it('used again for other arguments is refused, before and after the outcome', async () => {
    const { gate } = await newCaller();
    const first = await gate.exec('ls docs', { callId: 'a' });
    expect(await gate.exec('ls output', { callId: 'a' })).toMatchObject({ status: 409, body: { reasons: [{ code: 'DUPLICATE' }] } });
    await gate.end(first.body.id);
    expect(codesOf(await gate.exec('ls output', { callId: 'a' }))).toEqual(['DUPLICATE']);
    expect(codesOf(await gate.exec('ls docs', { callId: 'a' }))).toEqual(['DUPLICATE']);
    // In another run or session it is another call id.
    expect((await gate.exec('ls output', { callId: 'a', runId: 'r2' })).status).toBe(200);
    expect((await gate.exec('ls output', { callId: 'a', sessionKey: 's2' })).status).toBe(200);
  });

  it('that is missing makes every request a call of its own', async () => {
    const { gate } = await newCaller();
    const [one, two] = [await gate.exec('ls docs', { callId: undefined }), await gate.exec('ls docs', { callId: undefined })];
    expect(one.body.id).not.toBe(two.body.id);
  });
});

describe('an outcome', () => {
  it('ends a call once; of two at once one counts', async () => {
    const { gate } = await newCaller();
    const running = await gate.exec('ls docs');
    const answers = await Promise.all(Array.from({ length: 8 }, (_, index) => gate.end(running.body.id, { output: `${index}` })));
    expect(answers.map((answer) => answer.status).toSorted()).toEqual([200, ...Array(7).fill(409)]);
    const counted = answers.findIndex((answer) => answer.status === 200);
    const record = await until(
      () => world.api('GET', `/tool-calls/${running.body.id}`),
      (answer) => answer.body.status === 'success',
    );
    expect(record.body.output).toBe(String(counted));
  });

  it('is refused for a call that is held, was denied, or was taken back', async () => {
    const { gate } = await newCaller();
    const held = await gate.exec('make x');
    expect(await gate.end(held.body.id)).toMatchObject({ status: 409, body: { state: 'held' } });
    await gate.cancel(held.body.id);
    expect(await gate.end(held.body.id)).toMatchObject({ status: 409, body: { state: 'ended' } });
    const denied = await gate.exec('sudo x');
    expect((await gate.end(denied.body.id)).status).toBe(409);
    const running = await gate.exec('ls docs');
    expect((await gate.cancel(running.body.id)).body).toMatchObject({ state: 'ended' });
    expect((await gate.end(running.body.id)).status).toBe(409);
  });
});

describe('a task that a call names', () => {
  it('must be the agent’s own, and must be there', async () => {
    const [one, two] = [await newCaller(), await newCaller()];
    const task = (await world.api<{ id: string }>('POST', '/tasks', { title: 't', type: 'docs', assigneeIds: [one.id] })).body.id;
    expect((await one.gate.note('x', { taskId: task })).status).toBe(200);
    expect(await two.gate.note('x', { taskId: task })).toMatchObject({ status: 403, body: { code: 'FOREIGN_TASK' } });
    expect(await one.gate.note('x', { taskId: 'nowhere' })).toMatchObject({ status: 403, body: { code: 'FOREIGN_TASK' } });
    expect(await world.gate('POST', '/v1/runs/check', { taskId: task }, two.token)).toMatchObject({
      status: 403,
      body: { code: 'FOREIGN_TASK' },
    });
    await world.api('DELETE', `/tasks/${task}`);
    expect((await one.gate.note('x', { taskId: task })).status).toBe(403);
  });

  it('may be named by its session, which another agent’s call does not take over', async () => {
    const [one, two] = [await newCaller(), await newCaller()];
    const made = await world.api<{ id: string }>('POST', '/tasks', {
      title: 't',
      type: 'docs',
      assigneeIds: [one.id],
      sessionKey: 'task-session',
    });
    const calls = [await one.gate.note('x', { sessionKey: 'task-session' }), await two.gate.note('x', { sessionKey: 'task-session' })];
    const records = await until(
      () => Promise.all(calls.map((call) => world.api<{ taskId: string | null }>('GET', `/tool-calls/${call.body.id}`))),
      (answers) => answers.every((answer) => answer.status === 200),
    );
    expect(records.map((record) => record.body.taskId)).toEqual([made.body.id, null]);
  });
});

describe('a workspace that a call names', () => {
  it('narrows the registered one and never widens it', async () => {
    const { gate } = await newCaller({ workspace: '/workspace' });
    const read = (path: string, workspace: string) => gate.call('read', { path }, { workspace });
    expect((await read('/workspace/docs/a.md', '/workspace/docs')).status).toBe(200);
    expect((await read('/workspace/output/a.md', '/workspace/docs')).status).toBe(202);
    for (const workspace of ['/', '/workspace/..', '/workspace/../etc', '/workspacex', '/etc', '/workspace/./..', 'workspace']) {
      expect((await read('/etc/hosts', workspace)).status, workspace).toBe(202);
    }
  });

  it('is missing where none is registered, and then every path is outside', async () => {
    const { gate } = await newCaller({ workspace: null });
    expect((await gate.call('read', { path: '/workspace/docs/a.md' }, { workspace: '/workspace' })).status).toBe(202);
  });
});

describe('a hold', () => {
  it('whose grant was not used in time is over: the late caller is told, and nobody is shown an empty call', async () => {
    await usePolicy(world, { approvals: { grantTtlMs: 10_000 }, holds: { inlineMs: 200 } });
    const { gate } = await newCaller();
    const held = await gate.call('send_email', { to: 'a@example.org', body: 'hello' });
    const deferred = await until(
      () => gate.poll(held.body.id, 300),
      (answer) => answer.body.waiting === false,
    );
    expect(deferred.status).toBe(202);
    await decide(world, held.body.approvalId, 'approve');
    const late = await until(
      () => world.api<{ grantExpiresAt: number }>('GET', `/approvals/${held.body.approvalId}`),
      (answer) => answer.body.grantExpiresAt < Date.now() - 2_000,
      20_000,
    );
    expect(late.status).toBe(200);
    const answer = await gate.poll(held.body.id);
    expect([answer.status, codesOf(answer)]).toEqual([403, ['APPROVAL_EXPIRED']]);
    const pending = await world.api<{ items: { toolCallId: string }[] }>('GET', '/approvals?limit=500');
    expect(pending.body.items.map((item) => item.toolCallId)).not.toContain(held.body.id);
    // Made again it is shown in full.
    const again = await gate.call('send_email', { to: 'a@example.org', body: 'hello' });
    const card = await world.api<{ arguments: object }>('GET', `/approvals/${again.body.approvalId}`);
    expect(card.body.arguments).toEqual({ to: 'a@example.org', body: 'hello' });
  });
});
