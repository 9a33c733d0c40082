"""What a plan says against what is recomputed of it: every number that differs, in words.

``differences(document)`` takes a plan as plain values. Made with every bit (``advisor.plan.plain_values.to_plain``) costs
are held to the cent and memory to the byte; of a JSON file, whose numbers are rounded, to five digits.
"""

import datetime as dt
import math
from fractions import Fraction

from recompute import capacity, facts, kinds, memory, money

ROUNDED = Fraction(1, 10**5)
"""Relative; six digits are written, and some numbers are made of several."""


class Comparison:
    """Pairs of numbers, printed and recomputed."""

    def __init__(self, *, exact):
        """Compare to the last bit that matters, or what six digits allow."""
        self.loose = 0 if exact else ROUNDED
        self.compared = 0
        self.found = []

    def usd(self, where, printed, own, roundings=1):
        """An amount to the cent: at most half a cent for each amount that was rounded."""
        self._within(where, printed, own, Fraction(roundings, 200) * (2 if self.loose else 1) + Fraction(1, 10**8))

    def size(self, where, printed_gib, own_bytes):
        """A size in GiB, to the byte."""
        self._within(where, Fraction(str(printed_gib)) * 2**30, own_bytes, Fraction(1, 2))

    def ratio(self, where, printed, own):
        """A rate or share, to nine digits."""
        self._within(where, printed, own, abs(Fraction(own)) / 10**9 if own else Fraction(1, 10**12))

    def equal(self, where, printed, own):
        """Whole numbers and names."""
        self.compared += 1
        if printed != own:
            self.found.append(f"{where}: {printed} is printed, {own} recomputed")

    def between(self, where, printed, least, most):
        """An amount of which only the ends can be told."""
        self.compared += 1
        if not least - Fraction(1, 100) <= Fraction(str(printed)) <= most + Fraction(1, 100):
            self.found.append(f"{where}: {printed} is printed, {float(least)} to {float(most)} recomputed")

    def _within(self, where, printed, own, apart):
        self.compared += 1
        if printed is None or own is None:
            if printed is not own:
                self.found.append(f"{where}: {printed} is printed, {own} recomputed")
        elif abs(Fraction(str(printed)) - Fraction(own)) > apart + self.loose * abs(Fraction(own)):
            self.found.append(f"{where}: {printed} is printed, {float(own)} recomputed")


def differences(document, *, exact=True):
    """(differences in words, how many numbers were compared) of a plan as plain values."""
    seen = Comparison(exact=exact)
    fleet = document["fleet"]
    if fleet is not None:
        week = money.Week(fleet)
        _hours(seen, document, week)
        groups = [_layout(group, document) for group in fleet["groups"]]
        whole = _fleet(seen, "fleet", document, week, groups, fleet["cost"])
        _capacity(seen, document, week, groups)
        _beside(seen, document, week, groups, whole)
        for option in document["options"]:
            where = f"option {option['rank']}"
            _fleet(seen, where, document, week, [_layout(_as_group(option, week), document)], option["cost"])
    _against_today(seen, document)
    _tokens(seen, document)
    return seen.found, seen.compared


