/** A task with everything that a review asks for. */
import type { Task } from '../../control/contract.ts';

export function sampleTask(over: Partial<Task> = {}): Task {
  return {
    id: 'ta_1',
    number: 431,
    createdAt: 0,
    updatedAt: 0,
    revision: 1,
    title: 'Ship the 2.4 design packages',
    description: '',
    type: 'engineering',
    status: 'in_progress',
    priority: 'medium',
    assigneeIds: ['ag_1'],
    reviewerIds: [],
    subscriberIds: [],
    threadRef: null,
    sessionKey: null,
    parentTaskId: null,
    dependsOn: [],
    budget: 8,
    spend: 6.88,
    workPlan: 'the plan',
    deliverable: 'the thing',
    deliverableMakesClaims: true,
    selfReview: 'read twice',
    evidence: ['a source'],
    deliverableConfirmed: false,
    decisionNote: null,
    blockedReason: null,
    metadata: {},
    ...over,
  };
}
