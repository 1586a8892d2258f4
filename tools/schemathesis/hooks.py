"""Signs in to the shop, and checks what Schemathesis does not know of it."""

import os
import threading
import time

import requests
import schemathesis
from schemathesis import GenerationMode

# What a schema states of a field. A request that fits the document is never refused for one of these.
STATED = {
    "REQUIRED", "WRONG_TYPE", "FORMAT", "PATTERN", "TOO_SHORT", "TOO_LONG", "TOO_SMALL", "TOO_LARGE", "TOO_FEW", "TOO_MANY",
    "NOT_ONE_OF", "NOT_WHOLE", "OUT_OF_RANGE", "UNKNOWN_FIELD", "OUTPUT_ONLY", "ONE_OF", "NOT_TOGETHER", "KEY",
}


@schemathesis.auth(refresh_interval=None)
class SignedIn:
    """A session of the account in KONTOR_EMAIL; another when it has ended, as what is tried ends sessions too."""

    lock = threading.Lock()
    token, until = "", 0.0

    def get(self, case, context):
        with SignedIn.lock:
            if time.monotonic() > SignedIn.until:
                credentials = {"email": os.environ["KONTOR_EMAIL"], "password": os.environ["KONTOR_PASSWORD"]}
                SignedIn.token = requests.post(f"{case.operation.base_url.rstrip('/')}/v1/login", json=credentials, timeout=10).json()["accessToken"]
                SignedIn.until = time.monotonic() + 300
            return SignedIn.token

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def after_call(context, case, response):
    sent = case.headers.get("Authorization", "") if case.headers else ""
    if response.status_code == 401 and sent == f"Bearer {SignedIn.token}":
        SignedIn.until = 0.0


@schemathesis.check
def fitting_request_accepted(ctx, response, case):
    """What the document allows is accepted, or refused for a reason that no schema can state: what there is in the shop, and what fits together."""
    if response.status_code != 400 or case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    problem = response.json()
    stated = [error for error in problem.get("errors", []) if error["reason"] in STATED]
    if problem["reason"] == "INVALID_REQUEST" and (stated or not problem.get("errors")):
        raise AssertionError(f"refused although it fits the document: {problem['detail']}")
