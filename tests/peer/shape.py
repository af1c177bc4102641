"""The shape of a message: its keys, types and nulls, its words, and nothing that is another one in every run."""

import re
from typing import Any

# Where a run's own ids, times and folders would stand in a text for people.
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?<!\w)/[\w./-]{8,}")
# What is a name in the protocol (`inProgress`) is a part of the shape; other strings are any string.
WORD = re.compile(r"[A-Za-z]{1,24}")


def shape(value: Any, key: str = "") -> Any:
    """Nested dicts and lists, whose leaves are `null`, `true`, `number`, `string`, a word, or the text of an error."""
    match value:
        case dict():
            # Some maps have ids for keys.
            return {ID.sub("ID", name): shape(member, name) for name, member in value.items()}
        case list():
            return [shape(member) for member in value]
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case int() | float():
            return str(value) if key == "code" else "number"
        case str() if key == "message":
            # The peer adds causes and a stack trace, where it was built to.
            return ID.sub("ID", value.partition("\n")[0])
        case str() if key in ("text", "delta", "preview") or key.lower().endswith("id"):
            return "string"
        case _:
            return value if WORD.fullmatch(value) else "string"


def differences(peer: Any, ours: Any, at: str = "") -> list[tuple[str, str]]:
    """Where two shapes differ, and how."""
    if isinstance(peer, dict) and isinstance(ours, dict):
        found = []
        for name in peer | ours:
            place = f"{at}.{name}".removeprefix(".")
            if name not in ours:
                found.append((place, f"missing, where the peer has {_brief(peer[name])}"))
            elif name not in peer:
                found.append((place, f"{_brief(ours[name])}, which the peer does not have"))
            else:
                found += differences(peer[name], ours[name], place)
        return found
    if isinstance(peer, list) and isinstance(ours, list):
        if len(peer) != len(ours):
            return [(f"{at}[]", f"{len(ours)} of them, where the peer has {len(peer)}")]
        pairs = zip(peer, ours, strict=True)
        found = [difference for pair in pairs for difference in differences(*pair, f"{at}[]")]
        return list(dict.fromkeys(found))
    if peer != ours:
        return [(at, f"{_brief(ours)}, where the peer has {_brief(peer)}")]
    return []


def _brief(value: Any) -> str:
    match value:
        case dict():
            return f"an object of {value['type']}" if isinstance(value.get("type"), str) else "an object"
        case list():
            return "an array" if value else "an empty array"
        case _:
            return value
