/**
 * Real Chromium for the tests. Every page is watched: an error in the console, an uncaught exception, a request to another host or a
 * violation of the Content-Security-Policy fails the test that opened it.
 */
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import type { Role } from '../../control/contract.ts';
import { launchBrowser } from '../setup/chromium.ts';
import { type ServerKind, startServer, type TestServer } from './server.ts';

/** Shorter than a test's own, so that the failure names what was waited for. */
const TIMEOUT_MS = 8_000;

const DESK: BrowserContextOptions = { viewport: { width: 1440, height: 900 } };
export const PHONE: BrowserContextOptions = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };

interface Visit {
  page: Page;
  /** What went wrong unseen. */
  complaints: string[];
  close(): Promise<void>;
}

/** Opens a page of its own profile, signed in as this role, at this path. `expected` are complaints that the test means to cause. */
async function visit(
  browser: Browser,
  server: TestServer,
  role: Role | null,
  path: string,
  options: BrowserContextOptions & { expected?: RegExp } = {},
): Promise<Visit> {
  const { expected, ...contextOptions } = options;
  const context = await browser.newContext({ ...DESK, ...contextOptions });
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT_MS);
  const complaints: string[] = [];
  const complain = (text: string) => {
    if (!expected?.test(text)) complaints.push(text);
  };
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complain(message.text());
  });
  page.on('pageerror', (error) => complain(`uncaught: ${error.message}`));
  page.on('request', (request) => {
    if (!request.url().startsWith(server.url) && !/^(data|blob):/.test(request.url())) complain(`request to ${request.url()}`);
  });
  // The sign-in itself has tests of its own; here the cookie is enough.
  if (role !== null) await context.request.post(`${server.url}/api/session`, { data: { token: server.signInToken(role) } });
  await page.goto(server.url + path);
  return { page, complaints, close: () => context.close() };
}

/** What a test file works with: a server that is empty at the start of every test, one browser for all of them, and pages that close and complain by themselves. */
export interface Dashboard {
  readonly server: TestServer;
  /** Opens the dashboard as this role (null = signed out) at this path. */
  open(role: Role | null, path: string, options?: BrowserContextOptions & { expected?: RegExp }): Promise<Page>;
}

/** Registers the hooks of a test file: one server for the file, emptied before every test. */
export function useDashboard(kind: ServerKind = 'product'): Dashboard {
  let browser: Browser | null = null;
  let server: TestServer | null = null;
  const visits: Visit[] = [];
  beforeAll(async () => {
    [browser, server] = await Promise.all([launchBrowser(), startServer(kind)]);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });
  beforeEach(() => server?.reset());
  afterEach(async () => {
    const complaints = visits.flatMap((opened) => opened.complaints);
    await Promise.all(visits.splice(0).map((opened) => opened.close()));
    expect(complaints).toEqual([]);
  });
  return {
    get server() {
      if (!server) throw new Error('the server runs only inside a test');
      return server;
    },
    async open(role, path, options) {
      if (!browser || !server) throw new Error('the browser runs only inside a test');
      const opened = await visit(browser, server, role, path, options);
      visits.push(opened);
      return opened.page;
    },
  };
}
