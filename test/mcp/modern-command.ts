/** The stateless server as a command. */
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { makeModernServer } from './modern-server.ts';

serveStdio(() => makeModernServer());
