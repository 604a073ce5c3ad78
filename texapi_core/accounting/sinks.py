"""What becomes of the records of a model's calls: a cost by the price list, a line in the ledger, a span."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from texapi_core.accounting.budget import Budget, Purse, purse_for
from texapi_core.accounting.prices import PriceList

if TYPE_CHECKING:
    from texapi_core.accounting.record import CallRecord, CostSource
    from texapi_core.wire.usage import TokenUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounting:
    """The books of one model object, resolved and checked. Holds no connection."""

    prices: PriceList
    usage_ledger: str | None = None
    budget: Budget | None = None
    otel: bool = False
    """Whether OpenTelemetry is told of each call."""

    def purse(self, api_key: str) -> Purse | None:
        """What is left of the budget, if there is one."""
        return purse_for(self.budget, self.usage_ledger, api_key) if self.budget else None

    def cost(self, usage: TokenUsage, *models: str | None) -> tuple[Decimal | None, CostSource | None]:
        """USD for a call and who says so: the gateway itself, else the price list."""
        cost = gateway_cost(usage)
        if cost is not None:
            return cost, "gateway"
        cost = self.prices.cost(usage, *models)
        return cost, None if cost is None else "prices"

    def write(self, record: CallRecord) -> None:
        """Enter a call in the ledger, if there is one."""
        if self.usage_ledger is not None:
            from texapi_core.accounting.ledger import write_record  # an extra

            write_record(self.usage_ledger, record)


def gateway_cost(usage: TokenUsage) -> Decimal | None:
    """USD for a call by the gateway's own word."""
    return None if usage.cost is None else Decimal(str(usage.cost))
