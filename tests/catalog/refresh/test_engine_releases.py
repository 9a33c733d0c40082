"""Releases of engines from a package index on loopback: its shapes, its faults, and what counts afterwards."""

import datetime as dt
import json
import re
from dataclasses import replace

import pytest
from click.testing import CliRunner
from packaging.version import Version

from advisor.catalog import engines_dir, load_catalog, user_catalog
from advisor.catalog.layers.layered import layered
from advisor.catalog.refresh.engines import PROJECTS, rows_of
from advisor.catalog.refresh.values import ReleaseRow, SkippedRow, Unreachable
from advisor.cli.catalog import command
from advisor.data_files import data_dir
from advisor.errors import AdvisorError
from catalog.refresh.clouds import Cloud, Reply, as_json, first_times, serving

SHIPPED = load_catalog(data_dir("instance_catalog")).releases
NEW = "0.33.1"
TODAY = dt.datetime.now(dt.UTC).date()


def file(day, *, yanked=False):
    """A file of a release, as the index describes it."""
    return {
        "filename": "vllm.whl",
        "packagetype": "bdist_wheel",
        "size": 1,
        "upload_time": f"{day}T04:05:06",
        "upload_time_iso_8601": f"{day}T04:05:06.000000Z",
        "yanked": yanked,
        "yanked_reason": "broken" if yanked else None,
    }


def project(engine, **releases):
    """The JSON of a project: every release that came with the program, and others."""
    known = {str(one.version): [file(one.released)] for one in SHIPPED.of(engine)}
    return {"info": {"name": PROJECTS[engine]}, "last_serial": 1, "releases": known | releases, "urls": []}


def index(documents=None, *faults):
    """The index on loopback."""
    documents = {PROJECTS[engine]: project(engine) for engine in PROJECTS} | (documents or {})
    answer = lambda asked: as_json(documents[asked.path.split("/")[-2]])  # noqa: E731 - one expression
    return serving(Cloud(answer, list(faults)))


def run(*arguments):
    """Result of the command; an error of ours is raised as the program's boundary would see it."""
    result = CliRunner().invoke(command, arguments)
    if isinstance(result.exception, AdvisorError):
        raise result.exception
    assert result.exit_code in (0, 2), result.output
    return result


def refresh(cloud, *arguments):
    """`advisor catalog refresh engines` at the index of the test."""
    return run("refresh", "engines", "--endpoint-url", cloud.url, *arguments)


def refused(cloud, *arguments):
    """The error of a refresh that is not taken; what came with the program holds."""
    with pytest.raises(AdvisorError) as caught:
        refresh(cloud, *arguments)
    assert user_catalog().releases.by_engine == SHIPPED.by_engine
    assert "the old releases hold" in caught.value.message
    return caught.value


def with_new(version=NEW, day=TODAY):
    """One more release of vLLM."""
    return {"vllm": project("vLLM", **{version: [file(day)]})}


def test_a_new_release_counts_and_is_planned():
    """It is listed with its day and source; the next plan takes it, and `diff` tells it."""
    with index(with_new()) as cloud:
        result = refresh(cloud)
    assert re.search(rf"new release +vLLM +{NEW} +- +{TODAY}", result.stdout)
    assert [asked.path for asked in cloud.asked if "vllm" in asked.path] == ["/vllm/json"]
    catalog = user_catalog()
    newest = catalog.releases.of("vLLM")[-1]
    assert (newest.version, newest.released) == (Version(NEW), TODAY)
    assert cloud.url in newest.provenance.source
    assert catalog.engine_support("H100-SXM", "bf16")[0].engine_version == NEW
    assert catalog.engine_support("MI300X", "bf16")[0].engine_version == "0.31.0"
    assert catalog.content_hash != load_catalog(data_dir("instance_catalog")).content_hash
    (change,) = json.loads(run("diff", "engines", "--format", "json").stdout)
    assert (change["kind"], change["version"], change["before"]) == ("new_release", NEW, "")


