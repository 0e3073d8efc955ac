/** What the rest of the product may use of the judgement. Pure throughout; runs in Node and in a browser. */
export {
  type BudgetScope,
  bindingCaps,
  type Caps,
  dayOf,
  type Excess,
  findExcesses,
  formatUsd,
  MICROS_PER_USD,
  microsFromUsd,
  nextDayStart,
  remaining,
  usdFromMicros,
} from './budget.ts';
export { groupKeyOf, type ShapedCall } from './call-shape.ts';
export { canonicalJson, isBoundedJson, MAX_JSON_DEPTH, MAX_JSON_PARTS } from './canonical.ts';
export { type CaseFile, type CaseOutcome, caseFileSchema, casesOf, testCases } from './cases.ts';
export { findOddCharacter } from './characters.ts';
export { classify, isBareWrapper, unwrapCall } from './classify.ts';
export { decide, isAnswerable } from './decide.ts';
export { annotationsOf, compareDefinitions, type DefinitionChange, definitionOf, definitionText, sourceOf } from './definitions.ts';
export { type DocumentChange, diffDocuments } from './difference.ts';
export {
  covers,
  type Grantable,
  type GrantableCall,
  type GrantPattern,
  type GrantRefusal,
  isRefusal,
  isTwoPeople,
  proposePatterns,
  readGrantable,
} from './grants.ts';
export { countTalk, errorSignature, exchangesOf, findLoops, type LoopFinding, type Said } from './loops.ts';
export * from './model.ts';
export { isSpecialAddress, readAuthority, readUrl, tunnelScheme } from './network.ts';
export {
  applyPatch,
  compilePolicy,
  LIMITS,
  type Policy,
  type PolicyDocument,
  type PolicyError,
  parsePolicyText,
  policyDocumentSchema,
} from './policy.ts';
export { REASON_MEANINGS, type ReasonMeaning } from './reasons.ts';
export { recordJudgement } from './recall.ts';
export {
  codesOf,
  Difference,
  emptyTally,
  type Flip,
  isSame,
  type RecordedCall,
  Replay,
  type ReplayResult,
  type Side,
  type Tally,
} from './replay.ts';
export { redact, redactArguments, redactText } from './secrets.ts';
export { findSequences, type LabelOwner, labelScope, labelsOf, type SequenceFinding } from './sequence.ts';
export {
  DEFAULT_WORKSPACE,
  MAX_CASES,
  type ReadCase,
  readCases,
  type SimulateRequest,
  type SimulateResult,
  simulateCases,
  simulateRequestSchema,
} from './simulate.ts';
export { shorten, summaryOf } from './summary.ts';
export {
  type AllowedMove,
  ARTIFACTS,
  type Artifact,
  makesClaimsByDefault,
  movesFrom,
  type TaskFacts,
  TRANSITIONS,
  type Transition,
  type TransitionArtifacts,
  type TransitionRefusal,
  type TransitionResult,
  transition,
} from './task.ts';
export { coversTool, isWrapper, matchesStars, TOOL_CLASSES, type ToolClass } from './tools.ts';
