/** What pages read, each with its key and how often it is asked for again. */
import { keepPreviousData, queryOptions } from "@tanstack/react-query";

import { isActive } from "../ingestion/states";
import { api, read } from "./client";
import type { paths } from "./schema";
import type { ContractAnswer, Ingestion, QuarantinePage } from "./types";

const ACTIVE_DETAIL_MS = 3_000;
const ACTIVE_LIST_MS = 5_000;
const CALM_MS = 30_000;

export type IngestionFilter = NonNullable<paths["/api/ingestions"]["get"]["parameters"]["query"]>;

export const ingestionsQuery = (query: IngestionFilter) =>
  queryOptions({
    queryKey: ["ingestions", query],
    queryFn: ({ signal }) => read(api.GET("/api/ingestions", { params: { query }, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) =>
      state.data?.ingestions.some(isActive) ? ACTIVE_LIST_MS : CALM_MS,
  });

export const ingestionQuery = (id: string) =>
  queryOptions({
    queryKey: ["ingestion", id],
    queryFn: ({ signal }) =>
      read(api.GET("/api/ingestions/{id}", { params: { path: { id } }, signal })),
    refetchInterval: ({ state }) => state.data && isActive(state.data) && ACTIVE_DETAIL_MS,
  });

/** What belongs to an ingestion as it was at `updated_at`: asked for again when that moves. */
const ofIngestion = (what: string, { id, updated_at }: Ingestion) => [
  "ingestion",
  id,
  what,
  updated_at,
];

export const timelineQuery = (ingestion: Ingestion) =>
  queryOptions({
    queryKey: ofIngestion("timeline", ingestion),
    queryFn: ({ signal }) =>
      read(
        api.GET("/api/ingestions/{id}/timeline", {
          params: { path: { id: ingestion.id } },
          signal,
        }),
      ),
    placeholderData: keepPreviousData,
  });

export const qualityQuery = (ingestion: Ingestion) =>
  queryOptions({
    queryKey: ofIngestion("quality", ingestion),
    queryFn: ({ signal }) =>
      read(
        api.GET("/api/ingestions/{id}/quality", { params: { path: { id: ingestion.id } }, signal }),
      ),
  });

export const driftQuery = (ingestion: Ingestion) =>
  queryOptions({
    queryKey: ofIngestion("drift", ingestion),
    queryFn: ({ signal }) =>
      read(
        api.GET("/api/ingestions/{id}/drift", { params: { path: { id: ingestion.id } }, signal }),
      ),
  });

export const lineageQuery = (ingestion: Ingestion) =>
  queryOptions({
    queryKey: ofIngestion("lineage", ingestion),
    queryFn: ({ signal }) =>
      read(
        api.GET("/api/ingestions/{id}/lineage", { params: { path: { id: ingestion.id } }, signal }),
      ),
  });

export type QuarantineFilter = NonNullable<
  paths["/api/ingestions/{id}/quarantine"]["get"]["parameters"]["query"]
>;

export const quarantineQuery = (ingestion: Ingestion, query: QuarantineFilter) =>
  queryOptions({
    queryKey: [...ofIngestion("quarantine", ingestion), query],
    queryFn: ({ signal }) =>
      read(
        api.GET("/api/ingestions/{id}/quarantine", {
          params: { path: { id: ingestion.id }, query },
          signal,
        }),
      ) as Promise<QuarantinePage>,
    placeholderData: keepPreviousData,
  });

export const datasetsQuery = queryOptions({
  queryKey: ["datasets"],
  queryFn: ({ signal }) => read(api.GET("/api/datasets", { signal })),
  refetchInterval: ({ state }) =>
    state.data?.datasets.some((each) => each.loading) ? ACTIVE_LIST_MS : CALM_MS,
});

export const datasetQuery = (name: string) =>
  queryOptions({
    queryKey: ["dataset", name],
    queryFn: ({ signal }) =>
      read(api.GET("/api/datasets/{name}", { params: { path: { name } }, signal })),
    refetchInterval: ({ state: { data } }) =>
      data?.loading || data?.verification?.state === "running" ? ACTIVE_DETAIL_MS : CALM_MS,
  });

/** A version never changes once it is published. */
export const contractQuery = (name: string, version?: string) =>
  queryOptions({
    queryKey: ["contract", name, version],
    queryFn: ({ signal }) =>
      read(
        api.GET("/api/datasets/{name}/contract", {
          params: { path: { name }, query: { version } },
          signal,
        }),
      ) as Promise<ContractAnswer>,
  });

export const contractTextQuery = (name: string, version?: string) =>
  queryOptions({
    queryKey: ["contract", name, version, "text"],
    queryFn: ({ signal }) =>
      read(
        api.GET("/api/datasets/{name}/contract", {
          params: { path: { name }, query: { version } },
          headers: { Accept: "application/yaml" },
          parseAs: "text",
          signal,
        }),
      ),
  });

export const martsQuery = queryOptions({
  queryKey: ["marts"],
  queryFn: ({ signal }) => read(api.GET("/api/marts", { signal })),
  refetchInterval: ({ state }) =>
    state.data?.marts.some((each) => each.state === "building") ? ACTIVE_LIST_MS : CALM_MS,
});

export const martQuery = (name: string) =>
  queryOptions({
    queryKey: ["mart", name],
    queryFn: ({ signal }) =>
      read(
        api.GET("/api/marts/{name}", { params: { path: { name }, query: { limit: 50 } }, signal }),
      ),
    refetchInterval: ({ state }) => (state.data?.state === "building" ? ACTIVE_DETAIL_MS : CALM_MS),
  });

const UPLOADED_MS = 700;

/** The ingestion of an object that was just uploaded, until it has ended. */
export const uploadedQuery = (object: string) =>
  queryOptions({
    queryKey: ["uploaded", object],
    queryFn: ({ signal }) =>
      read(api.GET("/api/ingestions", { params: { query: { object, limit: 1 } }, signal })),
    refetchInterval: ({ state }) => {
      const ingestion = state.data?.ingestions[0];
      return (ingestion === undefined || isActive(ingestion)) && UPLOADED_MS;
    },
  });

export type ReceivedFilter = NonNullable<
  paths["/api/ingestions/counts"]["get"]["parameters"]["query"]
>;

export const countsQuery = (query: ReceivedFilter) =>
  queryOptions({
    queryKey: ["ingestions", "counts", query],
    queryFn: ({ signal }) => read(api.GET("/api/ingestions/counts", { params: { query }, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: ACTIVE_LIST_MS * 2,
  });

export const failuresQuery = (query: ReceivedFilter) =>
  queryOptions({
    queryKey: ["ingestions", "failures", query],
    queryFn: ({ signal }) =>
      read(api.GET("/api/ingestions/failures", { params: { query }, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: CALM_MS,
  });

export const ingestionRowsQuery = (ingestion: Ingestion) =>
  queryOptions({
    queryKey: ofIngestion("rows", ingestion),
    queryFn: ({ signal }) =>
      read(
        api.GET("/api/ingestions/{id}/rows", {
          params: { path: { id: ingestion.id }, query: { limit: 50 } },
          signal,
        }),
      ),
  });

export const datasetRowsQuery = (name: string) =>
  queryOptions({
    queryKey: ["dataset", name, "rows"],
    queryFn: ({ signal }) =>
      read(
        api.GET("/api/datasets/{name}/rows", {
          params: { path: { name }, query: { limit: 50 } },
          signal,
        }),
      ),
  });

export type TrendFilter = NonNullable<paths["/api/trends"]["get"]["parameters"]["query"]>;

export const trendsQuery = (query: TrendFilter) =>
  queryOptions({
    queryKey: ["trends", query],
    queryFn: ({ signal }) => read(api.GET("/api/trends", { params: { query }, signal })),
    refetchInterval: CALM_MS,
  });

export const searchQuery = (q: string) =>
  queryOptions({
    queryKey: ["search", q],
    queryFn: ({ signal }) =>
      read(api.GET("/api/search", { params: { query: { q, limit: 6 } }, signal })),
    enabled: q !== "",
  });

export type AuditFilter = NonNullable<paths["/api/audit"]["get"]["parameters"]["query"]>;

export const auditQuery = (query: AuditFilter) =>
  queryOptions({
    queryKey: ["audit", query],
    queryFn: ({ signal }) => read(api.GET("/api/audit", { params: { query }, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: CALM_MS,
  });

export type ProposalFilter = NonNullable<paths["/api/proposals"]["get"]["parameters"]["query"]>;

export const proposalsQuery = (query: ProposalFilter) =>
  queryOptions({
    queryKey: ["proposals", query],
    queryFn: ({ signal }) => read(api.GET("/api/proposals", { params: { query }, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: CALM_MS,
  });

export const proposalQuery = (id: string) =>
  queryOptions({
    queryKey: ["proposal", id],
    queryFn: ({ signal }) =>
      read(api.GET("/api/proposals/{id}", { params: { path: { id } }, signal })),
  });

export type BackfillFilter = NonNullable<paths["/api/backfills"]["get"]["parameters"]["query"]>;

const WORKING = new Set(["planning", "running"]);

export const backfillsQuery = (query: BackfillFilter) =>
  queryOptions({
    queryKey: ["backfills", query],
    queryFn: ({ signal }) => read(api.GET("/api/backfills", { params: { query }, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) =>
      state.data?.backfills.some((each) => WORKING.has(each.state)) ? ACTIVE_LIST_MS : CALM_MS,
  });

/** A dry run goes on after the plan is made, so what is foreseen is asked for until it is all. */
export const backfillQuery = (id: string) =>
  queryOptions({
    queryKey: ["backfill", id],
    queryFn: ({ signal }) =>
      read(api.GET("/api/backfills/{id}", { params: { path: { id } }, signal })),
    refetchInterval: ({ state: { data } }) =>
      data !== undefined &&
      (WORKING.has(data.state) || (data.state === "planned" && data.checked < (data.items ?? 0))) &&
      ACTIVE_DETAIL_MS,
  });

export const backfillItemsQuery = (id: string, cursor?: string) =>
  queryOptions({
    queryKey: ["backfill", id, "items", cursor],
    queryFn: ({ signal }) =>
      read(
        api.GET("/api/backfills/{id}/items", {
          params: { path: { id }, query: { cursor, limit: 50 } },
          signal,
        }),
      ),
    placeholderData: keepPreviousData,
  });

export const contractDiffQuery = (name: string, of: string, to: string) =>
  queryOptions({
    queryKey: ["contract", name, "diff", of, to],
    queryFn: ({ signal }) =>
      read(
        api.GET("/api/datasets/{name}/contract/diff", {
          params: { path: { name }, query: { of, to } },
          signal,
        }),
      ),
  });

export const compatibilityQuery = (name: string, old: string, current: string) =>
  queryOptions({
    queryKey: ["contract", name, "compatibility", old, current],
    queryFn: ({ signal }) =>
      read(
        api.GET("/api/datasets/{name}/contract/compatibility", {
          params: { path: { name }, query: { old, new: current } },
          signal,
        }),
      ),
  });

export const schemasQuery = (name: string) =>
  queryOptions({
    queryKey: ["dataset", name, "schemas"],
    queryFn: ({ signal }) =>
      read(api.GET("/api/datasets/{name}/schemas", { params: { path: { name } }, signal })),
  });

export type LineageFilter = NonNullable<paths["/api/lineage"]["get"]["parameters"]["query"]>;

export const lineageGraphQuery = (query: LineageFilter) =>
  queryOptions({
    queryKey: ["lineage", query],
    queryFn: ({ signal }) => read(api.GET("/api/lineage", { params: { query }, signal })),
    placeholderData: keepPreviousData,
  });

export const martReportQuery = (name: string) =>
  queryOptions({
    queryKey: ["mart", name, "quality"],
    queryFn: ({ signal }) =>
      read(api.GET("/api/marts/{name}/quality", { params: { path: { name } }, signal })),
  });

export type DeviceFilter = NonNullable<paths["/api/devices"]["get"]["parameters"]["query"]>;

export const devicesQuery = (query: DeviceFilter) =>
  queryOptions({
    queryKey: ["devices", query],
    queryFn: ({ signal }) => read(api.GET("/api/devices", { params: { query }, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: ACTIVE_LIST_MS * 2,
  });

export const deviceQuery = (id: string) =>
  queryOptions({
    queryKey: ["device", id],
    queryFn: ({ signal }) =>
      read(api.GET("/api/devices/{id}", { params: { path: { id } }, signal })),
    refetchInterval: ACTIVE_LIST_MS,
  });

export const commandsQuery = (id: string, cursor?: string) =>
  queryOptions({
    queryKey: ["device", id, "commands", cursor],
    queryFn: ({ signal }) =>
      read(
        api.GET("/api/devices/{id}/commands", {
          params: { path: { id }, query: { cursor, limit: 20 } },
          signal,
        }),
      ),
    placeholderData: keepPreviousData,
    refetchInterval: ACTIVE_LIST_MS,
  });

export const deviceTimelineQuery = (id: string) =>
  queryOptions({
    queryKey: ["device", id, "timeline"],
    queryFn: ({ signal }) =>
      read(api.GET("/api/devices/{id}/timeline", { params: { path: { id } }, signal })),
    refetchInterval: CALM_MS,
  });

export const deviceGapsQuery = (id: string) =>
  queryOptions({
    queryKey: ["device", id, "gaps"],
    queryFn: ({ signal }) =>
      read(api.GET("/api/devices/{id}/gaps", { params: { path: { id } }, signal })),
    refetchInterval: CALM_MS,
  });

export const deviceBatchesQuery = (id: string, cursor?: string) =>
  queryOptions({
    queryKey: ["device", id, "batches", cursor],
    queryFn: ({ signal }) =>
      read(
        api.GET("/api/devices/{id}/batches", {
          params: { path: { id }, query: { cursor, limit: 20 } },
          signal,
        }),
      ),
    placeholderData: keepPreviousData,
    refetchInterval: CALM_MS,
  });

export const seriesQuery = (id: string, column: string, since?: string, until?: string) =>
  queryOptions({
    queryKey: ["device", id, "series", column, since, until],
    queryFn: ({ signal }) =>
      read(
        api.GET("/api/devices/{id}/series", {
          params: { path: { id }, query: { column, since, until, points: 600 } },
          signal,
        }),
      ),
    placeholderData: keepPreviousData,
    refetchInterval: CALM_MS,
  });
