"""Times of single batches of a replica, as a simulation takes them: the same as those of the closed form."""

from advisor.demand.values import Unit
from advisor.models import Model
from advisor.performance.one_pass.servers import item_seconds
from advisor.performance.one_pass.serving import Replica
from advisor.performance.one_pass.work import flop_of_items
from advisor.performance.physics import Floats
from advisor.records import dataclass

_ANY = 2**31 - 1


@dataclass(frozen=True, eq=False)
class BatchTimes:
    """Times of one replica's batches; what a simulation asks of any replica is named as in ``StepTimes``."""

    model: Model
    unit: Unit
    replica: Replica
    ttft_factor: float = 1.0
    """Nothing was learned beyond the batch."""
    context_tokens: int = _ANY
    """Requests of any size are served: their items are spread over batches."""
    kv_tokens: int = _ANY

    def item_seconds(self, sizes: Floats, items: Floats | float = 1.0) -> Floats:
        """Seconds that items of some sizes add to their batch, each with its share of a request of so many items."""
        flop = flop_of_items(self.model, self.unit, self.replica.computed_sizes(self.unit, sizes))
        return item_seconds(flop, self.replica.seconds_per_flop, self.replica.request_s, items)
