"""One ODCS property → one `Field`, with its options checked against its type.

An option that its type does not have, a bound that is no value of the type, bounds that exclude
each other and a physical type that the warehouse would not give are all problems: a rule that can
never hold, or never fail, is a fault of the contract and not of the data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from open_data_contract_standard.model import EnumValue, SchemaProperty

from eventpulse.contracts.contract import (
    MASKED_CLASSIFICATIONS,
    AlertLimit,
    Classification,
    Field,
    FieldOptions,
    LogicalType,
)
from eventpulse.odcs.custom import FIELD_PROPERTIES, read_custom_properties
from eventpulse.odcs.literals import EXPECTED, Constant, parse_literal
from eventpulse.odcs.patterns import (
    STRING_FORMATS,
    find_ambiguity,
    refuse_format,
    refuse_pattern,
    translate_jdk_format,
)
from eventpulse.odcs.problems import (
    Problems,
    describe_value,
    join_path,
    list_words,
    quote_text,
)
from eventpulse.odcs.vocabulary import (
    DECIMAL_TYPES,
    INTEGER_FORMATS,
    LOGICAL_TYPES,
    PHYSICAL_TYPES,
    REFUSED_OPTIONS,
    TYPE_OPTIONS,
)

CLASSIFICATIONS: tuple[Classification, ...] = get_args(Classification)
COLUMN_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_PHYSICAL_TYPE = re.compile(r"([A-Za-z0-9 ]+?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?")
_MOMENTS = ("date", "timestamp", "time")
_LOWER = ("minimum", "exclusiveMinimum")
_UPPER = ("maximum", "exclusiveMaximum")
_FINEST = 9  # digits after the point that a bound may have: as many as NUMERIC
_UTC = ("UTC", "Etc/UTC")


@dataclass(frozen=True, slots=True)
class _Place:
    """The field that is being read, and where its problems go."""

    kind: LogicalType
    path: str
    problems: Problems

    def add(self, key: str, what: str, remedy: str) -> None:
        self.problems.add(f"{self.path}.{key}", what, remedy)

    def add_option(self, option: str, what: str, remedy: str) -> None:
        self.add(join_path("logicalTypeOptions", option), what, remedy)


def read_field(declared: SchemaProperty, path: str, problems: Problems) -> Field:
    """The field; what is wrong with it goes to `problems` and is left out."""
    place = _Place(_read_type(declared, path, problems), path, problems)
    raw = _known_options(declared.logicalTypeOptions or {}, place)
    custom = read_custom_properties(declared.customProperties, FIELD_PROPERTIES, path, problems)
    precision, scale = _read_physical_type(declared.physicalType, place)
    options = _read_bounds(raw, precision is not None, place)
    options = _read_text_options(raw, options, place)
    options = replace(options, enum=_read_enum(declared.enum, raw.get("enum"), scale, place))
    return Field(
        name=_read_name(declared, place),
        type=place.kind,
        header=_read_header(declared.physicalName, place),
        aliases=custom.get("aliases", ()),
        alert=_read_alert(custom.get("alert"), declared.classification, place),
        required=declared.required or False,
        unique=_read_unique(declared.unique, place),
        options=options,
        formats=_read_formats(raw.get("format"), custom.get("dateFormats", ()), place),
        precision=precision,
        scale=scale,
        classification=_read_classification(declared.classification, place),
        description=(declared.description or "").strip(),
    )


def _read_type(declared: SchemaProperty, path: str, problems: Problems) -> LogicalType:
    here = join_path(path, "logicalType")
    for kind in LOGICAL_TYPES:
        if declared.logicalType == kind:
            return kind
    if not problems.concern(here):
        found = declared.logicalType
        what = "is missing" if found is None else f"is {describe_value(found)}"
        problems.add(here, what, f"say {list_words(LOGICAL_TYPES)}")
    return "string"


def _read_name(declared: SchemaProperty, place: _Place) -> str:
    name = declared.name
    if name is None:
        if not place.problems.concern(join_path(place.path, "name")):
            place.add("name", "is missing", "name the column")
        return ""
    if not COLUMN_NAME.fullmatch(name):
        place.add(
            "name",
            f"{quote_text(name)} is no column name",
            "use at most 63 lower-case letters, digits and _, a letter first, and give the file's "
            "own header as `physicalName`",
        )
    return name


def _read_header(header: str | None, place: _Place) -> str:
    if header is not None and (not header or header != header.strip()):
        place.add(
            "physicalName",
            f"{quote_text(header)} is blank or has white space around it",
            "give the header of the file, trimmed",
        )
        return ""
    return header or ""


def _read_unique(unique: bool | None, place: _Place) -> bool:
    if unique and place.kind in ("object", "array"):
        place.add("unique", f"is not checked for the type {place.kind}", "remove it")
        return False
    return unique or False


def _read_alert(
    limit: AlertLimit | None, classification: str | None, place: _Place
) -> AlertLimit | None:
    if limit is None:
        return None
    here = "customProperties[alert]"
    if place.kind not in ("integer", "number"):
        place.add(here, f"compares no values of the type {place.kind}", "remove it")
    elif classification in MASKED_CLASSIFICATIONS:
        place.add(
            here,
            "would tell operators a value that is classified as not to be shown",
            "remove it, or classify the column as internal or public",
        )
    return limit


def _read_classification(found: str | None, place: _Place) -> Classification | None:
    for word in CLASSIFICATIONS:
        if found == word:
            return word
    if found is not None:
        place.add(
            "classification",
            f"is {describe_value(found)}, which decides no masking",
            f"say {list_words(CLASSIFICATIONS)}",
        )
    return None


def _read_physical_type(declared: str | None, place: _Place) -> tuple[int | None, int | None]:
    """(precision, scale) of a decimal, (None, None) of anything else."""
    if declared is None:
        return None, None
    match = _PHYSICAL_TYPE.fullmatch(declared.strip())
    name = " ".join(match.group(1).upper().split()) if match else ""
    known = PHYSICAL_TYPES[place.kind]
    if match is None or name not in known:
        what = f"{quote_text(declared)} is not what a column of type {place.kind} becomes"
        place.add("physicalType", what, f"say {list_words(sorted(known))}, or remove it")
        return None, None
    digits = [int(d) for d in match.groups()[1:] if d is not None and len(d) < 6]
    if name not in DECIMAL_TYPES:
        if match.group(2) is not None:
            remedy = (
                "say `maxLength` in logicalTypeOptions" if place.kind == "string" else "drop it"
            )
            place.add("physicalType", f"{quote_text(declared)} has a length", remedy)
        return None, None
    if match.group(2) is None:
        return 38, 9
    precision, scale = (*digits, 0, 0)[:2]
    if not (1 <= precision - scale <= 29 and 0 <= scale <= 9):
        what = f"{quote_text(declared)} does not fit NUMERIC"
        remedy = "keep at most 9 digits after the decimal point and 1 to 29 before it"
        place.add("physicalType", what, remedy)
        return None, None
    return precision, scale


def _known_options(options: Mapping[str, object], place: _Place) -> dict[str, object]:
    known = TYPE_OPTIONS[place.kind]
    usable: dict[str, object] = {}
    for name, value in options.items():
        if name in REFUSED_OPTIONS:
            place.add_option(name, *REFUSED_OPTIONS[name].split("; ", 1))
        elif name not in known:
            here = f"known are {list_words(sorted(known), 'and')}" if known else "it has none"
            place.add_option(name, f"is no option of the type {place.kind}", f"{here}; remove it")
        elif value is None:
            place.add_option(name, "is empty", "give a value or remove it")
        else:
            usable[name] = value
    zone = usable.get("defaultTimezone", "UTC")
    if zone not in _UTC:
        what = f"is {describe_value(zone)}, and a timestamp without an offset is read as UTC"
        place.add_option("defaultTimezone", what, "write offsets into the files, or say UTC")
    return usable


def _read_bounds(raw: Mapping[str, object], exact: bool, place: _Place) -> FieldOptions:
    found: dict[str, Constant] = {}
    for option in (*_LOWER, *_UPPER, "multipleOf"):
        if option not in raw:
            continue
        literal = parse_literal(place.kind, raw[option])
        if literal is None:
            what = f"is {describe_value(raw[option])}"
            place.add_option(option, what, f"give {EXPECTED[place.kind]}")
        elif exact and literal.value != round(literal.value, _FINEST):
            place.add_option(
                option, f"has more than {_FINEST} digits after the point", "shorten it"
            )
        elif option == "multipleOf" and literal.value <= 0:
            place.add_option(option, f"is {literal.text}", "give a number greater than 0")
        else:
            found[option] = literal
    if place.kind == "integer":
        _apply_integer_format(raw.get("format"), found, place)
    elif place.kind == "number" and raw.get("format", "f64") != "f64":
        what = f"is {describe_value(raw['format'])}, and numbers are kept as 64-bit floats"
        place.add_option("format", what, "say f64, or give a `physicalType` of NUMERIC(p, s)")
    _check_order(found, place)
    text = {option: literal.text for option, literal in found.items()}
    return FieldOptions(
        minimum=text.get("minimum"),
        maximum=text.get("maximum"),
        exclusive_minimum=text.get("exclusiveMinimum"),
        exclusive_maximum=text.get("exclusiveMaximum"),
        multiple_of=text.get("multipleOf"),
    )


def _apply_integer_format(declared: object, found: dict[str, Constant], place: _Place) -> None:
    """An integer format is a range: it becomes bounds where the contract gives none tighter."""
    if declared is None or declared == "i64":
        return
    if not isinstance(declared, str) or declared not in INTEGER_FORMATS:
        what = f"is {describe_value(declared)}, and integers are kept in 64 bits with a sign"
        place.add_option("format", what, f"say {list_words(INTEGER_FORMATS)}")
        return
    least, greatest = INTEGER_FORMATS[declared]
    if not any(o in found and found[o].value >= least for o in _LOWER):
        found["minimum"] = Constant(str(least), least)
    if not any(o in found and found[o].value <= greatest for o in _UPPER):
        found["maximum"] = Constant(str(greatest), greatest)


def _check_order(found: Mapping[str, Constant], place: _Place) -> None:
    for lower in _LOWER:
        for upper in _UPPER:
            if lower not in found or upper not in found:
                continue
            low, high = found[lower], found[upper]
            inclusive = lower == "minimum" and upper == "maximum"
            if low.value > high.value or (low.value == high.value and not inclusive):
                what = f"{low.text} leaves no value below {upper} {high.text}"
                place.add_option(lower, what, "correct one of them")


def _read_text_options(
    raw: Mapping[str, object], options: FieldOptions, place: _Place
) -> FieldOptions:
    if place.kind != "string":
        return options
    least, most = (_read_length(raw, option, place) for option in ("minLength", "maxLength"))
    if least is not None and most is not None and least > most:
        place.add_option("minLength", f"{least} is above maxLength {most}", "correct one of them")
    pattern = raw.get("pattern")
    if pattern is not None:
        refused = (
            refuse_pattern(pattern) if isinstance(pattern, str) else f"is {describe_value(pattern)}"
        )
        if refused is not None:
            place.add_option("pattern", refused, "rewrite it in RE2's syntax")
            pattern = None
    form = raw.get("format")
    if form is not None and not (isinstance(form, str) and form in STRING_FORMATS):
        what = f"is {describe_value(form)}, which nothing checks"
        place.add_option("format", what, f"say {list_words(STRING_FORMATS)}, or give a `pattern`")
    elif isinstance(form, str):
        if "pattern" in raw:
            place.add_option("format", "is a pattern of its own", "keep either it or `pattern`")
        pattern = STRING_FORMATS[form]
    return replace(
        options,
        min_length=least,
        max_length=most,
        pattern=pattern if isinstance(pattern, str) else None,
        format=form if isinstance(form, str) else None,
    )


def _read_length(raw: Mapping[str, object], option: str, place: _Place) -> int | None:
    value = raw.get(option)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2**31:
        return value
    place.add_option(option, f"is {describe_value(value)}", "give a whole number from 0 up")
    return None


def _read_enum(
    declared: Sequence[EnumValue] | None, option: object, scale: int | None, place: _Place
) -> tuple[str, ...]:
    if declared is not None and option is not None:
        place.add("enum", "is given here and in logicalTypeOptions", "keep it here")
    if declared is not None:
        key, values = "enum", [(f"enum[{i}].value", e.value) for i, e in enumerate(declared)]
    elif option is None:
        return ()
    elif isinstance(option, list):
        key = "logicalTypeOptions.enum"
        values = [(f"{key}[{i}]", value) for i, value in enumerate(option)]
    else:
        place.add_option("enum", f"is {describe_value(option)}", "give a list of values")
        return ()
    if place.kind in ("boolean", "object", "array"):
        place.add(key, f"is not checked for the type {place.kind}", "remove it")
        return ()
    if not values and not place.problems.concern_part(f"{place.path}.{key}"):
        place.add(key, "allows no value at all", "list the values or remove it")
    texts: list[str] = []
    for here, value in values:
        literal = parse_literal(place.kind, value)
        if literal is None:
            place.add(here, f"is {describe_value(value)}", f"give {EXPECTED[place.kind]}")
        elif scale is not None and literal.value != round(literal.value, scale):
            place.add(here, f"has more than {scale} digits after the point", "shorten it")
        elif literal.text in texts:
            place.add(here, f"{quote_text(literal.text)} appears twice", "keep it once")
        else:
            texts.append(literal.text)
    return tuple(texts)


def _read_formats(option: object, custom: tuple[str, ...], place: _Place) -> tuple[str, ...]:
    """strptime formats, from ODCS's JDK pattern and from the custom property."""
    where = "customProperties[dateFormats].value"
    if place.kind not in _MOMENTS:
        if custom:
            what = f"has no meaning for the type {place.kind}"
            place.add("customProperties[dateFormats]", what, "remove it")
        return ()
    formats = [(where, text, text) for text in custom]
    if option is not None:
        here = "logicalTypeOptions.format"
        known = translate_jdk_format(option) if isinstance(option, str) else None
        if known is None:
            what = f"{describe_value(option)} is no JDK pattern that can be read"
            place.add(here, what, "write one such as yyyy-MM-dd, or give `dateFormats`")
        else:
            formats.insert(0, (here, str(option), known))
    usable: list[str] = []
    for here, text, known in formats:
        refused = refuse_format(place.kind, known)
        if refused is not None:
            place.add(here, f"{quote_text(text)} {refused}", "correct the format")
        elif known not in usable:
            usable.append(known)
    ambiguous = find_ambiguity(usable)
    if ambiguous is not None:
        first, second, text = ambiguous
        what = f"{quote_text(first)} and {quote_text(second)} read {quote_text(text)} differently"
        place.add(where, what, "keep one of them")
    return tuple(usable)
