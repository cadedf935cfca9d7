import { useMutation, useQueryClient } from "@tanstack/react-query";
import type { FormEvent } from "react";

import { api, read } from "../api/client";
import type { DeviceDetail } from "../api/types";
import { ErrorNotice } from "../ui/Notice";
import { Section } from "../ui/Section";
import { State } from "../ui/State";

const MOST = 86_400;

/** How often it reports and seals; whether it has taken that over, as its heartbeat says. */
export function Configure({ device }: { readonly device: DeviceDetail }) {
  const queries = useQueryClient();
  const { version = 1, heartbeat_seconds, seal_seconds } = device.config;
  const configure = useMutation({
    mutationFn: (form: FormData) =>
      read(
        api.POST("/api/devices/{id}/config", {
          params: { path: { id: device.id } },
          body: {
            heartbeat_seconds: Number(form.get("heartbeat")),
            seal_seconds: Number(form.get("seal")),
          },
        }),
      ),
    onSuccess: () => void queries.invalidateQueries({ queryKey: ["device", device.id] }),
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    configure.mutate(new FormData(event.currentTarget));
  };
  const taken = device.heartbeat?.config_version === version;
  return (
    <Section
      title="Configuration"
      aside={
        <State
          tone={taken ? "good" : "active"}
          word={taken ? `version ${version} is in use` : `version ${version} waits for it`}
        />
      }
    >
      <form key={version} className="filters" onSubmit={submit}>
        <label>
          <span>Reports every (seconds)</span>
          <Seconds name="heartbeat" value={heartbeat_seconds} />
        </label>
        <label>
          <span>Collects a batch for (seconds)</span>
          <Seconds name="seal" value={seal_seconds} />
        </label>
        <button type="submit" disabled={configure.isPending}>
          Configure
        </button>
      </form>
      {configure.error && <ErrorNotice error={configure.error} />}
      <p className="dim">It is told with its next heartbeat.</p>
    </Section>
  );
}

function Seconds({ name, value }: { readonly name: string; readonly value: number | undefined }) {
  return <input name={name} type="number" min={1} max={MOST} required defaultValue={value} />;
}
