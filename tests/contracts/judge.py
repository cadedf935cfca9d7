"""What datacontract-cli makes of contracts and files. Runs in an environment of its own.

Reads a JSON list of contracts' paths from standard input, with `lint` or `test` as its argument;
prints a JSON list of {"result", "checks": [{"name", "result", "reason"}]} in the same order.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys

from datacontract.data_contract import DataContract
from jsonschema.validators import Draft201909Validator


def main() -> None:
    logging.disable(logging.CRITICAL)
    # It checks for each contract that the standard's own schema is one: nine tenths of its time.
    Draft201909Validator.check_schema = lambda *_arguments, **_options: None
    verdicts = []
    for path in json.load(sys.stdin):
        with contextlib.redirect_stdout(sys.stderr):
            contract = DataContract(data_contract_file=path)
            run = contract.lint() if sys.argv[1] == "lint" else contract.test()
        checks = [
            {
                "name": each.name,
                "result": each.result and str(each.result.value),
                "reason": each.reason,
            }
            for each in run.checks
        ]
        verdicts.append({"result": str(run.result.value), "checks": checks})
    json.dump(verdicts, sys.stdout)


if __name__ == "__main__":
    main()