def fit_differences(model, request, fit):
    """(differences, how many numbers were compared) of the memory of a replica, as plain values of all three."""
    seen = Comparison(exact=True)
    layout = {
        **request,
        "memory_gib": Fraction(str(request["accelerator_memory_gib"])),
        "accelerator_name": request["accelerator"],
    }
    name = f"{model['name']} {request['precision']} tp{request['tensor_parallel']} pp{request['pipeline_parallel']}"
    own = memory.replica(model, layout)
    for part in ("weights", "workspace", "runtime", "usable", "needed"):
        seen.size(f"{name}: {part}", fit[f"{part}_gib"], own[part])
    seen.size(f"{name}: cache", fit["kv_cache_gib_available"], own["cache"])
    for part in ("kv_bytes_per_token", "kv_cache_tokens", "max_concurrency"):
        seen.equal(f"{name}: {part}", fit[part], own[part])
    made = request["made_while_loading"]
    loading = memory.loading_bytes(model, request["precision"], layout, quantised_here=made)
    seen.size(f"{name}: loading", fit["loading_gib"], loading + own["runtime_of_rank"])
    published = model["checkpoint"]["precision"]
    wide = memory.BITS[request["precision"]] >= 16 and memory.BITS[published] >= 16
    stored = memory.stored_bytes(model, published if made or wide else request["precision"])
    seen.size(f"{name}: checkpoint", fit["checkpoint_gib"], stored)
    total = sum(model["surroundings"].values()) + sum(
        parameters * count for layer, count in model["layers"] for _, parameters, _ in memory.layer_tensors(layer)
    )
    seen.equal(f"{name}: parameters", fit["parameters_total"], total)
    too_long = model["max_context_tokens"] is not None and request["context_tokens"] > model["max_context_tokens"]
    seen.equal(f"{name}: fits", fit["fits"], own["needed"] <= own["usable"] and not too_long)
    return seen.found, seen.compared


def _as_group(option, week):
    """An option as the one group of a fleet."""
    usd = option["cost"]["instance_usd_per_hour"]
    counts = option["instances_by_class"] or [option["instances"]] * len(week.planned)
    return {
        **option, "instances": counts, "instance_usd_per_hour": usd, "request_shares": [1] * len(counts),
        "cold_start_seconds": None, "compute_usd_per_month": None, "interruptions_usd_per_month": None,
    }  # fmt: skip


def _layout(group, document):
    """A group with what its recomputation needs."""
    targets = document["workload"]["slo"]
    answer = document["question"]["demand"]["output_tokens"]["mean"]
    planned, longest = group["planned_requests_per_second_per_instance"], Fraction(3600)
    if targets.get("latency_ms"):
        longest = Fraction(str(targets["latency_ms"])) / 1000
    elif targets["tpot_p95_ms"]:
        first = targets["ttft_p95_ms"] or targets["e2e_p95_ms"] or 3_600_000
        longest = (Fraction(str(first)) + Fraction(str(answer)) * Fraction(str(targets["tpot_p95_ms"]))) / 1000
    return {
        **group,
        "changes": money.changes_a_week([group["instances"][at] for at in document["fleet"]["schedule"]]),
        "usd_per_hour": Fraction(str(group["instance_usd_per_hour"])),
        "weights_gib": Fraction(str(group["weights_gib"])),
        "checkpoint_gib": Fraction(str(group["checkpoint_gib"])),
        "converted_gib": _published_bytes(document["question"]["model"], group) / 2**30,
        "planned_rate": Fraction(str(planned)),
        "mix_rate": Fraction(str(group.get("mix_requests_per_second_per_instance", planned))),
        "longest_answer_s": longest,
    }


def _hours(seen, document, week):
    """Classes of hours and, of declared demand, their rates."""
    workload, demand = document["question"]["workload"], document["question"]["demand"]
    for at, hour in enumerate(week.classes):
        seen.equal(f"hours of class {at}", hour["hours_per_week"], list(week.schedule).count(at))
    seen.equal("hours of the week", len(week.schedule), 168)
    if demand["profile"] is None:
        rate = demand["requests_per_second"]
        late = max(money.growth(workload, 0.9), money.growth(workload, 0.1))
        for name, printed, own in (
            ("mean", week.mean[0], rate["mean"] * money.growth(workload, 0.5)),
            ("planned", week.planned[0], rate["peak"] * late),
        ):
            seen.between(f"{name} rate", float(printed), own * (1 - 1e-5), own * (1 + 1e-5))


