"""A real agent process that samples a counter as fast as asked, and tells what its spool accepted.

    python -m tests.edge.counting_agent CONFIG ACCEPTED

Each line of ACCEPTED is written after the spool made the events durable: `epoch last`.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from eventpulse_edge.agent import Agent
from eventpulse_edge.config import load_config
from eventpulse_edge.logs import configure_logging


def main() -> int:
    config = load_config(os.environ, Path(sys.argv[1]))
    configure_logging(config.device, config.log_level)
    accepted = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    agent = Agent(
        config,
        claim_code=os.environ.get("EVENTPULSE_EDGE_CLAIM_CODE"),
        committed=lambda last: os.write(accepted, f"{agent.spool.epoch} {last}\n".encode()),
    )
    signal.signal(signal.SIGTERM, lambda *_: agent.stop())
    return agent.run()


if __name__ == "__main__":
    sys.exit(main())
