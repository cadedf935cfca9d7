import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import type { FormEvent } from "react";

import { api, read } from "../api/client";
import { datasetsQuery } from "../api/queries";
import { ErrorNotice } from "../ui/Notice";
import { Section } from "../ui/Section";

/** Asks for a plan, with a dry run that says what would change; nothing is run yet. */
export function PlanBackfill({ dataset }: { readonly dataset: string | undefined }) {
  const navigate = useNavigate();
  const datasets = useQuery(datasetsQuery);
  const plan = useMutation({
    mutationFn: (form: FormData) =>
      read(
        api.POST("/api/backfills", {
          params: { header: { "Idempotency-Key": crypto.randomUUID() } },
          body: {
            dataset: String(form.get("dataset")),
            since: readDay(form, "since"),
            until: readDay(form, "until"),
            force: form.has("force"),
            check: true,
          },
        }),
      ),
    onSuccess: ({ id }) => void navigate({ to: "/backfills/$id", params: { id } }),
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    plan.mutate(new FormData(event.currentTarget));
  };
  return (
    <Section title="Plan one">
      <form className="filters" onSubmit={submit}>
        <label>
          <span>Dataset</span>
          <select key={dataset} name="dataset" required defaultValue={dataset ?? ""}>
            <option value="">choose one</option>
            {datasets.data?.datasets.map(({ name }) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <label>
          <span>Files created from (UTC)</span>
          <input name="since" type="date" />
        </label>
        <label>
          <span>Until before (UTC)</span>
          <input name="until" type="date" />
        </label>
        <label className="check">
          <input name="force" type="checkbox" />
          <span>Also those loaded under this contract</span>
        </label>
        <button type="submit" disabled={plan.isPending}>
          Plan and check
        </button>
      </form>
      {plan.error && <ErrorNotice error={plan.error} />}
    </Section>
  );
}

function readDay(form: FormData, name: string): string | null {
  const day = String(form.get(name) ?? "");
  return day === "" ? null : `${day}T00:00:00Z`;
}
