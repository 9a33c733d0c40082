"""Groups that are the same thing under another key."""

from collections.abc import Mapping

Traits = tuple[object, object, object]
"""Place (which a group cannot change and stay the same group), purchase and type of a group."""


def renamed(former: Mapping[str, Traits], now: Mapping[str, Traits]) -> Mapping[str, str]:
    """Old key → new key of the groups that are the same.

    Matched by place, purchase and type, then by place and purchase, then by place alone; what stays ambiguous is not
    the same.
    """
    gone = {key: traits for key, traits in former.items() if key not in now}
    come = {key: traits for key, traits in now.items() if key not in former}
    pairs: dict[str, str] = {}
    for depth in (3, 2, 1):
        left = {key: traits[:depth] for key, traits in gone.items() if key not in pairs}
        free = {key: traits[:depth] for key, traits in come.items() if key not in pairs.values()}
        for key, traits in left.items():
            alike = [other for other, traits_of_other in free.items() if traits_of_other == traits]
            if len(alike) == 1 and list(left.values()).count(traits) == 1:
                pairs[key] = alike[0]
    return pairs
