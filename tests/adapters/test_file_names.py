"""Object names as paths: nothing gets lost, nothing escapes, nothing collides, order is kept."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventpulse.adapters.file_names import SAFE, SAFE_FOLDED, folder_key, name_of, object_path

names = st.text(
    st.one_of(
        st.sampled_from("ab./%~+@-_A é\x01"),
        st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]),
    ),
    min_size=1,
    max_size=300,
).filter(lambda name: name not in (".", "..") and len(name.encode()) <= 1024)
alphabets = st.sampled_from([SAFE, SAFE_FOLDED])


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("flights/2024.csv", "flights/2024.csv"),
        (
            "edge_telemetry/dev-1/ab12/1-20-ff.ndjson.gz",
            "edge_telemetry/dev-1/ab12/1-20-ff.ndjson.gz",
        ),
        ("dt=2024-01-01/Part_1,2.parquet", "dt=2024-01-01/Part_1,2.parquet"),
        ("README", "README~"),
        ("v1.2/a.csv", "v1.2~/a.csv"),
        ("a b.csv", "a%20b.csv"),
        ("../x", "%2E.~/x~"),
        ("a//b", "a/%2Fb~"),
        ("a/", "a/%~"),
        (".env", "%2Eenv~"),
    ],
)
def test_ordinary_names_look_as_they_are(name: str, path: str) -> None:
    assert object_path(name) == path


@given(names, alphabets)
@example("." * 1024, SAFE)
@example("/" * 1024, SAFE)
@example("\x01" * 1024, SAFE)
@example("x" * 201, SAFE)
@example("%" * 67, SAFE)
@example("x" * 200 + "." * 200, SAFE)
@example("a/" * 512, SAFE)
def test_every_name_comes_back(name: str, safe: frozenset[int]) -> None:
    assert name_of(object_path(name, safe)) == name


@given(names, alphabets)
@example("." * 1024, SAFE)
@example("x" * 200 + "." * 200, SAFE)
@example("\x01" * 1024, SAFE_FOLDED)
def test_every_component_is_harmless(name: str, safe: frozenset[int]) -> None:
    path = object_path(name, safe)
    assert path.isascii()
    assert path.isprintable()
    for component in path.split("/"):
        assert 1 <= len(component) <= 201
        assert not component.startswith(".")
    # With a root of 400 characters, and the way back up in the pointer, still below PATH_MAX.
    assert len(path) + 3 * path.count("/") + 100 < 4096


@given(names)
def test_nothing_depends_on_case_where_case_is_lost(name: str) -> None:
    without_escapes = object_path(name, SAFE_FOLDED).replace("%2", "").replace("%", "")
    letters = "".join(c for c in without_escapes if c.isalpha() and c not in "ABCDEF")
    assert letters == letters.lower()


@given(names, names)
def test_a_folder_and_an_object_never_want_the_same_path(name: str, other: str) -> None:
    path = object_path(other)
    folders = {path[:end] for end, character in enumerate(path) if character == "/"}
    assert object_path(name) not in folders


@given(names)
def test_all_names_below_a_folder_begin_with_its_key(name: str) -> None:
    *folders, _ = object_path(name).split("/")
    key = b"".join(folder_key(folder) for folder in folders)
    assert name.encode().startswith(key)
