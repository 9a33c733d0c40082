"""The three price services on loopback, as real clients meet them: pages, throttling, faults, tokens that expire."""

import contextlib
import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Cloud:
    """What the server answers, and what it was asked."""

    answer: Callable[["Asked"], "Reply"]
    faults: list[Callable[["Asked"], "Reply | None"]] = field(default_factory=list)
    """Each may answer in place of the cloud; the first that does, does."""
    asked: list["Asked"] = field(default_factory=list)
    url: str = ""

    def reply(self, asked: "Asked") -> "Reply":
        """The answer to one question."""
        self.asked.append(asked)
        for fault in self.faults:
            found = fault(asked)
            if found is not None:
                return found
        return self.answer(asked)


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    target: str
    """Operation, as the AWS protocols name it: header or form field."""
    body: bytes
    region: str = ""
    """Of the signature of an AWS request."""
    host: str = ""
    token: str = ""
    """Bearer token of the request."""

    @property
    def json(self):
        """The body as JSON."""
        return json.loads(self.body or b"{}")

    @property
    def form(self) -> dict[str, str]:
        """The body as a form."""
        return dict(urllib.parse.parse_qsl(self.body.decode()))


@dataclass(frozen=True)
class Reply:
    """One answer."""

    body: bytes
    status: int = 200
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    cut_after: int | None = None
    """The connection breaks after so many bytes."""


def as_json(document, status: int = 200, **headers: str) -> Reply:
    """A JSON answer."""
    return Reply(json.dumps(document).encode(), status, headers=tuple(headers.items()))


