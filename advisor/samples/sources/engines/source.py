"""All serving engines of a host as a :class:`~advisor.samples.rows.Source`."""

import time
from collections import Counter
from collections.abc import Sequence

from advisor.errors import InputError
from advisor.samples.bounded_http import Limits, parse_address
from advisor.samples.exporters import table_with
from advisor.samples.rows import Missed, Reading
from advisor.samples.sources.engines.endpoint import UNKNOWN_ENGINE, Endpoint

DEFAULT_LIMITS = Limits()


class EngineSource:
    """Reads the metrics page of every engine at once; each is given its time, and none waits for another."""

    def __init__(self, host: str, endpoints: Sequence[str], limits: Limits = DEFAULT_LIMITS) -> None:
        """Prepare to read.

        Args:
            host: name to record.
            endpoints: such as ``http://127.0.0.1:8000``; ``/metrics`` is added where there is no path. A user and a
                password in an address are sent to it, and never printed or recorded.
            limits: what one reading may take.

        Raises:
            InputError: there is no endpoint, one is no URL or given twice, or the file of further names makes no sense.
        """
        addresses = [parse_address(endpoint, "/metrics") for endpoint in endpoints]
        if not addresses:
            raise InputError("no serving engine was named", hint="give the address of its metrics page")
        shown = Counter(address.shown for address in addresses)
        twice = [address for address, count in shown.items() if count > 1]
        if twice:
            raise InputError("this address is given twice", where=twice[0])
        self._limits = limits
        table = table_with()
        self._endpoints = [Endpoint(host, address, limits, table) for address in addresses]

    def read(self) -> Sequence[Reading | Missed]:
        """One reading or miss of each model on each rank; ends within the limits, whatever the engines do."""
        deadline = time.monotonic() + self._limits.total_seconds
        for endpoint in self._endpoints:
            endpoint.ask()
        return [reading for endpoint in self._endpoints for reading in endpoint.collect(deadline)]

    def describe(self) -> str:
        """Engines such as ``vllm at http://127.0.0.1:8000/metrics``; asks once where nothing has answered yet."""
        if all(endpoint.engine == UNKNOWN_ENGINE for endpoint in self._endpoints):
            self.read()
        return ", ".join(
            endpoint.address.shown
            if endpoint.engine == UNKNOWN_ENGINE
            else f"{endpoint.engine} at {endpoint.address.shown}"
            for endpoint in self._endpoints
        )

    def close(self) -> None:
        """Close the connections."""
        for endpoint in self._endpoints:
            endpoint.close()
