"""The weights of a route on a cluster: a backend without ready pods gets nothing, whatever takes its pods away."""

import calendar
import json
import runpy
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import certifi
import pytest
import yaml

from advisor.codegen import Language, Wanted, generate
from advisor.codegen.container import Form
from advisor.codegen.kubernetes_scaling import resting_minutes
from advisor.plan.fleet.chosen import Policy
from codegen.plans import make_fleet_plan, make_group
from codegen.test_turns import stack_of

SMALL, LARGE = "us-east-1-1xl4-bf16-tp1-vllm", "us-east-1-1xl40s-bf16-tp1-vllm"
MONDAY = calendar.timegm((2026, 11, 30, 0, 0, 0))
DEPLOYMENTS = "/apis/apps/v1/namespaces/support-chat/deployments"
SERVICE = "LLMInferenceService"
SERVICES = "/apis/serving.kserve.io/v1alpha2/namespaces/support-chat/llminferenceservices/"
ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/support-chat/httproutes/inference"


def plan_of(**large):
    """Small machines at all hours, and a large one beside them in the busy ones."""
    return make_fleet_plan(
        make_group(instances=(2, 2), request_shares=(1.0, 0.4)),
        make_group(
            **{"instance_type": "g6e.xlarge", "accelerator": "L40S", "instances": (0, 1), "request_shares": (0.0, 0.6)}
            | large
        ),
        policy=Policy.SCHEDULED,
    )


def files_of(plan=None, target="eks", **changes):
    """Code of a plan, whose large machine rests in quiet hours unless another one is given."""
    return generate(plan or plan_of(), Language.TERRAFORM, Wanted(target=target, **changes)).files


def objects_of(files, region="us-east-1", file="route.yaml"):
    """(kind, name) → object, of the route's file."""
    documents = yaml.safe_load_all(files[f"kubernetes/{region}/{file}"])
    return {(one["kind"], one["metadata"]["name"]): one for one in documents}


class Cluster:
    """A double of the API server: pods that are ready, and what has weights as it stands."""

    def __init__(self, objects):
        """Hold the objects that were applied."""
        weighted = {name: one for name, one in objects.items() if name[0] in ("HTTPRoute", SERVICE)}
        self.objects = {SERVICES + name if kind == SERVICE else ROUTE: one for (kind, name), one in weighted.items()}
        self.planned = json.loads(objects["ConfigMap", "route-weights"]["data"]["backends.json"])
        self.ready = {}
        self.asked = []

    def answer(self, method, path, body):
        """What the API server answers, with its status."""
        self.asked.append((method, path))
        if (method, path) == ("GET", DEPLOYMENTS):
            return 200, {"items": list(self._deployments())}
        if method == "GET":
            return 200, self.objects[path]
        assert method == "PATCH"
        return self._patched(self.objects[path], body)

    def _deployments(self):
        """A status without a ready pod lacks their number."""
        for name, backend in self.planned.items():
            for key in backend["deployments"]:
                pods = self.ready.get(name, 0)
                yield {"metadata": {"name": key}, "status": {"readyReplicas": pods} if pods else {"replicas": 1}}

    @staticmethod
    def _patched(written, patch):
        for change in patch:
            *way, last = [int(part) if part.isdigit() else part for part in change["path"].split("/")[1:]]
            place = written
            for part in way:
                place = place[part]
            if change["op"] == "test" and place[last] != change["value"]:
                return 422, {"message": "the test failed"}
            place[last] = change["value"]
        return 200, written

    @property
    def weights(self):
        """Name of each backend → its weight in the route."""
        if ROUTE in self.objects:
            return {one["name"]: one["weight"] for one in self.objects[ROUTE]["spec"]["rules"][0]["backendRefs"]}
        return {one["metadata"]["name"]: one["spec"]["router"]["route"]["weight"] for one in self.objects.values()}


@pytest.fixture
def cluster(tmp_path):
    """Start the program of some files against a cluster: returns both, the program as a mapping of its names."""
    servers = []

    def start(files, file="route.yaml"):
        objects = objects_of(files, file=file)
        double = Cluster(objects)

        class Handler(BaseHTTPRequestHandler):
            def _answer(self):
                assert self.headers["Authorization"] == "Bearer token-of-the-pod"
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, answer = double.answer(self.command, self.path, json.loads(body) if body else None)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            do_GET = do_PATCH = _answer  # noqa: N815 - names of the server's

            def log_message(self, *_):
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        account, (plan, program) = tmp_path / "account", (tmp_path / name for name in ("backends.json", "program.py"))
        account.mkdir()
        for name, text in (("token", "token-of-the-pod"), ("namespace", "support-chat")):
            (account / name).write_text(text)
        (account / "ca.crt").symlink_to(certifi.where())
        data = objects["ConfigMap", "route-weights"]["data"]
        plan.write_text(data["backends.json"])
        text = data["route_weights.py"]
        for before, after in (
            ("https://kubernetes.default.svc", f"http://127.0.0.1:{server.server_port}"),
            ("/var/run/secrets/kubernetes.io/serviceaccount", str(account)),
            ("/plan/backends.json", str(plan)),
        ):
            assert text.count(before) == 1
            text = text.replace(before, after)
        program.write_text(text)
        return double, runpy.run_path(str(program))

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def at(hour, minute=0, day=1):
    """Seconds since 1970 of a time in the week, whose first day is a Monday."""
    return MONDAY + ((day * 24 + hour) * 60 + minute) * 60


