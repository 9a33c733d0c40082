"""Load balancing that plans of whole answers rest on, and what stands in front of the replicas instead.

What each rule costs in requests within the target: the table of docs/kinds.md.
"""

from dataclasses import replace

from advisor.codegen.model import Stack

_RESTS_ON = "The plan rests on one entrance that sends requests to the replicas in turn, or to the least loaded of all"
_NODES = (
    "A load balancer of AWS has a node in each zone, and each counts by itself: fewer requests are within the target."
)
_SERVICES = (
    "A Service of Kubernetes chooses at random, by which more requests wait: set the Gateway to round robin or "
    "least requests of all replicas."
)


def with_balancing(stack: Stack, *, is_cluster: bool) -> Stack:
    """The stack that says what its plan rests on, where what stands in front of several replicas falls short of it."""
    replicas = sum(group.instances * group.replicas_per_instance for group in stack.groups)
    in_front = _SERVICES if is_cluster else _NODES if stack.target == "ec2" else ""
    if not stack.unit.is_one_pass or replicas == 1 or not in_front:
        return stack
    cautions = (*stack.summary.cautions, f"{_RESTS_ON}. {in_front}")
    return replace(stack, summary=replace(stack.summary, cautions=cautions))
