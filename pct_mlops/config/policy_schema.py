"""The JSON schema of policy files, for editors that check and complete while one types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pct_mlops.config.policy import Policy

# Shipped, because an editor reads a file; a test holds it against the models.
POLICY_SCHEMA_FILE = Path(__file__).with_name("policy.schema.json")


def _summary(text: str) -> str:
    """A model's docstring without its sections, which describe what the schema says of each key."""
    return text.split("\n\nArgs:\n", 1)[0]


def policy_schema() -> dict[str, Any]:
    """As JSON Schema draft 2020-12. What depends on two keys at once is left to `pct policy check`."""
    schema = Policy.model_json_schema()
    schema["required"] = ["rules"]
    for part in (schema, *schema["$defs"].values()):
        part["description"] = _summary(part["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def policy_schema_text() -> str:
    """The shipped file's text."""
    return json.dumps(policy_schema(), indent=2) + "\n"
