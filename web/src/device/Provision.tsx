import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";

import { api, read } from "../api/client";
import type { ClaimCode } from "../api/types";
import { ErrorNotice } from "../ui/Notice";
import { Section } from "../ui/Section";
import { ClaimCodeShown } from "./ClaimCodeShown";

/** Adds a device; the claim code that it answers is shown this once. */
export function Provision() {
  const queries = useQueryClient();
  const [shown, setShown] = useState<ClaimCode | null>(null);
  const provision = useMutation({
    mutationFn: (form: FormData) =>
      read<ClaimCode>(
        api.POST("/api/devices", {
          body: { id: String(form.get("id")).trim(), name: String(form.get("name")).trim() },
        }),
      ),
    onSuccess: (made) => {
      setShown(made);
      void queries.invalidateQueries({ queryKey: ["devices"] });
    },
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    provision.mutate(new FormData(event.currentTarget));
    event.currentTarget.reset();
  };
  return (
    <Section title="Provision a device">
      <form className="filters" onSubmit={submit}>
        <label>
          <span>Id, for ever</span>
          <input name="id" required maxLength={64} autoComplete="off" placeholder="pump-07" />
        </label>
        <label>
          <span>Name</span>
          <input name="name" maxLength={200} autoComplete="off" placeholder="Pump in hall 7" />
        </label>
        <button type="submit" disabled={provision.isPending}>
          Provision
        </button>
      </form>
      {provision.error && <ErrorNotice error={provision.error} />}
      {shown && (
        <>
          <ClaimCodeShown code={shown} />
          <Link to="/devices/$id" params={{ id: shown.device }} className="button">
            Open {shown.device}
          </Link>
        </>
      )}
    </Section>
  );
}
