/** The API's models under the names that pages use. */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Ingestion = Schemas["IngestionAnswer"];
export type IngestionState = Ingestion["state"];
export type TimelineEvent = Schemas["TimelineEvent"];
export type QualityReport = Schemas["QualityReport"];
export type RuleResult = Schemas["RuleResult"];
/** Documents that steps wrote: those of an older version may lack what was added since. */
export type DriftVerdict = Schemas["DriftVerdict"];
export type DriftChange = Schemas["Change"];
export type QuarantinePage = Schemas["QuarantinePage"];
export type RefusedRecord = Schemas["RefusedRecord"];
export type Dataset = Schemas["DatasetSummary"];
export type ContractAnswer = Schemas["ContractAnswer"];
export type Contract = ContractAnswer["contract"];
export type Mart = Schemas["MartSummary"];
export type DatasetDetail = Schemas["DatasetAnswer"];
export type MartDetail = Schemas["MartAnswer"];
export type StepRun = Schemas["StepRun"];
export type FailureGroup = Schemas["FailureGroup"];
export type TrendDay = Schemas["TrendDay"];
export type Found = Schemas["Found"];
export type Action = Schemas["ActionAnswer"];
export type SampleRows = Schemas["SampleRows"];
export type ManyReplays = Schemas["ManyReplays"];
export type IngestionCounts = Schemas["IngestionCounts"];
export type Trends = Schemas["Trends"];
export type Proposal = Schemas["ProposalSummary"];
export type ProposalDetail = Schemas["ProposalAnswer"];
export type Acceptance = Schemas["AcceptanceAnswer"];
export type Backfill = Schemas["BackfillAnswer"];
export type BackfillItem = Schemas["Item"];
export type Verification = Schemas["VerificationAnswer"];
export type Compatibility = Schemas["CompatibilityAnswer"];
export type DeviceKey = Schemas["KeyAnswer"];
export type Run = Schemas["Run"];
export type Freshness = Schemas["FreshnessAnswer"];
export type SchemaHistory = Schemas["SchemaHistory"];
export type LineageGraph = Schemas["LineageGraph"];
export type MartReport = Schemas["MartReport"];
export type Device = Schemas["DeviceSummary"];
export type DeviceDetail = Schemas["DeviceAnswer"];
export type ClaimCode = Schemas["ClaimCodeAnswer"];
export type Command = Schemas["CommandAnswer"];
export type Series = Schemas["Series"];
export type DeviceEvent = Schemas["DeviceEvent"];
export type EpochGaps = Omit<Schemas["EpochGaps"], "missing" | "given_up"> & {
  readonly missing: readonly (readonly number[])[];
  readonly given_up: readonly (readonly number[])[];
};
export type Batch = Schemas["BatchAnswer"];
