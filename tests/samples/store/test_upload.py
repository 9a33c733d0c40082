"""Finished days go to a bucket: whole, once, verified, and nothing is removed here before."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pyarrow.fs
import pytest

from advisor.errors import InputError
from advisor.samples.agent.compaction import main as print_policy
from advisor.samples.agent.compaction import parse_bucket_url, policy_of
from advisor.samples.metrics import Scope
from advisor.samples.places import day_folder, spool_folder
from advisor.samples.store.bucket import Bucket, Uploads
from advisor.samples.store.compact import compact, upload_today
from samples.query.stub import stub
from samples.records import DAY, ENGINE_ROW, row, spool
from samples.stores import read_back

pytest.importorskip("moto", reason="moto is not installed (pip install 'inference-advisor[test]')")
pytest.importorskip("boto3", reason="boto3 is not installed (pip install 'inference-advisor[aws]')")

from samples.store.s3_server import client, s3_server

DAYS = 12
MOMENTS = int(os.environ.get("UPLOAD_KILL_MOMENTS", "6"))
"""Random moments at which an upload is killed."""
TOMORROW = DAY + timedelta(days=1)
LATER = DAY + timedelta(days=40)


@pytest.fixture(scope="module")
def server():
    """An S3 server that asks nobody for permission."""
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(server, monkeypatch, request):
    """The address of a bucket of this test's own."""
    for name, value in credentials().items():
        monkeypatch.setenv(name, value)
    name = f"b{abs(hash(request.node.name))}"
    client(server).create_bucket(Bucket=name)
    return parse_bucket_url(f"s3://{name}/fleet?endpoint={server}")


