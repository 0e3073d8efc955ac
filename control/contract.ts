/**
 * Every message that crosses a process border: HTTP bodies of the control API and of the gate, the server-sent events, what a proxy and
 * control say to each other, and the events of the journal; one file of `contract/` for each resource, put together here. The one file
 * of `control/` that others import. Unknown input is parsed with these schemas once, at the edge; behind it the types are trusted.
 */
export * from './contract/activity.ts';
export * from './contract/agents.ts';
export * from './contract/approval-decisions.ts';
export * from './contract/approvals.ts';
export * from './contract/audit.ts';
export * from './contract/bus.ts';
export * from './contract/calls.ts';
export * from './contract/canaries.ts';
export * from './contract/channels.ts';
export * from './contract/coverage.ts';
export * from './contract/documents.ts';
export * from './contract/drills.ts';
export * from './contract/events.ts';
export * from './contract/gate.ts';
export * from './contract/gateways.ts';
export * from './contract/grants.ts';
export * from './contract/health.ts';
export * from './contract/incidents.ts';
export * from './contract/journal.ts';
export * from './contract/ledger.ts';
export * from './contract/line-proof.ts';
export * from './contract/messages.ts';
export * from './contract/operators.ts';
export { isStorable, listOf, OWN_SERVER, type Problem, ProblemSchema, ROLES, type Role, storable, storableJson } from './contract/parts.ts';
export * from './contract/picture.ts';
export * from './contract/policies.ts';
export * from './contract/search.ts';
export * from './contract/spend.ts';
export * from './contract/stop-order.ts';
export * from './contract/stream.ts';
export * from './contract/system.ts';
export * from './contract/tasks.ts';
export * from './contract/upstreams.ts';
