"""The fleet of a plan as a component of Pulumi programs in Python.

::

    plan.json ─▶ codegen.generate ─▶ the program's source ─▶ program.load ─▶ its Deployment, a child of InferenceFleet

The resources are those of ``advisor generate pulumi --standalone``: they are written once, in the templates.
"""

try:
    import pulumi  # noqa: F401
except ImportError:
    raise ImportError("Pulumi's SDK is not installed: pip install 'inference-advisor[pulumi]'") from None

from advisor.pulumi.fleet import InferenceFleet

__all__ = ["InferenceFleet"]
