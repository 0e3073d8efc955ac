/** Plays a working squad: every second or so somebody calls something, now and then something is held, and granted calls are taken up. */
import { CONFIG, FETCH, MAIL, PAST, PUBLISH } from './samples.ts';
import type { World } from './world.ts';

const STEP_MS = 1_500;
const HOLD_EVERY = 24;
const HELD = [PUBLISH('theme'), FETCH, CONFIG, MAIL(12), PUBLISH('chart')];
const MAX_WAITING = 24;

/** Plays until the answered function is called. */
export function playScript(world: World): () => void {
  let step = 0;
  const timer = setInterval(() => {
    step++;
    for (const agent of world.agents.values()) {
      if (agent.status === 'active' && step % 4 === 0 && agent.name !== 'Relay-01')
        world.changeAgent(agent.id, { lastHeartbeat: world.now() - Math.floor(Math.random() * 3_000) });
    }
    for (const approval of world.approvals.values()) {
      if (approval.status === 'approved' && approval.redeemedAt === null && step % 2 === 0) world.redeem(approval.id, 'ok, 1 line written');
    }
    if (world.system.estop || world.system.squadPaused) return;
    const active = [...world.agents.values()].filter((agent) => agent.status === 'active');
    const agent = active[step % Math.max(1, active.length)];
    if (!agent) return;
    const waiting = [...world.approvals.values()].filter((approval) => approval.status === 'pending').length;
    if (step % HOLD_EVERY === 0 && waiting < MAX_WAITING) {
      const sample = HELD[(step / HOLD_EVERY) % HELD.length];
      if (sample) world.call(agent.id, sample);
    } else {
      const sample = PAST[step % PAST.length];
      if (sample) world.call(agent.id, sample.call);
    }
  }, STEP_MS);
  return () => clearInterval(timer);
}
