/**
 * Where an authorization server sends a browser back to. The session cookie is for our own pages only (SameSite=Strict): a browser that
 * comes from another site does not show it. So this page, which knows nothing, leads on to the API from here; there it is shown.
 */
import type { Hono } from 'hono';

/** What an answer of an authorization server consists of (RFC 6749 4.1.2, RFC 9207); everything else is dropped. */
const PARAMETERS = ['code', 'state', 'iss', 'error'] as const;
const VALUE_MAX_CHARS = 4096;
const PAGE_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export function serveOAuthReturn(app: Hono): void {
  app.get('/oauth/callback', (context) => {
    const passed = new URLSearchParams();
    for (const name of PARAMETERS) {
      const value = context.req.query(name);
      if (value !== undefined && value.length <= VALUE_MAX_CHARS) passed.set(name, value);
    }
    const target = `/api/oauth/callback?${passed}`;
    context.header('content-security-policy', PAGE_POLICY);
    return context.html(pageText('One moment', 'Mission Control takes up the authorization.', target));
  });
}

/** A page for a person, without anything that could be run. @param next where the browser goes on to at once. */
export function pageText(title: string, text: string, next?: string): string {
  const refresh = next === undefined ? '' : `<meta http-equiv="refresh" content="0;url=${escaped(next)}">`;
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="referrer" content="no-referrer">${refresh}<title>${escaped(title)}</title></head><body><h1>${escaped(title)}</h1><p>${escaped(text)}</p><p><a href="/">Mission Control</a></p></body></html>`;
}

/** The headers of such a page. */
export const PAGE_HEADERS = { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': PAGE_POLICY };

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;').replaceAll("'", '&#39;');
}