@contextlib.contextmanager
def serving(cloud: Cloud) -> Iterator[Cloud]:
    """The cloud on a free port of loopback; its address is in ``url``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            split = urllib.parse.urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = dict(urllib.parse.parse_qsl(split.query))
            target = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
            if not target and self.command == "POST" and b"Action=" in body:
                target = dict(urllib.parse.parse_qsl(body.decode())).get("Action", "")
            signature = self.headers.get("Authorization", "").split("/")
            region = signature[2] if len(signature) > 2 else ""
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            asked = Asked(
                self.command, split.path, query, target or split.path.strip("/"), body, region, cloud.url, token
            )
            reply = cloud.reply(asked)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.kind)
                self.send_header("Content-Length", str(len(reply.body)))
                for name, value in reply.headers:
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(reply.body if reply.cut_after is None else reply.body[: reply.cut_after])
                if reply.cut_after is not None:
                    self.wfile.flush()
                    self.close_connection = True

        do_GET = do_POST = _answer  # noqa: N815 - names that http.server calls

        def log_message(self, *_arguments) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    cloud.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield cloud
    finally:
        server.shutdown()
        server.server_close()


def first_times(count: int, reply: Reply, matches: Callable[[Asked], bool] = lambda _: True):
    """A fault that answers the first *count* questions that match."""
    left = [count]
    lock = threading.Lock()

    def fault(asked: Asked) -> Reply | None:
        if not matches(asked):
            return None
        with lock:
            if left[0] <= 0:
                return None
            left[0] -= 1
        return reply

    return fault


# --- Azure -----------------------------------------------------------------------------------------------------------


def azure_item(size: str, region: str, price: float, **changes):
    """One item as the Retail Prices API returns it."""
    item = {
        "currencyCode": "USD",
        "tierMinimumUnits": 0.0,
        "retailPrice": price,
        "unitPrice": price,
        "armRegionName": region,
        "location": region,
        "effectiveStartDate": "2026-10-01T00:00:00Z",
        "meterId": "m",
        "meterName": size.removeprefix("Standard_").replace("_", " "),
        "productId": "DZH318Z0",
        "skuId": "DZH318Z0/0001",
        "productName": "Virtual Machines NC Series",
        "skuName": size.removeprefix("Standard_").replace("_", " "),
        "serviceName": "Virtual Machines",
        "serviceFamily": "Compute",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "isPrimaryMeterRegion": True,
        "armSkuName": size,
    }
    return item | changes


def container_item(meter: str, region: str, price: float, unit: str = "1 Second", **changes):
    """One meter of Container Apps as the Retail Prices API returns it."""
    named = {"productName": "Azure Container Apps", "serviceName": "Azure Container Apps", "skuName": "Standard"}
    return azure_item("", region, price) | named | {"meterName": meter, "unitOfMeasure": unit} | changes


def azure_pages(items_by_region, containers_by_region=None, page: int = 2):
    """Answers like the API: filtered by service and region, in pages that name the next one."""

    def answer(asked: Asked) -> Reply:
        region = asked.query["$filter"].split("armRegionName eq '")[1].split("'")[0]
        of_containers = "serviceName eq 'Azure Container Apps'" in asked.query["$filter"]
        assert of_containers or "contains(armSkuName, 'Standard_N')" in asked.query["$filter"]
        listed = (containers_by_region or {}) if of_containers else items_by_region
        items, skip = listed.get(region, []), int(asked.query.get("$skip", 0))
        link = None
        if skip + page < len(items):
            query = urllib.parse.urlencode(asked.query | {"$skip": str(skip + page)})
            link = f"{asked.host}/api/retail/prices?{query}"
        return as_json({"BillingCurrency": "USD", "Items": items[skip : skip + page], "NextPageLink": link, "Count": 1})

    return answer


# --- AWS -------------------------------------------------------------------------------------------------------------


def product(name: str, region: str, price: float, family: str = "GPU instance", reserved=()):
    """One product as the price list holds it: a JSON text."""
    terms = {
        "OnDemand": {
            "SKU.JRTC": {
                "effectiveDate": "2026-11-01T00:00:00Z",
                "priceDimensions": {
                    "SKU.JRTC.6YS6": {"unit": "Hrs", "pricePerUnit": {"USD": f"{price:.10f}"}, "description": ""}
                },
                "termAttributes": {},
            }
        }
    }
    if reserved:
        terms["Reserved"] = {}
    for number, (years, kind, payment, upfront, hourly) in enumerate(reserved):
        dimensions = {"a": {"unit": "Hrs", "pricePerUnit": {"USD": f"{hourly:.10f}"}}}
        if upfront:
            dimensions["b"] = {"unit": "Quantity", "pricePerUnit": {"USD": str(upfront)}}
        terms["Reserved"][f"SKU.R{number}"] = {
            "effectiveDate": "2026-11-01T00:00:00Z",
            "priceDimensions": dimensions,
            "termAttributes": {"LeaseContractLength": f"{years}yr", "OfferingClass": kind, "PurchaseOption": payment},
        }
    attributes = {
        "instanceType": name, "regionCode": region, "instanceFamily": family, "operatingSystem": "Linux",
        "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used",
    }  # fmt: skip
    return json.dumps({"product": {"productFamily": "Compute Instance", "attributes": attributes}, "terms": terms})


def hosted(name: str, region: str, price: float, component: str = "Hosting"):
    """One product of SageMaker as the price list holds it: a JSON text."""
    made = json.loads(product(name, region, price))
    made["product"] = {
        "productFamily": "ML Instance",
        "attributes": {
            "instanceName": f"ml.{name}", "instanceType": f"ml.{name}-{component}", "component": component,
            "regionCode": region, "servicecode": "AmazonSageMaker",
        },
    }  # fmt: skip
    return json.dumps(made)


def xml(operation: str, inside: str) -> Reply:
    """An answer of EC2."""
    text = f'<{operation}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>{inside}</{operation}Response>'
    return Reply(text.encode(), kind="text/xml;charset=UTF-8")


def xml_error(code: str, message: str, status: int = 400) -> Reply:
    """A refusal of EC2."""
    inside = f"<Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>r</RequestID>"
    return Reply(f"<Response>{inside}</Response>".encode(), status, "text/xml;charset=UTF-8")


def by_id(zone: str) -> bool:
    """A zone that is named by its id, which is the same in every account."""
    return "-az" in zone


@dataclass
class Aws:
    """An account that sells a few types in each region."""

    prices: dict[tuple[str, str], float]
    """(region, type) → USD an hour."""
    spot: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)
    reserved: dict[str, tuple] = field(default_factory=dict)
    new_types: tuple[str, ...] = ()
    managed: dict[tuple[str, str], float] = field(default_factory=dict)
    """(region, type) → what SageMaker asks for it."""
    zones: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """(region, type) → ids of zones that offer it."""
    unoffered: tuple[tuple[str, str], ...] = ()
    """Priced (region, type) that no region offers any more."""
    page: int = 2

    def __call__(self, asked: Asked) -> Reply:
        """Answer by operation."""
        return getattr(self, "_" + asked.target.replace("/", "_").lower())(asked)

    def _getproducts(self, asked: Asked) -> Reply:
        filters = {one["Field"]: one["Value"] for one in asked.json["Filters"]}
        region = filters["regionCode"]
        listed = self._hosting(region) if asked.json["ServiceCode"] == "AmazonSageMaker" else self._machines(region)
        start = int(asked.json.get("NextToken") or 0)
        answer = {"FormatVersion": "aws_v1", "PriceList": listed[start : start + self.page]}
        if start + self.page < len(listed):
            answer["NextToken"] = str(start + self.page)
        return as_json(answer)

    def _machines(self, region: str) -> list[str]:
        listed = [
            product(name, region, price, reserved=self.reserved.get(name, ()))
            for (where, name), price in sorted(self.prices.items())
            if where == region
        ]
        return [*listed, product("m7i.large", region, 0.1, "General purpose")]

    def _hosting(self, region: str) -> list[str]:
        found = [(name, price) for (where, name), price in sorted(self.managed.items()) if where == region]
        return [
            text
            for name, price in found
            for text in (hosted(name, region, price), hosted(name, region, price * 1.2, "Training"))
        ]

    def _describeinstancetypes(self, _asked: Asked) -> Reply:
        items = "".join(
            f"<item><instanceType>{name}</instanceType><vCpuInfo><defaultVCpus>48</defaultVCpus></vCpuInfo>"
            "<memoryInfo><sizeInMiB>196608</sizeInMiB></memoryInfo>"
            "<processorInfo><supportedArchitectures><item>x86_64</item></supportedArchitectures></processorInfo>"
            "<gpuInfo><gpus><item><name>L4</name><manufacturer>NVIDIA</manufacturer><count>4</count>"
            "<memoryInfo><sizeInMiB>22888</sizeInMiB></memoryInfo></item></gpus></gpuInfo></item>"
            for name in self.new_types
        )
        cpu = "<item><instanceType>m7i.large</instanceType></item>"
        return xml("DescribeInstanceTypes", f"<instanceTypeSet>{items}{cpu}</instanceTypeSet>")

    def _describeinstancetypeofferings(self, asked: Asked) -> Reply:
        region, kind = self._region(asked), asked.form["LocationType"]
        assert kind in {"region", "availability-zone-id"}
        priced = sorted(set(self.prices) - set(self.unoffered))
        offered = [(name, region) for where, name in priced if where == region]
        if kind != "region":
            known = {(where, name): zones for (where, name), zones in self.zones.items() if where == region}
            offered = [(name, zone) for (_, name), zones in sorted(known.items()) for zone in zones]
        start = int(asked.form.get("NextToken") or 0)
        items = "".join(
            f"<item><instanceType>{name}</instanceType><locationType>{kind}</locationType><location>{where}</location></item>"
            for name, where in offered[start : start + self.page]
        )
        more = f"<nextToken>{start + self.page}</nextToken>" if start + self.page < len(offered) else ""
        return xml("DescribeInstanceTypeOfferings", f"<instanceTypeOfferingSet>{items}</instanceTypeOfferingSet>{more}")

    def _describespotpricehistory(self, asked: Asked) -> Reply:
        region = self._region(asked)
        items = "".join(
            f"<item><instanceType>{name}</instanceType><productDescription>Linux/UNIX</productDescription>"
            f"<spotPrice>{price}</spotPrice><timestamp>2026-11-26T01:00:00.000Z</timestamp>"
            f"<availabilityZone{'Id' * by_id(zone)}>{zone}</availabilityZone{'Id' * by_id(zone)}></item>"
            for (where, name), zones in self.spot.items()
            if where == region
            for zone, price in zones.items()
        )
        return xml("DescribeSpotPriceHistory", f"<spotPriceHistorySet>{items}</spotPriceHistorySet>")

    def _describecapacityblockofferings(self, asked: Asked) -> Reply:
        name = asked.form["InstanceType"]
        if name != "p5.48xlarge":
            return xml_error("Unsupported", "not here")
        inside = (
            "<capacityBlockOfferingSet><item><capacityBlockOfferingId>cb-1</capacityBlockOfferingId>"
            f"<instanceType>{name}</instanceType><availabilityZone>us-east-1a</availabilityZone>"
            "<instanceCount>1</instanceCount><startDate>2026-12-01T11:30:00.000Z</startDate>"
            "<endDate>2026-12-02T11:30:00.000Z</endDate><capacityBlockDurationHours>24</capacityBlockDurationHours>"
            "<upfrontFee>754.80</upfrontFee><currencyCode>USD</currencyCode><tenancy>default</tenancy></item>"
            "</capacityBlockOfferingSet>"
        )
        return xml("DescribeCapacityBlockOfferings", inside)

    def _describesavingsplansofferingrates(self, asked: Asked) -> Reply:
        region = next(one["values"][0] for one in asked.json["filters"] if one["name"] == "region")
        rates = [
            {
                "savingsPlanOffering": {
                    "offeringId": "o", "paymentOption": "No Upfront", "planType": "Compute",
                    "durationSeconds": 31536000, "currency": "USD", "planDescription": "",
                },
                "rate": str(round(price * 0.72, 6)), "unit": "Hrs", "productType": "EC2", "serviceCode": "AmazonEC2",
                "usageType": f"BoxUsage:{name}", "operation": "RunInstances",
                "properties": [
                    {"name": "region", "value": region}, {"name": "instanceType", "value": name},
                    {"name": "productDescription", "value": "Linux/UNIX"}, {"name": "tenancy", "value": "shared"},
                ],
            }
            for (where, name), price in sorted(self.prices.items())
            if where == region
        ]  # fmt: skip
        start = int(asked.json.get("nextToken") or 0)
        answer = {"searchResults": rates[start : start + self.page]}
        if start + self.page < len(rates):
            answer["nextToken"] = str(start + self.page)
        return as_json(answer)

    def _listservicequotas(self, _asked: Asked) -> Reply:
        quotas = [
            {
                "ServiceCode": "ec2",
                "QuotaCode": "L-DB2E81BA",
                "QuotaName": "Running On-Demand G and VT instances",
                "Value": 96.0,
            },
            {
                "ServiceCode": "ec2",
                "QuotaCode": "L-417A185B",
                "QuotaName": "Running On-Demand P instances",
                "Value": 16.0,
            },
            {"ServiceCode": "ec2", "QuotaCode": "L-0263D0A3", "QuotaName": "EC2-VPC Elastic IPs", "Value": 5.0},
        ]
        return as_json({"Quotas": quotas})

    def _region(self, asked: Asked) -> str:
        """EC2 is asked at an address of its own in each region; on loopback the signature tells it."""
        return asked.region


# --- Google ----------------------------------------------------------------------------------------------------------


def sku(description: str, regions, usd: float, usage: str = "OnDemand", unit: str = "h", family: str = "Compute"):
    """One SKU as the Cloud Billing Catalog holds it."""
    units, nanos = int(usd), round((usd - int(usd)) * 1e9)
    return {
        "name": "services/6F81-5844-456A/skus/X",
        "skuId": "X",
        "description": description,
        "category": {
            "serviceDisplayName": "Compute Engine",
            "resourceFamily": family,
            "resourceGroup": "GPU",
            "usageType": usage,
        },
        "serviceRegions": list(regions),
        "pricingInfo": [
            {
                "effectiveTime": "2026-11-02T08:00:00Z",
                "pricingExpression": {
                    "usageUnit": unit,
                    "tieredRates": [
                        {
                            "startUsageAmount": 0,
                            "unitPrice": {"currencyCode": "USD", "units": str(units), "nanos": nanos},
                        }
                    ],
                },
            }
        ],
    }


def gcp_pages(skus, tpu_skus=(), page: int = 3):
    """Answers like the API: services, and SKUs in pages."""

    def answer(asked: Asked) -> Reply:
        if asked.query.get("key") != "secret":
            return as_json(
                {"error": {"code": 403, "message": "API key not valid.", "status": "PERMISSION_DENIED"}}, 403
            )
        if asked.path.endswith("/services"):
            found = [
                {"name": "services/6F81-5844-456A", "displayName": "Compute Engine"},
                {"name": "services/E000-3F24-B8AA", "displayName": "Cloud TPU"},
            ]
            return as_json({"services": found, "nextPageToken": ""})
        items = list(tpu_skus if "E000" in asked.path else skus)
        start = int(asked.query.get("pageToken") or 0)
        token = str(start + page) if start + page < len(items) else ""
        return as_json({"skus": items[start : start + page], "nextPageToken": token})

    return answer


def compute_pages(machine_types, accelerator_types=(), page: int = 2):
    """Answers like the Compute Engine API: aggregated by zone, to a token; both lists are (name, zone)."""

    def answer(asked: Asked) -> Reply:
        if asked.token != "secret-token":
            return as_json({"error": {"code": 401, "message": "Invalid Credentials"}}, 401)
        what = asked.path.rpartition("/")[2]
        listed = machine_types if what == "machineTypes" else accelerator_types
        if "filter" in asked.query:
            pattern = asked.query["filter"].removeprefix('name eq "').removesuffix('"')
            listed = [one for one in listed if re.fullmatch(pattern, one[0])]
        start = int(asked.query.get("pageToken") or 0)
        items: dict[str, dict] = {"zones/nowhere1-a": {"warning": {"code": "NO_RESULTS_ON_PAGE"}}}
        for name, zone in listed[start : start + page]:
            items.setdefault(f"zones/{zone}", {what: []})[what].append(
                {"name": name, "zone": f"https://x/zones/{zone}"}
            )
        more = {"nextPageToken": str(start + page)} if start + page < len(listed) else {}
        return as_json({"kind": "compute#aggregatedList", "items": items} | more)

    return answer


def resource_sku(name: str, region: str, zones=(), closed=(), *, location_closed=False, kind: str = "virtualMachines"):
    """One resource SKU as Azure's compute API lists it."""
    restrictions = []
    if closed:
        restrictions.append({"type": "Zone", "restrictionInfo": {"zones": list(closed), "locations": [region]}})
    if location_closed:
        restrictions.append({"type": "Location", "restrictionInfo": {"locations": [region]}})
    return {
        "resourceType": kind, "name": name, "locations": [region], "restrictions": restrictions,
        "locationInfo": [{"location": region, "zones": list(zones), "zoneDetails": []}],
    }  # fmt: skip


def sku_pages(items, page: int = 2):
    """Answers like the resource SKUs of a subscription: filtered by region, in pages, to a token."""

    def answer(asked: Asked) -> Reply:
        if asked.token != "secret-token":
            return as_json({"error": {"code": "AuthenticationFailed", "message": "Authentication failed."}}, 401)
        region = asked.query["$filter"].split("location eq '")[1].split("'")[0]
        listed = [item for item in items if region in item["locations"]]
        start = int(asked.query.get("$skiptoken") or 0)
        answered = {"value": listed[start : start + page]}
        if start + page < len(listed):
            query = urllib.parse.urlencode(asked.query | {"$skiptoken": str(start + page)})
            answered["nextLink"] = f"{asked.host}{asked.path}?{query}"
        return as_json(answered)

    return answer