def test_a_backend_without_ready_pods_has_no_weight(cluster):
    """None that loads, fails or is gone gets requests; with a ready pod it has its planned weight again."""
    double, program = cluster(files_of())
    planned = double.weights
    assert set(planned) == {SMALL, LARGE}
    for _ in range(2):
        double.ready = {SMALL: 2, LARGE: 0}
        program["look"]("support-chat", at(12))
        assert double.weights == {SMALL: planned[SMALL], LARGE: 0}
        double.ready[LARGE] = 1
        program["look"]("support-chat", at(12))
        assert double.weights == planned
    double.ready = {SMALL: 0, LARGE: 1}
    program["look"]("support-chat", at(12))
    assert double.weights == {SMALL: 0, LARGE: planned[LARGE]}


def test_weights_go_a_minute_before_the_pods_do(cluster):
    """The pods of the busy hours go at 19:00: at 18:59 they are there, and get nothing; at 07:00 they serve again."""
    double, program = cluster(files_of())
    planned = double.weights
    double.ready = {SMALL: 2, LARGE: 1}
    for hour, minute, weight in ((18, 58, planned[LARGE]), (18, 59, 0), (23, 0, 0), (6, 0, 0), (7, 0, planned[LARGE])):
        program["look"]("support-chat", at(hour, minute))
        assert double.weights == {SMALL: planned[SMALL], LARGE: weight}, (hour, minute)


def test_whoever_answers_takes_all_where_none_that_should_does(cluster):
    """A backend at rest whose pods are still there; without any ready pod the plan's weights stay."""
    double, program = cluster(files_of())
    planned = double.weights
    double.ready = {SMALL: 0, LARGE: 1}
    program["look"]("support-chat", at(23))
    assert double.weights == {SMALL: 0, LARGE: planned[LARGE]}
    double.ready = {SMALL: 0, LARGE: 0}
    program["look"]("support-chat", at(23))
    assert double.weights == planned


def test_nothing_is_asked_for_where_nothing_changes(cluster):
    """A look is two questions; a route that changed between them is left to the next look."""
    double, program = cluster(files_of())
    double.ready = {SMALL: 1, LARGE: 1}
    program["look"]("support-chat", at(12))
    assert double.asked == [("GET", DEPLOYMENTS), ("GET", ROUTE)]
    patch = list(program["changes"](double.objects[ROUTE], {SMALL: 1, LARGE: 2}))
    double.objects[ROUTE]["spec"]["rules"][0]["backendRefs"].reverse()
    with pytest.raises(OSError, match="422"):
        program["ask"](ROUTE, patch)


