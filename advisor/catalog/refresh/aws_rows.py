"""Rows of the catalog from what AWS's price list and its description of instance types say."""

from collections.abc import Collection, Iterator, Mapping
from itertools import takewhile
from typing import Any

from advisor.catalog.refresh.values import (
    CommittedRow,
    MachineRow,
    PriceRow,
    Row,
    Sold,
)
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
    """Prices of one product of the price list; nothing when it is no accelerated machine of the region."""
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
    """Price of one product of SageMaker; nothing when it is no known machine that runs real-time endpoints there.

    The price list says what a product is for in ``component``, older entries in ``platoinstancetype``.
    """
    attributes = product["product"]["attributes"]
    name = attributes.get("instanceName", "").removeprefix("ml.")
    component = attributes.get("component") or attributes.get("platoinstancetype") or ""
    if component.casefold() == _HOSTING and name in machines and attributes.get("regionCode") == region:
        yield from _by_the_hour(product, region, name, Purchase.MANAGED)


def _date_of(term: Mapping[str, Any]) -> str:
    """Day from which a term holds.

    Raises:
        TypeError: it is no text.
    """
    if not isinstance(term["effectiveDate"], str):
        raise TypeError("effectiveDate is no text")
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
    hourly = 0.0
    for dimension in term["priceDimensions"].values():
        price = float(dimension["pricePerUnit"]["USD"])
        hourly += price / hours_of(dimension["unit"], years)
    payment = PAYMENTS[bought["PurchaseOption"]]
    yield CommittedRow(region, name, RESERVED[kind], years, payment, hourly, _date_of(term))


def hours_of(unit: str, years: int) -> float:
    """Hours that a part of a reserved price is for: one, or those of the whole term."""
    return 1.0 if unit == "Hrs" else float(years * HOURS_PER_YEAR)


def machine_row(described: Mapping[str, Any]) -> MachineRow | None:
    """Hardware of an accelerated type; None for another one.

    A share of an accelerator has a count of 0 in EC2's answer: here it is unknown, beside the memory of the share.
    """
    parts = _accelerators(described)
    if not parts:
        return None
    part = parts[0]
    network = described.get("NetworkInfo", {}).get("NetworkCards", [])
    gbit = sum(card.get("BaselineBandwidthInGbps") or card.get("PeakBandwidthInGbps") or 0 for card in network)
    memory_mib = part.get("MemoryInfo", {}).get("SizeInMiB")
    if memory_mib == _MISSTATED_MIB.get(part.get("Name", "")):
        memory_mib = None
    architectures = described.get("ProcessorInfo", {}).get("SupportedArchitectures", ["x86_64"])
    maker = part.get("Manufacturer", "")
    return MachineRow(
        instance_type=described["InstanceType"],
        accelerator=f"{maker} {part.get('Name', '')}".strip(),
        accelerator_count=part.get("Count") or None,
        accelerator_memory_gib=round(memory_mib / 1024, 2) if memory_mib else None,
        vcpus=described.get("VCpuInfo", {}).get("DefaultVCpus"),
        memory_gib=_gib(described.get("MemoryInfo", {}).get("SizeInMiB")),
        network_gbit_per_second=gbit or None,
        local_nvme_gb=described.get("InstanceStorageInfo", {}).get("TotalSizeInGB", 0),
        cpu_architecture="arm64" if "arm64" in architectures else "x86_64",
    )


def _accelerators(described: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    neuron = described.get("NeuronInfo", {}).get("NeuronDevices") or []
    gpus = described.get("GpuInfo", {}).get("Gpus") or []
    others = described.get("InferenceAcceleratorInfo", {}).get("Accelerators") or []
    return [*neuron, *gpus, *others]


def series_of(name: str) -> str:
    """Letters that a type begins with, such as ``g``: types of a new generation share them with known ones."""
    return "".join(takewhile(str.isalpha, name))


def _gib(mib: float | None) -> float | None:
    return None if mib is None else mib / 1024
