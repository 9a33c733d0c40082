"""Notes that a reader of the answers needs, each once."""

from collections import Counter


class Notes:
    """Sentences in the order in which they were first said, and counts of what was met."""

    def __init__(self) -> None:
        """Nothing is said yet."""
        self._said: dict[str, None] = {}
        self._counts: Counter[str] = Counter()

    def say(self, sentence: str) -> None:
        """Say something once, however often it is met."""
        self._said[sentence] = None

    def count(self, what: str, number: int) -> None:
        """Add to how many of something were met."""
        self._counts[what] += number

    def all(self) -> tuple[str, ...]:
        """Everything that was said, counts last."""
        return (*self._said, *(f"{count:,} {what}" for what, count in self._counts.items()))
