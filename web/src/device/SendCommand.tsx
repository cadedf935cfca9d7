import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, read } from "../api/client";
import type { DeviceDetail } from "../api/types";
import { Confirm } from "../ui/Confirm";
import { ErrorNotice } from "../ui/Notice";
import { Section } from "../ui/Section";
import { isHeard } from "./states";

const COMMANDS = {
  ping: "Answers that it is there.",
  flush: "Sends at once what it has collected.",
  set_interval: "Samples a sensor every so many seconds.",
  rotate_key: "Makes a new key; the old one goes on working for a while.",
  restart_agent: "Starts the agent again; no event is lost.",
} as const;

type Type = keyof typeof COMMANDS;

const NAMES = Object.keys(COMMANDS) as readonly Type[];

/** Asks something of a device, after a confirmation that says what it does. */
export function SendCommand({ device }: { readonly device: DeviceDetail }) {
  const queries = useQueryClient();
  const [type, setType] = useState<Type>("ping");
  const [sensor, setSensor] = useState("");
  const [seconds, setSeconds] = useState("60");
  const send = useMutation({
    mutationFn: (key: string) =>
      read(
        api.POST("/api/devices/{id}/commands", {
          params: { path: { id: device.id }, header: { "Idempotency-Key": key } },
          body: {
            type,
            arguments: type === "set_interval" ? { sensor, seconds: Number(seconds) } : {},
          },
        }),
      ),
    onSettled: () => void queries.invalidateQueries({ queryKey: ["device", device.id] }),
  });
  return (
    <Section title="Ask something of it">
      <div className="filters">
        <label>
          <span>Command</span>
          <select value={type} onChange={({ target }) => setType(target.value as Type)}>
            {NAMES.map((each) => (
              <option key={each} value={each}>
                {each.replaceAll("_", " ")}
              </option>
            ))}
          </select>
        </label>
        {type === "set_interval" && (
          <>
            <label>
              <span>Sensor</span>
              <input value={sensor} onChange={({ target }) => setSensor(target.value)} />
            </label>
            <label>
              <span>Seconds</span>
              <input
                type="number"
                min={1}
                max={86_400}
                value={seconds}
                onChange={({ target }) => setSeconds(target.value)}
              />
            </label>
          </>
        )}
        <Confirm
          label="Send"
          title={`Send ${type.replaceAll("_", " ")} to ${device.id}?`}
          action="Send it"
          disabled={device.state !== "enrolled" || send.isPending}
          onConfirm={() => send.mutate(crypto.randomUUID())}
        >
          <p>{COMMANDS[type]}</p>
          {!isHeard(device) && (
            <p className="tone-warn">
              It is {device.status}: the command waits until it is heard of.
            </p>
          )}
        </Confirm>
      </div>
      {send.error && <ErrorNotice error={send.error} />}
    </Section>
  );
}
