/**
 * mission-control: the command line, and the only place where the parts are put together. `start` runs control and proxy in one
 * process; the other commands talk to the API. Exit codes: 0 done, 1 failed or refused, 2 wrong usage.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { type Logger, pino } from 'pino';
import { addApprovalCommands } from './control/commands/approvals.ts';
import { addAuditCommands } from './control/commands/audit.ts';
import { addBackupCommands } from './control/commands/backup.ts';
import { apiClient } from './control/commands/client.ts';
import { runDemo } from './control/commands/demo.ts';
import { doctor } from './control/commands/doctor.ts';
import { addDrillCommand } from './control/commands/drill.ts';
import { connectOpenClaw } from './control/commands/openclaw.ts';
import { addPolicyCommands } from './control/commands/policy.ts';
import { addStopCommands } from './control/commands/stop.ts';
import { startControl } from './control/main.ts';
import { DEFAULT_BOUNDS } from './proxy/config.ts';
import { startProxy } from './proxy/main.ts';
import { startWorkerGroup, takeSeat } from './proxy/worker-group.ts';
import { type ResolvedSettings, readSettings, SettingsError } from './settings.ts';

const here = import.meta.dirname;
const { version } = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8')) as { version: string };
const settings = () => readSettings(process.env, process.cwd());

/**
 * A stop ends by then, whatever does not answer any more (a database that is gone); supervisors kill after 30 s (compose) to 90 s (systemd).
 * Nothing is lost by it: what was promised is on the disk, as for kill -9.
 */
const STOP_MAX_MS = 25_000;

const program = new Command('mission-control')
  .description('The gateway between OpenClaw agents and everything they can touch.')
  .version(version)
  .showHelpAfterError()
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));

program
  .command('start')
  .description('Run control, dashboard and proxy in this process, or what MC_ROLE names')
  .option('--demo', 'with sample agents that work on sample tasks, in a data folder without other agents')
  .action(start);

program
  .command('sign-in')
  .description('Print a new one-time sign-in link for the dashboard')
  .action(async () => {
    const client = apiClient(settings());
    const { token } = await client.post<{ token: string }>('/sign-in-links', {});
    console.log(`${settings().controlUrl}/sign-in#token=${token}`);
  });

program
  .command('doctor')
  .description('Say what is connected, what is not, and how to mend it')
  .option('--json', 'print the findings as JSON')
  .action(async ({ json }: { json?: true }) => {
    process.exitCode = (await doctor(settings(), json === true)) ? 0 : 1;
  });

program
  .command('openclaw')
  .description('Connect OpenClaw gateways')
  .command('connect')
  .description('Write plugin and settings into an OpenClaw configuration, after showing the difference')
  .requiredOption('--config <file>', "the gateway's openclaw.json")
  .option('--name <name>', 'name of this gateway in Mission Control', 'openclaw')
  .option('--autonomy <level>', 'autonomy of agents that are registered now: intern, specialist or lead', 'specialist')
  .option('--yes', 'do not ask')
  .option('--undo', 'take everything back that an earlier connect wrote')
  .action(async (options: { config: string; name: string; autonomy: string; yes?: true; undo?: true }) => {
    process.exitCode = (await connectOpenClaw(settings(), options)) ? 0 : 1;
  });

addStopCommands(program, settings);
addBackupCommands(program, settings, version);
addPolicyCommands(program, settings);
addApprovalCommands(program, settings);
addAuditCommands(program, settings);
addDrillCommand(program, settings);

try {
  await program.parseAsync();
} catch (error) {
  console.error(error instanceof SettingsError ? `Cannot start, a setting is wrong:\n${error.message}` : message(error));
  process.exit(1);
}