def test_what_was_refreshed_can_be_forgotten():
    """The releases that came with the program count again; without a refresh there is nothing to compare."""
    with index(with_new()) as cloud:
        refresh(cloud)
    assert "back to the releases" in run("refresh", "engines", "--forget").stdout
    assert user_catalog().releases.by_engine == SHIPPED.by_engine
    with pytest.raises(AdvisorError, match="engines was not refreshed"):
        run("diff", "engines")


def test_a_dry_run_changes_nothing():
    """It says what it would bring."""
    with index(with_new()) as cloud:
        assert "dry run" in refresh(cloud, "--dry-run").stdout
    assert user_catalog().releases.by_engine == SHIPPED.by_engine


@pytest.mark.parametrize("version", ["0.34.0rc1", "0.34.0.dev3", "0.34.0+ours", "1!0.1.0"])
def test_pre_releases_and_builds_of_others_are_known_and_never_planned(version):
    """They tell that upstream was read; none of them has an image."""
    with index(with_new(version)) as cloud:
        refresh(cloud)
    catalog = user_catalog()
    assert catalog.releases.newest_day("vLLM") == TODAY
    assert catalog.engine_support("H100-SXM", "bf16")[0].engine_version == "0.33.0"


def test_broken_and_withdrawn_releases_are_left_out_and_said():
    """A broken version string, a withdrawn release and one without a file stop nothing."""
    releases = {"0.34-final!": [file(TODAY)], "0.34.1": [file(TODAY, yanked=True)], "0.34.2": [], "0.34.3": "no list"}
    with index({"vllm": project("vLLM", **releases)}) as cloud:
        result = refresh(cloud)
    assert "left out of vLLM: '0.34-final!': no version by PEP 440" in result.stdout
    assert "left out of vLLM: '0.34.1', '0.34.2', '0.34.3': withdrawn, or without a dated file" in result.stdout
    assert user_catalog().releases.of("vLLM")[-1].version == Version("0.33.0")


def test_an_overlong_version_is_left_out():
    """A number of sixty digits is newer than all others, and no release of anything."""
    rows = list(rows_of({"releases": {"0.34.0": [file(TODAY)], "9" * 60: [file(TODAY)]}}, "vLLM"))
    assert rows == [
        ReleaseRow("vLLM", "0.34.0", TODAY.isoformat()),
        SkippedRow("vLLM", "9" * 32, "longer than 32 characters"),
    ]


def test_a_release_is_of_the_day_of_its_first_file_that_was_kept():
    """Wheels for other platforms follow; a file without a date says nothing."""
    files = [file("2026-11-20"), file("2026-11-18"), file("2026-11-01", yanked=True), {"upload_time": "soon"}, "?"]
    rows = list(rows_of({"releases": {"1.0": files, "x y": files}}, "vLLM"))
    assert rows == [ReleaseRow("vLLM", "1.0", "2026-11-18"), SkippedRow("vLLM", "x y", "no version by PEP 440")]


@pytest.mark.parametrize("document", [{}, {"releases": []}, {"releases": {}}, {"releases": "none"}, {"message": "x"}])
def test_an_answer_without_releases_is_refused(document):
    """The document of another service."""
    with pytest.raises(Unreachable, match="lists no releases"):
        list(rows_of(document, "vLLM"))


def only_vllm(reply):
    """The index answers so of vLLM, whatever it is asked how often."""
    return lambda asked: reply if "vllm" in asked.path else None


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(b'{"releases": {"0.33.0": [{"upl'), "not JSON"),
        (Reply(b"<html>sign in</html>", kind="text/html"), "not JSON"),
        (Reply(b"[1, 2]"), "no JSON object"),
        (Reply(b'{"message": "Not Found"}', status=404), "404"),
        (Reply(b"{}"), "lists no releases"),
    ],
    ids=["truncated", "login page", "list", "not found", "empty"],
)
def test_what_is_no_answer_of_an_index_keeps_the_old_releases(reply, words):
    """Nothing of the other engines is taken either; the message names the part and what to do."""
    with index({}, only_vllm(reply)) as cloud:
        result = CliRunner().invoke(command, ["refresh", "engines", "--endpoint-url", cloud.url])
        error = refused(cloud)
    assert "missing: releases of vLLM" in result.stdout
    assert words in result.stdout
    assert "1 part could not be read" in error.message
    assert error.hint


