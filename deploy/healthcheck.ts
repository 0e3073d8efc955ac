/** What a container asks of the process in it: exit code 0 where the given address answers 200 within two seconds. */
const answer = await fetch(process.argv[2] ?? 'http://127.0.0.1:3000/readyz', { signal: AbortSignal.timeout(2_000) }).catch(() => null);
process.exit(answer?.status === 200 ? 0 : 1);