def test_the_account_may_change_the_route_and_nothing_else():
    """Deployments are listed; no secret, no pod and no other route can be read."""
    objects = objects_of(files_of())
    rules = objects["Role", "route-weights"]["rules"]
    assert [(rule["resources"], rule["verbs"]) for rule in rules] == [
        (["deployments"], ["list"]),
        (["httproutes"], ["get", "patch"]),
    ]
    assert rules[1]["resourceNames"] == ["inference"]
    pod = objects["Deployment", "route-weights"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "route-weights"
    assert "nvidia.com/gpu" not in json.dumps(pod)


@pytest.mark.parametrize("form", [Form.MANIFESTS, Form.INFERENCE_POOL, Form.LLM_D])
@pytest.mark.parametrize("target", ["eks", "eks-karpenter"])
def test_every_route_over_several_backends_is_looked_after(target, form):
    """Each backend of the route has its weight and the hours in which it rests."""
    objects = objects_of(files_of(target=target, form=form))
    references = objects["HTTPRoute", "inference"]["spec"]["rules"][0]["backendRefs"]
    planned = json.loads(objects["ConfigMap", "route-weights"]["data"]["backends.json"])
    assert {one["name"]: one["weight"] for one in references} == {
        name: backend["weight"] for name, backend in planned.items()
    }
    assert planned[SMALL]["rests"] == []
    assert [0, 6 * 60 + 48] in planned[LARGE]["rests"]


def test_a_route_to_one_service_needs_none():
    """A Service over all pods knows ready ones only, as one of a single backend does."""
    alike = make_fleet_plan(
        make_group(instances=(2, 2), request_shares=(0.67, 0.67)),
        make_group(instance_type="g6e.xlarge", accelerator="L40S", instances=(1, 1), request_shares=(0.33, 0.33)),
    )
    for plan in (alike, make_fleet_plan(make_group())):
        assert {kind for kind, _ in objects_of(files_of(plan))} == {"HTTPRoute"}


def test_services_of_kserve_are_looked_after_too(cluster):
    """Groups of a backend have weights of their own there: one that rests has none, as one that fails."""
    file = "llm-inference-services.yaml"
    double, program = cluster(files_of(form=Form.KSERVE), file)
    planned = double.weights
    small, large = sorted(planned, key=lambda name: "g6e" in name)
    assert {name.endswith("-kserve") for one in double.planned.values() for name in one["deployments"]} == {True}
    for ready, hour, weights in (
        ({small: 2, large: 1}, 12, planned),
        ({small: 2, large: 0}, 12, planned | {large: 0}),
        ({small: 0, large: 1}, 12, planned | {small: 0}),
        ({small: 2, large: 1}, 23, planned | {large: 0}),
    ):
        double.ready = ready
        program["look"]("support-chat", at(hour))
        assert double.weights == weights
    alone = files_of(make_fleet_plan(make_group()), form=Form.KSERVE)
    assert "Deployment" not in {kind for kind, _ in objects_of(alone, file=file)}


def test_certificates_of_eks_are_trusted(cluster, monkeypatch):
    """Its authorities lack key identifiers, which Python asks for from 3.13 on; names and chains are checked as ever."""
    _, program = cluster(files_of())
    default = ssl.create_default_context

    def strict(**given):
        context = default(**given)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    context = program["trusted"]()
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("form", [Form.INFERENCE_POOL, Form.LLM_D])
def test_what_removes_leftovers_keeps_it(form):
    """The kustomization of pools does not name it, and all Deployments that it does not name would be removed."""
    files = files_of(form=form)
    pruning = [
        line for line in files["kubernetes/README.md"].splitlines() if "--prune-allowlist apps/v1/Deployment" in line
    ]
    (selector,) = {line.partition("--selector ")[2].partition(" ")[0] for line in pruning}
    assert selector == "app.kubernetes.io/part-of=support-chat,app.kubernetes.io/component!=route-weights"
    labels = objects_of(files)["Deployment", "route-weights"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == "route-weights"


def test_a_program_whose_looks_fail_is_not_ready_and_rings():
    """The probe asks for a look within a minute; the alert is there where the program is, and the README names it."""
    files = files_of()
    (container,) = objects_of(files)["Deployment", "route-weights"]["spec"]["template"]["spec"]["containers"]
    assert "/state/looked" in " ".join(container["readinessProbe"]["exec"]["command"])
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/plan", "/state"}
    rule = yaml.safe_load(files["kubernetes/us-east-1/prometheus-rule.yaml"])
    alerts = {alert["alert"]: alert for alert in rule["spec"]["groups"][0]["rules"]}
    alert = alerts["InferenceRouteWeights"]
    assert (alert["for"], 'deployment="route-weights"' in alert["expr"]) == ("300s", True)
    assert "InferenceRouteWeights" in files["kubernetes/README.md"].replace("\\", "")
    assert "InferenceRouteWeights" not in "".join(files_of(make_fleet_plan(make_group())).values())


def test_a_look_that_succeeds_is_written_down(cluster, tmp_path, monkeypatch):
    """The file that the probe asks for is new after each look, and not after one that fails."""
    double, program = cluster(files_of())
    (tmp_path / "state").mkdir()

    class EndError(Exception):
        """The end of the loop."""

    def stop(_seconds):
        raise EndError

    program["main"].__globals__["LOOKED"] = tmp_path / "state/looked"
    monkeypatch.setattr(program["time"], "sleep", stop)
    double.ready = {SMALL: 1}
    with pytest.raises(EndError):
        program["main"]()
    assert (tmp_path / "state/looked").exists()
    (tmp_path / "state/looked").unlink()
    monkeypatch.setattr(double, "answer", lambda *_: (503, {}))
    with pytest.raises(EndError):
        program["main"]()
    assert not (tmp_path / "state/looked").exists()


def test_what_a_plan_no_longer_needs_is_removed_by_a_command_of_the_readme():
    """Where the program is, the command is not: it would take away what serves."""
    command = "roles,rolebindings route-weights # in us-east-1"
    assert command not in files_of()["kubernetes/README.md"]
    assert command in files_of(make_fleet_plan(make_group()))["kubernetes/README.md"]


def test_another_plan_starts_the_program_anew():
    """A pod that stays has what is mounted up to two minutes late, and knows nothing of a backend that was added."""
    plans = (plan_of(), plan_of(), plan_of(request_shares=(0.0, 0.5)), plan_of(instances=(1, 2)))
    pods = [objects_of(files_of(plan))["Deployment", "route-weights"]["spec"]["template"]["metadata"] for plan in plans]
    marks = [pod["annotations"]["inference/plan"] for pod in pods]
    assert marks[0] == marks[1]
    assert len(set(marks)) == 3


def test_rests_are_the_minutes_without_instances():
    """Over the end of the week they are two spans; what never changes has none."""
    night, day = stack_of(*plan_of().fleet.groups).groups
    by_key = {len(resting_minutes([group])): resting_minutes([group]) for group in (night, day)}
    assert by_key.pop(0) == ()
    (spans,) = by_key.values()
    assert spans[0][0] == 0
    assert spans[-1][1] == 7 * 24 * 60
    assert all(start < end for start, end in spans)
    assert resting_minutes([night, day]) == []
