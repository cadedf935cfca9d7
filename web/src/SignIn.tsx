import { useQueryClient } from "@tanstack/react-query";
import type { FormEvent } from "react";

import { session } from "./api/session";
import { Page } from "./ui/Page";

/** Shown where the API does not let the page in. The form is only read by the page itself. */
export function SignIn() {
  const queries = useQueryClient();
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const token = String(new FormData(event.currentTarget).get("token") ?? "").trim();
    if (token === "") return;
    session.signIn(token);
    void queries.resetQueries();
  };
  return (
    <Page title="Sign in">
      <form className="sign-in" onSubmit={submit}>
        <p>
          This stack lets its operator in by a token. Open the address that <code>nox -s up</code>{" "}
          printed, which carries it, or paste the <code>token</code> of <code>stack.json</code> in
          the stack’s home.
        </p>
        <label>
          <span>Token</span>
          <input name="token" type="password" autoComplete="off" required />
        </label>
        <button type="submit" className="primary">
          Sign in
        </button>
      </form>
    </Page>
  );
}
