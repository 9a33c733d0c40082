"""Names of what runs the pods of a group, by the form of a cluster's objects; those of pods start with them.

Sources: templates of the chart ``vllm-stack`` 0.1.12, the controllers of KServe 0.20 and Dynamo 1.4, and
``GenerateName`` of Kubernetes, read in December 2026.
"""

import hashlib

from advisor.codegen.container import Form
from advisor.codegen.model import ComputeGroup, Stack

_HASH_DIGITS = 6
_LONGEST_COMPONENT = 24
"""Characters for Dynamo: with the name of the deployment and what the operator adds, within 63."""
_LONGEST_RELEASE = 47
"""Characters of a release of production-stack and its model with a hyphen: ``-engine-service`` follows."""
_LONGEST_POD_START = 58
"""Characters of a pod's name before five random ones, of 63."""


def short_name(key: str, longest: int) -> str:
    """A key, or its start and a mark where a project adds to the name and the whole may have 63 characters."""
    mark = hashlib.sha256(key.encode()).hexdigest()[:_HASH_DIGITS]
    return key if len(key) <= longest else f"{key[: longest - _HASH_DIGITS - 1].rstrip('-')}-{mark}"


def part_name(stack: Stack, group: ComputeGroup) -> str:
    """Name of a group within the objects of its form: a model of production-stack, a component of Dynamo."""
    longest = {Form.PRODUCTION_STACK: _LONGEST_RELEASE - len(stack.name), Form.DYNAMO: _LONGEST_COMPONENT}
    return short_name(group.key, longest[stack.form]) if stack.form in longest else group.key


def workload_name(stack: Stack, group: ComputeGroup) -> str:
    """The Deployment that runs the pods of a group; of Dynamo the start of its name."""
    part = part_name(stack, group)
    names = {
        Form.KSERVE: f"{part}-kserve",
        Form.PRODUCTION_STACK: f"{stack.name}-{part}-deployment-vllm",
        Form.DYNAMO: f"{stack.name}-{part}",
    }
    return names.get(stack.form, part)


def workloads_pattern(stack: Stack) -> str:
    """Regular expression of the Deployments that run the pods of all groups, and of none beside them."""
    names = sorted({workload_name(served, group) for served in stack.serving for group in served.groups})
    # Dynamo's operator may end a worker's name with a mark of its specification.
    end = "(-[0-9a-z]+)?" if stack.form is Form.DYNAMO else ""
    return f"({'|'.join(names)}){end}"


def pods_start(stack: Stack, group: ComputeGroup) -> str:
    """The start of the names of a group's pods, after which a hyphen follows.

    Kubernetes cuts what is too long for a pod's name: then it ends at the last hyphen that all pods have.
    """
    return f"{workload_name(stack, group)}-"[:_LONGEST_POD_START].rpartition("-")[0]
