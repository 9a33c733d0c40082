"""Cost of a plan by hand: every instance is followed through the hours of a week.

Formulas are those of docs/planning.md; no line of the product is used.
"""

from fractions import Fraction
from math import ceil, exp, inf, log

from recompute.facts import (
    by_columns,
    egress_usd_per_gb,
    interrupted_ratio,
    lacks,
    machine,
    machine_start,
    number,
    offer_row,
    range_of,
    refused,
    rows,
    service_usd,
    speaks_https,
    start_fact,
    target,
    term_years,
)

HOURS_A_MONTH = 730
HOURS_A_WEEK = 168
SECONDS = 3600
CLOUDS = ("aws", "gcp", "azure")
NEVER_STARTED = ("commitment", "owned", "serverless")
IMAGES = {"amd": "rocm", "aws": "neuron", "intel": "gaudi", "google": "tpu"}
COMPILERS = {"aws": "compile_neuron", "google": "compile_tpu", "intel": "warm_up_gaudi"}
AZURE_DISKS = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
CONVERSIONS = {
    "bf16": ["convert_gguf_bf16"],
    "fp16": ["convert_gguf_fp16"],
    "int8": ["convert_gguf_int8"],
    "int4": ["convert_gguf_bf16", "quantise_gguf_int4"],
}
A_MONTH = Fraction(HOURS_A_MONTH, HOURS_A_WEEK)


def vendor(layout):
    """Maker of the accelerator."""
    row = by_columns("accelerators", "name").get((layout["accelerator"],))
    return row["vendor"] if row else "cpu"


def network_gb(layout):
    """GB a second that a machine receives; endless where it is not known."""
    host = machine(layout["provider"], layout["instance_type"])
    gbit = host and number(host["network_gbit_per_second"])
    return gbit / 8 if gbit else inf


def stages(layout):
    """(value, high) in seconds of launch, image, weights, conversion and engine."""
    host, maker = machine(layout["provider"], layout["instance_type"]), vendor(layout)
    many = host and (number(host["accelerator_count"]) or 0) >= 8
    linked = host and host["interconnect"] not in ("", "none", "pcie", "ici")
    kind = "launch_tpu" if maker == "google" else "launch_gpu_large" if many and linked else "launch_gpu"
    launch = machine_start(layout["provider"], layout["instance_type"]) or start_fact(kind)
    size, pull = image_size(layout), start_fact("pull")
    disk = Fraction(1, 2)
    slowest = min(network_gb(layout), disk)
    image = (size[0] / min(pull[0], slowest), size[2] / min(pull[1], slowest))
    hub, local = start_fact("weights_hub"), start_fact("weights_local")
    slowest_gib = slowest * Fraction(10**9, 2**30)
    stored, read = downloaded_gib(layout), layout["checkpoint_gib"] - layout["converted_gib"]
    weights = tuple(
        stored / min(hub[at], slowest_gib) + read / (local[at] * layout["tensor_parallel"]) for at in (0, 1)
    )
    published_gb = layout["converted_gib"] * Fraction(2**30, 10**9)
    rates = [start_fact(name) for name in CONVERSIONS[layout["precision"]]] if published_gb else []
    conversion = tuple(sum(published_gb / rate[at] for rate in rates) for at in (0, 1))
    process, base, slope = (
        start_fact("process_start"),
        start_fact("engine_init_base"),
        start_fact("engine_init_per_weights"),
    )
    init = base[0] + slope[0] * layout["weights_gib"]
    is_large = maker == "aws" and layout["checkpoint_gib"] >= start_fact("compile_neuron_large_from")[0]
    compiler = f"{COMPILERS.get(maker)}{'_large' if is_large else ''}"
    compiled = start_fact(compiler) if maker in COMPILERS else (0, 0, 0)
    engine = (process[0] + init + compiled[0], process[2] + init + 13 + compiled[2])
    return [(launch[0], launch[2]), image, weights, conversion, engine]