def _fleet(seen, where, document, week, groups, cost):
    """Prices, disks, memory and each part of the cost of a fleet; its total as it is recomputed."""
    parts = {"compute": 0, "disks": 0, "starts": 0, "interruptions": 0}
    for group in groups:
        name = f"{where}, {group['purchase']} {group['instance_type']} {group['region']}"
        _memory(seen, name, document, group)
        _price(seen, name, group)
        usd = money.group_usd(group, week)
        low, high = usd.pop("interruptions")
        for part, amount in usd.items():
            parts[part] += amount
        if group["purchase"] == "serverless":
            seen.between(f"{name}: compute", group["compute_usd_per_month"] or 0, 0, usd["compute"])
            return None
        if group["compute_usd_per_month"] is not None:
            seen.usd(f"{name}: compute", group["compute_usd_per_month"], usd["compute"])
            seen.between(f"{name}: interruptions", group["interruptions_usd_per_month"], low, high)
            parts["interruptions"] += Fraction(str(group["interruptions_usd_per_month"]))
        else:
            seen.between(f"{name}: interruptions", cost["interruptions_usd_per_month"], low, high)
            parts["interruptions"] = Fraction(str(cost["interruptions_usd_per_month"]))
    question = document["question"]
    (sent, answered), items = kinds.traffic(question), _items(question)
    parts |= {
        "transfer": money.transfer_usd(groups, week, answered),
        "switching": money.switching_usd(groups, question),
    }
    for part, amount in parts.items():
        seen.usd(f"{where}: {part}", cost[f"{part}_usd_per_month"], amount, roundings=2 * len(groups))
    _standing(seen, where, cost, money.standing(groups, week, sent + answered, items, _peak(question["demand"])))
    total = sum(Fraction(str(cost[f"{part}_usd_per_month"])) for part in (*parts, "standing"))
    seen.usd(f"{where}: total", cost["total_usd_per_month"], total, roundings=0)
    requests = week.requests([1] * len(week.mean))
    if requests:
        seen.ratio(f"{where}: USD per 1,000 requests", cost["usd_per_1000_requests"], total / requests * 1000)
        per_million = total / (requests * items) * 10**6
        seen.ratio(f"{where}: USD per million", cost["usd_per_million_output_tokens"], per_million)
    _obligation(seen, where, document, week, groups, cost)
    return total


def _price(seen, name, group):
    """The price of a group as the tables have it."""
    own = facts.price(group)
    if own is not None and group["purchase"] == "commitment":
        own = Fraction(round(own * 10**9), 10**9)
    printed = group["usd_per_hour"]
    seen.ratio(f"{name}: USD per hour", Fraction(round(printed * 10**9), 10**9), own)
    seen.equal(f"{name}: disk", group["disk_gib"], money.disk_gib(group))
    if group["purchase"] == "commitment":
        same = facts.commitments(*money.place(group))
        years = facts.term_years(group["commitment"])
        least = min((usd for label, usd in same.items() if facts.term_years(label) == years), default=None)
        seen.ratio(f"{name}: cheapest commitment of {years} years", printed, least)
        if group.get("break_even_ratio") is not None:
            on_demand = facts.number(facts.offer_row(*money.place(group))["on_demand_usd_per_hour"])
            seen.ratio(f"{name}: break-even", group["break_even_ratio"], min(least / on_demand, 1))
    if group["cold_start_seconds"] is not None and group["purchase"] != "serverless":
        value, high = money.cold_start_s(group)
        seen.ratio(f"{name}: cold start", group["cold_start_seconds"]["value"], value)
        seen.ratio(f"{name}: cold start, high", group["cold_start_seconds"]["high"], high)