def test_a_connection_that_breaks_costs_another_try():
    """Then the answer counts."""
    cut = first_times(1, Reply(json.dumps(project("vLLM")).encode(), cut_after=900))
    with index(with_new(), lambda asked: cut(asked) if "vllm" in asked.path else None) as cloud:
        refresh(cloud)
    assert user_catalog().releases.of("vLLM")[-1].version == Version(NEW)


def test_an_index_that_lets_nobody_in_leaves_what_is_known():
    """Denied, not failed: the other engines go on, and vLLM keeps its releases with their own source."""
    denied = only_vllm(as_json({"message": "who are you?"}, status=403))
    documents = {"sglang": project("SGLang", **{"0.5.24": [file(TODAY)]})}
    with index(documents, denied) as cloud:
        assert "missing: releases of vLLM" in refresh(cloud).stdout
    releases = user_catalog().releases
    assert releases.of("SGLang")[-1].version == Version("0.5.24")
    assert releases.of("vLLM") == SHIPPED.of("vLLM")


def test_a_release_of_the_future_is_never_taken():
    """Nobody can confirm it; tomorrow is left to time zones."""
    far = TODAY + dt.timedelta(days=30)
    with index(with_new(day=far)) as cloud:
        error = refused(cloud, "--confirm", "future_release:vLLM", "--confirm", "future_release")
        assert "clock" in error.hint
    with index(with_new(day=TODAY + dt.timedelta(days=1))) as cloud:
        refresh(cloud)


def test_far_fewer_releases_than_before_are_held_up():
    """A person may confirm them by the key that the hint names."""
    few = {"releases": dict(list(project("SGLang")["releases"].items())[:20])}
    with index({"sglang": few}) as cloud:
        error = refused(cloud)
        assert error.hint.endswith("--confirm releases_gone:SGLang")
        refresh(cloud, "--confirm", "releases_gone:SGLang")
    assert len(user_catalog().releases.of("SGLang")) == 20


def test_a_release_whose_day_moves_is_held_up():
    """By more than the days in which files are replaced."""
    day = SHIPPED.of("vLLM")[-1].released
    for days, is_held in ((2, False), (40, True)):
        moved = {"vllm": project("vLLM", **{"0.33.0": [file(day - dt.timedelta(days=days))]})}
        with index(moved) as cloud:
            if is_held:
                with pytest.raises(AdvisorError) as caught:
                    refresh(cloud)
                assert "--confirm release_moved:vLLM" in caught.value.hint
            else:
                refresh(cloud)


def test_answers_are_kept_for_a_run_that_goes_on():
    """What was read before another engine failed is not asked again; another index is."""
    with index(with_new(), only_vllm(Reply(b"{}", status=404))) as cloud:
        refused(cloud)
        asked = len(cloud.asked)
        cloud.faults.clear()
        refresh(cloud)
        assert [one.path for one in cloud.asked[asked:]] == ["/vllm/json"]


def test_damaged_releases_are_not_used_and_named(tmp_path):
    """Those that came with the program count in their place."""
    with index(with_new()) as cloud:
        refresh(cloud)
    (table,) = engines_dir().rglob("engine_releases.csv")
    table.write_text(table.read_text().replace(NEW, "9.9.9"))
    layers = layered(data_dir("instance_catalog"), tmp_path / "none", None)
    catalog = replace(layers, engines_root=engines_dir())
    assert catalog.releases.by_engine == SHIPPED.by_engine
    assert "the refreshed releases are not used" in catalog.warnings[0]


def test_engines_are_refreshed_by_themselves():
    """Beside providers the option that names the address would be of both."""
    result = run("refresh", "aws", "engines")
    assert result.exit_code == 2
    assert "by itself" in result.output
