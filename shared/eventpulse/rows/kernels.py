"""A field's `logicalTypeOptions` as Arrow kernels: typed values in, "breaks the rule" out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Context, Decimal

import pyarrow as pa
import pyarrow.compute as pc

from eventpulse.contracts.contract import Contract, Field
from eventpulse.contracts.rules import RowRule
from eventpulse.rows.arrow import arrow_type

Check = Callable[[pa.Array], pa.Array]
"""Whether each value breaks a rule; null, which breaks none, may stand for False."""


def compile_rules(contract_field: Field) -> list[tuple[RowRule, Check]]:
    """The rules of one field but for its type and `required`."""
    options = contract_field.options
    rules: list[tuple[RowRule, Check]] = []
    bounds: list[tuple[RowRule, str | None, Callable[..., pa.Array]]] = [
        ("minimum", options.minimum, pc.less),
        ("maximum", options.maximum, pc.greater),
        ("exclusiveMinimum", options.exclusive_minimum, pc.less_equal),
        ("exclusiveMaximum", options.exclusive_maximum, pc.greater_equal),
    ]
    for rule, bound, compare in bounds:
        if bound is not None:
            limit = pa.scalar(bound, pa.string()).cast(_bound_type(contract_field))
            rules.append((rule, lambda v, c=compare, b=limit: c(v, b)))  # type: ignore[misc]
    if options.multiple_of is not None:
        step = Decimal(options.multiple_of)
        rules.append(("multipleOf", lambda v: _not_multiple(v, step)))
    if options.min_length is not None:
        n = options.min_length
        rules.append(("minLength", lambda v: pc.less(pc.utf8_length(v), n)))
    if options.max_length is not None:
        m = options.max_length
        rules.append(("maxLength", lambda v: pc.greater(pc.utf8_length(v), m)))
    if options.pattern is not None:
        anchored = f"^(?:{options.pattern})$"
        rules.append(("pattern", lambda v: pc.invert(pc.match_substring_regex(v, anchored))))
    if options.enum:
        allowed = pa.array(options.enum, pa.string()).cast(arrow_type(contract_field.column))
        rules.append(("enum", lambda v: pc.and_(pc.is_valid(v), pc.invert(pc.is_in(v, allowed)))))
    return rules


def _bound_type(contract_field: Field) -> pa.DataType:
    """Bounds of decimals are compared exactly, whatever the column's precision and theirs."""
    target = arrow_type(contract_field.column)
    return pa.decimal256(76, 38) if pa.types.is_decimal(target) else target


_EXACT = Context(prec=100)


def _not_multiple(values: pa.Array, step: Decimal) -> pa.Array:
    """Exact for whole and decimal numbers; floating ones may miss by what their text rounds to."""
    if pa.types.is_floating(values.type):
        ratio = pc.divide(values, float(step))
        miss = pc.abs(pc.subtract(ratio, pc.round(ratio)))
        return pc.greater(miss, pc.multiply(pc.max_element_wise(pc.abs(ratio), 1.0), 1e-9))
    distinct = pc.unique(values).drop_null().to_pylist()
    wrong = [each for each in distinct if _EXACT.remainder(Decimal(each), step)]
    return pc.is_in(values, value_set=pa.array(wrong, values.type))


def name_key(fields: Iterable[Field]) -> str:
    """A key as reports name it."""
    return "+".join(f.name for f in fields)


def list_keys(contract: Contract) -> list[tuple[RowRule, tuple[Field, ...]]]:
    """What must be unique within an object: the primary key, and each unique field."""
    by_name = {f.name: f for f in contract.fields}
    keys: list[tuple[RowRule, tuple[Field, ...]]] = []
    if contract.key:
        keys.append(("primaryKey", tuple(by_name[name] for name in contract.key)))
    keys += [("unique", (f,)) for f in contract.fields if f.unique and contract.key != (f.name,)]
    return keys
