/**
 * The one error that routes and services throw for an expected refusal; api.ts turns it into problem+json (RFC 9457).
 * Anything else that is thrown is a broken assumption and answers 500 without details.
 */
export class Refusal extends Error {
  readonly status: 400 | 401 | 403 | 404 | 409 | 412 | 413 | 422 | 429 | 503;
  /** Stable and machine-readable. */
  readonly code: string;
  /** Further members of the problem document. */
  readonly extra: Record<string, unknown>;

  constructor(status: Refusal['status'], code: string, detail: string, extra: Record<string, unknown> = {}) {
    super(detail);
    this.name = 'Refusal';
    this.status = status;
    this.code = code;
    this.extra = extra;
  }
}

/** 404 for an object that does not exist (or is not the caller's to see). */
export function notFound(what: string, id: string): Refusal {
  return new Refusal(404, 'NOT_FOUND', `No ${what} has the id "${id.slice(0, 128)}".`);
}
