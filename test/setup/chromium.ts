/** Debian's Chromium, started so that it asks nothing of anybody but the page under test. */
import { type Browser, chromium } from 'playwright-core';
import { findProgram, PROGRAMS } from './programs.ts';

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** @throws Error where Chromium is not installed. */
export async function launchBrowser(): Promise<Browser> {
  const executablePath = findProgram(PROGRAMS.chromium);
  if (!executablePath) throw new Error('chromium is not installed; npm test installs it');
  return chromium.launch({ executablePath, args: FLAGS });
}
