"""A file becomes a header and batches of text cells. The contract, not the file, picks types.

Every cell is read as it stands; a record that cannot be read is malformed and nothing else. Memory
is bounded by blocks, not by the file. Records are numbered 1, 2, 3 … from the first one after the
header; blank lines do not count.
"""

from eventpulse.formats.batches import DialectReport, MalformedRow, Reader, TextBatch, slice_batch
from eventpulse.formats.opening import open_reader

__all__ = ["DialectReport", "MalformedRow", "Reader", "TextBatch", "open_reader", "slice_batch"]
