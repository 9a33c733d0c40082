"""Digests of images and commits of models from a registry and hub on this machine that answer as the public ones do."""

import hashlib
import io
import json
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from advisor.cli.app import main
from advisor.codegen import Form, Language, Wanted, generate, revisions
from advisor.codegen.container import MANIFEST_FORMS
from advisor.codegen.registries import IMAGES, Reference, Registries, _headers_for, reference_of, resolve
from advisor.errors import AdvisorError, InputError
from advisor.plan.document import plan_to_json
from codegen.plans import make_fleet_plan, make_group, make_option, make_plan

INDEX = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": "sha256:" + "1" * 64,
                "size": 3046,
                "platform": {"architecture": "amd64", "os": "linux"},
            }
        ],
    }
).encode()
"""The index of an image of one platform, as registries send it."""
DIGEST = f"sha256:{hashlib.sha256(INDEX).hexdigest()}"


MODEL = "meta-llama/Llama-3.1-8B-Instruct"
COMMIT = "8afb486c1db24fe5011ec46dfbe5b5dccdb575c2"
LYING_TOKENS = ("realm", "lines", "letters", "deep")


class Handler(BaseHTTPRequestHandler):
    """A registry with ``org/open:1``, ``org/silent:1`` (no digest in the header), ``org/private``, ``org/basic`` and ``org/busy:1``."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        """As of GET, without the body."""
        self._answer(with_body=False)

    def do_GET(self):
        """The token service, or a manifest."""
        self._answer(with_body=True)

    def _answer(self, *, with_body):
        state = self.server.state
        parts = urlsplit(self.path)
        state["asked"].append((self.command, parts.path))
        if parts.path == "/token":
            asked = parse_qs(parts.query)
            state["scopes"].append((asked["service"][0], asked["scope"][0]))
            return self._send(200, {}, json.dumps({"token": asked["scope"][0], "expires_in": 300}).encode(), with_body)
        if parts.path.startswith("/api/models/"):
            commit = state["commits"].get(parts.path.removeprefix("/api/models/"))
            status, answer = (401, {"error": "Repository not found"}) if commit is None else (200, {"sha": commit})
            return self._send(status, {}, json.dumps(answer).encode(), with_body)
        _, _, organisation, name, _, tag = parts.path.split("/")
        if organisation == "lies":
            return self._lie(name, with_body)
        return self._manifest(f"{organisation}/{name}", tag, with_body)

    def _lie(self, name, with_body):
        """What no registry answers."""
        realm = "https://[bad" if name == "realm" else f"http://{self.headers['Host']}/v2/lies/{name}-token/manifests/1"
        if name in LYING_TOKENS and "Authorization" not in self.headers:
            return self._send(401, {"WWW-Authenticate": f'Bearer realm="{realm}"'}, b"", with_body)
        answers = {
            "file": (302, {"Location": "file:///etc/passwd"}, b""),
            "address": (302, {"Location": "http://[bad"}, b""),
            "circle": (302, {"Location": self.path}, b""),
            "endless": (200, {}, b"x" * (9 << 20)),
            "lines-token": (200, {}, b'{"token": "a\\r\\nX-Other: b"}'),
            "letters-token": (200, {}, '{"token": "\u4e00"}'.encode()),
            "deep-token": (200, {}, b"[" * 100_000),
        }
        return self._send(*answers[name], with_body)

    def _manifest(self, name, tag, with_body):
        state = self.server.state
        if name == "org/busy" and state["busy"]:
            state["busy"] -= 1
            return self._send(429, {"Retry-After": "7"}, b'{"errors":[{"code":"TOOMANYREQUESTS"}]}', with_body)
        if name == "org/basic":
            return self._send(401, {"WWW-Authenticate": 'Basic realm="registry"'}, b"", with_body)
        scope = f"repository:{name}:pull"
        if name == "org/private" or self.headers.get("Authorization") != f"Bearer {scope}":
            realm = f"http://{self.headers['Host']}/token"
            challenge = f'Bearer realm="{realm}",service="registry.example.com",scope="{scope}"'
            return self._send(401, {"WWW-Authenticate": challenge}, b'{"errors":[{"code":"UNAUTHORIZED"}]}', with_body)
        if tag != "1":
            return self._send(404, {}, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}', with_body)
        assert "application/vnd.oci.image.index.v1+json" in self.headers["Accept"]
        named = {} if name == "org/silent" else {"Docker-Content-Digest": DIGEST}
        return self._send(200, {"Content-Type": "application/vnd.oci.image.index.v1+json", **named}, INDEX, with_body)

    def _send(self, status, headers, body, with_body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_arguments):
        """Be quiet."""


@pytest.fixture
def registry(monkeypatch):
    """The registry: its host, and what it was asked."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.state = {"asked": [], "scopes": [], "busy": 0, "commits": {}}
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.host = f"127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("HF_ENDPOINT", f"http://{server.host}")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_digest_is_asked_with_a_token_for_anybody(registry):
    """Challenge, token of that very scope, and the digest of the index, without its content."""
    image = f"{registry.host}/org/open:1"
    assert resolve([image]) == {image: DIGEST}
    assert registry.state["scopes"] == [("registry.example.com", "repository:org/open:pull")]
    assert [method for method, path in registry.state["asked"] if path.startswith("/v2/")] == ["HEAD", "HEAD"]


