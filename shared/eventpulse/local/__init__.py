"""Everything of EventPulse on one machine: `eventpulse up`, with no Docker and no cloud."""