def downloaded_gib(layout):
    """Weights that a start fetches: not the GGUF that it makes itself."""
    return layout["converted_gib"] or layout["checkpoint_gib"]


def cold_start_s(layout):
    """(value, high) of the seconds from an order to the first answer."""
    return tuple(sum(stage[at] for stage in stages(layout)) for at in (0, 1))


def in_steps_gib(gib):
    """Weights in steps of 20 GiB."""
    return ceil(gib / 20) * 20


def image_size(layout):
    """(value, low, high) of the compressed image in GB."""
    maker = vendor(layout)
    known = by_columns("engine_images", "engine", "vendor").get((layout["engine"], maker))
    return range_of(known) if known else start_fact(f"image_vllm_{IMAGES.get(maker, 'cuda')}")


def download_gb(layout):
    """Image and weights that a start fetches."""
    return image_size(layout)[0] + downloaded_gib(layout) * Fraction(2**30, 10**9)


def start_usd(layout):
    """Price of what one start fetches through a gateway."""
    price = service_usd(layout["provider"], "nat_data", layout["region"])
    return 0 if price is None or layout["purchase"] == "serverless" else price * download_gb(layout)


def changes_a_week(schedule):
    """Times of a day and numbers of instances from then on, whatever the day."""
    return len({(hour % 24, own) for hour, own in enumerate(schedule) if own != schedule[hour - 1]})


def is_node(layout):
    """Whether code starts it in a cluster: slices, and at Google and Azure what hosts do not answer for by HTTPS.

    A scale set of Azure's also takes no more than 19 changes a week.
    """
    if layout["purchase"] in ("managed", "serverless"):
        return False
    if layout["partition"]:
        return True
    of_cluster = {"gcp": "gke", "azure": "aks"}.get(layout["provider"])
    by_itself = target(layout["provider"], layout["instance_type"])
    plain = not speaks_https(layout["engine"], layout["engine_version"])
    many = by_itself == "vm-scale-set" and layout["changes"] > 19
    return bool(of_cluster) and (plain or many or by_itself == of_cluster)


def disk_gib(layout):
    """Disk that an instance boots from: 100 GiB of system, 40 of image, and weights with a fifth, unless they lie local.

    On nodes, which hand out slices too, each further replica has weights of its own, with 8 GiB of what is compiled and
    8 GiB of scratch; those of slices lie on local disks of AWS that hold them.
    """
    host, paid = machine(layout["provider"], layout["instance_type"]), layout["purchase"]
    local_gb = host and number(host["local_nvme_gb"])
    if paid == "serverless" or (paid == "managed" and local_gb):
        return 0
    whole = ceil(140 + in_steps_gib(layout["checkpoint_gib"]) * Fraction(12, 10))
    is_cut = layout["partition"].startswith("mig-")
    own = ceil(layout["checkpoint_gib"] * Fraction(12, 10)) + 8 + 8
    of_all = whole + (layout["replicas_per_instance"] - 1) * own
    lies_local = is_cut and layout["provider"] == "aws" and of_all * 2**30 <= (local_gb or 0) * 10**9
    if is_node(layout) and not lies_local:
        return of_all
    fits = paid != "managed" and (whole - 140) * 2**30 <= (local_gb or 0) * 10**9
    return 140 if fits else whole


def disk_usd_per_hour(layout):
    """Price of that disk, as the generated code orders it; 0 where it is not known."""
    gib, provider, region = disk_gib(layout), layout["provider"], layout["region"]
    if not gib:
        return Fraction(0)
    if provider == "azure":
        size = next((size for size in AZURE_DISKS if size >= gib), None)
        usd = size and service_usd(provider, f"disk_{size}_gib", region)
    else:
        usd = service_usd(provider, "disk_storage", region)
        usd = usd and usd * gib
        if usd and provider == "aws":
            speed = service_usd(provider, "disk_throughput", region)
            usd = speed and usd + speed * (500 - 125)
    return (usd or Fraction(0)) / HOURS_A_MONTH


