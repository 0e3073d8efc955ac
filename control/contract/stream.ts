/** The stream from control to a proxy (GET /internal/v1/stream): every picture, hold and order, one JSON text a line. */
import type { ApprovalStatus } from './approvals.ts';
import type { DrillName } from './drills.ts';
import type { AgentPicture, GatewayPicture, PolicyPicture, SystemPicture, TaskPicture, UpstreamPicture } from './picture.ts';

/** Lines of GET /internal/v1/stream (NDJSON). The first is always `picture`; a `beat` at least every second proves that control is reachable. */
export type StreamMessage =
  | {
      type: 'picture';
      at: number;
      system: SystemPicture;
      policy: PolicyPicture;
      agents: readonly AgentPicture[];
      gateways: readonly GatewayPicture[];
      tasks: readonly TaskPicture[];
      upstreams: readonly UpstreamPicture[];
    }
  | { type: 'system'; at: number; system: SystemPicture }
  | { type: 'policy'; at: number; policy: PolicyPicture }
  | { type: 'agents'; at: number; changed: readonly AgentPicture[]; removed: readonly string[] }
  | { type: 'gateways'; at: number; changed: readonly GatewayPicture[]; removed: readonly string[] }
  | { type: 'tasks'; at: number; changed: readonly TaskPicture[]; removed: readonly string[] }
  | { type: 'upstreams'; at: number; changed: readonly UpstreamPicture[]; removed: readonly string[] }
  | { type: 'hold'; at: number; approvalId: string; status: ApprovalStatus }
  /** Run these drills and record what comes of them. */
  | { type: 'drill'; at: number; requestId: string; names: readonly DrillName[] }
  /** Everything up to this revision has been sent; the proxy answers with POST /internal/v1/applied. */
  | { type: 'mark'; at: number; revision: number }
  | { type: 'beat'; at: number };