async function start({ demo }: { demo?: true }): Promise<void> {
  const config = settings();
  const seat = takeSeat();
  const log = pino(
    { level: config.MC_LOG_LEVEL, base: seat === null ? null : { worker: seat.number } },
    pino.destination({ dest: 2, sync: false }),
  );
  if (config.MC_PROXY_WORKERS > 1 && seat === null) return startGroup(config, log);
  // Until it serves there is nothing that a worker would have to finish.
  seat?.onDrain(() => process.exit(0));
  const clusterSecret = config.MC_CLUSTER_SECRET ?? randomBytes(32).toString('base64url');
  const isServing = config.roles.includes('control');
  const control =
    isServing || config.roles.includes('workers')
      ? await startControl(
          {
            host: config.MC_HOST,
            port: config.MC_CONTROL_PORT,
            dataDir: config.dataDir,
            keyDir: config.keyDir,
            roles: config.roles.filter((role) => role !== 'proxy'),
            databaseUrl: config.DATABASE_URL,
            advertiseUrl: config.roles.includes('proxy') ? null : config.MC_ADVERTISE_URL,
            adminToken: config.MC_ADMIN_TOKEN,
            publicUrl: config.MC_CONTROL_URL === null ? null : config.controlUrl,
            clusterSecret,
            redisUrl: config.REDIS_URL,
            openclaw:
              config.OPENCLAW_GATEWAY_URL === null ? null : { url: config.OPENCLAW_GATEWAY_URL, token: config.OPENCLAW_GATEWAY_TOKEN },
            metricsToken: config.MC_METRICS_TOKEN,
            allowCommands: config.MC_STDIO === 'on',
            proxyUrl: config.proxyUrl,
            keepDays: config.MC_KEEP_DAYS,
            anchors: {
              file: config.anchorFile,
              repository: config.MC_ANCHOR_REPOSITORY,
              everyMinutes: config.MC_ANCHOR_MINUTES,
            },
            soulsDir: config.MC_SOULS_DIR,
            dashboardDir: join(here, 'dashboard', 'dist'),
            version,
          },
          log,
          Date.now,
        )
      : null;
  const proxy = config.roles.includes('proxy')
    ? await startProxy(
        {
          host: config.MC_HOST,
          port: config.MC_PROXY_PORT,
          egressPort: config.MC_EGRESS_PORT,
          journalDir: join(config.dataDir, journalOf(seat?.number ?? 1)),
          seat,
          controlUrl: isServing && control ? control.url : config.controlUrls,
          advertiseUrl: config.MC_ADVERTISE_URL,
          clusterSecret,
          redisUrl: config.REDIS_URL,
          metricsToken: config.MC_METRICS_TOKEN,
          otlpEndpoint: config.OTEL_EXPORTER_OTLP_ENDPOINT,
          version,
          hostNames: [config.MC_HOST, ...(config.MC_HOST_NAMES?.split(/, */) ?? [])],
          bounds: DEFAULT_BOUNDS,
        },
        log,
        Date.now,
      )
    : null;
  if (seat?.isRetiring) {
    await proxy?.close();
    process.exit(0);
  }
  const lines = [
    ...(control ? [isServing ? `  Dashboard  ${control.url}` : `  Workers    ${control.url}`] : []),
    ...(proxy ? [`  Gate       ${proxy.url}`, `  Egress     ${proxy.egressUrl}`] : []),
    ...(control && isServing ? ['', '  Sign in (once, within a day):', `  ${await control.signInLink()}`] : []),
  ];
  if (seat === null) console.log(`\nMission Control ${version} is ready.\n\n${lines.join('\n')}\n`);

  const playing = new AbortController();
  if (demo && proxy) {
    runDemo({ client: apiClient(config), gateUrl: proxy.url, log }, playing.signal).catch((error) => console.error(message(error)));
  }

  const stop = stopOnce(log, async () => {
    playing.abort();
    await proxy?.close();
    await control?.close();
    return true;
  });
  seat?.onDrain(() => stop('drain'));
}

/** One proxy as several processes (decision 0025): this one holds the ports and carries no call. */
async function startGroup(config: ResolvedSettings, log: Logger): Promise<void> {
  const group = await startWorkerGroup(config.MC_PROXY_WORKERS, leftBehind(config), log);
  const { url, egressUrl } = group;
  console.log(
    `\nMission Control ${version} is ready.\n\n  Gate       ${url}, ${config.MC_PROXY_WORKERS} workers\n  Egress     ${egressUrl}\n`,
  );
  stopOnce(log, () => group.close());
  process.on('SIGHUP', () => void group.roll());
}

/** The journal of a worker. The first has that of a proxy that is alone, so that there may be more of them at one start and fewer at the next. */
function journalOf(worker: number): string {
  return worker === 1 ? 'journal' : `journal-${worker}`;
}

/** Workers of an earlier, larger group. */
function leftBehind({ dataDir, MC_PROXY_WORKERS }: ResolvedSettings): number[] {
  if (!existsSync(dataDir)) return [];
  const numbers = readdirSync(dataDir).flatMap((name) => /^journal-(\d{1,3})$/.exec(name)?.[1] ?? []);
  return numbers.map(Number).filter((number) => number > MC_PROXY_WORKERS);
}

/** Ends this process in order when it is told to. @param end answers whether everything did. */
function stopOnce(log: Logger, end: () => Promise<boolean>): (signal: string) => void {
  let stopping = false;
  const stop = async (signal: string) => {
    if (stopping) return;
    stopping = true;
    log.info({ signal }, 'stopping: finishing what is under way');
    setTimeout(() => {
      log.error({ afterMs: STOP_MAX_MS }, 'not everything came to its end in time; what is left is taken up at the next start');
      process.exit(1);
    }, STOP_MAX_MS).unref();
    process.exit((await end()) ? 0 : 1);
  };
  const told = (signal: string) => {
    stop(signal).catch((error) => {
      log.error({ err: error }, 'could not stop in order');
      process.exit(1);
    });
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => told(signal));
  return told;
}

function message(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? `\n  because: ${error.cause.message}` : '';
  return `${error.message}${cause}`;
}
