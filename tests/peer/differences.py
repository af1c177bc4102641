"""docs/peer-differences.toml: where Verger differs from the peer on purpose, and why. What is not in there is a fault."""

import dataclasses
import fnmatch
import pathlib
import tomllib


class BadEntry(Exception):
    """The file says something that it cannot mean."""


@dataclasses.dataclass
class Entry:
    """One difference. Each pattern may hold `*` for any run of characters; one that is left out fits everything."""

    patterns: dict[str, str]
    reason: str
    used: int = 0

    def fits(self, finding: dict[str, str]) -> bool:
        """Whether a finding, which has at least the keys of the patterns, is this difference."""
        return all(_fits(pattern, finding[key]) for key, pattern in self.patterns.items())

    def __str__(self) -> str:
        return ", ".join(f"{key} = {pattern!r}" for key, pattern in self.patterns.items())


class Differences:
    """The entries of one table of the file: `schema` or `replay`."""

    def __init__(self, entries: list[dict[str, str]], keys: set[str]) -> None:
        self.entries = [_entry(words, keys) for words in entries]

    @classmethod
    def read(cls, file: pathlib.Path, table: str, keys: set[str]) -> "Differences":
        """Reads `[[TABLE]]`, whose patterns may have these keys."""
        return cls(tomllib.loads(file.read_text()).get(table, []), keys)

    def explain(self, finding: dict[str, str]) -> Entry | None:
        """The first entry that fits, which counts as used from now on."""
        entry = next((entry for entry in self.entries if entry.fits(finding)), None)
        if entry:
            entry.used += 1
        return entry

    def unused(self) -> list[Entry]:
        """Entries that nothing has needed: the difference is gone, so the entry has to go too."""
        return [entry for entry in self.entries if not entry.used]


def _entry(words: dict[str, str], keys: set[str]) -> Entry:
    patterns = {key: value for key, value in words.items() if key != "reason"}
    reason = words.get("reason", "")
    if not reason or not patterns:
        raise BadEntry(f"{words}: an entry needs a reason, and a pattern that says what it is about")
    if wrong := patterns.keys() - keys:
        raise BadEntry(f"{words}: {', '.join(sorted(wrong))}: there are only {', '.join(sorted(keys))}")
    return Entry(patterns, reason)


def _fits(pattern: str, text: str) -> bool:
    # Paths and messages hold brackets, which fnmatch would take for sets of characters.
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))
