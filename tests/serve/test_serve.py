"""The served page: the planner's numbers, for whom they are meant, whatever is sent."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from advisor.catalog import load_catalog
from advisor.codegen import generate, write_files
from advisor.performance.model import shipped_model
from advisor.pipeline import plan_question, recommend
from advisor.plan.document import plan_from_json, plan_to_json
from advisor.plan.explain.whatif import what_if
from advisor.plan.request import read_question
from advisor.serve.guard import ASKING_SECONDS, MOST_CONNECTIONS
from advisor.serve.sessions import digest
from serve.served import ROOT, SMALL, secret, serving

TOKEN = "0123456789abcdef0123"
EVIL = "http://evil.example"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the small workload."""
    directory = tmp_path_factory.mktemp("served")
    (directory / "small.yaml").write_text(SMALL)
    return directory


@pytest.fixture(scope="module")
def server(folder):
    """A server of the small workload."""
    with serving(folder / "small.yaml", "--no-ahead") as served:
        yield served


CHANGES = {
    "demand": "+50%", "slo__tpot_p95": "60ms", "purchase": ["on_demand", "spot"], "regions": ["us-east-1", "us-west-2"],
}  # fmt: skip


@pytest.fixture(scope="module")
def guarded(folder):
    """A server that others reach, and that plans ahead."""
    (folder / "token").write_text(f"{TOKEN}\n")
    (folder / "token").chmod(0o600)
    with serving(folder / "small.yaml", "--token-file", folder / "token", "--host", "0.0.0.0", lines=2) as served:
        yield served


def test_a_changed_plan_is_that_of_the_changed_workload_file(server, tmp_path):
    """To the last byte, whatever is changed; the file that is handed out needs nothing but the planner."""
    changed = server.change(server.path, **CHANGES)
    assert changed.status == 303
    place = changed.headers["Location"]
    file = tmp_path / "small.yaml"
    file.write_text(server.ask(f"{place}workload.yaml").text)

    served = server.ask(f"{place}plan.json").text

    with threadpool_limits(1):
        assert served == plan_to_json(recommend(file))
    plan = plan_from_json(served)
    assert read_question(plan.question).demand.requests_per_second.mean == 1.5
    assert read_question(plan.question).workload.regions == ("us-east-1", "us-west-2")
    shown = server.ask(place).text
    assert f"{plan.fleet.cost.total_usd_per_month:,.2f}" in shown
    assert 'download="small.yaml"' in shown
    assert "Planned with demand=1.5x, slo.tpot_p95=60ms, purchase=on_demand+spot, regions=us-east-1+us-west-2." in shown


def test_a_plan_is_changed_as_explain_changes_it(server):
    """A page that begins with a plan shows that plan, and changes it to the one that --what-if finds."""
    text = server.ask(f"{server.change(server.path).headers['Location']}plan.json").text
    path = server.paste(text)
    unchanged = server.change(path).headers["Location"]
    assert server.ask(f"{unchanged}plan.json").text == text
    assert server.ask(f"{unchanged}workload.yaml").status == 404
    edited = server.ask(server.paste(text.replace('"name": "small"', '"name": "smaller"')))
    assert (edited.status, "the plan was edited after it was made" in edited.text) == (422, True)

    place = server.change(path, demand="2x", slo__ttft_p95="800ms").headers["Location"]

    question = read_question(json.loads(text)["question"])
    changed, catalog, _ = what_if(question, load_catalog(), "demand=2x,slo.ttft_p95=800ms")
    with threadpool_limits(1):
        expected = plan_question(changed, catalog, model=shipped_model())
    assert server.ask(f"{place}plan.json").text == plan_to_json(expected)