def test_digest_that_is_not_named_is_computed(registry):
    """A digest is the hash of the manifest's bytes."""
    image = f"{registry.host}/org/silent:1"
    assert resolve([image]) == {image: DIGEST}


def test_a_busy_registry_is_waited_for(registry):
    """As long as it says, and then asked again."""
    registry.state["busy"] = 2
    waits = []
    image = f"{registry.host}/org/busy:1"
    assert Registries(sleep=waits.append).digest(image) == DIGEST
    assert waits == [7.0, 7.0]


def test_a_registry_that_stays_busy_is_given_up(registry):
    """The message says what it answered, for which image, and what else would do."""
    registry.state["busy"] = 99
    with pytest.raises(AdvisorError, match="answered 429") as gave_up:
        Registries(tries=3, sleep=lambda _seconds: None).digest(f"{registry.host}/org/busy:1")
    assert gave_up.value.where == f"{registry.host}/org/busy:1"
    assert "@sha256:" in gave_up.value.hint


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("org/open:2", "no org/open with the tag 2"),
        ("org/private:1", "without a login"),
        ("org/basic:1", "without a login"),
    ],
)
def test_what_has_no_public_digest_is_said(registry, name, reason):
    """A tag that is not there and an image that needs a password: where, what and what to do."""
    with pytest.raises(InputError, match=reason) as refused:
        resolve([f"{registry.host}/{name}"])
    assert refused.value.where == f"{registry.host}/{name}"
    assert "--image" in refused.value.hint


@pytest.mark.parametrize("name", ["file", "address", "circle", "endless", *LYING_TOKENS])
def test_a_registry_that_lies_is_an_error(registry, name):
    """No traceback, no file of this machine, no memory without end."""
    with pytest.raises(AdvisorError) as caught:
        Registries(tries=2, sleep=lambda _seconds: None).digest(f"{registry.host}/lies/{name}:1")
    assert registry.host in caught.value.where


@pytest.mark.parametrize("address", ["http://b.example.com/", "http://127.0.0.1:1/", "file:///etc/passwd"])
def test_no_step_leaves_tls(address):
    """A redirect from HTTPS to anything else is no answer, whatever it holds."""

    class Pool:
        def request(self, *_arguments, **_more):
            return urllib3.HTTPResponse(
                io.BytesIO(b""), status=302, headers={"Location": address}, preload_content=False
            )

    class Downgraded(Registries):
        def _pool(self, _address):
            return Pool()

    with pytest.raises(AdvisorError, match="without TLS"):
        Downgraded(tries=1).digest("registry.example.com/org/open:1")


@pytest.mark.parametrize(("place", "count"), [("https://a.example.com/x", 1), ("https://b.example.com/", 0)])
def test_a_token_stays_with_its_registry(place, count):
    """Behind a redirect to another host nothing is logged in."""
    headers = _headers_for(place, "https://a.example.com/", {"Authorization": "Bearer x"})
    assert len(headers) == count


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("127.0.0.1:9", "127.0.0.1 cannot be reached: Connection refused"),
        ("no.invalid", "no.invalid cannot be reached: "),
    ],
)
def test_without_a_network_it_is_said_at_once(host, reason, monkeypatch):
    """Registry, cause and remedy, in words of the product's own, and no wait for what does not come."""
    monkeypatch.setenv("no_proxy", "*")
    waits = []
    with pytest.raises(AdvisorError) as caught:
        Registries(sleep=waits.append).digest(f"{host}/org/open:1")
    assert caught.value.message.startswith(reason)
    assert not {"HTTP", "Errno", "pool"} & set(caught.value.message.replace("(", " ").split())
    assert "proxy" in caught.value.hint
    assert "leave out --resolve-digests" in caught.value.hint
    assert (waits, caught.value.exit_code) == ([], 1)


