"""What is done to the lines of a CSV before they are split, in whatever pieces they come."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from eventpulse.formats.decoding import OVERSIZED
from eventpulse.formats.lines import BlockFile, Throttled, cut_long_lines, drop_comments
from eventpulse.formats.quoting import Quoting

MARK = OVERSIZED.encode()
LONGEST = 12
HASH = Quoting(b'"', frozenset({b","}), b"#")


@st.composite
def pieces_of(draw: st.DrawFn, texts: st.SearchStrategy[bytes]) -> tuple[bytes, list[bytes]]:
    """A text, and the same in pieces of any length."""
    text = draw(texts)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    edges = [0, *cuts, len(text)]
    return text, [text[a:b] for a, b in itertools.pairwise(edges)]


def split_lines(text: bytes) -> list[bytes]:
    """Lines with their ends; each CR and each LF ends one."""
    return re.findall(rb"[^\r\n]*[\r\n]|[^\r\n]+", text)


LINES = st.text('ab,"é\r\n', max_size=60).map(str.encode)


@given(pieces_of(LINES))
def test_only_lines_that_are_too_long_are_cut(given_text: tuple[bytes, list[bytes]]) -> None:
    text, pieces = given_text
    found = split_lines(b"".join(cut_long_lines(pieces, LONGEST, HASH, b",")))
    lines = split_lines(text)
    assert len(found) == len(lines)
    for line, cut in zip(lines, found, strict=True):
        plain = line.rstrip(b"\r\n")
        if len(plain) <= LONGEST:
            assert cut == line
        else:
            assert MARK in cut
            assert cut.endswith(line[len(plain) :])
            assert cut.count(b'"') % 2 == line.count(b'"') % 2
            cut.decode()


RECORDS = st.sampled_from(["1,2", '"3\n#4",5', "6", '"7""\r\n#",8', "a#b,#c", '5" pipe,x', " #,y"])
COMMENTS = st.sampled_from(["#", '# a "quote', "#,", "#\"'", "# é"])
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


@st.composite
def commented(draw: st.DrawFn) -> tuple[str, str]:
    """A text with comments, and the same without them."""
    with_them = without = ""
    for _ in range(draw(st.integers(0, 12))):
        is_comment = draw(st.booleans())
        line = draw(COMMENTS if is_comment else RECORDS) + draw(ENDS)
        with_them += line
        without += "" if is_comment else line
    return with_them, without


@given(commented(), st.lists(st.integers(0, 200), max_size=6))
def test_comments_go_and_everything_else_stays(texts: tuple[str, str], cuts: list[int]) -> None:
    text = texts[0].encode()
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(edges)]
    found = b"".join(drop_comments(pieces, HASH, 1_000))
    # A line end that a comment's carriage return began may be left, and is a blank line.
    assert split_records(found) == split_records(texts[1].encode())


def split_records(text: bytes) -> list[bytes]:
    """Records without their line ends, blank ones aside."""
    found: list[bytes] = []
    start = 0
    while start < len(text):
        end = HASH.find_record_end(text, start)
        end = len(text) if end < 0 else end
        found += [record] if (record := text[start:end].strip(b"\r\n")) else []
        start = end
    return found


@given(pieces_of(st.binary(max_size=80)), st.integers(1, 20))
def test_blocks_are_as_large_as_asked(text: tuple[bytes, list[bytes]], size: int) -> None:
    def pieces() -> Iterator[bytes]:
        yield from text[1]

    file = BlockFile(pieces(), [b"\0"])
    blocks: list[bytes] = []
    while block := file.read(size):
        blocks.append(block)
    assert b"".join(blocks) == text[0]
    assert all(len(block) == size for block in blocks[:-1])
    assert file.doubtful == any(b"\0" in piece for piece in text[1])


def test_no_more_blocks_are_read_than_may_be_in_memory() -> None:
    file = Throttled(BlockFile(iter([b"aa", b"bb", b"cc"]), [b"\0"]), blocks=2)
    first, second = file.read(2), file.read(2)
    third: list[bytes] = []
    reading = threading.Thread(target=lambda: third.append(bytes(file.read(2))))
    reading.start()
    assert (bytes(first), third) == (b"aa", [])
    del first
    reading.join(10)
    assert third == [b"cc"]
    assert bytes(second) == b"bb"
    assert file.read(2) == b""


def test_a_reader_that_is_let_go_waits_for_nothing() -> None:
    file = Throttled(BlockFile(iter([b"aa", b"bb"]), [b"\0"]), blocks=1)
    held, last = file.read(2), []
    reading = threading.Thread(target=lambda: last.append(file.read(2)))
    reading.start()
    file.let_go()
    reading.join(10)
    assert (bytes(held), last) == (b"aa", [b""])
