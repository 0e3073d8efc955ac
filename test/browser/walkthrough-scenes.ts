/** The scenes of the walkthrough: what the film says, and what docs/walkthrough.md says below the same picture (test/docs/walkthrough.test.ts). */

export const SCENES = {
  board: 'The board: who works on what, what it costs, and what waits for you.',
  task: 'A task comes in. It gets a kind, an owner and a cap.',
  work: 'The agent plans and starts. Every call passes the gate; what the policy calls harmless runs at once.',
  held: 'It wants to publish. That is on no allowlist, so the call is held: nothing runs until a person decides.',
  approve: 'You read what would run, and why it is held. Approve runs it once, with exactly these arguments.',
  refused: 'What the policy forbids is refused at once. The agent reads the reason, and so do you.',
  cost: 'Every call has its cost, on its task and its agent. No cap is passed.',
  stop: 'Something looks wrong? Hold the red button: every call of every agent is refused.',
  incident: 'What happened, who, why, what it cost, what next. Each proxy says when it was silent.',
  resume: 'An administrator resumes, with a note. Agents stay paused until you restart them.',
} as const;

export type SceneName = keyof typeof SCENES;
