"""Signing in to a cluster as kubectl does."""

import base64
import json
import os
import ssl
import stat
from itertools import pairwise

import pytest

from advisor.discovery.kubernetes_api import KubernetesApi, Resource, cluster_access
from advisor.errors import InputError
from discovery.api_server import Cluster, api_server, kubeconfig
from services.certificates import ABSENT, PROGRAM, Authority

PODS = Resource("Pod", "pods")
POD = {"metadata": {"name": "a", "namespace": "b"}}


LEVELS = "abcdefghz"
MULTIPLYING = "a: &a [x]\n" + "".join(
    f"{key}: &{key} [{', '.join([f'*{before}'] * 20)}]\n" for before, key in pairwise(LEVELS)
)
"""Lists of lists, of 20⁸ elements in all."""
MERGING = "a: &a {x: 1}\n" + "".join(
    f"{key}: &{key} {{<<: [{', '.join([f'*{before}'] * 20)}]}}\n" for before, key in pairwise(LEVELS)
)


def pods_of(context, path):
    """Pods of a cluster, as a client signs in by a kubeconfig."""
    return list(KubernetesApi(cluster_access(context, path)).list(PODS))


def plugin(tmp_path, body):
    """A credential plugin: a program beside the kubeconfig."""
    path = tmp_path / "plugin"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "./plugin",
        "env": [{"name": "WHO", "value": "me"}],
    }


def test_a_token_signs_in(tmp_path):
    """A token in the kubeconfig, in a file beside it, and from a plugin that is told who asks, reach the server."""
    credential = {"kind": "ExecCredential", "status": {"token": "s3cret"}}
    (tmp_path / "token").write_text("s3cret\n")
    told = f'test "$WHO" = me && echo "$KUBERNETES_EXEC_INFO" | grep -q ExecCredential && echo \'{json.dumps(credential)}\''
    with api_server(Cluster({"pods": [POD] * 7}, token="s3cret")) as cluster:
        for user in ({"token": "s3cret"}, {"tokenFile": "token"}, {"exec": plugin(tmp_path, told)}):
            assert len(pods_of("", kubeconfig(tmp_path / "config", {"a": cluster}, **user))) == 7

        with pytest.raises(InputError, match="401") as refused:
            pods_of("a", kubeconfig(tmp_path / "config", {"a": cluster}, token="wr0ng"))
    assert "sign in again" in refused.value.hint
    assert "wr0ng" not in str(refused.value)


