"""A small dataset for tests of loading: id (key), name, amount, changed (ordering)."""

from __future__ import annotations

from collections.abc import Iterable

HEADER = b"id,name,amount,changed\n"


def write_sales(rows: Iterable[tuple[int, str, int, str]]) -> bytes:
    return HEADER + b"".join(f"{a},{b},{c},{d}\n".encode() for a, b, c, d in rows)


def sales_contract(
    dataset: str,
    *,
    version: str = "1.0.0",
    maximum: str = "1000000",
    added: str = "discard_value",
    retyped: str = "discard_row",
    invalid: int = 60,
    quality: str = "",
) -> str:
    """The contract's YAML; `maximum` bounds `amount`, `added` and `retyped` are drift modes,
    `invalid` the percentage of refused rows above which a file is rejected, `quality` rules."""
    return f"""
apiVersion: v3.1.0
kind: DataContract
id: test-{dataset}
version: {version}
status: active
schema:
  - name: {dataset}
    logicalType: object
    customProperties:
      - property: orderingColumn
        value: changed
      - property: maxInvalidPercent
        value: {invalid}
      - property: driftPolicy
        value:
          added: {added}
          retyped: {retyped}
    quality: [{quality}]
    properties:
      - name: id
        logicalType: integer
        required: true
        primaryKey: true
        primaryKeyPosition: 1
      - name: name
        logicalType: string
        required: true
      - name: amount
        logicalType: integer
        logicalTypeOptions:
          maximum: {maximum}
      - name: changed
        logicalType: date
"""