def stop_s(layout):
    """Seconds that an instance is billed after its last hour."""
    cluster = {"gcp": "gke", "azure": "aks", "aws": "eks"}.get(layout["provider"])
    by_itself = target(layout["provider"], layout["instance_type"])
    name = cluster if is_node(layout) else by_itself
    row = by_columns("scale_ins", "target").get(("sagemaker" if layout["purchase"] == "managed" else name,))
    return 0 if row is None else number(row["value"])


def hours_of_a_start(layout):
    """Hours that an instance is billed before its first hour and after its last, each in whole minutes."""
    return Fraction(sum(ceil(seconds / 60) for seconds in (cold_start_s(layout)[1], stop_s(layout))), 60)


class Week:
    """Instances and hours of a week, one hour after the other."""

    def __init__(self, fleet):
        """Read the classes of a plan's fleet."""
        self.schedule = fleet["schedule"]
        self.classes = fleet["hour_classes"]
        self.mean = [Fraction(str(hour["mean_requests_per_second"])) for hour in self.classes]
        self.planned = [Fraction(str(hour["planned_requests_per_second"])) for hour in self.classes]

    def running_hours(self, counts):
        """Instance-hours of an average month."""
        return sum(counts[at] for at in self.schedule) * A_MONTH

    def starts(self, counts):
        """Instances that are started in an average month: each rise from one hour to the next, Sunday's to Monday's too."""
        by_hour = [counts[at] for at in self.schedule]
        return sum(max(now - before, 0) for before, now in zip(by_hour[-1:] + by_hour, by_hour, strict=False)) * A_MONTH

    def requests(self, shares):
        """Requests of an average month, of which a group has a share in each class."""
        return sum(self.mean[at] * Fraction(str(shares[at])) for at in self.schedule) * SECONDS * A_MONTH


def group_usd(layout, week):
    """USD a month of a group: compute, disks, starts, and the two ends of what interruptions may cost."""
    counts, paid = layout["instances"], layout["purchase"]
    starts = 0 if paid in NEVER_STARTED else week.starts(counts)
    beside = 0 if paid in NEVER_STARTED else starts * hours_of_a_start(layout)
    hours = week.running_hours(counts) + beside
    low, high = interruption_usd_per_hour(layout) if paid == "spot" else (0, 0)
    return {
        "compute": layout["usd_per_hour"] * hours,
        "disks": disk_usd_per_hour(layout) * hours,
        "starts": start_usd(layout) * starts,
        "interruptions": (low * hours, high * hours),
    }


def quantities(layout, week):
    """Units of a group's lines: GiB-months of disk (at Azure disks), MiB/s-months beyond 125, GB that starts fetch."""
    hours = machine_hours([layout], week)
    starts = 0 if layout["purchase"] in NEVER_STARTED else week.starts(layout["instances"])
    months = hours / HOURS_A_MONTH
    disks = months if layout["provider"] == "azure" else months * disk_gib(layout)
    interruptions = interruptions_per_hour(layout) * hours if layout["purchase"] == "spot" else 0
    return {
        "disk": disks,
        "disk_throughput": months * (500 - 125),
        "start_download": starts * download_gb(layout),
        "interruption_download": interruptions * download_gb(layout),
    }


def interruptions_per_hour(layout):
    """Interruptions of an instance-hour on spot, from the share that is interrupted in a month."""
    return Fraction(-log(1 - min(float(interrupted_ratio(*place(layout))), 0.95)) / HOURS_A_MONTH)


