"""The use cases, one module each: gather inputs, call the pure core, apply what it decided.

- a file's way: `land`, `validate`, `drift`, `load`, `marts`, `forward`; `drafting` where it has no
  contract; `sweep` finds what stopped;
- what operators ask: `registry` publishes contracts; `proposals`, `replay`, `recovery`,
  `backfill_requests` and `backfill`, `verification_requests` and `verify`;
- what devices do: `fleet/`;
- what these share: `streams` and `tasks` (the log and the queue), `steps` (leases and attempts),
  `catalogue`, `documents`, `reports`, `signals`, `snapshots` (what a table holds); `staging`,
  `staged_sql`, `sketches` and `ordered_map` for a file's rows.
"""
