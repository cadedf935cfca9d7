import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type KeyboardEvent, useDeferredValue, useEffect, useId, useRef, useState } from "react";

import { searchQuery } from "../api/queries";
import type { Found } from "../api/types";

const PATHS: Readonly<Record<Found["kind"], (id: string) => string>> = {
  dataset: (id) => `/datasets/${encodeURIComponent(id)}`,
  mart: (id) => `/marts/${encodeURIComponent(id)}`,
  ingestion: (id) => `/ingestions/${id}`,
};

/** One box that finds datasets, marts and ingestions; `/` goes to it from anywhere. */
export function SearchBox() {
  const input = useRef<HTMLInputElement>(null);
  const list = useId();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [typed, setTyped] = useState("");
  const [at, setAt] = useState(0);
  const q = useDeferredValue(typed.trim());
  const { data } = useQuery(searchQuery(q));
  const found = q === "" || q !== typed.trim() ? [] : (data?.found ?? []);
  useEffect(() => focusOnSlash(input), []);

  const close = () => {
    setTyped("");
    setAt(0);
  };
  const open = (wanted: Found | undefined) => {
    if (wanted === undefined) return;
    close();
    input.current?.blur();
    void navigate({ to: PATHS[wanted.kind](wanted.id) });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Escape") close();
    if (event.key === "Enter" && typed.trim() !== "") {
      // Whoever types fast wants what was typed, not what was found for a part of it.
      void queries.fetchQuery(searchQuery(typed.trim())).then((answer) => open(answer.found[at]));
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined || found.length === 0) return;
    event.preventDefault();
    setAt((before) => (before + step + found.length) % found.length);
  };
  return (
    <div
      className="search"
      onBlur={(event) => !event.currentTarget.contains(event.relatedTarget) && close()}
    >
      <input
        ref={input}
        type="search"
        role="combobox"
        aria-label="Find a dataset, mart or ingestion"
        aria-expanded={found.length > 0}
        aria-controls={list}
        aria-autocomplete="list"
        aria-activedescendant={found.length > 0 ? `${list}-${at}` : undefined}
        placeholder="Find…  /"
        autoComplete="off"
        value={typed}
        onChange={({ target }) => {
          setTyped(target.value);
          setAt(0);
        }}
        onKeyDown={onKeyDown}
      />
      <ul id={list} role="listbox" aria-label="Found" hidden={found.length === 0}>
        {found.map((each, index) => (
          <li
            key={`${each.kind} ${each.id}`}
            id={`${list}-${index}`}
            role="option"
            aria-selected={index === at}
            onPointerDown={(event) => event.preventDefault()}
            onClick={() => open(each)}
          >
            <span>{each.title}</span>
            <small>
              {each.kind}, {each.detail}
            </small>
          </li>
        ))}
      </ul>
    </div>
  );
}

function focusOnSlash(input: { readonly current: HTMLInputElement | null }): () => void {
  const listen = (event: globalThis.KeyboardEvent) => {
    const typing =
      event.target instanceof Element && event.target.matches("input, select, textarea");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    input.current?.focus();
  };
  addEventListener("keydown", listen);
  return () => removeEventListener("keydown", listen);
}
