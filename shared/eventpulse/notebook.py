"""A stack in a notebook: what the API answers as pandas DataFrames, and a DataFrame ingested.

    ep = eventpulse.connect()
    ep.ingestions(state="rejected", not_reason="drift", sort="-rows_quarantined")
    ep.quarantine(ep.ingest(df, dataset="weather"))

Times are UTC timestamps. pandas is imported when the first DataFrame is asked for.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from eventpulse.client import Asked, Client, find_stack
from eventpulse.errors import RequestRefused
from eventpulse.settings import read_settings

if TYPE_CHECKING:
    import pandas as pd

Answer = dict[str, Any]

PAGE = 200
MOST_ROWS = 10_000
"""Rows of a table that the API sends at most."""


def find_client(url: str, token: str) -> Client:
    target = find_stack(read_settings())
    return Client(url or target.url, token or (target.token if not url else ""))


class Notebook:
    """One stack. `client` is the plain client behind it."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def __repr__(self) -> str:
        return f"eventpulse.connect({self.client.url!r})"

    # --- Ingestions ------------------------------------------------------------------------------

    def ingestions(self, *, most: int = 1000, **filters: str | Sequence[str]) -> pd.DataFrame:
        """The newest ingestions, one a row: `state`, `dataset`, `reason`, `object`, `since`,
        `until` and `search` filter them; `not_state`, `not_dataset`, `not_reason` and `not_object`
        leave out one value or several; `sort` is `-seconds` for the slowest first, and likewise by
        `rows_read`, `rows_quarantined` and `received_at`, without the `-` the other way round."""
        rows = self._pages("/api/ingestions", "ingestions", most, filters)
        return _frame(rows, times=("received_at", "updated_at", "finished_at"))

    def quality(self, ingestion: str | Mapping[str, Any]) -> pd.DataFrame:
        """What each rule of a column saw in an ingestion, one rule a row."""
        report = self.client.get(f"/api/ingestions/{self._id(ingestion)}/quality")
        return _frame(report["rules"])

    def profile(self, ingestion: str | Mapping[str, Any]) -> pd.DataFrame:
        """The columns of an ingestion: types, nulls, extremes."""
        report = self.client.get(f"/api/ingestions/{self._id(ingestion)}/quality")
        return _frame(report["columns"])

    def quarantine(self, ingestion: str | Mapping[str, Any], *, most: int = 10_000) -> pd.DataFrame:
        """The refused rows, one a row: where each stood, its cells by header, and `why`. Values of
        classified columns are masked."""
        path = f"/api/ingestions/{self._id(ingestion)}/quarantine"
        rows = []
        for each in self._pages(path, "rows", most, {}):
            why = "; ".join(failure["message"] for failure in each["failures"])
            place = {name: each[name] for name in ("object", "record")}
            rows.append({**place, **each["row"], "why": why})
        return _frame(rows)

    def failures(self) -> pd.DataFrame:
        """What was rejected or failed, by dataset and cause."""
        groups = self.client.get("/api/ingestions/failures")["groups"]
        return _frame(groups, times=("first_seen", "last_seen"))

    def replay(self, ingestion: str | Mapping[str, Any], *, timeout: float = 900.0) -> Answer:
        """Read the same file again under the current contract; how that ended."""
        started = self.client.replay(self._id(ingestion))
        return self.client.wait_until_finished(started["id"], timeout)

    # --- Tables ----------------------------------------------------------------------------------

    def datasets(self) -> pd.DataFrame:
        """Datasets, one a row."""
        rows = self.client.list_datasets()["datasets"]
        flat = [{**each, "freshness": each["freshness"]["state"]} for each in rows]
        return _frame(flat, times=("loaded_at",), without=("runs",))

    def dataset(self, name: str, *, most: int = MOST_ROWS) -> pd.DataFrame:
        """Rows of a curated table, at most 10,000."""
        return self._rows(f"/api/datasets/{_quote(name)}/rows", most)

    def marts(self) -> pd.DataFrame:
        """Marts and their state, one a row."""
        return _frame(self.client.get("/api/marts")["marts"], times=("built_at",))

    def mart(self, name: str, *, most: int = MOST_ROWS) -> pd.DataFrame:
        """Rows of a mart, at most 10,000."""
        return self._rows(f"/api/marts/{_quote(name)}/rows", most)

    def trends(self, **options: str) -> pd.DataFrame:
        """Quality, volume, latency and cost, one day a row: `dataset`, `since`, `until`."""
        return _frame(self.client.get("/api/trends", **options)["days"], times=("day",))

    # --- Devices ---------------------------------------------------------------------------------

    def devices(self, *, most: int = 1000) -> pd.DataFrame:
        """Devices, one a row."""
        return _frame(self._pages("/api/devices", "devices", most, {}))

    def telemetry(
        self,
        device: str,
        column: str = "temperature",
        *,
        since: str | None = None,
        until: str | None = None,
        points: int = 2000,
    ) -> pd.DataFrame:
        """A column of a device's telemetry over time: count, mean and extremes of each step. Steps
        without a value are left out; without `since`, the last day."""
        path = f"/api/devices/{_quote(device)}/series"
        series = self.client.get(path, column=column, since=since, until=until, points=points)
        frame = _frame(series["points"], times=("at",))
        frame.attrs["step_seconds"] = series["step_seconds"]
        return frame.set_index("at") if len(frame) else frame

    # --- Ingesting -------------------------------------------------------------------------------

    def ingest(self, df: pd.DataFrame, *, dataset: str, timeout: float = 900.0) -> Answer:
        """Upload a DataFrame as a file of the dataset, in its contract's dialect, and wait; the
        ingestion as it ended. The same rows again are a duplicate.

        Columns are those of the DataFrame, its index is left out. Raises RequestRefused.
        """
        contract = self.client.get_contract(dataset)["contract"]
        format_, data = _write(df, contract["dialect"])
        name = _name_file(contract, dataset, hashlib.sha256(data).hexdigest()[:16], format_)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / name.rpartition("/")[2]
            file.write_bytes(data)
            uploaded = self.client.send_upload(file, self._sign(file, name, dataset))
        found = self.client.find_uploaded(uploaded, timeout)
        return self.client.wait_until_finished(found["id"], timeout)

    def _sign(self, file: Path, name: str, dataset: str) -> Answer:
        try:
            return self.client.sign_upload(file, name, dataset)
        except RequestRefused as error:
            if error.code != "object_exists":
                raise
            return self.client.sign_upload(file, name, dataset, int(str(error.generation)))

    # --- Asking ----------------------------------------------------------------------------------

    def _id(self, ingestion: str | Mapping[str, Any]) -> str:
        return self.client.resolve_id(ingestion if isinstance(ingestion, str) else ingestion["id"])

    def _pages(
        self, path: str, rows: str, most: int, query: Mapping[str, Asked]
    ) -> Iterator[Answer]:
        cursor: str | None = None
        left = most
        while left > 0:
            page = self.client.get(path, limit=min(PAGE, left), cursor=cursor, **query)
            yield from page[rows]
            left -= len(page[rows])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _rows(self, path: str, most: int) -> pd.DataFrame:
        found = self.client.get(path, limit=min(most, MOST_ROWS))
        frame = _frame(found["rows"], columns=found["columns"])
        frame.attrs["masked"] = found["masked"]
        return frame


