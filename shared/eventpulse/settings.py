"""Every environment variable that EventPulse reads, and nothing else reads the environment.

`VARIABLES` is the reference: the README's table, Terraform and the compose file are tested
against it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta

from eventpulse.errors import SettingInvalid

VARIABLES: Mapping[str, str] = {
    "EVENTPULSE_OBJECTS": "object store: gs://PREFIX (buckets PREFIX-raw, …) or file:///folder",
    "EVENTPULSE_STATE": "event log: firestore://PROJECT/DATABASE or postgresql://…",
    "EVENTPULSE_WAREHOUSE": "warehouse: bigquery://PROJECT?location=EU or postgresql://…",
    "EVENTPULSE_TASKS": "queue: cloudtasks://PROJECT/LOCATION/QUEUE or postgresql://…",
    "EVENTPULSE_FUNCTIONS": "where functions are called, with {function}: https://…/{function}",
    "EVENTPULSE_UPLOADS": "where files are uploaded in the local lane (signed URLs point there)",
    "EVENTPULSE_SIGN_KEY": "secret that signs the local lane's upload URLs",
    "EVENTPULSE_API_TOKEN": "operator's token in the local lane; refused outside loopback",
    "EVENTPULSE_AUDIENCES": "audiences of operators' Google ID tokens, by comma",
    "EVENTPULSE_IAP_AUDIENCE": "audiences of IAP's assertions: /projects/NUMBER/…, by comma",
    "EVENTPULSE_ROLES": "who may what: admin=ann@acme.org;operator=@acme.org;viewer=group:x,*",
    "EVENTPULSE_URL": "the stack that the command line talks to; else that of EVENTPULSE_HOME",
    "EVENTPULSE_HOME": "folder of the local stack: data, sockets and stack.json (.eventpulse)",
    "EVENTPULSE_INVOKERS": "service accounts that may call internal functions, by comma",
    "EVENTPULSE_INVOKER_IAM": "enforced: Cloud Run itself lets nobody but the invokers in",
    "EVENTPULSE_OIDC_CERTS": "certificates of the OIDC issuer, when it is not Google",
    "TASK_TOKEN": "shared secret for internal calls where there is no OIDC issuer",
    "EVENTPULSE_MAX_ATTEMPTS": "how often a step may begin before the ingestion fails",
    "EVENTPULSE_LEASE_SECONDS": "how long a step holds its ingestion; more than any timeout",
    "EVENTPULSE_GROUP_SIZE": "most ingestions in one load group",
    "EVENTPULSE_LOAD_WINDOW_SECONDS": "loads of a dataset are collected for so long (0: at once)",
    "EVENTPULSE_BUNDLE_MOST_SECONDS": "batches wait no longer for a bundle, whatever contracts say",
    "EVENTPULSE_EDGE_URL": "address under which devices reach this platform; audience of tokens",
    "EVENTPULSE_DEVICE_RATE": "most requests a minute that one device may make",
    "EVENTPULSE_SWEEP_AFTER_SECONDS": "how long something may wait before sweep wakes it",
    "EVENTPULSE_OPENLINEAGE_URL": "OpenLineage endpoint that lineage is posted to as well",
    "EVENTPULSE_OPENLINEAGE_API_KEY": "secret that is sent to it as a bearer token",
    "EVENTPULSE_COMPARE_SECONDS": "how often sweep lists the whole raw bucket (0: each time)",
    "EVENTPULSE_LOG_LEVEL": "DEBUG, INFO, WARNING or ERROR",
    "EVENTPULSE_FAILPOINTS": "folder for crash tests: effects are traced, an armed one kills",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """One field per variable, named like it. Empty text: not set."""

    objects: str = ""
    state: str = ""
    warehouse: str = ""
    tasks: str = ""
    functions: str = ""
    uploads: str = ""
    sign_key: str = ""
    api_token: str = ""
    audiences: str = ""
    iap_audience: str = ""
    roles: str = ""
    url: str = ""
    home: str = ".eventpulse"
    invokers: str = ""
    invoker_iam: str = ""
    oidc_certs: str = ""
    task_token: str = ""
    max_attempts: int = 8
    lease_seconds: int = 2100
    group_size: int = 39
    load_window_seconds: int = 0
    bundle_most_seconds: int = 86_400
    edge_url: str = ""
    device_rate: int = 600
    sweep_after_seconds: int = 300
    openlineage_url: str = ""
    openlineage_api_key: str = ""
    compare_seconds: int = 0
    log_level: str = "INFO"
    failpoints: str = ""
    deployed: bool = False

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.lease_seconds)


def variable_of(field_name: str) -> str:
    return "TASK_TOKEN" if field_name == "task_token" else f"EVENTPULSE_{field_name.upper()}"


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment. Raises SettingInvalid with the variable's name."""
    source = os.environ if environment is None else environment
    values: dict[str, str | int | bool] = {"deployed": "K_SERVICE" in source}
    for each in fields(Settings):
        name = variable_of(each.name)
        text = source.get(name, "")
        if each.name == "deployed" or not text:
            continue
        if each.type != "int":
            values[each.name] = text
        elif text.isdecimal():
            values[each.name] = int(text)
        else:
            raise SettingInvalid(name, text, "a whole number")
    return Settings(**values)  # type: ignore[arg-type]
