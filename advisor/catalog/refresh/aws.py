"""AWS: prices, hardware, spot, savings plans, capacity blocks and limits, each by the call that its service offers.

Facts: the service models of botocore, and the AWS guides to the price list, EC2 and savings plans, November 2026.

Rows of the catalog from what AWS's price list and its description of instance types say.
"""

import datetime as dt
import json
import re
import statistics
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import takewhile
from typing import Any

from advisor.catalog.refresh import values
from advisor.catalog.refresh.http import short_words
from advisor.catalog.refresh.values import CommittedRow, MachineRow, PriceRow, Row, Sold
from advisor.catalog.values import Purchase
from advisor.units import HOURS_PER_YEAR

ACCELERATED_FAMILIES = ("GPU instance", "Machine Learning ASIC Instances")
_HOSTING = "hosting"
"""SageMaker's word for real-time endpoints; notebooks, training and batch are priced beside them."""
PAYMENTS = {"No Upfront": "no_upfront", "Partial Upfront": "partial_upfront", "All Upfront": "all_upfront"}
RESERVED = {
    "standard": "Standard Reserved Instance or EC2 Instance Savings Plan",
    "convertible": "Convertible Reserved Instance or Compute Savings Plan",
}
_MISSTATED_MIB: Mapping[str, int] = {"Trainium2": 512 * 1024}
"""Memory of a device that EC2 states wrongly: the guide of AWS Neuron says 96 GiB, and so do the devices."""


def product_rows(product: Mapping[str, Any], region: str, machines: Collection[str]) -> Iterator[Row]:
    """Prices of one product of the price list; nothing when it is not an accelerated machine of the region."""
    attributes = product["product"]["attributes"]
    name = str(attributes.get("instanceType", ""))
    accelerated = name in machines or attributes.get("instanceFamily") in ACCELERATED_FAMILIES
    if not accelerated or attributes.get("regionCode") != region:
        return
    yield Sold(region, name, offered=False)
    yield from _by_the_hour(product, region, name, Purchase.ON_DEMAND)
    for term in product["terms"].get("Reserved", {}).values():
        yield from _reserved(term, region, name)


def hosting_rows(product: Mapping[str, Any], region: str, machines: Collection[str]) -> Iterator[Row]:
    """Price of one product of SageMaker; nothing when it is not a known machine that runs real-time endpoints there.

    The price list says what a product is for in ``component``, older entries in ``platoinstancetype``.
    """
    attributes = product["product"]["attributes"]
    name = attributes.get("instanceName", "").removeprefix("ml.")
    component = attributes.get("component") or attributes.get("platoinstancetype") or ""
    if component.casefold() == _HOSTING and name in machines and attributes.get("regionCode") == region:
        yield from _by_the_hour(product, region, name, Purchase.MANAGED)


def _date_of(term: Mapping[str, Any]) -> str:
    """Day from which a term holds."""
    if not isinstance(term["effectiveDate"], str):
        raise TypeError("effectiveDate is not text")
    return term["effectiveDate"][:10]


def _by_the_hour(product: Mapping[str, Any], region: str, name: str, purchase: Purchase) -> Iterator[Row]:
    for term in product["terms"].get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            if dimension["unit"] == "Hrs":
                price = float(dimension["pricePerUnit"]["USD"])
                yield PriceRow(region, name, purchase.value, price, _date_of(term))


def _reserved(term: Mapping[str, Any], region: str, name: str) -> Iterator[Row]:
    """Price of an hour: by the hour, and what is paid at once over the hours of the term."""
    bought = term["termAttributes"]
    years, kind = int(bought["LeaseContractLength"].removesuffix("yr")), bought["OfferingClass"]
    if kind not in RESERVED or bought["PurchaseOption"] not in PAYMENTS:
        return
    dimensions = term["priceDimensions"].values()
    hourly = sum(float(part["pricePerUnit"]["USD"]) / hours_of(part["unit"], years) for part in dimensions)
    payment = PAYMENTS[bought["PurchaseOption"]]
    yield CommittedRow(region, name, RESERVED[kind], years, payment, hourly, _date_of(term))


