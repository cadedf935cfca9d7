"""`nox -s fuzz`: what reads bytes from outside is fed with mutated ones, for a bounded time."""
