"""Reads contracts in the Open Data Contract Standard (v3.1, v3.2): YAML text → `Contract`.

Invariants:

- **A key that nothing reads is an error.** Every key of the standard is enforced, documentation or
  refused (`vocabulary.py`), and every custom property is in a table (`custom.py`).
- All problems are reported at once, each as "path.to.key: what is wrong; what to do".
- Whatever the text, the only error is ContractInvalid, and the work is bounded (`document.py`).

The standard's model, YAML, Arrow (for RE2) and sqlglot are imported when a contract is read and
needs them.
"""

from eventpulse.odcs.reader import lint_contract, read_contract

__all__ = ["lint_contract", "read_contract"]