def _quote(segment: str) -> str:
    return quote(segment, safe="")


def _frame(
    rows: Iterator[Answer] | Sequence[Answer],
    *,
    times: Sequence[str] = (),
    without: Sequence[str] = (),
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(list(rows), columns=columns)
    for name in times:
        if name in frame:
            frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601")
    return frame.drop(columns=[name for name in without if name in frame])


# --- Files ---------------------------------------------------------------------------------------


def _write(df: pd.DataFrame, dialect: Mapping[str, Any]) -> tuple[str, bytes]:
    """The DataFrame as a file that the dataset's contract reads; CSV where it reads any."""
    format_ = dialect["format"] or "csv"
    return format_, _WRITERS[format_](df, dialect)


def _write_csv(df: pd.DataFrame, dialect: Mapping[str, Any]) -> bytes:
    markers = dialect["null_markers"]
    text = df.to_csv(
        index=False,
        sep=dialect["delimiter"] or ",",
        quotechar=dialect["quote"],
        escapechar=dialect.get("escape"),
        decimal=dialect["decimal_mark"],
        na_rep="" if "" in markers or not markers else markers[0],
        date_format="%Y-%m-%dT%H:%M:%S.%fZ" if _has_times(df) else None,
        lineterminator="\n",
    )
    before = "\n".join(["notebook"] * ((dialect["header_row"] or 1) - 1))
    return (f"{before}\n{text}" if before else str(text)).encode(dialect["encoding"] or "utf-8")


def _has_times(df: pd.DataFrame) -> bool:
    """Whether some timestamp is more than a date; dates alone are written as dates."""
    found = df.select_dtypes(include=["datetime", "datetimetz"])
    return any(
        (column.dropna().dt.normalize() != column.dropna()).any() for _, column in found.items()
    )


def _write_ndjson(df: pd.DataFrame, _: Mapping[str, Any]) -> bytes:
    return str(df.to_json(orient="records", lines=True, date_format="iso")).encode()


def _write_parquet(df: pd.DataFrame, _: Mapping[str, Any]) -> bytes:
    data: bytes = df.to_parquet(index=False, engine="pyarrow")
    return data


def _write_xlsx(df: pd.DataFrame, dialect: Mapping[str, Any]) -> bytes:
    import io

    out = io.BytesIO()
    start = (dialect["header_row"] or 1) - 1
    naive = df.copy()
    for name, column in naive.select_dtypes(include=["datetimetz"]).items():
        naive[name] = column.dt.tz_convert("UTC").dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    naive.to_excel(out, index=False, sheet_name=dialect["sheet"] or "rows", startrow=start)
    return out.getvalue()


_WRITERS: Mapping[str, Callable[[Any, Mapping[str, Any]], bytes]] = {
    "csv": _write_csv,
    "ndjson": _write_ndjson,
    "parquet": _write_parquet,
    "xlsx": _write_xlsx,
}


def _name_file(contract: Mapping[str, Any], dataset: str, digest: str, format_: str) -> str:
    """A name that the dataset's first path pattern takes; the API refuses one that does not fit."""
    pattern = next(iter(contract["path_patterns"]), f"{dataset}/*")
    stem = f"notebook-{digest}"
    folder, star, rest = pattern.partition("*")
    if not star:
        return str(pattern)
    return f"{folder}{stem}{rest.replace('*', '')}" if rest else f"{folder}{stem}.{format_}"