def test_terraform_is_that_of_generate_and_the_same_each_time(server, tmp_path):
    """Every file of an empty directory, with the same bytes in the same order."""
    place = server.change(server.path).headers["Location"]
    plan = plan_from_json(server.ask(f"{place}plan.json").text)
    write_files(generate(plan, catalog=load_catalog()), tmp_path)
    expected = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    archives = [server.ask(f"{place}terraform.zip").body for _ in range(2)]

    assert archives[0] == archives[1]
    with zipfile.ZipFile(io.BytesIO(archives[0])) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == expected
        assert archive.namelist() == sorted(expected)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1:1",
        "127.0.0.1",
        "",
        "[::1",
        "a@127.0.0.1:{port}",
        "10.0.0.1:{port}",
    ],
)
def test_another_name_is_refused(server, host):
    """A site whose name was made to lead here reads and changes nothing."""
    for fields in (None, {"workload": SMALL}):
        answer = server.ask(server.path, fields, Host=host.format(port=server.port))

        assert answer.status in (400, 421)
        assert b"small" not in answer.body


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_every_name_of_this_machine_is_taken(server, host):
    """With the port."""
    assert server.ask("/", Host=f"{host}:{server.port}").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": EVIL}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"}, {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"}, {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"},
    ],
)  # fmt: skip
def test_another_site_changes_nothing(server, headers):
    """Not even with the secret of the page."""
    fields = {"secret": secret(server.ask(server.path)), "demand": "1x"}

    assert server.ask(server.path, fields, **headers).status == 403
    assert (
        server.ask(server.path, fields, Origin=f"http://127.0.0.1:{server.port}", Sec_Fetch_Site="same-origin").status
        == 303
    )


@pytest.mark.parametrize("sent", [{}, {"secret": ""}, {"secret": "guessed"}, {"secret": "é"}])
def test_a_form_without_the_secret_of_its_page_is_refused(server, sent):
    """That of another page is none."""
    other = secret(server.ask("/"))

    for path in ("/", server.path):
        for fields in (
            sent | {"workload": SMALL},
            {"secret": other if path != "/" else secret(server.ask(server.path))},
        ):
            answer = server.ask(path, fields)
            assert answer.status == 403
            assert "hint: load the page again" in answer.text


def test_another_site_embeds_and_reads_nothing(server):
    """No frame, no image, no fetch; a link that a person follows opens the page."""
    assert (
        server.ask(server.path, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors", Sec_Fetch_Dest="image").status
        == 403
    )
    answer = server.ask(server.path, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document")

    assert answer.status == 200
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    assert (answer.headers["Referrer-Policy"], answer.headers["Cache-Control"]) == ("same-origin", "no-store")
    policy = next(one.attributes["content"] for one in answer.page.all("meta") if one.attributes.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "connect-src 'self'; form-action 'self'" in policy
    assert "server" not in answer.headers


def test_nothing_of_one_workload_is_seen_from_another(server):
    """Each has an address of its own that nobody can guess; neither leads to plans of the other."""
    name = "secret-of-anna</script><img src=x onerror=alert(1)>"
    path = server.paste(SMALL.replace("name: small", f"name: '{name}'"))
    assert len(path) > 30
    assert path != server.path
    changed = server.change(server.path, **CHANGES).headers["Location"]

    hers, others = server.ask(path), server.ask(server.path)

    assert "secret-of-anna&lt;/script&gt;" in hers.text
    assert name not in hers.text
    assert list(hers.page.all("img")) == []
    assert "secret-of-anna" not in others.text + server.ask("/").text
    assert server.ask(path, {"secret": secret(others)}).status == 403
    assert server.ask(changed.replace(server.path, path)).status == 404
    assert server.ask("/w/guessed/").status == server.ask("/w/guessed/a/plan.json").status == 404


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + at)}: &{chr(98 + at)} [{','.join([f'*{chr(97 + at)}'] * 9)}]\n" for at in range(20)
)
HOSTILE = {
    "a bomb of references": BOMB,
    "a bomb as a value": BOMB.replace("a: &a", "name: &a") + "model: *u\ndemand: {declared: *u}\n",
    "deep nesting": "[" * 100_000,
    "no mapping": "- 1",
    "a file of this machine": SMALL.replace(
        "declared: {requests_per_second: 1, input_tokens: 800, output_tokens: 200}", "trace: /etc/passwd"
    ),
    "a server to ask": SMALL.replace(
        "declared: {requests_per_second: 1, input_tokens: 800, output_tokens: 200}",
        "prometheus: {url: 'http://169.254.169.254/'}",
    ),
    "samples of this machine": SMALL + "current: samples\n",
    "a model of this machine": SMALL.replace("meta-llama/Llama-3.1-8B-Instruct", "/etc/passwd"),
    "a huge rate": SMALL.replace("requests_per_second: 1", "requests_per_second: 1e300"),
    "a rate that no fleet serves": SMALL.replace("requests_per_second: 1", "requests_per_second: -1"),
    "a plan of nothing": '{"schema": "advisor.plan/v1"}',
    "a plan of another version": '{"schema": "advisor.plan/v99"}',
    "an estate": '{"schema": "advisor.estate/v1"}',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_workload_that_cannot_be_planned_is_refused_in_words(server, text):
    """With where, what and how to fix it; the server goes on, and names of this machine are not looked at."""
    started = time.monotonic()
    answer = server.ask(server.paste(text))

    assert answer.status == 422
    assert "root:" not in answer.text
    assert "Traceback" not in answer.text
    assert "hint: " in answer.text
    assert time.monotonic() - started < 30
    assert server.ask("/").status == 200


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"demand": "a lot"}, "not an amount"),
        ({"demand": "0x"}, "out of range"),
        ({"demand": "9" * 39}, "out of range"),
        ({"demand": "2ms"}, "not a demand"),
        ({"demand": "1" * 100}, "not an amount"),
        ({"slo.tpot_p95": "40"}, "not a duration"),
        ({"slo.tpot_p95": "2x"}, "not a duration"),
        ({"purchase": "stolen"}, "cannot be chosen"),
        ({"regions": "mars-1"}, "cannot be chosen"),
        ({"name": "other"}, "no control"),
        ({"demand.trace": "/etc/passwd"}, "no control"),
    ],
)
def test_a_change_that_is_none_is_refused_in_words(server, values, told):
    """And what was planned before is there all the same."""
    answer = server.ask(server.path, {"secret": secret(server.ask(server.path))} | values)

    assert answer.status == 422
    assert told in answer.text
    assert "hint: " in answer.text


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [("/", b"x" * 9_000_000, 413), ("", b"x" * 100_000, 413), ("", b"secret=%ff", 400), ("", b"&a=1" * 1_000, 400)],
)
def test_what_is_no_form_of_the_page_is_refused(server, path, body, status):
    """Too much, no text, too many fields."""
    assert server.ask(path or server.path, body).status == status


