"""`python -m eventpulse.cli` is the command `eventpulse`."""

import sys

from eventpulse.cli.parser import main

if __name__ == "__main__":
    sys.exit(main())