def interruption_usd_per_hour(layout):
    """(least, most): capacity bought elsewhere while a new instance starts, with its download; and lost work at most.

    That is half of an answer that takes as long as the targets allow, on every request that is running.
    """
    hazard = interruptions_per_hour(layout)
    row = offer_row(*place(layout))
    replacement = (row and number(row["on_demand_usd_per_hour"])) or layout["usd_per_hour"]
    missing = cold_start_s(layout)[0] * replacement / SECONDS + start_usd(layout)
    lost = layout["longest_answer_s"] / 2 * layout["usd_per_hour"] / SECONDS
    return hazard * missing, hazard * (missing + lost)


def place(layout):
    """Provider, region and type."""
    return layout["provider"], layout["region"], layout["instance_type"]


def transfer_usd(groups, week, answer_gb):
    """USD a month of all answers on their way to users."""
    return sum(
        egress_usd_per_gb(group["provider"], group["region"]) * answer_gb * week.requests(group["request_shares"])
        for group in groups
    )


def switching_usd(groups, question):
    """USD a month of instances of a kind that does not run today, spread over the horizon."""
    workload = question["workload"]
    today = workload["current"]
    types_in_region = {tuple(type_in_region.split("/", 2)) for type_in_region in dict_of(workload["running"])}
    if not types_in_region and today:
        types_in_region = {place(today)}
    if not types_in_region:
        return Fraction(0)
    months = max(Fraction(str(workload["horizon_days"])) / Fraction(HOURS_A_MONTH, 24), 1)
    stated = workload["limits"]["switching_usd_per_instance"]
    total = Fraction(0)
    for group in groups:
        if place(group) not in types_in_region:
            once = Fraction(str(stated)) if stated is not None else 2 * on_demand_or_dearest(group, workload)
            total += group["instances"][-1] * once / months
    return total


def dict_of(running):
    """Stands that run, from a list of pairs or a table."""
    return [entry[0][0] for entry in running] if isinstance(running, list) else list(running)


def on_demand_or_dearest(group, workload):
    """What an instance of a group costs on demand; without such a price the dearest of the ways of paying that are allowed."""
    row = offer_row(*place(group))
    if row and (usd := number(row["on_demand_usd_per_hour"])):
        return usd
    spot = row and "spot" in workload["purchase"] and not refused(group["provider"], group["instance_type"], "spot")
    return max(group["usd_per_hour"], (spot and number(row["spot_usd_per_hour"])) or 0)


def obligation(groups):
    """USD that new commitments oblige to until they end, and the longest term in years."""
    committed = [group for group in groups if group["purchase"] == "commitment"]
    usd = sum(
        max(group["instances"]) * group["usd_per_hour"] * term_years(group["commitment"]) * HOURS_A_MONTH * 12
        for group in committed
    )
    return usd, max((term_years(group["commitment"]) for group in committed), default=None)


def regret_usd(groups, week):
    """USD a month of committed capacity that would idle if the planned rates fell by half, beyond what idles at all."""
    committed = [group for group in groups if group["purchase"] == "commitment"]
    rate = sum(max(group["instances"]) * group["planned_rate"] for group in committed)
    usd = sum(max(group["instances"]) * group["usd_per_hour"] for group in committed)

    def idle(part):
        return sum(max(1 - week.planned[at] * part / rate, 0) for at in week.schedule) * A_MONTH if rate else 0

    return usd * (idle(0.5) - idle(1.0))