def hours_of(unit: str, years: int) -> float:
    """Hours that a part of a reserved price is for: one, or those of the whole term."""
    return 1.0 if unit == "Hrs" else float(years * HOURS_PER_YEAR)


def machine_row(described: Mapping[str, Any]) -> MachineRow | None:
    """Hardware of an accelerated type; None for another one.

    A share of an accelerator has a count of 0 in EC2's answer: here it is unknown, beside the memory of the share.
    """
    parts = [part for info, key in _ACCELERATORS for part in described.get(info, {}).get(key) or ()]
    if not parts:
        return None
    part, name = parts[0], parts[0].get("Name", "")
    network = described.get("NetworkInfo", {}).get("NetworkCards", [])
    gbit = sum(card.get("BaselineBandwidthInGbps") or card.get("PeakBandwidthInGbps") or 0 for card in network)
    accelerator_mib = part.get("MemoryInfo", {}).get("SizeInMiB")
    is_stated = accelerator_mib and accelerator_mib != _MISSTATED_MIB.get(name)
    memory_mib = described.get("MemoryInfo", {}).get("SizeInMiB")
    architectures = described.get("ProcessorInfo", {}).get("SupportedArchitectures", ["x86_64"])
    return MachineRow(
        instance_type=described["InstanceType"],
        accelerator=f"{part.get('Manufacturer', '')} {name}".strip(),
        accelerator_count=part.get("Count") or None,
        accelerator_memory_gib=round(accelerator_mib / 1024, 2) if is_stated else None,
        vcpus=described.get("VCpuInfo", {}).get("DefaultVCpus"),
        memory_gib=None if memory_mib is None else memory_mib / 1024,
        network_gbit_per_second=gbit or None,
        local_nvme_gb=described.get("InstanceStorageInfo", {}).get("TotalSizeInGB", 0),
        cpu_architecture="arm64" if "arm64" in architectures else "x86_64",
    )


_ACCELERATORS = (("NeuronInfo", "NeuronDevices"), ("GpuInfo", "Gpus"), ("InferenceAcceleratorInfo", "Accelerators"))
"""Where EC2 describes the accelerators of a type."""


def series_of(name: str) -> str:
    """Letters that a type begins with, such as ``g``: types of a new generation share them with known ones."""
    return "".join(takewhile(str.isalpha, name))


Session = Any
"""A ``boto3.Session``, or what behaves like one."""

_PRICING_REGION = "us-east-1"
"""The price list and savings plans answer for every region there."""
_ACTIONS: Mapping[str, tuple[str, ...]] = {
    "prices": ("pricing:GetProducts",),
    "managed": ("pricing:GetProducts",),
    "sold": ("ec2:DescribeInstanceTypeOfferings",),
    "zones": ("ec2:DescribeInstanceTypeOfferings",),
    "machines": ("ec2:DescribeInstanceTypes",),
    "spot": ("ec2:DescribeSpotPriceHistory",),
    "savings_plans": ("savingsplans:DescribeSavingsPlansOfferingRates",),
    "capacity_blocks": ("ec2:DescribeCapacityBlockOfferings",),
    "quotas": ("servicequotas:ListServiceQuotas",),
}
PARTS = tuple(_ACTIONS)
_DENIED = (
    "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedAccess", "OptInRequired",
    "NotAuthorized",
)  # fmt: skip
_UNKNOWN_KEY = ("AuthFailure", "UnrecognizedClientException", "InvalidClientTokenId")
"""What a region answers that the account has not enabled, and every region when the key is wrong."""
_UNKNOWN_KEY_REMEDY = "check the credentials; where only some regions answer so, the account has not enabled them"
_LOGIN = (
    "ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidSignatureException", "SignatureDoesNotMatch",
)  # fmt: skip
_GENERIC = "Running On-Demand"
_LINUX = "Linux/UNIX"
_PLANS = {"EC2Instance": RESERVED["standard"], "Compute": RESERVED["convertible"]}
_ZONE_ID = re.compile(r"[a-z]+\d+-az\d+")
"""Id of an availability zone; that of a local zone has more parts, such as ``use1-atl2-az1``."""
_BLOCK_HOURS = 24
_TRIES = 4
_BLOCK_FAMILIES = ("p4d", "p4de", "p5", "p5e", "p5en", "p6-b200", "p6-b300", "p6e-gb200", "trn1", "trn2")
_SECONDS_PER_YEAR = 365 * 24 * 3600
_AGAIN = "check the network, and run the command again"


