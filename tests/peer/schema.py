"""The peer's JSON Schema, made strict: what a message of each kind and method must look like.

The peer's schema lets every object have members that it does not name, so a misspelt optional member would pass. Here
objects are closed: a member that the schema does not name is a fault, and so is a method that it does not know.
"""

import dataclasses
import functools
import json
import pathlib
import re
from typing import Any

import jsonschema

# Replies that are not called after their parameters, which these methods do not have.
REPLY_NAMES = {
    "account/logout": "LogoutAccountResponse",
    "account/rateLimits/read": "GetAccountRateLimitsResponse",
    "config/batchWrite": "ConfigWriteResponse",
    "config/mcpServer/reload": "McpServerRefreshResponse",
    "config/value/write": "ConfigWriteResponse",
    "configRequirements/read": "ConfigRequirementsReadResponse",
}

# The file that lists every message of a kind.
LISTS = {
    "request": "ClientRequest",
    "client notification": "ClientNotification",
    "notification": "ServerNotification",
    "server request": "ServerRequest",
}


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is wrong, and where: `thread.turns[].id`, empty for the message itself."""

    at: str
    what: str


class Schema:
    """A folder that `codex app-server generate-json-schema --experimental` has written."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def faults(self, kind: str, method: str, message: dict[str, Any]) -> list[Fault]:
        """What the schema has against a whole message. A reply or an answer belongs to the method that it answers."""
        if kind == "error":
            return _faults(self._validator("JSONRPCError"), message)
        if kind in ("reply", "answer"):
            if unknown := set(message) - {"id", "result"}:
                return [Fault(name, "unknown member") for name in sorted(unknown)]
            validator = self._result(kind, method)
            return _faults(validator, message["result"]) if validator else [Fault("", "unknown method")]
        validator = self._of_method(kind, method)
        return _faults(validator, message) if validator else [Fault("", "unknown method")]

    @functools.cache
    def _of_method(self, kind: str, method: str) -> jsonschema.Draft7Validator | None:
        whole = self._load(LISTS[kind])
        for variant in whole["oneOf"]:
            if method in variant["properties"]["method"]["enum"]:
                properties = whole.get("properties", {}) | variant["properties"]
                variant = variant | {"properties": properties, "definitions": whole.get("definitions", {})}
                return jsonschema.Draft7Validator(closed(variant))
        return None

    def _result(self, kind: str, method: str) -> jsonschema.Draft7Validator | None:
        asked = self._of_method("request" if kind == "reply" else "server request", method)
        if not asked:
            return None
        params = asked.schema["properties"].get("params", {}).get("$ref", "").rpartition("/")[2]
        return self._validator(REPLY_NAMES.get(method) or params.removesuffix("Params") + "Response")

    @functools.cache
    def _validator(self, name: str) -> jsonschema.Draft7Validator:
        return jsonschema.Draft7Validator(closed(self._load(name)))

    @functools.cache
    def _load(self, name: str) -> dict[str, Any]:
        places = [self.folder / version / f"{name}.json" for version in ("v2", "v1", ".")]
        place = next((place for place in places if place.exists()), None)
        if not place:
            raise LookupError(f"the peer's schema has no {name}: is it another version's?")
        return json.loads(place.read_text())


def closed(schema: Any, inherited: dict[str, Any] | None = None) -> Any:
    """The same schema, whose objects may have no members that it does not name.

    `inherited` are members named by the schema of which this is a variant: they are allowed, and judged there.
    """
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    named = (inherited or {}) | dict.fromkeys(schema.get("properties", {}), True)
    result = {}
    for key, part in schema.items():
        if key == "properties" or key == "definitions":
            result[key] = {name: closed(member) for name, member in part.items()}
        elif key in ("oneOf", "anyOf") and named:
            result[key] = [closed(variant, named) for variant in part]
        else:
            result[key] = closed(part)
    has_variants = "oneOf" in schema or "anyOf" in schema
    if named and not has_variants and "$ref" not in schema and "additionalProperties" not in schema:
        result["properties"] = named | result.get("properties", {})
        result["additionalProperties"] = False
    return result


def _faults(validator: jsonschema.Draft7Validator, value: Any) -> list[Fault]:
    found = [fault for error in validator.iter_errors(value) for fault in _explain(error)]
    return sorted(set(found), key=lambda fault: (fault.at, fault.what))


def _explain(error: jsonschema.ValidationError) -> list[Fault]:
    if error.validator in ("oneOf", "anyOf") and error.context:
        return _of_variant(error)
    path = "".join("[]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    at = path.removeprefix(".")
    match error.validator:
        case "additionalProperties":
            unknown = error.instance.keys() - error.schema["properties"].keys()
            return [Fault(f"{at}.{name}".removeprefix("."), "unknown member") for name in unknown]
        case "required":
            missing = [name for name in error.validator_value if name not in error.instance]
            return [Fault(f"{at}.{name}".removeprefix("."), "missing") for name in missing]
        case "type":
            return [Fault(at, f"is {_kind(error.instance)}, not {_listed(error.validator_value)}")]
        case "enum":
            return [Fault(at, f"is {json.dumps(error.instance)}, not {_listed(error.validator_value)}")]
        case _:
            return [Fault(at, re.sub(r"\s+", " ", error.message)[:200])]


def _of_variant(error: jsonschema.ValidationError) -> list[Fault]:
    """The faults of the variant that was meant: the one that does not fail at once by its type or tag."""
    variants: dict[int, list[jsonschema.ValidationError]] = {}
    for below in error.context:
        variants.setdefault(below.schema_path[0], []).append(below)

    def distance(errors: list[jsonschema.ValidationError]) -> tuple[bool, bool, int]:
        other_type = any(e.validator == "type" and not e.path for e in errors)
        other_tag = any(e.validator == "enum" and len(e.path) == 1 for e in errors)
        return other_type, other_tag, len(errors)

    return [fault for below in min(variants.values(), key=distance) for fault in _explain(below)]


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def _listed(values: str | list[Any]) -> str:
    return values if isinstance(values, str) else " or ".join(map(str, values))