def test_an_address_that_swallows_everything_is_given_up_soon():
    """A firewall that drops packets costs no more than the time of a connection."""
    blocked = socket.socket()
    blocked.bind(("127.0.0.1", 0))
    blocked.listen(0)
    port = blocked.getsockname()[1]
    waiting = [socket.socket() for _ in range(3)]
    for one in waiting:
        one.settimeout(0)
        one.connect_ex(("127.0.0.1", port))
    start = time.monotonic()
    with pytest.raises(AdvisorError, match="cannot be reached: no answer in time"):
        Registries(timeout_seconds=0.2).digest(f"127.0.0.1:{port}/org/open:1")
    assert time.monotonic() - start < 5
    for one in (*waiting, blocked):
        one.close()


def test_the_proxy_of_the_environment_is_asked(registry, monkeypatch):
    """Another host than this machine is reached through it."""
    monkeypatch.setenv("http_proxy", f"http://{registry.host}")
    monkeypatch.setenv("no_proxy", "")
    Registries()._pool("http://127.0.0.9/")
    answer = (
        Registries()
        ._pool("http://elsewhere.invalid/")
        .request("GET", "http://elsewhere.invalid/token?service=a&scope=b")
    )
    assert answer.status == 200


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ("vllm/vllm-openai:v0.30.0", Reference("registry-1.docker.io", "vllm/vllm-openai", "v0.30.0")),
        ("docker.io/vllm/vllm-tpu:v1", Reference("registry-1.docker.io", "vllm/vllm-tpu", "v1")),
        ("busybox", Reference("registry-1.docker.io", "library/busybox", "latest")),
        ("nvcr.io/nvidia/x/y:1.2", Reference("nvcr.io", "nvidia/x/y", "1.2")),
        ("localhost:5000/a/b:c", Reference("localhost:5000", "a/b", "c")),
    ],
)
def test_references_are_read_as_docker_reads_them(image, reference):
    """Docker Hub is what names no host; plain HTTP is for this machine only."""
    assert reference_of(image) == reference
    assert reference.origin.startswith("http://") == (reference.registry == "localhost:5000")


@given(
    st.from_regex(r"[a-z0-9]{1,9}(/[a-z0-9-]{1,9}){1,3}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9_.-]{1,9}", fullmatch=True),
)
def test_name_and_tag_come_back(name, tag):
    """Whatever stands before the colon is the name."""
    reference = reference_of(f"registry.example.com/{name}:{tag}")
    assert (reference.name, reference.tag) == (name, tag)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs ``advisor generate terraform`` into a folder: exit code and output."""
    (tmp_path / "plan.json").write_text(plan_to_json(make_plan(make_option())))

    def command(*more):
        into = tmp_path / "code"
        monkeypatch.setattr(
            "sys.argv", ["advisor", "generate", "terraform", str(tmp_path / "plan.json"), "--into", str(into), *more]
        )
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code or 0, "".join(capsys.readouterr()), into

    return command


def test_digests_are_written_and_kept(registry, run):
    """Resolved once, kept without the option, gone with another tag."""
    image = f"{registry.host}/org/open:1"
    code, said, into = run("--image", image, "--resolve-digests")
    assert code == 0, said
    assert f"{image}@{DIGEST}" in (into / "fleet.tf").read_text()
    assert json.loads((into / IMAGES.name).read_text()) == {image: DIGEST}
    asked = len(registry.state["asked"])
    code, said, _ = run("--image", image)
    assert (code, len(registry.state["asked"])) == (0, asked)
    assert f"{image}@{DIGEST}" in (into / "fleet.tf").read_text()
    assert "unchanged" in said or "nothing" in said.lower()
    code, _, _ = run("--image", f"{registry.host}/org/open:2")
    assert code == 0
    assert DIGEST not in (into / "fleet.tf").read_text()
    assert not (into / IMAGES.name).exists()


def test_commits_are_written_and_kept(registry, run):
    """The hub's commit becomes the default of the revision, outlives runs without the option, and is asked for again."""
    image = f"{registry.host}/org/open:1"
    code, said, into = run("--image", image, "--resolve-digests")
    assert code == 0, said
    assert "no commit is known" in said
    assert not (into / revisions.MODELS.name).exists()
    registry.state["commits"][MODEL] = COMMIT
    assert run("--image", image, "--resolve-digests")[0] == 0
    assert json.loads((into / revisions.MODELS.name).read_text()) == {MODEL: COMMIT}
    assert re.search(rf'commit += "{COMMIT}"', (into / "fleet.tf").read_text())
    asked = len(registry.state["asked"])
    assert run("--image", image)[0] == 0
    assert len(registry.state["asked"]) == asked
    assert COMMIT in (into / "fleet.tf").read_text()
    registry.state["commits"][MODEL] = COMMIT[::-1]
    assert run("--image", image, "--resolve-digests")[0] == 0
    assert COMMIT[::-1] in (into / "fleet.tf").read_text()


