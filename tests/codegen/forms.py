"""The scenarios of the other forms of ``kubernetes/``: one each."""

import dataclasses
from collections.abc import Mapping

from advisor.codegen import Form
from codegen.plans import Make, Scenario
from codegen.scenarios import SCENARIOS


def _in(scenario: str, form: Form) -> Make:
    def make() -> Scenario:
        found = SCENARIOS[scenario]()
        return dataclasses.replace(found, wanted=dataclasses.replace(found.wanted, form=form))

    return make


FORMS: Mapping[str, Make] = {
    "eks-kserve": _in("eks-scheduled", Form.KSERVE),
    "aks-production-stack": _in("aks-scheduled", Form.PRODUCTION_STACK),
    "gke-llm-d": _in("gke-scheduled", Form.LLM_D),
    "gke-inference-pool": _in("gke-scheduled", Form.INFERENCE_POOL),
    "eks-dynamo": _in("eks-l4-spot", Form.DYNAMO),
}