def _memory(seen, name, document, group):
    """Weights to the byte, in blocks of GGUF too, and that one whole request has room."""
    model = document["question"]["model"]
    if group["purchase"] == "serverless" or kinds.is_one_pass(document["question"]["demand"]):
        return
    layout = {
        **group, "memory_gib": memory.accelerator_memory_gib(group),
        "accelerator_name": group["accelerator"] + (f" {group['partition']}" if group["partition"] else ""),
    }  # fmt: skip
    own = memory.replica(model, layout)
    seen.size(f"{name}: weights", group["weights_gib"], own["weights"])
    is_gguf = group["engine"] == memory.LLAMA_CPP
    gguf = memory.gguf_stored_bytes(model, group["precision"]) or memory.stored_bytes(model, group["precision"])
    stored = (
        {gguf + _published_bytes(model, group)}
        if is_gguf
        else {
            memory.stored_bytes(model, precision)
            for precision in _stored_in(model, group["precision"], group["weights_scheme"], group["weights"])
        }
    )
    printed = Fraction(str(group["checkpoint_gib"])) * 2**30
    seen.size(f"{name}: checkpoint", group["checkpoint_gib"], min(stored, key=lambda size: abs(size - printed)))
    made = "while loading" in group["weights_scheme"]
    loading = memory.loading_bytes(model, group["precision"], layout, quantised_here=made) + own["runtime_of_rank"]
    if is_gguf:
        seen.size(f"{name}: loading", group["loading_gib"], own["weights"] + own["runtime_of_rank"])
    elif group["weights"]:
        seen.size(f"{name}: loading", group["loading_gib"], loading)
    seen.equal(f"{name}: one request fits", own["needed"] <= own["usable"] + 1, own=True)
    seen.equal(f"{name}: requests at a time", group["max_concurrency"] <= max(own["kv_cache_tokens"], 1), own=True)


def _published_bytes(model, group):
    """Published weights that llama.cpp makes a GGUF of where a server starts; 0 where it makes none."""
    is_made = group["engine"] == memory.LLAMA_CPP and group["weights"]
    return memory.stored_bytes(model, model["checkpoint"]["precision"]) if is_made else Fraction(0)


def _stored_in(model, precision, scheme, repository):
    """Precisions that the weights may be stored in: published ones where the engine casts or quantises them."""
    published = model["checkpoint"]["precision"]
    if "while loading" in scheme or (memory.BITS[precision] >= 16 and memory.BITS[published] >= 16):
        return [published]
    return [precision] if repository else [precision, published]


def _obligation(seen, where, document, week, groups, cost):
    usd, years = money.obligation(groups)
    seen.usd(f"{where}: obligation", cost["obligation_usd"], usd)
    if years is None:
        seen.equal(f"{where}: obligation until", cost["obligation_until"], None)
        return
    as_of = document["question"]["workload"]["as_of"] or document["provenance"]["catalog_as_of"]
    until = dt.date.fromisoformat(as_of) + dt.timedelta(days=years * 365)
    seen.equal(f"{where}: obligation until", cost["obligation_until"], until.isoformat())
    seen.usd(f"{where}: regret", cost["regret_usd_per_month"], money.regret_usd(groups, week))


def _capacity(seen, document, week, groups):
    """The load is carried, floors and caps are kept, and failures leave what is said."""
    workload, fleet = document["workload"], document["fleet"]
    alike = len(fleet["places"]) == 1 and not fleet["bucket_max_input_tokens"]
    to_zero = workload["scaling"]["scale_to_zero"]
    for fault in capacity.faults(groups, week, workload["limits"], to_zero=to_zero, alike=alike):
        seen.found.append(f"fleet: {fault}")
    seen.compared += len(week.planned)
    own = capacity.failures(groups, week)
    printed = {failure["of"]: failure["left_ratio"] for failure in fleet["failures"]}
    seen.equal("failures", sorted(printed), sorted(own))
    for name in printed.keys() & own.keys():
        seen.ratio(f"failure of {name}", printed[name], max(own[name], 0))
    for at in range(len(week.planned)):
        shares = sum(Fraction(str(group["request_shares"][at])) for group in groups)
        if any(group["instances"][at] for group in groups):
            seen.ratio(f"shares of class {at}", shares, 1)
    if alike:
        _uses(seen, fleet, capacity.used(groups, week))
    budget = workload["limits"]["max_usd_per_month"]
    if budget is not None:
        seen.equal("within the budget", fleet["cost"]["total_usd_per_month"] <= budget + 0.01, own=True)


