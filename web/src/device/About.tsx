import type { DeviceDetail } from "../api/types";
import { Facts } from "../ui/Facts";
import { formatCount, formatSeconds, formatShare } from "../ui/format";
import { Section } from "../ui/Section";
import { Age, Time } from "../ui/Time";
import { Configure } from "./Configure";
import { Keys } from "./Keys";
import { isHeard } from "./states";

export function About({ device }: { readonly device: DeviceDetail }) {
  const { claim } = device;
  return (
    <>
      <Section title="As it was last heard of">
        <div className={isHeard(device) ? undefined : "stale"}>
          <Facts
            facts={{
              "Last seen": <Age at={device.last_seen} />,
              Battery: device.battery === null ? "–" : formatShare(device.battery, 100),
              "Events that wait on it": formatCount(device.spooled_events),
              "Clock is off by":
                device.clock_offset === null ? "–" : formatSeconds(device.clock_offset),
              Firmware: device.firmware ?? "–",
              "Start of the agent": device.epoch === null ? "–" : <code>{device.epoch}</code>,
            }}
          />
        </div>
      </Section>
      <Section title="Provisioning">
        <Facts
          facts={{
            Name: device.name,
            Provisioned: <Time at={device.created_at} />,
            Enrolled:
              device.enrolled_at === null ? (
                "waiting for its claim"
              ) : (
                <Time at={device.enrolled_at} />
              ),
            Revoked: device.revoked_at && <Time at={device.revoked_at} />,
            "Revoked because": device.revoked_reason,
            "Open claim code": claim && (
              <>
                {claim.tries_left} tries left, until <Time at={claim.expires} />
              </>
            ),
          }}
        />
      </Section>
      <Configure device={device} />
      <Keys device={device} />
    </>
  );
}
