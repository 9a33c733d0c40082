"""Signed requests, against a server that works the signature out for itself as AWS documents it."""

import hashlib
import hmac
import json
from urllib.parse import parse_qsl, quote

import pytest

from advisor.errors import InputError
from advisor.samples.query.prometheus.api import PrometheusApi, PrometheusEndpoint, Signer, workspace_region
from samples.query.stub import as_json, stub, success

pytest.importorskip("boto3", reason="boto3 is not installed (pip install 'inference-advisor[aws]')")

SECRET = "s3cret/+key"
REGION = "eu-central-1"


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    """As AWS's own tools read them."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_SESSION_TOKEN", "a session"),
        ("AWS_EC2_METADATA_DISABLED", "true"), ("AWS_CONFIG_FILE", "/nonexistent"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)


def signature(request, query: str, region: str = REGION) -> str:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html."""
    authorization = request.headers["authorization"]
    scheme, _, rest = authorization.partition(" ")
    assert scheme == "AWS4-HMAC-SHA256"
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    names = parts["SignedHeaders"].split(";")
    assert {"host", "x-amz-date", "x-amz-security-token"} <= set(names)
    when = request.headers["x-amz-date"]
    pairs = sorted((quote(key, safe="-_.~"), quote(value, safe="-_.~")) for key, value in parse_qsl(query))
    canonical = "\n".join((
        request.method, quote(request.path, safe="/-_.~"), "&".join(f"{key}={value}" for key, value in pairs),
        *(f"{name}:{' '.join(request.headers[name].split())}" for name in names), "",
        ";".join(names), hashlib.sha256(request.body).hexdigest(),
    ))  # fmt: skip
    scope = f"{when[:8]}/{region}/aps/aws4_request"
    assert parts["Credential"] == f"AKIDEXAMPLE/{scope}"
    text = f"AWS4-HMAC-SHA256\n{when}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{SECRET}".encode()
    for step in (when[:8], region, "aps", "aws4_request"):
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def workspace(request):
    """Lets in what is rightly signed for its region, and nothing else."""
    query = "&".join(f"{key}={quote(value)}" for key, value in request.form.items()) if request.method == "GET" else ""
    if "authorization" not in request.headers:
        return as_json({"message": "Missing Authentication Token"}, 403)
    if f"/{REGION}/aps/" not in request.headers["authorization"]:
        return as_json({"message": f"Credential should be scoped to a valid region, not 'us-west-2'. {REGION}"}, 403)
    if not request.headers["authorization"].endswith(signature(request, query)):
        return as_json({"message": "The request signature we calculated does not match"}, 403)
    if request.method == "GET":
        return as_json({"status": "success", "data": ["up", "vllm:num_requests_running"]})
    return success([{"metric": {}, "value": [1, "2"]}])


def test_every_request_is_signed_over_what_it_holds():
    """Queries with any character, and values of labels with their selector."""
    with stub(workspace) as server:
        access = PrometheusEndpoint.of(f"{server.url}/workspaces/ws-1", sigv4=(REGION, None), environment={})
        api = PrometheusApi(access)
        assert api.instant('sum(rate(x{a="ü b/+&="}[5m])) by (le)', 1_000_000)[0].value == 2
        assert len(api.label_values("__name__", 0, 1_000_000, '{namespace="chat~1", pod=~"a b|c*"}')) == 2
        assert SECRET not in repr(access)
        assert {request.path.split("/")[1] for request in server.requests} == {"workspaces"}


def test_the_environment_or_the_address_may_ask_for_it():
    """A managed workspace is known by its host; a token is not signed over."""
    workspaces = f"https://aps-workspaces.{REGION}.amazonaws.com/workspaces/ws-1"
    assert PrometheusEndpoint.of(workspaces, environment={}).signer.region == REGION
    assert (
        PrometheusEndpoint.of("http://proxy:8080", environment={"ADVISOR_PROMETHEUS_SIGV4": REGION}).signer.region
        == REGION
    )
    assert PrometheusEndpoint.of(workspaces, environment={"ADVISOR_PROMETHEUS_TOKEN": "t"}).signer is None
    assert PrometheusEndpoint.of("https://prometheus.example.com", environment={}).signer is None
    with pytest.raises(InputError, match="signed and carry a token"):
        PrometheusEndpoint.of(workspaces, sigv4=(REGION, None), environment={"ADVISOR_PROMETHEUS_TOKEN": "t"})
    with pytest.raises(InputError, match="region to sign for"):
        PrometheusEndpoint.of("http://proxy:8080", sigv4=(None, None), environment={})


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://aps-workspaces.us-gov-west-1.amazonaws.com/workspaces/a", "us-gov-west-1"),
        ("https://aps-workspaces-fips.us-east-1.amazonaws.com/workspaces/a", "us-east-1"),
        ("https://vpce-1.aps-workspaces.us-east-1.vpce.amazonaws.com/workspaces/a", "us-east-1"),
        ("https://aps-workspaces.us-east-1.amazonaws.com.evil.example", None),
        ("https://prometheus/aps-workspaces.us-east-1.amazonaws.com", None),
    ],
)
def test_workspaces_are_known_by_their_whole_host(url, region):
    """Nobody else is sent a signature unasked."""
    assert workspace_region(url) == region


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("User: arn:aws:iam::1:user/x is not authorized to perform: aps:QueryMetrics", "aps:QueryMetrics"),
        ("The security token included in the request is expired", "renew the credentials"),
        ("Credential should be scoped to a valid region", "signed for eu-central-1"),
    ],
)
def test_refusals_say_what_to_do(said, remedy):
    """In the server's own words."""
    with stub(lambda _: (403, {}, json.dumps({"message": said}).encode())) as server:
        api = PrometheusApi(PrometheusEndpoint.of(server.url, sigv4=(REGION, None), environment={}))
        with pytest.raises(InputError, match=said[:20]) as caught:
            api.instant("up", 1)
    assert remedy in caught.value.hint


def test_no_credentials_and_no_such_profile_are_said(monkeypatch):
    """Before anything is asked."""
    with pytest.raises(InputError, match="nobody") as caught:
        Signer.of("http://a", REGION, "nobody")
    assert "list-profiles" in caught.value.hint
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(InputError, match="no AWS credentials"):
        Signer.of("http://a", REGION, None)
