"""YAML that is broken, hostile or merely odd, and the texts that contracts check others with."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from eventpulse.contracts.contract import DRIFT_KINDS, Contract
from eventpulse.errors import ContractInvalid
from eventpulse.odcs import lint_contract, read_contract
from eventpulse.odcs.custom import FIELD_PROPERTIES, SCHEMA_PROPERTIES
from eventpulse.odcs.document import MAX_BYTES, read_document
from eventpulse.odcs.patterns import (
    STRING_FORMATS,
    find_ambiguity,
    refuse_pattern,
    translate_jdk_format,
)
from eventpulse.odcs.quality import METRICS
from eventpulse.odcs.vocabulary import OBJECTS, REFUSED_OPTIONS, TYPE_OPTIONS
from tests.properties import examples
from tests.unit.odcs.documents import (
    TYPES,
    make_document,
    options,
    prop,
    schema,
    top,
    write_document,
)

START = "start it with `apiVersion: v3.1.0` and `kind: DataContract`"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", f"(file): is empty; {START}"),
        ("# nothing\n", f"(file): is empty; {START}"),
        ("- a\n", f"(file): is not a mapping; {START}"),
        (
            "a: 1\nb:\n  c: 2\n  c: 3\n",
            "line 4, column 3: the key 'c' appears twice (first in line 3); remove one of them",
        ),
        ("1: a\n", "line 1, column 1: the key 1 is not text; put it in quotes"),
        (
            "a: !!set {b}\n",
            "line 1, column 4: the tag 'tag:yaml.org,2002:set' is not read; remove it",
        ),
        (
            "a: &x {b: 1}\nc:\n  <<: *x\n",
            "line 3, column 3: merge keys (<<) are not read; write the keys out",
        ),
        ("a: *x\n", "line 1, column 4: the alias *x has no anchor; write &x first"),
        ("a: &x\n  b: *x\n", "line 2, column 6: the alias *x contains itself; remove it"),
        (
            "a: 1\n---\nb: 2\n",
            "line 2, column 1: a second document starts; keep one contract per file",
        ),
        (
            "a: 0.12345678901234567890\n",
            "line 1, column 4: the number 0.12345678901234567890 has more digits than can be kept; "
            "shorten it to 15 significant digits",
        ),
        (
            "a: b: c\n",
            "line 1, column 5: is not valid YAML: mapping values are not allowed here; correct the "
            "line or the one above it",
        ),
        (
            "a: [1, 2\nb: 3\n",
            "line 2, column 2: is not valid YAML: expected ',' or ']', but got ':' (while parsing "
            "a flow sequence); correct the line or the one above it",
        ),
        ("[" * 500, "line 1, column 42: is nested deeper than 40 levels; flatten it"),
        (
            b"a: \xff\n",
            "(file): the character at position 3 cannot be read: invalid start byte; save the file "
            "as UTF-8",
        ),
        (
            "a: \ud800",
            "(file): the character at position 3 is half a surrogate pair; save the file as UTF-8",
        ),
        (
            'a: "\\0"\n',
            "line 1, column 4: holds a NUL or half a surrogate pair, which no store keeps; "
            "remove it",
        ),
        (
            "a" * (MAX_BYTES + 1),
            "(file): is larger than 1,048,576 bytes; a contract is a short text, split it",
        ),
    ],
)
def test_broken_yaml_is_explained_with_its_place(text: str | bytes, problem: str) -> None:
    with pytest.raises(ContractInvalid) as raised:
        read_contract(text, "a.yaml")
    assert raised.value.problems == [problem]


def test_repeated_keys_are_all_named() -> None:
    problems = lint_contract("a: 1\na: 2\nb: 1\nb: 2\n")
    assert [problem.split(":")[0] for problem in problems] == [
        "line 2, column 1",
        "line 4, column 1",
    ]


def test_aliases_that_grow_out_of_bounds_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (problem,) = lint_contract("\n".join(lines))
    assert "holds more than 200,000 values once its aliases are expanded" in problem


def test_an_alias_repeats_its_value() -> None:
    text = write_document()
    aliased = text.replace("logicalType: string", "logicalType: &s string").replace(
        "name: extra\n    logicalType: object", "name: extra\n    logicalType: *s"
    )
    assert aliased != text
    types = [field.type for field in read_contract(aliased, "a").fields]
    assert types.count("string") == 2


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("NO", "NO"),
        ("on", "on"),
        ("010", "010"),
        ("1:30", "1:30"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("2024-01-31", "2024-01-31"),
        ("1.2.3", "1.2.3"),
        ("'5'", "5"),
        ("5", 5),
        ("-7", -7),
        ("1.50", 1.5),
        ("1e3", "1e3"),
        ("1.0e+3", 1000.0),
        (".5", 0.5),
        ("true", True),
        ("~", None),
        ("", None),
    ],
)
def test_scalars_are_typed_where_yaml_1_1_and_1_2_agree(scalar: str, value: object) -> None:
    read = read_document(f"a: {scalar}\n")["a"]
    assert read == value
    assert type(read) is type(value)


# --- Whatever the text, the only error is ContractInvalid ----------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(
    sorted(
        {"pattern", "minimum", "minLength"}.union(
            *(keys.enforced | keys.documentation | set(keys.refused) for keys in OBJECTS.values())
        )
    )
)
CONTRACTISH = st.recursive(
    SCALARS | st.sampled_from(["string", "integer", "date", "sql", "rowCount", "nullValues"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


def read_or_refuse(text: str | bytes) -> None:
    problems = lint_contract(text)
    assert all("; " in problem for problem in problems)
    if problems:
        with pytest.raises(ContractInvalid):
            read_contract(text, "any.yaml")
    else:
        assert isinstance(read_contract(text, "any.yaml"), Contract)


@given(st.text() | st.binary())
def test_any_text_is_read_or_refused(text: str | bytes) -> None:
    read_or_refuse(text)


@given(CONTRACTISH)
def test_any_mapping_of_contract_keys_is_read_or_refused(value: object) -> None:
    read_or_refuse(yaml.safe_dump(value, allow_unicode=True))


@st.composite
def damaged_documents(draw: st.DrawFn) -> dict[str, Any]:
    """A good contract with one to three values, anywhere in it, replaced by anything."""
    document = make_document()
    dataset = document["schema"][0]
    places = [document, dataset, *dataset["properties"]]
    for _ in range(draw(st.integers(1, 3))):
        place: dict[str, Any] = draw(st.sampled_from(places))
        place[draw(KEYS | st.sampled_from(sorted(place)))] = draw(VALUES | CONTRACTISH)
    return document


@examples(300)
@given(damaged_documents())
def test_any_damage_to_a_contract_is_read_or_refused(document: dict[str, Any]) -> None:
    read_or_refuse(yaml.safe_dump(document, allow_unicode=True))


OPTIONS = sorted(set(REFUSED_OPTIONS).union(*TYPE_OPTIONS.values()))
RULE_KEYS = sorted(OBJECTS["DataQuality"].enforced)
ARGUMENTS = ["missingValues", "validValues", "pattern", "properties"]


@examples(300)
@given(st.data())
def test_any_value_of_a_known_key_is_read_or_refused(data: st.DataObject) -> None:
    values = VALUES | st.dictionaries(st.sampled_from(DRIFT_KINDS), VALUES, min_size=1, max_size=2)
    column = data.draw(st.sampled_from(sorted(TYPES)))
    custom_name = data.draw(st.sampled_from([*SCHEMA_PROPERTIES, *FIELD_PROPERTIES]))
    item = {"property": custom_name, "value": data.draw(values)}
    rule: dict[str, Any] = {"metric": data.draw(st.sampled_from(METRICS)), "mustBe": 0}
    rule |= data.draw(st.dictionaries(st.sampled_from(RULE_KEYS), VALUES, max_size=2))
    if data.draw(st.booleans()):
        rule["arguments"] = {data.draw(st.sampled_from(ARGUMENTS)): data.draw(VALUES)}
    edits = (
        options(column, **{data.draw(st.sampled_from(OPTIONS)): data.draw(values)}),
        prop(column, quality=[rule], customProperties=[item]),
        schema(quality=[rule], customProperties=[item]),
        top(slaProperties=[{"property": "latency", "value": data.draw(VALUES), "unit": "d"}]),
    )
    read_or_refuse(yaml.safe_dump(make_document(*edits)))


STORABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@given(
    st.dictionaries(
        STORABLE,
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**63), 2**63)
            | st.floats(allow_nan=False, allow_infinity=False)
            | STORABLE,
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(STORABLE, inner, max_size=2)
            ),
            max_leaves=6,
        ),
    )
)
def test_a_document_survives_being_written_and_read(document: dict[str, object]) -> None:
    assert read_document(yaml.safe_dump(document)) == document


# --- Patterns and formats ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[A-Z]{2}\d+$",
        r"\(\?=literal\)",
        r"[(?=]+",
        r"a\++",
        r"\\1",
        r"(?i)abc",
        r"\pL+",
        r"x{2,5}?",
    ],
)
def test_patterns_of_re2_are_accepted(pattern: str) -> None:
    assert refuse_pattern(pattern) is None
    assert pc.match_substring_regex(pa.array(["x"]), pattern) is not None


@pytest.mark.parametrize(
    ("pattern", "construct"),
    [
        ("a(?=b)", "look-around"),
        ("a(?!b)", "look-around"),
        ("(?<=a)b", "look-around"),
        ("(?<!a)b", "look-around"),
        (r"(a)\1", "a back reference"),
        (r"(?P<x>a)(?P=x)", "a back reference"),
        ("(?>a)", "an atomic group"),
        ("a*+", "a possessive quantifier"),
        ("(a)?(?(1)b|c)", "a condition"),
        (r"a\Z", r"\Z (RE2 has \z)"),
    ],
)
def test_what_re2_does_not_have_is_named(pattern: str, construct: str) -> None:
    assert refuse_pattern(pattern) == f"uses {construct}, which RE2 does not have"


@given(st.text(max_size=20))
def test_a_pattern_is_accepted_exactly_when_the_engine_takes_it(pattern: str) -> None:
    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except (pa.ArrowInvalid, UnicodeEncodeError):
        assert refuse_pattern(pattern) is not None
    else:
        assert refuse_pattern(pattern) is None


def has_format(name: str, text: str) -> bool:
    whole = f"^(?:{STRING_FORMATS[name]})$"
    return bool(pc.match_substring_regex(pa.array([text]), whole)[0].as_py())


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("email", "a.b@example.com", True),
        ("email", "a b@example.com", False),
        ("email", "a@localhost", False),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", True),
        ("uuid", "123e4567e89b12d3a456426614174000", False),
        ("uri", "https://example.com/a?b", True),
        ("uri", "example.com", False),
        ("hostname", "a-1.example.com", True),
        ("hostname", "-a.example.com", False),
        ("ipv4", "255.0.0.1", True),
        ("ipv4", "256.0.0.1", False),
        ("ipv4", "1.2.3", False),
        ("ipv6", "::", True),
        ("ipv6", "fe80::1", True),
        ("ipv6", "1:2:3:4:5:6:7:8:9", False),
    ],
)
def test_a_string_format_is_a_pattern(name: str, text: str, expected: bool) -> None:
    assert has_format(name, text) is expected


@given(st.ip_addresses(v=6))
def test_every_way_to_write_an_ipv6_address_is_one(address: ipaddress.IPv6Address) -> None:
    dotted = str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    high = ":".join(address.exploded.split(":")[:6])
    for text in (str(address), address.exploded, f"{high}:{dotted}", f"::{dotted}"):
        assert has_format("ipv6", text)


@examples(300)
@given(st.text(alphabet="0123456789abf:.", max_size=24))
def test_nothing_else_is_an_ipv6_address(text: str) -> None:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        assert not has_format("ipv6", text)
    else:
        assert has_format("ipv6", text)


@pytest.mark.parametrize(
    ("jdk", "expected"),
    [
        ("yyyy-MM-dd", "%Y-%m-%d"),
        ("dd MMM uuuu", "%d %b %Y"),
        ("yyyy-MM-dd'T'HH:mm:ssXXX", "%Y-%m-%dT%H:%M:%S%z"),
        ("h 'o''clock' a", "%I o'clock %p"),
        ("yyyy%MM", "%Y%%%m"),
        ("YYYY-MM-dd", None),
        ("yyyy-MM-dd'", None),
        ("HH:mm:ss.SSS", None),
    ],
)
def test_jdk_patterns_become_strptime_formats(jdk: str, expected: str | None) -> None:
    assert translate_jdk_format(jdk) == expected


@pytest.mark.parametrize(
    ("first", "second", "ambiguous"),
    [
        ("%d/%m/%Y", "%m/%d/%Y", True),
        ("%Y-%m-%d", "%Y-%d-%m", True),
        ("%d.%m.%Y", "%d.%m.%y", False),
        ("%Y-%m-%d", "%d.%m.%Y", False),
        ("%d-%m-%y", "%y-%m-%d", True),
    ],
)
def test_formats_that_could_be_mistaken_are_found(first: str, second: str, ambiguous: bool) -> None:
    found = find_ambiguity([first, second])
    assert (found is not None) is ambiguous
    if found is not None:
        written, read, text = found
        moments = [datetime.strptime(text, f).replace(tzinfo=UTC) for f in (written, read)]
        assert moments[0] != moments[1]