def resources(provider, hosts, services, machine_hours):
    """What the code orders or needs in a region beside machines and load balancer, in units of its price.

    A gateway with its address, at Google a 32nd of one for each hour of a machine; at AWS a key; alarms, more with each
    group and backend of hosts, or each endpoint of services; at Azure two machines with disks, or containers, before them.
    """
    groups, backends = group_count(hosts), backend_count(hosts)
    more_endpoints = max(len({layout(group) for group in services}) - 1, 0)
    gateway = machine_hours / 32 if provider == "gcp" else HOURS_A_MONTH
    units = {"nat_gateway": gateway, "public_ip": HOURS_A_MONTH}
    if provider == "aws":
        alarms = 4 + 10 * groups + 2 * backends if hosts else 7
        return {**units, "kms_key": 1, "alarm": alarms + 7 * more_endpoints}
    if provider == "gcp":
        return {**units, "alarm": 5 + 5 * groups if hosts else 6}
    alarms, log_alarms = (1, 12) if hosts else (3, 3)
    units |= {"log_alarm": log_alarms + 2 * more_endpoints, "alarm": alarms + 2 * more_endpoints}
    with_it = {"entrance_disk": 2} if hosts else {"load_balancer": HOURS_A_MONTH}
    return {**units, **with_it, ("entrance" if hosts else "container_entrance"): 2 * HOURS_A_MONTH}


def node_resources(provider, nodes, own, services, machine_hours):
    """The same where nodes of a cluster stand in place of hosts: alarms and the way out.

    *nodes* are the provider's of all regions, whose alarms are alike: two more at Google where any has an NVIDIA accelerator.
    *own* are those of the region, each group of which has three at AWS.
    """
    units = resources(provider, nodes, services, machine_hours)
    kept = {item: units[item] for item in ("nat_gateway", "public_ip")} | {"cluster": HOURS_A_MONTH}
    if provider == "aws":
        endpoints = max(len({layout(group) for group in services}) - 1, 0)
        return {**kept, "kms_key": 1, "alarm": 3 * group_count(own) + 7 * endpoints}
    alarms = 8 + 2 * any(vendor(group) == "nvidia" for group in nodes) if provider == "gcp" else 4
    endpoints = max(len({layout(group) for group in services}) - 1, 0)
    if provider == "gcp":
        return {**kept, "alarm": alarms}
    more = {"alarm": 2 * endpoints} if endpoints else {}
    return {**kept, "log_alarm": alarms + 2 * endpoints, **more}


def nodes_of(provider, groups):
    """Groups of a provider's machines, in all regions."""
    paid_by_machine = [group for group in groups if group["purchase"] not in ("managed", "serverless")]
    return [group for group in paid_by_machine if group["provider"] == provider]


def layout(group):
    """Machine of a region, and how replicas are on it."""
    split = ("tensor_parallel", "pipeline_parallel", "replicas_per_instance")
    return (group["instance_type"], group["precision"], *(group[name] for name in split))


def group_count(hosts):
    """Groups: what is bought ahead is ordered as on demand."""
    return len({(layout(group), group["purchase"] == "spot") for group in hosts})


def backend_count(hosts):
    """Backends: hosts whose replicas are alike, whatever the size of the machine beside its accelerators."""
    return len(
        {(group["accelerator"], group["accelerator_count"], group["engine"], *layout(group)[1:]) for group in hosts}
    )


def balancer_count(provider, hosts):
    """Load balancers of a region: at Azure one before the entrance and one for each backend."""
    return 1 + backend_count(hosts) if provider == "azure" else 1


def entrance_usd(item, region, peak, output_tokens):
    """Price by the hour of the smallest that carries the busiest minute twice; 3.1 ms a request, 47 µs a token; None of others."""
    if not item.endswith("entrance"):
        return None
    needed = 2 * peak * (Fraction("0.0031") + output_tokens * Fraction("0.000047"))
    if item == "container_entrance":
        vcpus = next((size for size in map(Fraction, ("0.25", "0.5", "1", "2", "4")) if size >= needed), Fraction(4))
        parts = [service_usd("azure", f"container_{part}", region) for part in ("vcpu", "memory")]
        return None if None in parts else vcpus * (parts[0] + 2 * parts[1])
    sizes = {"Standard_B2ats_v2": "0.4", "Standard_D2s_v5": "2", "Standard_D4s_v5": "4", "Standard_D8s_v5": "8"}
    able = [name for name, vcpus in sizes.items() if Fraction(vcpus) >= needed] or ["Standard_D8s_v5"]
    sold = {row["instance_type"]: row for row in rows("cpu_prices/azure") if row["region"] == region}
    return next((number(sold[name]["on_demand_usd_per_hour"]) for name in able if name in sold), None)