def test_a_newer_change_takes_the_place_of_an_older_one(server):
    """The older one is told so at once, and the server answers others while it plans."""
    path = server.paste(SMALL.replace("accelerators: [L4]\n", ""))
    known = {"secret": secret(server.ask(path))}
    older = []
    elsewhere = known | {"demand": "7x", "regions": ["us-west-2", "eu-west-1", "ap-northeast-1"]}
    asking = threading.Thread(target=lambda: older.append(server.ask(path, elsewhere)))
    asking.start()
    time.sleep(0.2)

    assert server.ask(path, known | {"demand": "2x"}).status == 303
    assert server.ask("/").status == 200

    asking.join(10)
    assert older[0].status == 409
    assert "a newer change" in older[0].text


def test_a_used_port_is_told_with_a_remedy(server, run_advisor):
    """And nothing is served."""
    done = run_advisor("serve", "--port", server.port)

    assert done.returncode == 1
    assert f"127.0.0.1:{server.port}: the port is in use" in done.stderr
    assert f"hint: give another with --port, such as {server.port + 1}" in done.stderr


def test_a_file_that_cannot_be_planned_is_told_at_once(run_advisor, tmp_path):
    """On the terminal, before anything is served."""
    (tmp_path / "workload.yaml").write_text(SMALL.replace("us-east-1", "us-easst-1"))

    done = run_advisor("serve", tmp_path / "workload.yaml", "--port", "0")

    assert (done.returncode, done.stdout) == (1, "")
    assert "workload.yaml:9: regions" in done.stderr
    assert "hint: did you mean us-east-1" in done.stderr