def _uses(seen, fleet, uses):
    """Each limit takes what is said."""
    is_beyond = fleet["confirmed"] is not None and fleet["confirmed"]["headroom_factor"] < 1
    for constraint in fleet["constraints"]:
        key = constraint["name"], constraint["detail"]
        if key[0] == "on_demand_base" and is_beyond:
            # No more counts than what instances carry by themselves, whatever they are planned with beside others.
            seen.equal("use of the base", constraint["used"] <= float(uses[key]) * 1.001, own=True)
        elif key in uses:
            seen.ratio(f"use of {' '.join(key)}", constraint["used"], uses[key])


def _beside(seen, document, week, groups, total):
    """Standing charges, quotas, policies and the static peak."""
    fleet, demand = document["fleet"], document["question"]["demand"]
    question = document["question"]
    own = money.standing(groups, week, sum(kinds.traffic(question)), _items(question), _peak(demand))
    printed = {(charge["provider"], charge["region"], charge["item"]): charge for charge in fleet["standing"]}
    seen.equal("standing charges", sorted(printed), sorted(own))
    for key in printed.keys() & own.keys():
        seen.ratio(f"{key}: quantity", printed[key]["quantity"], own[key][0])
        seen.usd(f"{key}", printed[key]["usd_per_month"], own[key][1])
    _lines(seen, fleet, week, groups)
    if total is not None:
        seen.usd("scheduled", fleet["scaling"]["scheduled_usd_per_month"], total, roundings=0)
    _static_peak(seen, document, week, groups)
    for need in fleet["quotas"]:
        units = 0
        for group in groups:
            market = {"spot": "spot", "managed": "", "serverless": ""}.get(group["purchase"], "on_demand")
            counted = market and facts.quota_units(group["provider"], group["instance_type"], market)
            if counted and (group["provider"], group["region"], counted[0]) == (
                need["provider"], need["region"], need["code"]
            ):  # fmt: skip
                units += max(group["instances"]) * counted[1]
        seen.ratio(f"quota {need['code']} in {need['region']}", need["needed"], units)


def _lines(seen, fleet, week, groups):
    """Lines of the cost: quantity × price each, their sum, and quantities of disks, downloads and what is beside them."""
    lines = [line for line in fleet["cost_lines"] if line["in_total"]]
    seen.usd("lines", fleet["cost"]["total_usd_per_month"], sum(Fraction(str(one["usd_per_month"])) for one in lines))
    for line in fleet["cost_lines"]:
        amount = Fraction(str(line["quantity"])) * Fraction(str(line["usd_per_unit"]))
        seen.usd(f"{line['item']} of {line['place']}", line["usd_per_month"], amount)
        if not line["price_source"]:
            seen.found.append(f"{line['item']} of {line['place']}: no source of the price")
    printed = {(line["item"], line["place"]): line["quantity"] for line in fleet["cost_lines"]}
    for group in groups:
        for item, quantity in money.quantities(group, week).items():
            if (item, group["name"]) in printed:
                seen.ratio(f"{item} of {group['name']}", printed[item, group["name"]], quantity)
    for provider, region in {(group["provider"], group["region"]) for group in groups}:
        if provider in money.CLOUDS:
            own = [group for group in groups if (group["provider"], group["region"]) == (provider, region)]
            stored = sum({(group["weights"], group["precision"]): group["checkpoint_gib"] for group in own}.values())
            seen.ratio("weights in a bucket", printed["object_storage", f"{provider}/{region}"], stored)
            seen.equal("hours of a cluster", printed["cluster", f"{provider}/{region}"], money.HOURS_A_MONTH)


def _static_peak(seen, document, week, groups):
    peak, limits = document["fleet"]["static_peak"], document["workload"]["limits"]
    same = [
        group for group in groups
        if peak and (group["instance_type"], group["region"]) == (peak["instance_type"], peak["region"])
    ]  # fmt: skip
    managed = all(group["purchase"] == "managed" for group in groups)
    if not same or any(group["purchase"] == "serverless" for group in groups):
        return
    main = max(same, key=lambda group: sum(group["instances"]) * group["planned_rate"])
    if len(document["fleet"]["places"]) == 1 and not document["fleet"]["bucket_max_input_tokens"]:
        needed = capacity.least_alone(main, week, limits)
        seen.equal("static peak", peak["instances"], needed)
    usd = facts.price({**main, "purchase": "managed" if managed else "on_demand"}) * peak["instances"] * 730
    seen.usd("static peak", peak["compute_usd_per_month"], usd)
    compute = Fraction(str(document["fleet"]["cost"]["compute_usd_per_month"]))
    printed = Fraction(str(peak["compute_usd_per_month"]))
    seen.ratio("saved of the static peak", peak["saved_ratio"], 1 - compute / printed)


