/**
 * Agent templates ("souls", SPEC 7): YAML files in a folder of a Git repository (`MC_SOULS_DIR`), read as they were committed. An agent
 * made from one keeps the commit that last changed the file, so that it can be seen which agents run an older one.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { parse as parseYaml } from 'yaml';
import type { z } from 'zod';
import type { Agents } from './agents.ts';
import type { Actor } from './audit.ts';
import { type Agent, type SoulAgentSchema, type SoulSchema, SoulTemplateSchema } from './contract.ts';
import type { Db } from './db/database.ts';
import { notFound, Refusal } from './problem.ts';

export type Souls = ReturnType<typeof createSouls>;
type Soul = z.infer<typeof SoulSchema>;

const run = promisify(execFile);
const GIT_MS = 10_000;
const FILE_MAX_BYTES = 256 * 1024;
const FILES_MAX = 200;
/** A template's file: its name is the template's. */
const FILE = /^([\w.-]{1,100})\.ya?ml$/;

interface Dependencies {
  db: Db;
  agents: Agents;
  /** Null = no templates. */
  folder: string | null;
}

export function createSouls({ db, agents, folder }: Dependencies) {
  /** Every committed template, with the agents that were made from it. A file that cannot be read says why. */
  async function list(): Promise<Soul[]> {
    if (folder === null) return [];
    const names = (await git('ls-tree', '--name-only', 'HEAD', './')).split('\n').filter((name) => FILE.test(name));
    const made = await db
      .selectFrom('agents')
      .select(['id', 'name', 'soul', 'soul_hash'])
      .where('soul', 'is not', null)
      .where('removed_at', 'is', null)
      .where('status', '<>', 'stopped')
      .orderBy('name')
      .execute();
    return Promise.all(
      names.slice(0, FILES_MAX).map(async (file) => {
        const name = FILE.exec(file)?.[1] ?? file;
        const hash = await hashOf(file);
        const { template, problem } = await templateOf(file);
        const own = made.filter(({ soul }) => soul === name);
        return {
          name,
          hash,
          template,
          problem,
          agents: own.map(({ id, name: agent, soul_hash }) => ({ id, name: agent, soulHash: soul_hash, drifted: soul_hash !== hash })),
        };
      }),
    );
  }

  /**
   * Makes an agent from a template; what is given beside it wins.
   * @throws Refusal 404 for an unknown template, 422 for one that cannot be used.
   */
  async function createAgent(actor: Actor, name: string, given: z.infer<typeof SoulAgentSchema>): Promise<Agent> {
    const soul = (await list()).find((candidate) => candidate.name === name);
    if (!soul) throw notFound('template', name);
    if (soul.template === null) throw new Refusal(422, 'BAD_TEMPLATE', `The template ${name} cannot be used: ${soul.problem}`);
    const { description: _, ...template } = soul.template;
    const agent = await agents.create(actor, { ...template, ...given, soulHash: soul.hash });
    await db.updateTable('agents').set({ soul: name }).where('id', '=', agent.id).execute();
    return agent;
  }

  async function hashOf(file: string): Promise<string> {
    return (await git('log', '-1', '--format=%H', '--', `./${file}`)).trim();
  }

  async function templateOf(file: string): Promise<Pick<Soul, 'template' | 'problem'>> {
    try {
      const parsed = SoulTemplateSchema.safeParse(parseYaml(await git('show', `HEAD:./${file}`)));
      if (parsed.success) return { template: parsed.data, problem: null };
      const issue = parsed.error.issues[0];
      return { template: null, problem: `${issue?.path.join('.') || file}: ${issue?.message}` };
    } catch (error) {
      return { template: null, problem: error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error) };
    }
  }

  /** Git in the folder; reads only. @throws Refusal 503 where it is no Git folder or Git is not there. */
  async function git(...args: string[]): Promise<string> {
    try {
      const { stdout } = await run('git', ['-C', folder ?? '.', ...args], { timeout: GIT_MS, maxBuffer: FILE_MAX_BYTES });
      return stdout;
    } catch (error) {
      const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim().split('\n')[0] : String(error);
      throw new Refusal(503, 'SOULS_UNAVAILABLE', `The templates in MC_SOULS_DIR cannot be read: ${said}`);
    }
  }

  return { list, createAgent };
}