def policy() -> Mapping[str, Any]:
    """The least IAM policy that a refresh needs; none of its calls takes a resource."""
    actions = sorted({action for actions in _ACTIONS.values() for action in actions})
    statement = {"Sid": "AdvisorCatalogRefresh", "Effect": "Allow", "Action": actions, "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def tasks(
    regions: Sequence[str], session: Session, machines: Collection[str], today: Callable[[], dt.datetime],
    endpoint_url: str | None = None, parts: Collection[str] = PARTS,
) -> Iterator[values.Task]:  # fmt: skip
    """Everything to ask; the machines of a region come first, since they name new types."""
    ask = _Asker(session, endpoint_url, frozenset(machines), today)
    for region in regions:
        for part, read in ask.readers.items():
            if part in parts:
                yield values.Task(f"{region}/{part}", region, part, partial(read, region))


class _Asker:
    """Asks one account, one region at a time; every method may be called from any thread."""

    def __init__(
        self, session: Session, endpoint_url: str | None, machines: frozenset[str], now: Callable[[], dt.datetime]
    ) -> None:
        self._session, self._endpoint_url, self._known, self._now = session, endpoint_url, machines, now
        parts = (
            self.machines, self.sold, self.zones, self.prices, self.managed, self.spot, self.savings_plans,
            self.capacity_blocks, self.quotas,
        )  # fmt: skip
        self.readers = {read.__name__: self._guarded(read.__name__, read) for read in parts}

    def _guarded(self, part: str, read: Callable[[str], Iterator[values.Row]]) -> Callable[[str], Sequence[values.Row]]:
        def guarded(region: str) -> Sequence[values.Row]:
            from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - boto3 is an extra
            from botocore.parsers import ResponseParserError  # noqa: PLC0415 - as above

            try:
                return _again_when_cut(lambda: tuple(read(region)))
            except ClientError as error:
                raise _in_words(error.response.get("Error", {}), part, error) from error
            except KeyError as error:
                raise values.Unreachable(f"the answer has no {error}", _AGAIN) from error
            except (BotoCoreError, ResponseParserError, ValueError, TypeError) as error:
                raise values.Unreachable(short_words(error), _AGAIN) from error

        return guarded

    def _client(self, service: str, region: str) -> Any:  # noqa: ANN401 - boto3 has no types
        from botocore.config import Config  # noqa: PLC0415 - as above

        settings = Config(retries={"mode": "adaptive", "max_attempts": 10}, connect_timeout=10, read_timeout=60)
        return self._session.client(service, region_name=region, endpoint_url=self._endpoint_url, config=settings)

    def prices(self, region: str) -> Iterator[values.Row]:
        """On-demand and reserved terms of every accelerated Linux machine."""
        wanted = {
            "regionCode": region, "operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA",
            "capacitystatus": "Used", "marketoption": "OnDemand",
        }  # fmt: skip
        is_listed = False
        for product in self._products("AmazonEC2", wanted):
            is_listed = True
            yield from product_rows(product, region, self._known)
        if not is_listed:
            raise values.Denied(
                "the price list has no machine at all", "China's regions answer to accounts of China alone"
            )

    def managed(self, region: str) -> Iterator[values.Row]:
        """Prices of SageMaker for known machines that run real-time endpoints."""
        for product in self._products("AmazonSageMaker", {"regionCode": region, "productFamily": "ML Instance"}):
            yield from hosting_rows(product, region, self._known)

    def _products(self, service: str, wanted: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        """Products of the price list whose attributes are these."""
        filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
        pages = self._client("pricing", _PRICING_REGION).get_paginator("get_products")
        for page in pages.paginate(ServiceCode=service, Filters=filters, PaginationConfig={"PageSize": 100}):
            yield from map(json.loads, page["PriceList"])

    def machines(self, region: str) -> Iterator[values.Row]:
        """Hardware of the accelerated types."""
        pages = self._client("ec2", region).get_paginator("describe_instance_types")
        for page in pages.paginate(PaginationConfig={"PageSize": 100}):
            for described in page["InstanceTypes"]:
                machine = machine_row(described)
                if machine is not None:
                    yield machine
                    yield values.Sold(region, machine.instance_type)

    def sold(self, region: str) -> Iterator[values.Row]:
        """Known types that the region offers."""
        for offering in self._offerings(region, "region"):
            if offering["InstanceType"] in self._known:
                yield values.Sold(region, offering["InstanceType"])

    def zones(self, region: str) -> Iterator[values.Row]:
        """Availability zones, by id, that offer types of known series; local and Wavelength zones are left out."""
        series = {series_of(name) for name in self._known}
        for offering in self._offerings(region, "availability-zone-id"):
            name, zone = offering["InstanceType"], offering["Location"]
            if series_of(name) in series and _ZONE_ID.fullmatch(zone):
                yield values.ZoneRow(region, name, zone)

    def _offerings(self, region: str, location_type: str) -> Iterator[Mapping[str, Any]]:
        """Types that the region offers, by location."""
        pages = self._client("ec2", region).get_paginator("describe_instance_type_offerings")
        for page in pages.paginate(LocationType=location_type, PaginationConfig={"PageSize": 1000}):
            yield from page["InstanceTypeOfferings"]

    def spot(self, region: str) -> Iterator[values.Row]:
        """Today's spot price, the median over the availability zones of the region, with the lowest and the highest.

        One zone may have no spare capacity at its price. Local and Wavelength zones are left out, as in :meth:`zones`.
        """
        now = self._now()
        zones: dict[str, dict[str, tuple[dt.datetime, float]]] = {}
        pages = self._client("ec2", region).get_paginator("describe_spot_price_history")
        for page in pages.paginate(StartTime=now, ProductDescriptions=[_LINUX], InstanceTypes=sorted(self._known)):
            for entry in page["SpotPriceHistory"]:
                of_type = zones.setdefault(entry["InstanceType"], {})
                at, price = entry["Timestamp"], float(entry["SpotPrice"])
                zone = entry.get("AvailabilityZoneId") or entry.get("AvailabilityZone") or ""
                if _is_ordinary(zone, region) and (zone not in of_type or of_type[zone][0] < at):
                    of_type[zone] = (at, price)
        for name, latest in zones.items():
            prices = [price for _, price in latest.values()]
            if prices:
                by_zone = min(prices), max(prices)
                yield values.PriceRow(region, name, "spot", statistics.median(prices), f"{now:%Y-%m-%d}", by_zone)

    def savings_plans(self, region: str) -> Iterator[values.Row]:
        """Rates of both kinds of plan that cover EC2; the call has no paginator."""
        client = self._client("savingsplans", _PRICING_REGION)
        token = ""
        while True:
            answer = client.describe_savings_plans_offering_rates(
                savingsPlanTypes=list(_PLANS),
                savingsPlanPaymentOptions=list(PAYMENTS),
                products=["EC2"],
                serviceCodes=["AmazonEC2"],
                filters=[
                    {"name": "region", "values": [region]},
                    {"name": "productDescription", "values": [_LINUX]},
                    {"name": "tenancy", "values": ["shared"]},
                ],
                maxResults=1000,
                **({"nextToken": token} if token else {}),
            )
            for rate in answer["searchResults"]:
                yield from self._rate_rows(rate, region)
            token = answer.get("nextToken") or ""
            if not token:
                return

    def _rate_rows(self, rate: Mapping[str, Any], region: str) -> Iterator[values.Row]:
        plan = rate["savingsPlanOffering"]
        properties = {entry["name"]: entry["value"] for entry in rate.get("properties", ())}
        name = properties.get("instanceType", "")
        if name not in self._known or rate.get("unit") != "Hrs" or properties.get("region", region) != region:
            return
        yield values.CommittedRow(
            region=region,
            instance_type=name,
            instrument=_PLANS[plan["planType"]],
            term_years=round(plan["durationSeconds"] / _SECONDS_PER_YEAR),
            payment=PAYMENTS[plan["paymentOption"]],
            usd_per_hour=float(rate["rate"]),
            as_of=f"{self._now():%Y-%m-%d}",
        )

    def capacity_blocks(self, region: str) -> Iterator[values.Row]:
        """The first block of a day for each type that is sold so."""
        from botocore.exceptions import ClientError  # noqa: PLC0415 - as above

        client, now = self._client("ec2", region), self._now()
        for name in sorted(machine for machine in self._known if machine.partition(".")[0] in _BLOCK_FAMILIES):
            try:
                answer = client.describe_capacity_block_offerings(
                    InstanceType=name, InstanceCount=1, CapacityDurationHours=_BLOCK_HOURS, StartDateRange=now
                )
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in ("InvalidParameterValue", "Unsupported"):
                    continue  # not sold in this region
                raise
            for block in answer.get("CapacityBlockOfferings", ()):
                hours = block["CapacityBlockDurationHours"]
                yield values.BlockRow(
                    region=region,
                    instance_type=name,
                    zone=block["AvailabilityZone"],
                    starts=f"{block['StartDate']:%Y-%m-%d}",
                    duration_hours=hours,
                    usd_per_hour=float(block["UpfrontFee"]) / (hours * block["InstanceCount"]),
                    as_of=f"{now:%Y-%m-%d}",
                )

    def quotas(self, region: str) -> Iterator[values.Row]:
        """Limits of instances as they are set for this account."""
        today = f"{self._now():%Y-%m-%d}"
        pages = self._client("service-quotas", region).get_paginator("list_service_quotas")
        for page in pages.paginate(ServiceCode="ec2"):
            for quota in page["Quotas"]:
                name = quota["QuotaName"]
                if _GENERIC in name or name.endswith("Spot Instance Requests"):
                    yield values.QuotaRow(region, quota["QuotaCode"], float(quota["Value"]), today)


def _again_when_cut(read: Callable[[], Sequence[values.Row]]) -> Sequence[values.Row]:
    """Result of *read*; botocore asks again when a question fails, but not when the answer breaks off.

    A JSON answer that breaks off comes without its fields, one in XML cannot be parsed.
    """
    from botocore.exceptions import IncompleteReadError, ResponseStreamingError  # noqa: PLC0415 - as above
    from botocore.parsers import ResponseParserError  # noqa: PLC0415 - as above

    for _ in range(_TRIES - 1):
        with suppress(IncompleteReadError, ResponseStreamingError, ResponseParserError, ValueError, KeyError):
            return read()
    return read()


def _is_ordinary(zone: str, region: str) -> bool:
    """An availability zone by its id or its name (the region and a letter), and no local or Wavelength zone."""
    return bool(_ZONE_ID.fullmatch(zone)) or re.fullmatch(rf"{re.escape(region)}[a-z]", zone) is not None


def _in_words(error: Mapping[str, Any], part: str, cause: Exception) -> values.Denied:
    code, message = str(error.get("Code", "")), str(error.get("Message") or cause)
    if code in _LOGIN:
        return values.Unreachable(f"{code}: {message}", "log in again, and check the clock of this machine")
    if code in _UNKNOWN_KEY:
        return values.Denied(f"{code}: {message}", _UNKNOWN_KEY_REMEDY)
    if code in _DENIED:
        return values.Denied(f"{code}: {message}", f"allow {', '.join(_ACTIONS[part])} (see --print-policy)")
    return values.Unreachable(f"{code}: {message}", "run the command again")