@pytest.mark.parametrize("answer", ["main", None, 7, {"sha": COMMIT}, COMMIT + "0"])
def test_what_is_no_commit_is_not_taken(registry, answer):
    """A hub that answers anything else changes no code: the model stays as it was, with a warning."""
    registry.state["commits"][MODEL] = answer
    commits, (warning,) = revisions.resolve([MODEL])
    assert commits == {}
    assert warning.startswith(f"{MODEL}: no commit is known")
    assert "model_revisions" in warning


def test_a_hub_out_of_reach_leaves_the_digests(monkeypatch):
    """Where only the registries can be reached, as with weights from a bucket, images are pinned all the same."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    commits, (warning,) = revisions.resolve([MODEL])
    assert commits == {}
    assert "127.0.0.1 cannot be reached: Connection refused" in warning


def test_a_damaged_list_of_commits_is_named(registry, run):
    """Commits that are none are no reason to go on without them."""
    registry.state["commits"][MODEL] = COMMIT
    image = f"{registry.host}/org/open:1"
    _, _, into = run("--image", image, "--resolve-digests")
    (into / revisions.MODELS.name).write_text(f'{{"{MODEL}": "main"}}')
    code, said, _ = run("--image", image)
    assert code == 1
    assert str(into / revisions.MODELS.name) in said


def test_nothing_is_half_written(registry, run):
    """Where one digest is missing, no file is touched."""
    code, said, into = run("--image", f"{registry.host}/org/open:2", "--resolve-digests")
    assert code == 1
    assert f"{registry.host}/org/open:2: " in said
    assert not into.exists()


def test_a_damaged_file_is_named(registry, run):
    """Digests that are none are no reason to go on without them."""
    image = f"{registry.host}/org/open:1"
    _, _, into = run("--image", image, "--resolve-digests")
    (into / IMAGES.name).write_text('{"vllm/vllm-openai:v1": "latest"}')
    code, said, _ = run("--image", image)
    assert code == 1
    assert str(into / IMAGES.name) in said
    assert "--resolve-digests" in said


def test_a_file_of_the_user_s_own_is_left_alone(registry, run, tmp_path):
    """It is not read, and not written over."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / IMAGES.name).write_text("[1]")
    code, said, into = run()
    assert code == 0, said
    code, said, _ = run("--image", f"{registry.host}/org/open:1", "--resolve-digests")
    assert code == 1
    assert IMAGES.name in said
    assert (into / IMAGES.name).read_text() == "[1]"


def test_every_form_and_language_takes_the_digest():
    """Pods, values of charts, programs and hosts name the same digest; services that take one of tag and digest name that."""
    plan = make_fleet_plan(make_group())
    (image,) = generate(plan).images
    digests = {image: DIGEST}
    for wanted, language, path in (
        (Wanted(digests=digests), Language.PYTHON, "inference/fleet.py"),
        (
            Wanted(target="eks", digests=digests),
            Language.TERRAFORM,
            "kubernetes/us-east-1/us-east-1-1xl4-bf16-tp1-vllm.yaml",
        ),
    ):
        files = generate(plan, language, wanted).files
        assert f"{image}@{DIGEST}" in files[path]
        assert json.loads(files[IMAGES.name]) == digests
    run = make_option(provider="gcp", region="us-central1", instance_type="g2-standard-4", usd_per_hour=0.7)
    files = generate(make_plan(run), wanted=Wanted(target="cloud-run", rank=1, digests=digests)).files
    assert f"{image.partition(':')[0]}@{DIGEST}" in files["fleet.tf"]


@pytest.mark.parametrize("form", Form)
def test_every_form_takes_the_commit(form):
    """Pods, the copy to a bucket, charts and resources of other projects load the planned model at its commit."""
    plan = make_fleet_plan(make_group())
    models = generate(plan).models
    wanted = Wanted(target="eks", form=form, commits=dict.fromkeys(models, COMMIT))
    files = generate(plan, wanted=wanted).files
    assert models == (MODEL,)
    assert json.loads(files[revisions.MODELS.name]) == wanted.commits
    named = [path for path, text in files.items() if COMMIT in text and path != revisions.MODELS.name]
    assert named
    if form in MANIFEST_FORMS:
        assert "kubernetes/weights/copy/jobs.yaml" in named
        assert "kubernetes/us-east-1/kustomization.yaml" in named


def test_readme_copies_the_commit():
    """What hosts read from a bucket is of the same commit."""
    plan = make_fleet_plan(make_group())
    readme = generate(plan, wanted=Wanted(commits={MODEL: COMMIT})).files["README.md"]
    assert f'hf download "$MODEL" --revision {COMMIT} --exclude' in readme


def test_no_file_is_no_digest(tmp_path):
    """A first run keeps nothing."""
    assert IMAGES.kept_in(tmp_path) == {}