def credentials(key: str = "id", secret: str = "s3cret") -> dict[str, str]:
    """As AWS's own tools read them."""
    return {
        "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }  # fmt: skip


def names(bucket, server) -> list[str]:
    """Names of all objects."""
    listed = client(server).list_objects_v2(Bucket=bucket.bucket).get("Contents", [])
    return [one["Key"].removeprefix(f"{bucket.prefix}/") for one in listed if not one["Key"].endswith("/")]


def contents(bucket, server) -> dict[str, bytes]:
    """Content of every object, by its name below the prefix."""
    s3 = client(server)
    return {
        name: s3.get_object(Bucket=bucket.bucket, Key=f"{bucket.prefix}/{name}")["Body"].read()
        for name in names(bucket, server)
    }


def local(directory) -> dict[str, bytes]:
    """Content of every Parquet file here, by its name below the directory."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("date=*/**/*.parquet")
    }


def test_a_finished_day_is_uploaded_once_and_reads_like_the_one_here(tmp_path, bucket, server):
    """The bucket has the same layout, so that what reads a directory reads it; a second run sends nothing."""
    spool(tmp_path, [row(1), row(2), ENGINE_ROW])
    done = compact(tmp_path, "host-a", now=TOMORROW, upload=bucket)
    assert done.trouble is None
    assert done.uploaded.files == 3
    assert contents(bucket, server) == local(tmp_path)
    again = compact(tmp_path, "host-a", now=TOMORROW, upload=bucket)
    assert (again.uploaded.files, again.uploaded.already) == (0, 0)
    fetched = tmp_path / "fetched"
    for name, content in contents(bucket, server).items():
        (fetched / name).parent.mkdir(parents=True, exist_ok=True)
        (fetched / name).write_bytes(content)
    for scope in (Scope.ACCELERATOR, Scope.ENGINE):
        assert read_back(fetched, scope=scope)[0].equals(read_back(tmp_path, scope=scope)[0])


def test_today_stays_until_it_is_over(tmp_path, bucket, server):
    """Files of the day that goes on change every hour: they are not sent."""
    spool(tmp_path, [row(1)])
    assert compact(tmp_path, "host-a", now=DAY, upload=bucket).uploaded.files == 0
    assert contents(bucket, server) == {}


def test_a_host_that_ends_leaves_today_in_the_bucket(tmp_path, bucket, server):
    """What there is of the day goes there when the agent stops; where the host comes back, the whole day replaces it."""
    spool(tmp_path, [row(1)])
    compact(tmp_path, "host-a", now=DAY, upload=bucket)
    assert (upload_today(tmp_path, "host-a", bucket, DAY).files, contents(bucket, server)) == (1, local(tmp_path))
    spool(tmp_path, [row(241)])
    done = compact(tmp_path, "host-a", now=TOMORROW, upload=bucket)
    assert done.uploaded.replaced == 1
    assert contents(bucket, server) == local(tmp_path)


def test_late_rows_replace_the_day_in_the_bucket(tmp_path, bucket, server):
    """A day that gets more rows is one file again, there too."""
    spool(tmp_path, [row(1)])
    compact(tmp_path, "host-a", now=TOMORROW, upload=bucket)
    spool(tmp_path, [row(2)])
    done = compact(tmp_path, "host-a", now=TOMORROW, upload=bucket)
    assert done.uploaded.replaced == 2, "rows and their counts"
    assert contents(bucket, server) == local(tmp_path)


def test_rows_that_come_after_their_day_was_removed_replace_nothing(tmp_path, bucket, server):
    """What was uploaded of a day and is no longer here stays in the bucket for good."""
    spool(tmp_path, [row(1)])
    compact(tmp_path, "host-a", keep_days=1, now=TOMORROW, upload=bucket)
    first = contents(bucket, server)
    assert compact(tmp_path, "host-a", keep_days=1, now=LATER, upload=bucket).removed == [DAY.date()]
    spool(tmp_path, [row(2)])
    compact(tmp_path, "host-a", now=LATER, upload=bucket)
    assert first.items() < contents(bucket, server).items()


@pytest.mark.parametrize("bound", [{"keep_days": 1}, {"max_bytes": 0}])
def test_no_bound_removes_what_is_not_in_the_bucket(tmp_path, bucket, server, bound):
    """A bucket that cannot be reached costs disk, and no day."""
    spool(tmp_path, [row(1)])
    gone = parse_bucket_url("s3://no-such-bucket/fleet?endpoint=" + server)
    done = compact(tmp_path, "host-a", now=LATER, upload=gone, **bound)
    assert done.removed == []
    assert "1 days kept until they are uploaded" in str(done)
    assert "does not exist" in done.trouble.message
    assert "check the name" in done.trouble.hint
    done = compact(tmp_path, "host-a", now=LATER, upload=bucket, **bound)
    assert done.removed == [DAY.date()]
    assert len(contents(bucket, server)) == 2
    assert local(tmp_path) == {}


def test_a_file_that_was_changed_in_the_bucket_is_sent_again(tmp_path, bucket, server):
    """Without the list each file is read back: of the right size and another content it does not count."""
    spool(tmp_path, [row(1)])
    compact(tmp_path, "host-a", now=TOMORROW, upload=bucket)
    listed = spool_folder(tmp_path, "host-a") / "uploads.json"
    listed.write_text("{ damaged")
    name, content = next(iter(local(tmp_path).items()))
    client(server).put_object(Bucket=bucket.bucket, Key=f"fleet/{name}", Body=b"\0" * len(content))
    done = compact(tmp_path, "host-a", now=TOMORROW, upload=bucket)
    assert (done.uploaded.files, done.uploaded.already) == (1, 1)
    assert contents(bucket, server) == local(tmp_path)


def test_a_bucket_that_swallows_bytes_is_found_out(tmp_path):
    """What reads back as something else is not uploaded."""
    spool(tmp_path, [row(1)])
    compact(tmp_path, "host-a", now=TOMORROW)
    (tmp_path / "there").mkdir()

    class Lossy(Bucket):
        def put(self, name, path):
            target = tmp_path / "there" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes()[:-1])

    url = parse_bucket_url("s3://bucket")
    files = pyarrow.fs.SubTreeFileSystem(str(tmp_path / "there"), pyarrow.fs.LocalFileSystem())
    lossy = Lossy(url, files, pauses=())
    lossy._path = lambda name: name
    uploads = Uploads(tmp_path, "host-a", url)
    with pytest.raises(InputError, match="reads back as something else"):
        uploads.send([DAY.date()], lossy)
    assert not Uploads(tmp_path, "host-a", url).is_safe(DAY.date())


def test_trouble_that_passes_is_tried_again():
    """With pauses in between; a refusal is not."""
    calls = []

    class Flaky:
        def __init__(self, *errors):
            self.errors = list(errors)

        def delete_file(self, path):
            calls.append(path)
            if self.errors:
                raise OSError(self.errors.pop(0))

    url = parse_bucket_url("s3://bucket/a")
    Bucket(url, Flaky("curlCode: 28, Timeout was reached", "SLOW_DOWN"), (0.0, 0.0)).remove("x")
    assert calls == ["bucket/a/x"] * 3
    with pytest.raises(InputError, match="ACCESS_DENIED"):
        Bucket(url, Flaky("AWS Error ACCESS_DENIED during DeleteObject"), (0.0, 0.0)).remove("x")
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        (301, "PermanentRedirect", "another region: write s3://telemetry/fleet?region="),
        (400, "AuthorizationHeaderMalformed", "another region"),
        (400, "ExpiredToken", "renew"),
        (403, "InvalidAccessKeyId", "renew"),
        (403, "RequestTimeTooSkewed", "clock"),
        (403, "AccessDenied", "upload-policy s3://telemetry/fleet"),
        (503, "SlowDown", "the next compaction goes on"),
    ],
)
def test_refusals_say_what_to_do(tmp_path, monkeypatch, status, code, remedy):
    """As S3 answers them; the rows stay here."""
    for name, value in credentials().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("advisor.samples.store.bucket._PAUSES_SECONDS", (0.01,))
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    spool(tmp_path, [row(1)])
    with stub(lambda _: (status, {"Content-Type": "application/xml"}, body)) as refusing:
        url = parse_bucket_url(f"s3://telemetry/fleet?endpoint={refusing.url}")
        done = compact(tmp_path, "host-a", keep_days=1, now=LATER, upload=url)
    assert remedy in done.trouble.hint
    assert "\n" not in done.trouble.message
    assert done.removed == []


def test_hosts_upload_side_by_side(tmp_path, bucket, server):
    """Several at once into one prefix, from one shared directory."""
    for host in ("a", "b", "c"):
        spool(tmp_path, [row(1, host=host), row(2, host=host)], host)
    module = [sys.executable, "-m", "advisor.samples.agent.compact_command", tmp_path]
    url = f"--upload={bucket}?endpoint={server}"
    running = [
        subprocess.Popen([*module, f"--host={host}", url], stderr=subprocess.PIPE, text=True) for host in "abcab"
    ]
    said = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0] * 5, said
    assert contents(bucket, server) == local(tmp_path)
    assert len(local(tmp_path)) == 6


@pytest.mark.sampled(3)
def test_killed_at_any_moment_it_loses_nothing(tmp_path, bucket, server):
    """After kill -9 the next run goes on; what is removed here is whole in the bucket."""
    spool(tmp_path, [row(number, day=day) for day in range(DAYS) for number in range(1, 4)])
    compact(tmp_path, "host-a", now=LATER)
    expected = local(tmp_path)
    ends = read_back(tmp_path)[0]["timestamp"].to_pylist()
    command = [
        sys.executable, "-m", "advisor.samples.agent.compact_command", tmp_path, "--host=host-a", "--keep-days=1",
        f"--upload={bucket}?endpoint={server}",
    ]  # fmt: skip
    chance, killed = random.Random(7), 0
    for moment in range(MOMENTS):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        enough = len(expected) * (moment + chance.random()) / MOMENTS
        while process.poll() is None and len(names(bucket, server)) < enough:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        there = contents(bucket, server)
        assert all((tmp_path / name).exists() or there.get(name) == content for name, content in expected.items())
    assert killed >= MOMENTS - 1
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert contents(bucket, server) == expected
    assert local(tmp_path) == {}
    assert len(ends) == 3 * DAYS


@pytest.mark.sampled(3)
def test_the_printed_policy_is_what_it_takes(tmp_path, monkeypatch, capsys):
    """A user with the printed policy uploads; with a statement less the error says what to print, and nothing is removed."""
    with s3_server(**os.environ, INITIAL_NO_AUTH_ACTION_COUNT="8") as url:
        root = client(url)
        root.create_bucket(Bucket="telemetry")
        iam = client(url, "iam")
        secret = {}
        for name in ("allowed", "listing"):
            iam.create_user(UserName=name)
        for name in ("allowed", "listing"):
            secret[name] = iam.create_access_key(UserName=name)["AccessKey"]
        print_policy(["s3://telemetry/fleet"], "upload-policy")
        policy = json.loads(capsys.readouterr().out)
        iam.put_user_policy(UserName="allowed", PolicyName="p", PolicyDocument=json.dumps(policy))
        policy["Statement"] = policy["Statement"][:1]
        iam.put_user_policy(UserName="listing", PolicyName="p", PolicyDocument=json.dumps(policy))
        root.list_buckets()
        bucket = parse_bucket_url(f"s3://telemetry/fleet?endpoint={url}")
        spool(tmp_path, [row(1)])
        for name, trouble in (("listing", "ACCESS_DENIED"), ("allowed", None)):
            key = secret[name]
            for variable, value in credentials(key["AccessKeyId"], key["SecretAccessKey"]).items():
                monkeypatch.setenv(variable, value)
            done = compact(tmp_path, "host-a", keep_days=1, now=LATER, upload=bucket)
            if trouble is None:
                assert done.trouble is None
                assert done.removed == [DAY.date()]
            else:
                assert trouble in done.trouble.message
                assert "upload-policy s3://telemetry/fleet" in done.trouble.hint
                assert done.removed == []
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
        spool(tmp_path, [row(2)])
        done = compact(tmp_path, "host-a", now=LATER, upload=bucket)
        assert "renew" in done.trouble.hint


@pytest.mark.parametrize(
    "text",
    ["samples", "s3://", "s3:///x", "http://a/b", "s3://bkt/../c", "s3://bkt/a//c", "s3://bkt/c#d", "s3://bkt?acl=public", "gs://bkt?region=x", "s3://bkt/a b"],
)  # fmt: skip
def test_addresses_that_are_none_are_refused(text):
    """With how to write one."""
    with pytest.raises(InputError) as caught:
        parse_bucket_url(text)
    assert caught.value.hint


def test_each_provider_has_its_permissions():
    """No wildcard beyond the prefix, and the partition of the region."""
    china = json.loads(policy_of(parse_bucket_url("s3://bkt/a/?region=cn-north-1")))
    assert china["Statement"][1]["Resource"] == "arn:aws-cn:s3:::bkt/a/*"
    assert china["Statement"][0]["Condition"] == {"StringLike": {"s3:prefix": "a/*"}}
    assert "Condition" not in json.loads(policy_of(parse_bucket_url("s3://bkt")))["Statement"][0]
    assert "roles/storage.objectUser" in policy_of(parse_bucket_url("gs://bkt/a"))
    assert "storageAccounts/acme/blobServices/default/containers/bkt" in policy_of(
        parse_bucket_url("az://bkt?account=acme")
    )


def test_the_agent_refuses_an_address_that_is_none(tmp_path, run_advisor):
    """Before it starts."""
    done = run_advisor("agent", "run", "--output", tmp_path, "--engine", "http://127.0.0.1:1", "--upload", "s3:/x")
    assert done.returncode == 1
    assert "s3://BUCKET/PREFIX" in done.stderr
    assert not day_folder(tmp_path, DAY.date(), "x").exists()
