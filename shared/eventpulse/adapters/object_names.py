"""Which object names a store accepts: those that Cloud Storage accepts, in both lanes.

A name that breaks these rules never came from a store, so it is a programming error: ValueError.
"""

from __future__ import annotations

MAX_NAME_BYTES = 1024


def check_name(name: str) -> str:
    """`name`, if it may name an object: 1 to 1,024 bytes of UTF-8, no CR, LF or NUL, no `.`/`..`.

    Raises ValueError.
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError(f"An object's name is UTF-8: {name!r}.") from None
    if not 1 <= size <= MAX_NAME_BYTES:
        raise ValueError(f"An object's name has 1 to {MAX_NAME_BYTES} bytes; {name!r} has {size}.")
    if any(character in name for character in "\r\n\0"):
        raise ValueError(f"An object's name has no CR, LF or NUL: {name!r}.")
    if name in (".", ".."):
        raise ValueError(f"An object cannot be named {name!r}.")
    return name


def check_upload_name(name: str) -> str:
    """`name`, if it can also be the path of a signed URL: it has no segment `.` or `..`.

    HTTP clients resolve such segments before they send the request, whose signature is then wrong.
    Raises ValueError.
    """
    if any(segment in (".", "..") for segment in check_name(name).split("/")):
        raise ValueError(f"No HTTP client can send the path segments of the object {name!r}.")
    return name