def machine_hours(groups, week):
    """Hours of all instances in an average month, with those of their starts."""
    hours = 0
    for group in groups:
        starts = 0 if group["purchase"] in NEVER_STARTED else week.starts(group["instances"])
        hours += week.running_hours(group["instances"]) + (starts and starts * hours_of_a_start(group))
    return hours


def gateway_quantities(provider, balanced, per_request):
    """Units of the Gateway before a cluster: one load balancer of the provider, and what passes it."""
    quantities = balanced_quantities(provider, [], balanced, per_request)
    named = {item.replace("load_balancer", "gateway"): quantity for item, quantity in quantities.items()}
    return {**named, "gateway": HOURS_A_MONTH}


def balanced_quantities(provider, hosts, balanced, per_request):
    """Units of a region's load balancers, and of what passes them."""
    seconds = HOURS_A_MONTH * SECONDS
    quantities = {"load_balancer": balancer_count(provider, hosts) * HOURS_A_MONTH}
    gb = balanced * per_request
    if provider == "aws":
        units = max(balanced / seconds / 25, gb / HOURS_A_MONTH)
        quantities["load_balancer_capacity"] = units * HOURS_A_MONTH
    if provider == "gcp":
        proxies = max(balanced / seconds / 150, gb / seconds / Fraction("0.018"))
        quantities["load_balancer_proxy"] = max(ceil(proxies), 3) * HOURS_A_MONTH
    if provider != "aws":
        quantities["load_balancer_data"] = gb
    return quantities


def standing(groups, week, per_request, output_tokens, peak):
    """(provider, region, item) → quantity and USD a month of load balancers, gateways, keys, alarms and logs."""
    found = {}
    places = dict.fromkeys((group["provider"], group["region"]) for group in groups if group["provider"] in CLOUDS)
    clusters = {group["provider"] for group in groups if is_node(group)}
    for provider, region in places:
        own = [group for group in groups if (group["provider"], group["region"]) == (provider, region)]
        machines = [group for group in own if group["purchase"] not in ("managed", "serverless")]
        hosts = [] if provider in clusters else machines
        month = sum(
            week.requests(group["request_shares"]) for group in own if not lacks(group["engine"], "request_log")
        )
        balanced = sum(week.requests(group["request_shares"]) for group in hosts)
        quantities = balanced_quantities(provider, hosts, balanced, per_request) if hosts else {}
        if machines and not hosts:
            entered = sum(week.requests(group["request_shares"]) for group in machines)
            quantities = gateway_quantities(provider, entered, per_request)
        logged = month * 200 + (balanced * 1000 if provider == "gcp" else 0)
        if logged:
            quantities["log_ingest"] = logged / 10**9
        if provider == "aws" and month:
            quantities["log_storage"] = logged / 10**9 * 12 * Fraction("0.15")
        services = [group for group in own if group not in machines]
        hours = machine_hours(own, week) if provider == "gcp" else 0
        if provider in clusters and machines:
            quantities |= node_resources(provider, nodes_of(provider, groups), machines, services, hours)
        else:
            quantities |= resources(provider, machines, services, hours)
        for item, quantity in quantities.items():
            of_balancer = item.replace("gateway", "load_balancer") if item.startswith("gateway") else item
            usd = entrance_usd(item, region, peak, output_tokens) or service_usd(provider, of_balancer, region)
            found[provider, region, item] = quantity, usd and usd * quantity
    return found


def growth(workload, share):
    """Rate after a share of the horizon ÷ the rate today, for stated growth."""
    per_year = workload["growth_per_year"] or 0
    return exp(log(1 + per_year) / 365 * workload["horizon_days"] * share)