def test_only_this_machine_is_served_without_a_token(run_advisor, tmp_path):
    """An address that others reach takes a token, which has to be long."""
    refused = run_advisor("serve", "--host", "0.0.0.0", "--port", "0")
    (tmp_path / "token").write_text("short\n")
    (tmp_path / "token").chmod(0o604)
    short = run_advisor("serve", "--host", "0.0.0.0", "--port", "0", "--token-file", tmp_path / "token")
    absent = run_advisor("serve", "--port", "0", "--token-file", tmp_path / "none")

    assert (refused.returncode, short.returncode) == (2, 1)
    assert "give --token-file FILE" in refused.stderr
    assert "others on this machine may read the token: chmod 600 it" in short.stderr
    assert "openssl rand -hex 32" in short.stderr
    assert "openssl rand -hex 32" in absent.stderr


def test_with_a_token_nothing_is_told_without_it(guarded):
    """A link lets one browser in, once, by a cookie that scripts and other sites do not get."""
    link = guarded.lines[0].split(f":{guarded.port}")[1].strip()
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "advisor=guessed"}, {"Cookie": "a]b=;;"}):
        for path in ("/", guarded.path, "/w/guessed/"):
            refused = guarded.ask(path, **headers)
            assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert guarded.ask("/", Authorization=f"Bearer {TOKEN}").status == 200

    entered, again = guarded.ask(link), guarded.ask(link)

    assert (entered.status, again.status) == (200, 410)
    assert f'<a href="{guarded.path}">Go on</a>' in entered.text
    cookie, *attributes = entered.headers["Set-Cookie"].split("; ")
    assert {"HttpOnly", "SameSite=strict"} <= set(attributes)
    names = ("127.0.0.1", socket.gethostname(), "10.1.2.3", "evil.example")
    answers = [guarded.ask("/", Cookie=cookie, Host=f"{name}:{guarded.port}") for name in names]
    assert [answer.status for answer in answers] == [200, 200, 200, 421]
    assert all(TOKEN not in answer.text for answer in answers)


def test_the_next_step_is_planned_while_nobody_asks(guarded):
    """Its page is there before the button is pressed; an interrupt ends what is still being planned."""
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert guarded.ask(guarded.path, **bearer).status == 200
    ahead = f"{guarded.path}{digest((('demand', '1.25x'),))}/"
    until = time.monotonic() + 60
    while (answer := guarded.ask(ahead, **bearer)).status == 404 and time.monotonic() < until:
        time.sleep(0.2)

    assert "Planned with demand=1.25x." in answer.text


def test_connections_that_never_ask_leave_room_for_others(server):
    """As many as are taken at a time, each with half of a head: they are closed, and the next request is answered."""
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(MOST_CONNECTIONS)]
    try:
        for connection in idle:
            connection.sendall(b"GET / HTTP/1.1\r\n")
        ends = time.monotonic() + 3 * ASKING_SECONDS
        while server.ask(server.path).status == 503 and time.monotonic() < ends:
            time.sleep(0.5)

        assert server.ask(server.path).status == 200
    finally:
        for connection in idle:
            connection.close()


def test_a_temporary_directory_too_deep_for_sockets_is_told(tmp_path):
    """The processes that plan ahead talk through a socket there."""
    (tmp_path / "workload.yaml").write_text(SMALL)
    deep = tmp_path / ("x" * 90)
    deep.mkdir()
    command = [sys.executable, "-m", "advisor", "serve", "--port", "0", "--no-ahead", str(tmp_path / "workload.yaml")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(deep)}
    ended = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=60)

    assert ended.returncode == 1
    assert "hint: set TMPDIR to a shorter path" in ended.stderr


def test_a_server_that_is_stopped_leaves_nothing(tmp_path):
    """SIGTERM, as containers and services are stopped, also removes the socket of the planning processes."""
    (tmp_path / "workload.yaml").write_text(SMALL)
    scratch = Path(tempfile.mkdtemp())  # a socket's path has 107 bytes at most
    command = [sys.executable, "-m", "advisor", "serve", "--port", "0", "--no-ahead", str(tmp_path / "workload.yaml")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(scratch)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert b"serving on" in process.stdout.readline()
        assert list(scratch.glob("pymp-*/listener-*"))
        process.terminate()
    assert process.returncode == 128 + signal.SIGTERM
    assert list(scratch.iterdir()) == []
    scratch.rmdir()
