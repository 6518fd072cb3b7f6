"""Builds the JSON schema of policy files, with which editors check and complete them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pct_mlops.config.policy import Policy

# Shipped because an editor needs a file. A test checks that it equals the schema of the models.
POLICY_SCHEMA_FILE = Path(__file__).with_name("policy.schema.json")


def _summary(text: str) -> str:
    """Return a docstring up to its Args section, because the schema describes each key itself."""
    return text.split("\n\nArgs:\n", 1)[0]


def policy_schema() -> dict[str, Any]:
    """Build the schema as JSON Schema draft 2020-12.

    Rules that depend on two keys at once are not in it. `pct policy check` checks them.
    """
    schema = Policy.model_json_schema()
    schema["required"] = ["rules"]
    for part in (schema, *schema["$defs"].values()):
        part["description"] = _summary(part["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def policy_schema_text() -> str:
    """Return the schema as the text of the shipped file."""
    return json.dumps(policy_schema(), indent=2) + "\n"
