/**
 * What the gate opened at the egress port (SPEC 3, Identity): a call that it allowed may reach the hosts that it named, until its outcome.
 * So nothing that was judged and perhaps approved at the gate is held a second time when OpenClaw carries it out.
 */

export interface Opening {
  callId: string;
  agentId: string;
  /** The gateway that its agent belongs to; null = none. */
  gatewayId: string | null;
}

/** Whose openings count: those of one agent, or of all agents of a gateway. */
export type OpeningOwner = { agentId: string } | { gatewayId: string };

export class Openings {
  /** By "host:port"; the oldest first. */
  readonly #byPlace = new Map<string, Set<Opening>>();
  readonly #placesOf = new Map<string, { opening: Opening; places: readonly string[] }>();
  /** Told when the opening of a call is over. */
  onClosed: (callId: string) => void = () => {};

  /** @param hosts canonical, as they were judged. */
  open(opening: Opening, hosts: readonly { host: string | null; port: number | null }[]): void {
    const places = [...new Set(hosts.flatMap(({ host, port }) => (host === null || port === null ? [] : placeOf(host, port))))];
    if (places.length === 0) return;
    for (const place of places) this.#byPlace.set(place, (this.#byPlace.get(place) ?? new Set()).add(opening));
    this.#placesOf.set(opening.callId, { opening, places });
  }

  /** The call has its outcome. */
  close(callId: string): void {
    const known = this.#placesOf.get(callId);
    if (known === undefined) return;
    this.#placesOf.delete(callId);
    for (const place of known.places) {
      const openings = this.#byPlace.get(place);
      openings?.delete(known.opening);
      if (openings?.size === 0) this.#byPlace.delete(place);
    }
    this.onClosed(callId);
  }

  /** The newest opening of this owner at a host and port, or null. */
  find(owner: OpeningOwner, host: string, port: number): Opening | null {
    const openings = [...(this.#byPlace.get(placeOf(host, port)) ?? [])];
    const isOwn = (opening: Opening) =>
      'agentId' in owner ? opening.agentId === owner.agentId : opening.gatewayId !== null && opening.gatewayId === owner.gatewayId;
    return openings.findLast(isOwn) ?? null;
  }
}

function placeOf(host: string, port: number): string {
  return `${host}:${port}`;
}