@pytest.mark.skipif(PROGRAM is None, reason=ABSENT)
def test_certificates_sign_in_and_are_checked(tmp_path):
    """A client certificate is shown to a server whose own is checked; a rogue server, and a client without one, fail."""
    ours, rogue = Authority(tmp_path / "ca", "ours"), Authority(tmp_path / "rogue", "rogue")
    client = ours.issue("client")
    user = {
        "client-certificate": str(client.certificate),
        "client-key-data": base64.b64encode(client.key.read_bytes()).decode(),
    }
    for authority, is_served in ((ours, True), (rogue, False)):
        pair = authority.issue("server")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        context.load_verify_locations(ours.own.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
        with api_server(Cluster({"pods": [POD]}), context) as cluster:
            path = kubeconfig(tmp_path / "config", {"a": cluster}, **user)
            document = json.loads(path.read_text())
            document["clusters"][0]["cluster"]["certificate-authority"] = str(ours.own.certificate)
            path.write_text(json.dumps(document))
            if is_served:
                assert len(pods_of("", path)) == 1
                document["users"][0]["user"] = {}
                path.write_text(json.dumps(document))
            with pytest.raises(InputError):
                pods_of("", path)


def test_files_are_merged_as_kubectl_does(tmp_path, monkeypatch):
    """KUBECONFIG lists files: the first that names a thing counts, and contexts of all are known."""
    with api_server(Cluster({"pods": []})) as first, api_server(Cluster({"pods": [POD]})) as second:
        paths = [kubeconfig(tmp_path / "1", {"a": first}), kubeconfig(tmp_path / "2", {"b": second, "a": second})]
        monkeypatch.setenv("KUBECONFIG", os.pathsep.join([*map(str, paths), str(tmp_path / "missing")]))

        assert pods_of("", None) == []
        assert len(pods_of("b", None)) == 1
        with pytest.raises(InputError, match="no context 'c'") as unknown:
            cluster_access("c")
    assert "a, b" in unknown.value.hint


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ({"auth-provider": {"name": "gcp"}}, "auth-provider is not supported"),
        ({"username": "u", "password": "s3cret"}, "username is not supported"),
        ({"exec": {"command": "no-such-plugin-anywhere", "installHint": "get it"}}, "is not there"),
        ({"exec": {"command": "false"}}, "failed: exit 1"),
        ({"exec": {"command": "true"}}, "printed no credentials"),
        ({"token": "a\nb"}, "is not a line of text"),
        ({"client-certificate-data": "!"}, "is not base64"),
        ({"client-certificate-data": "YQ==", "client-key-data": "YQ=="}, "cannot be used"),
        ({"tokenFile": "nowhere"}, "cannot read the token"),
        ({"tokenFile": "a\0b"}, "tokenFile is not the path"),
        ({"tokenFile": "~nosuchuser/x"}, "cannot read the token"),
        ({"client-certificate-data": "é"}, "is not base64"),
        ({"as": "me\r\nX-Other: 1", "token": "a"}, "`as` is not a line of text"),
        ({"exec": {"command": "true", "args": 5}}, "args is not a list of texts"),
        ({"exec": {"command": "true", "args": ["a\0"]}}, "args is not a list of texts"),
        ({"exec": {"command": "echo", "env": 5}}, "env is not a list of names"),
        ({"exec": {"command": "echo", "env": [{"name": "a=b", "value": "c"}]}}, "env is not a list of names"),
        (
            {"exec": {"command": "sh", "args": ["-c", "head -c 100000 /dev/zero | tr '\\0' '['"]}},
            "printed no credentials",
        ),
    ],
)
def test_what_cannot_sign_in_says_why(tmp_path, user, words):
    """Each with a remedy, and no secret."""
    path = kubeconfig(tmp_path / "config", {"a": Cluster({}, url="https://127.0.0.1:1")}, **user)

    with pytest.raises(InputError, match=words) as error:
        cluster_access("", path)

    assert error.value.hint or error.value.where
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: [",
        "- 1",
        "contexts: 7\ncurrent-context: x",
        "{contexts: [{name: x}], current-context: x}",
        "a: !!bool x",
        'a: !!int ""',
        "a: !!timestamp x",
        f"a: 0x{'f' * 5000}",
        f"a: {'1:' * 50_000}1",
        f"a: {'[' * 1500}",
        f"{MULTIPLYING}current-context: *z",
        f"{MULTIPLYING}contexts: [{{name: *z}}]",
        f"{MERGING}current-context: x",
    ],
)
def test_a_damaged_kubeconfig_is_one_error(tmp_path, text):
    """No traceback, whatever is in it."""
    (tmp_path / "config").write_text(text)

    with pytest.raises(InputError):
        cluster_access("", tmp_path / "config")


def test_a_token_is_not_sent_in_clear_text(tmp_path):
    """Plain HTTP to another host is refused before anything is sent."""
    path = kubeconfig(tmp_path / "config", {"a": Cluster({}, url="http://192.0.2.1:8080")}, token="s3cret")

    with pytest.raises(InputError, match="clear text"):
        pods_of("", path)


def test_a_server_without_an_address_is_an_error_without_its_query(tmp_path):
    """An address that cannot be parsed says where it stands, and one that cannot be reached hides what may be a secret."""
    for url, words in (("http://[::1", "is not an address"), ("http://127.0.0.1:1/?token=s3cret", "127.0.0.1:1")):
        with pytest.raises(InputError, match=words) as error:
            pods_of("", kubeconfig(tmp_path / "config", {"a": Cluster({}, url=url)}))

        assert "s3cret" not in str(error.value)