def _items(question):
    """Tokens of an answer, or the items that it answers."""
    return Fraction(str(question["demand"]["output_tokens"]["mean"]))


def _peak(demand):
    """Requests per second of the busiest minute."""
    return Fraction(str(demand["requests_per_second"]["peak"]))


def _standing(seen, where, cost, charges):
    """What regions charge, of all of them."""
    usd = [usd or 0 for _, usd in charges.values()]
    seen.usd(f"{where}: standing", cost["standing_usd_per_month"], sum(usd), roundings=len(usd))


def _owned_today(document):
    """Instances of today's type and region that a commitment pays for, which it does for no spot machine."""
    current, workload = document["current"], document["question"]["workload"]
    day = dt.date.fromisoformat(workload["as_of"] or document["provenance"]["catalog_as_of"])
    last = (day + dt.timedelta(days=math.ceil(workload["horizon_days"]) - 1)).isoformat()
    place = [current[key] for key in ("provider", "region", "instance_type")]
    return sum(
        owned["count"]
        for owned in workload["commitments"]
        if current["purchase"] != "spot"
        and owned["expires"] >= last
        and [owned[key] for key in ("provider", "region", "instance_type")] == place
    )


def _against_today(seen, document):
    """Today's cost, savings and the ladder."""
    current, fleet, savings = document["current"], document["fleet"], document["savings"]
    if current is None:
        return
    own = facts.price(current)
    if own is not None:
        paid = max(current["instances"] - _owned_today(document), 0)
        seen.ratio("today: USD per hour", current["usd_per_hour"], own * paid)
        least = own * paid * 730
        seen.between("today: USD a month", current["total_usd_per_month"], least, least * 2 + 10**5)
    today = Fraction(str(current["total_usd_per_month"]))
    is_whole = today > 0 and not current.get("machines_alone")
    seen.equal("savings are told", savings is not None, is_whole and fleet is not None)
    if savings is not None:
        saved = today - Fraction(str(fleet["cost"]["total_usd_per_month"]))
        seen.usd("saved", savings["usd_per_month"], saved, roundings=0)
        seen.ratio("saved, share", savings["ratio"], saved / today)
    for rung in document["ladder"]:
        if rung["total_usd_per_month"] is None:
            continue
        seen.equal(f"rung {rung['rung']}: a saving is told", rung["saving_ratio"] is not None, is_whole)
        if rung["saving_ratio"] is not None:
            saved = 1 - Fraction(str(rung["total_usd_per_month"])) / today
            seen.ratio(f"rung {rung['rung']}: saved", rung["saving_ratio"], saved)


def _tokens(seen, document):
    """A month of the mean demand at services that sell tokens."""
    demand, table = document["question"]["demand"], facts.by_columns("token_prices", "provider", "api_model")
    hit = Fraction(str(demand["tokens"]["prefix_cache_hit_ratio"]))
    rate, sent, answered = (
        Fraction(str(demand[name]["mean"])) for name in ("requests_per_second", "input_tokens", "output_tokens")
    )
    for service in document["token_apis"]:
        row = table[service["provider"], service["api_model"]]
        full, output = facts.number(row["input_usd_per_million"]), facts.number(row["output_usd_per_million"])
        cached = facts.number(row["cached_input_usd_per_million"])
        per_input = full * (1 - hit) + (full if cached is None else cached) * hit
        usd = rate * 3600 * 730 * (sent * per_input + answered * output) / 10**6
        seen.usd(f"tokens of {service['provider']}", service["total_usd_per_month"], usd)
