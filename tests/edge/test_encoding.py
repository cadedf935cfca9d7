"""One encoder for all documents says what a fresh one says."""

from __future__ import annotations

import json
from collections.abc import Callable
from json import encoder

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpulse_edge.encoding import encode_json, make_encode

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec="utf-8"))
    | st.characters()
)
DOCUMENTS = st.lists(SCALARS) | st.dictionaries(st.text(st.characters(codec="utf-8")), SCALARS)


def judge(encode: Callable[[object], bytes], document: object) -> bytes | None:
    """None when it is no JSON."""
    try:
        return encode(document)
    except ValueError:
        return None


def encode_anew(document: object) -> bytes:
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


@given(DOCUMENTS)
def test_a_document_is_encoded_as_json_dumps_does_or_refused_as_it_does(document: object) -> None:
    assert judge(encode_json, document) == judge(encode_anew, document)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {"a": [float("-inf")]}])
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"JSON compliant|surrogates"):
        encode_json([value])


def test_a_python_without_the_encoder_in_c_writes_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = [1, 2.5, "é\n", None, True, {"a": -3, "b": {}}]
    expected = encode_json(document)
    monkeypatch.setattr(encoder, "c_make_encoder", None)
    assert make_encode()(document) == expected == encode_anew(document)
