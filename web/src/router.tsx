import type { QueryClient } from "@tanstack/react-query";
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
} from "@tanstack/react-router";

import { STATUS_NAMES } from "./device/states";
import { RANGE_NAMES } from "./ingestion/ranges";
import { SORTS } from "./ingestion/sorts";
import { REASON_NAMES, STATE_NAMES } from "./ingestion/states";
import { DIRECTIONS } from "./lineage/directions";
import { NotFound } from "./NotFound";
import { among, many, parseSearch, searchOf, stringifySearch, text } from "./address";
import { Shell } from "./Shell";
import { PROPOSAL_STATES } from "./proposal/kinds";
import { Skeleton } from "./ui/Loaded";

interface Context {
  readonly queryClient: QueryClient;
}

const root = createRootRouteWithContext<Context>()({
  component: Shell,
  notFoundComponent: NotFound,
});

const INGESTION_TABS = ["quality", "drift", "quarantine", "rows", "lineage", "timeline"] as const;
const DATASET_TABS = ["contract", "schemas", "rows", "runs"] as const;
const DEVICE_TABS = ["commands", "batches", "about", "audit"] as const;

const ingestions = createRoute({
  getParentRoute: () => root,
  path: "/ingestions",
  validateSearch: searchOf({
    state: among(STATE_NAMES),
    not_state: many(among(STATE_NAMES)),
    reason: among(REASON_NAMES),
    not_reason: many(among(REASON_NAMES)),
    dataset: text,
    not_dataset: many(text),
    range: among(RANGE_NAMES),
    q: text,
    sort: among(SORTS),
    cursor: text,
  }),
  component: lazyRouteComponent(() => import("./pages/IngestionsPage"), "IngestionsPage"),
});

const ingestion = createRoute({
  getParentRoute: () => root,
  path: "/ingestions/$id",
  validateSearch: searchOf({
    tab: among(INGESTION_TABS),
    column: text,
    rule: text,
    cursor: text,
  }),
  component: lazyRouteComponent(() => import("./pages/IngestionPage"), "IngestionPage"),
});

const datasets = createRoute({
  getParentRoute: () => root,
  path: "/datasets",
  validateSearch: searchOf({ sort: text }),
  component: lazyRouteComponent(() => import("./pages/DatasetsPage"), "DatasetsPage"),
});

const dataset = createRoute({
  getParentRoute: () => root,
  path: "/datasets/$name",
  validateSearch: searchOf({
    tab: among(DATASET_TABS),
    version: text,
    against: text,
    before: text,
    after: text,
  }),
  component: lazyRouteComponent(() => import("./pages/DatasetPage"), "DatasetPage"),
});

const marts = createRoute({
  getParentRoute: () => root,
  path: "/marts",
  validateSearch: searchOf({ sort: text }),
  component: lazyRouteComponent(() => import("./pages/MartsPage"), "MartsPage"),
});

const mart = createRoute({
  getParentRoute: () => root,
  path: "/marts/$name",
  component: lazyRouteComponent(() => import("./pages/MartPage"), "MartPage"),
});

const upload = createRoute({
  getParentRoute: () => root,
  path: "/upload",
  validateSearch: searchOf({ dataset: text }),
  component: lazyRouteComponent(() => import("./pages/UploadPage"), "UploadPage"),
});

const failures = createRoute({
  getParentRoute: () => root,
  path: "/failures",
  component: lazyRouteComponent(() => import("./pages/FailuresPage"), "FailuresPage"),
});

const audit = createRoute({
  getParentRoute: () => root,
  path: "/audit",
  validateSearch: searchOf({ actor: text, subject: text, cursor: text }),
  component: lazyRouteComponent(() => import("./pages/AuditPage"), "AuditPage"),
});

const proposals = createRoute({
  getParentRoute: () => root,
  path: "/proposals",
  validateSearch: searchOf({ state: among(PROPOSAL_STATES), cursor: text }),
  component: lazyRouteComponent(() => import("./pages/ProposalsPage"), "ProposalsPage"),
});

const proposal = createRoute({
  getParentRoute: () => root,
  path: "/proposals/$id",
  component: lazyRouteComponent(() => import("./pages/ProposalPage"), "ProposalPage"),
});

const backfills = createRoute({
  getParentRoute: () => root,
  path: "/backfills",
  validateSearch: searchOf({ dataset: text, cursor: text }),
  component: lazyRouteComponent(() => import("./pages/BackfillsPage"), "BackfillsPage"),
});

const backfill = createRoute({
  getParentRoute: () => root,
  path: "/backfills/$id",
  validateSearch: searchOf({ cursor: text }),
  component: lazyRouteComponent(() => import("./pages/BackfillPage"), "BackfillPage"),
});

const devices = createRoute({
  getParentRoute: () => root,
  path: "/devices",
  validateSearch: searchOf({ status: among(STATUS_NAMES), sort: text, cursor: text }),
  component: lazyRouteComponent(() => import("./pages/DevicesPage"), "DevicesPage"),
});

const device = createRoute({
  getParentRoute: () => root,
  path: "/devices/$id",
  validateSearch: searchOf({
    tab: among(DEVICE_TABS),
    range: among(RANGE_NAMES),
    cursor: text,
  }),
  component: lazyRouteComponent(() => import("./pages/DevicePage"), "DevicePage"),
});

const lineage = createRoute({
  getParentRoute: () => root,
  path: "/lineage",
  validateSearch: searchOf({
    node: text,
    column: text,
    direction: among(DIRECTIONS),
    depth: among(["1", "2", "3"]),
  }),
  component: lazyRouteComponent(() => import("./pages/LineagePage"), "LineagePage"),
});

const quarantine = createRoute({
  getParentRoute: () => root,
  path: "/quarantine",
  validateSearch: searchOf({ sort: text }),
  component: lazyRouteComponent(() => import("./pages/QuarantinePage"), "QuarantinePage"),
});

const home = createRoute({
  getParentRoute: () => root,
  path: "/",
  component: lazyRouteComponent(() => import("./pages/OverviewPage"), "OverviewPage"),
});

const routeTree = root.addChildren([
  home,
  ingestions,
  ingestion,
  datasets,
  dataset,
  marts,
  mart,
  upload,
  failures,
  audit,
  proposals,
  proposal,
  backfills,
  backfill,
  devices,
  device,
  lineage,
  quarantine,
]);

export function makeRouter(queryClient: QueryClient) {
  return createRouter({
    routeTree,
    context: { queryClient },
    parseSearch,
    stringifySearch,
    defaultPreload: "intent",
    defaultPendingComponent: () => <Skeleton rows={12} />,
    scrollRestoration: true,
  });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof makeRouter>;
  }
}
