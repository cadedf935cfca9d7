"""Sketches of columns from the first rows of a file."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from eventpulse.contracts.contract import Contract, Field
from eventpulse.drift.sketches import (
    MOST_HASHES,
    MOST_SHAPES,
    MOST_TOP,
    QUANTILES,
    ColumnSketch,
)
from eventpulse.drift.verdict import HeaderMatch
from eventpulse.formats import TextBatch
from eventpulse.formats.repeated import spell_out
from eventpulse.rows.casting import cast_text, read_otherwise

SKETCHED_ROWS = 4_096
_SHAPES = (
    (r"\b[0-9a-f]{8,}\b", "hex"),
    (r"[0-9]{2,}", "99"),
    (r"[0-9]", "9"),
    (r"\p{Lu}{2,}", "AA"),
    (r"\p{Lu}", "A"),
    (r"\p{Ll}{2,}", "aa"),
    (r"\p{Ll}", "a"),
    (r"((A|Aa+|AA|a+)[ .,'&/()-]+)+(A|Aa+|AA|a+)[.]?", "words"),
)
_LONGEST_SHAPE = 32


def sketch_column(
    text: pa.Array, null_markers: Sequence[str], *, masked: bool = False
) -> ColumnSketch:
    """The sketch of a column's cells. Of a masked one nothing is kept that could give values away:
    neither hashes nor quantiles."""
    text = spell_out(text[:SKETCHED_ROWS])
    markers = pa.array(null_markers, pa.string())
    cells = text.filter(pc.invert(pc.is_in(text, value_set=markers))).drop_null()
    if not len(cells):
        return ColumnSketch(nulls=len(text))
    counted = pc.value_counts(cells)
    values, counts = counted.field(0), counted.field(1).to_numpy()
    kinds: dict[str, float] = {
        kind: round(float(counts[fits].sum()) / len(cells), 4)
        for kind, fits in read_otherwise(values)
        if fits.any()
    }
    sketch = ColumnSketch(
        cells=len(cells),
        nulls=len(text) - len(cells),
        distinct=len(values),
        kinds=kinds,
        shapes=_sketch_shapes(values, counts),
    )
    if masked:
        return sketch
    hashes = [blake2b(each.encode(), digest_size=8).hexdigest() for each in values.to_pylist()]
    top = np.argsort(-counts, kind="stable")[:MOST_TOP]
    return sketch.model_copy(
        update={
            "top": {hashes[at]: round(float(counts[at]) / len(cells), 4) for at in top.tolist()},
            "hashes": tuple(sorted(hashes)[:MOST_HASHES]),
            "quantiles": _find_quantiles(cells, sketch.kind),
        }
    )


def sketch_fields(
    contract: Contract, match: HeaderMatch, batch: TextBatch
) -> dict[str, dict[str, Any]]:
    """The sketches of the contract's columns that a file has, from its first rows, as JSON."""
    markers = contract.dialect.null_markers
    return {
        field.name: sketch_column(batch.columns[position], markers, masked=field.masked).model_dump(
            mode="json"
        )
        for field, position in zip(contract.fields, match.positions, strict=True)
        if position is not None
    }


def _share(names: Sequence[str], counts: np.ndarray) -> dict[str, float]:
    total = int(counts.sum())
    shares: dict[str, float] = {}
    for name, count in zip(names, counts.tolist(), strict=True):
        shares[name] = shares.get(name, 0.0) + count / total
    return {name: round(share, 4) for name, share in shares.items()}


def _sketch_shapes(values: pa.Array, counts: np.ndarray) -> dict[str, float]:
    shapes = pc.utf8_slice_codeunits(values, 0, _LONGEST_SHAPE)
    for pattern, sign in _SHAPES:
        shapes = pc.replace_substring_regex(shapes, pattern, sign)
    shares = _share(shapes.to_pylist(), counts)
    best = sorted(shares, key=lambda shape: (-shares[shape], shape))[:MOST_SHAPES]
    return {shape: shares[shape] for shape in best}


def _find_quantiles(cells: pa.Array, kind: str) -> tuple[float, ...]:
    if kind not in ("integer", "number", "date", "timestamp"):
        return ()
    read = "number" if kind in ("integer", "number") else kind
    typed, _ = cast_text(Field("sketch", type=read), cells)  # type: ignore[arg-type]
    typed = typed.drop_null()
    if pa.types.is_date(typed.type):
        typed = typed.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(typed.type):
        typed = typed.cast(pa.timestamp("s", tz=typed.type.tz), safe=False).cast(pa.int64())
    if not len(typed):
        return ()
    found = np.quantile(typed.to_numpy(zero_copy_only=False).astype(float), QUANTILES)
    return tuple(float(each) for each in found)
