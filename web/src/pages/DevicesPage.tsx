import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";

import { changed } from "../address";
import { devicesQuery } from "../api/queries";
import type { Device } from "../api/types";
import { Provision } from "../device/Provision";
import { isHeard, STATUS_NAMES, STATUS_TONES } from "../device/states";
import { type Column, DataTable } from "../ui/DataTable";
import { Empty } from "../ui/Empty";
import { formatCount, formatShare } from "../ui/format";
import { Loaded, Updated } from "../ui/Loaded";
import { Page } from "../ui/Page";
import { Pages } from "../ui/Pages";
import { Glyph, State } from "../ui/State";
import { Age } from "../ui/Time";

const route = getRouteApi("/devices");

const MOST = 200;

const COLUMNS: readonly Column<Device>[] = [
  {
    id: "status",
    name: "Status",
    sortBy: ({ status }) => STATUS_NAMES.indexOf(status),
    cell: ({ status, basis }) => <State tone={STATUS_TONES[status]} word={status} title={basis} />,
  },
  {
    id: "id",
    name: "Device",
    wide: true,
    sortBy: ({ id }) => id,
    cell: ({ id, name }) => (
      <>
        <Link to="/devices/$id" params={{ id }}>
          {id}
        </Link>
        {name !== id && <p className="dim">{name}</p>}
      </>
    ),
  },
  {
    id: "seen",
    name: "Last seen",
    sortBy: ({ last_seen }) => last_seen,
    cell: ({ last_seen }) => <Age at={last_seen} />,
  },
  {
    id: "battery",
    name: "Battery",
    numeric: true,
    sortBy: ({ battery }) => battery,
    cell: (device) => (
      <span className={isHeard(device) ? undefined : "dim"}>
        {device.battery === null ? "–" : formatShare(device.battery, 100)}
      </span>
    ),
  },
  {
    id: "spooled",
    name: "Waiting events",
    numeric: true,
    cell: ({ spooled_events }) => formatCount(spooled_events),
  },
  {
    id: "firmware",
    name: "Firmware",
    cell: ({ firmware }) => firmware ?? <span className="dim">–</span>,
  },
  {
    id: "commands",
    name: "Commands",
    numeric: true,
    cell: ({ commands_pending }) => formatCount(commands_pending),
  },
  {
    id: "alerts",
    name: "Alerts",
    cell: ({ alerts }) =>
      alerts.length > 0 ? (
        <State tone="bad" word={alerts.join(", ")} />
      ) : (
        <span className="dim">none</span>
      ),
  },
];

export function DevicesPage() {
  const { status, sort, cursor } = route.useSearch();
  const navigate = route.useNavigate();
  const query = useQuery(devicesQuery({ cursor, limit: MOST }));
  return (
    <Page
      title="Devices"
      aside={<Updated query={query} rows={query.data?.devices.length} noun="device" />}
    >
      <Provision />
      <Loaded query={query} height={10}>
        {({ devices, next_cursor }) =>
          devices.length === 0 ? (
            <Empty title="No device is provisioned yet.">
              <p>Provision one: it gets a claim code, which works once.</p>
            </Empty>
          ) : (
            <>
              <Chips devices={devices} current={status} />
              <DataTable
                label="Devices"
                columns={COLUMNS}
                rows={
                  status === undefined ? devices : devices.filter((each) => each.status === status)
                }
                rowId={({ id }) => id}
                sort={sort}
                onSort={(next) =>
                  void navigate({ search: (before) => ({ ...before, sort: next }) })
                }
              />
              <Pages
                label="Pages of devices"
                cursor={cursor}
                next={next_cursor}
                first="First"
                further="Next"
              />
            </>
          )
        }
      </Loaded>
    </Page>
  );
}

function Chips({
  devices,
  current,
}: {
  readonly devices: readonly Device[];
  readonly current: Device["status"] | undefined;
}) {
  return (
    <nav className="chips" aria-label="Statuses">
      {[undefined, ...STATUS_NAMES].map((status) => (
        <Link
          key={status ?? "all"}
          to="."
          search={changed({ status })}
          activeOptions={{ exact: true, includeSearch: true, explicitUndefined: true }}
          aria-current={status === current ? "true" : undefined}
          className={status && `tone-${STATUS_TONES[status]}`}
        >
          {status && <Glyph tone={STATUS_TONES[status]} />}
          {status ?? "all"}
          <b>
            {formatCount(
              status === undefined
                ? devices.length
                : devices.filter((each) => each.status === status).length,
            )}
          </b>
        </Link>
      ))}
    </nav>
  );
}
