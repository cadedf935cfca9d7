"""A program: delivers finalizes until its standard input ends.

python -m tests.adapters.delivering_process ROOT URL
"""

from __future__ import annotations

import sys

from eventpulse.adapters.finalize_file import FinalizeDelivery

if __name__ == "__main__":
    with FinalizeDelivery(sys.argv[1], sys.argv[2]):
        print("ready", flush=True)
        sys.stdin.read()
