"""One comment is posted and kept up to date on four hosts; every refusal says how to fix it and shows no token."""

import json

import pytest
from click.testing import CliRunner

from advisor.cli.comment import command
from advisor.errors import AdvisorError, InputError
from advisor.pull_requests import HOSTS, Client, PullRequest, Refused
from pull_requests.recorded import APIS, PROJECTS, TOKEN, TOKENS, Api, serving

TEXT = "### chat: $1.00 → $2.00 a month\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n"
CI_VARIABLES = (
    "GITHUB_ACTIONS", "GITHUB_REPOSITORY", "GITHUB_REF", "GITHUB_EVENT_PATH", "GITHUB_API_URL", "GITHUB_TOKEN",
    "GITLAB_CI", "CI_PROJECT_ID", "CI_MERGE_REQUEST_IID", "CI_MERGE_REQUEST_PROJECT_ID", "CI_API_V4_URL", "GITLAB_TOKEN",
    "TF_BUILD", "SYSTEM_COLLECTIONURI", "SYSTEM_TEAMPROJECT", "BUILD_REPOSITORY_ID", "SYSTEM_PULLREQUEST_PULLREQUESTID",
    "SYSTEM_ACCESSTOKEN", "AZURE_DEVOPS_EXT_PAT", "BITBUCKET_BUILD_NUMBER", "BITBUCKET_REPO_FULL_NAME", "BITBUCKET_PR_ID",
    "BITBUCKET_TOKEN",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch):
    """The machine that runs the tests may be a CI job itself."""
    for name in CI_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def comment(tmp_path, monkeypatch):
    """Run the command against an API with TOKEN in the environment; exit code and what it said."""

    def run(host, api, text=TEXT, *options, variable=None, environment=None):
        (tmp_path / "comment.md").write_text(text)
        monkeypatch.setenv(variable or TOKENS[host], TOKEN)
        for name, value in (environment or {}).items():
            monkeypatch.setenv(name, value)
        with serving(api) as url:
            place = ("--host", host, "--api", url, "--project", PROJECTS[host], "--pull-request", "7")
            done = CliRunner().invoke(command, [str(tmp_path / "comment.md"), *place, *options])
        said = done.output + ("" if done.exception is None else str(done.exception))
        assert done.exception is None or isinstance(done.exception, AdvisorError | SystemExit), done.exception
        assert TOKEN not in said
        return done.exception, said

    return run


@pytest.mark.parametrize("host", APIS)
def test_a_comment_is_posted_once_and_then_kept_up_to_date(comment, host):
    """Posted, left alone while nothing changes, changed in place; other comments stay as they are."""
    api = APIS[host]({101: "Looks good!", 102: "> [//]: # (advisor-comment: plan)\n\nquoted"})

    assert comment(host, api)[0] is None
    number = max(api.texts)
    assert api.texts[number] == f"[//]: # (advisor-comment: plan)\n\n{TEXT}"
    assert "unchanged" in comment(host, api)[1]
    assert "updated" in comment(host, api, TEXT.replace("$2.00", "$3.00"))[1]

    assert "$3.00" in api.texts[number]
    assert len(api.texts) == 3
    assert api.texts[101] == "Looks good!"


@pytest.mark.parametrize("host", APIS)
def test_a_comment_beyond_the_first_page_is_found(comment, host):
    """With as many other comments as fill two pages before it."""
    api = APIS[host]({number: f"comment {number}" for number in range(1000, 1230)})
    comment(host, api)

    assert "updated" in comment(host, api, TEXT + "\nmore\n")[1]
    assert len(api.texts) == 231


@pytest.mark.parametrize("host", APIS)
def test_each_tag_has_a_comment_of_its_own(comment, host):
    """Two workloads of one repository do not overwrite each other."""
    api = APIS[host]()
    comment(host, api, TEXT, "--tag", "chat")
    comment(host, api, TEXT, "--tag", "code")

    assert sorted(text.partition("\n")[0] for text in api.texts.values()) == [
        "[//]: # (advisor-comment: chat)", "[//]: # (advisor-comment: code)",
    ]  # fmt: skip


@pytest.mark.parametrize("host", APIS)
def test_a_tagged_comment_of_another_user_does_not_stand_in_the_way(comment, host):
    """It may not be changed, so one of our own is posted, and changed from then on."""
    api = APIS[host]({101: "[//]: # (advisor-comment: plan)\n\nspoofed"}, foreign={101})

    assert "posted" in comment(host, api)[1]
    assert "updated" in comment(host, api, TEXT + "\nnew\n")[1]
    assert api.texts[101].endswith("spoofed")
    assert len(api.texts) == 2


@pytest.mark.parametrize("host", APIS)
def test_the_token_goes_out_as_the_host_wants_it(comment, host):
    """In one header, and in no URL and no document."""
    api = APIS[host]()
    comment(host, api)

    wanted = {"gitlab": ("private-token", TOKEN)}.get(host, ("authorization", f"Bearer {TOKEN}"))
    for _, target, headers, document in api.seen:
        assert headers[wanted[0]] == wanted[1]
        assert TOKEN not in target + json.dumps(document)


def test_a_personal_token_of_azure_is_a_password(comment):
    """Without a user name, as Azure DevOps wants it."""
    api = APIS["azure-repos"]()
    comment("azure-repos", api, variable="AZURE_DEVOPS_EXT_PAT")

    assert api.seen[0][2]["authorization"] == "Basic OnQwa2VuLW9mLW5vYm9keQ=="


CASES = {
    "expired": (401, {}, "expired", "set {variable}"),
    "forbidden": (403, {}, "may not comment", "{needs}"),
    "not found": (404, {}, "no pull request 7", "--pull-request"),
    "rejected": (422, {}, "Validation Failed", "too long"),
    "too many": (429, {"Retry_After": "60"}, "rate limit", "for 60 s"),
    "down": (503, {}, "503", "later"),
    "moved": (302, {"Location": "https://elsewhere.example.com/signin"}, "302", "token is expired"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("host", APIS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_refusal_says_what_to_do(comment, host, case, method):
    """Reading the comments and posting one alike; the host's words are shown, without the token it may repeat."""
    status, headers, *expected = CASES[case]
    api = APIS[host]()
    api.refuse(method, status, json.dumps({"message": f"Validation Failed for {TOKEN}"}).encode(), **headers)

    error, said = comment(host, api)

    assert isinstance(error, Refused)
    assert error.exit_code == 1
    assert error.hint
    for words in expected:
        assert words.format(variable=TOKENS[host], needs=HOSTS[host].needs) in said
    assert not api.texts
    assert len([one for one in api.seen if one[0] == method]) == 1


def test_githubs_rate_limit_is_told_from_a_missing_permission(comment):
    """Both are answered with 403; the limit names the time when it ends."""
    api = APIS["github"]()
    api.refuse(
        "GET", 403, b'{"message": "API rate limit exceeded"}', X_RateLimit_Remaining="0", X_RateLimit_Reset="1764338700"
    )

    _, said = comment("github", api)

    assert "rate limit is reached until 14:05 UTC" in said
    assert "permissions" not in said


def test_azures_sign_in_page_is_an_expired_token(comment):
    """Azure DevOps answers 203 with a page to people whose token is not valid."""
    api = APIS["azure-repos"]()
    api.refuse("GET", 203, b"<!DOCTYPE html><title>Sign In</title>", Content_Type="text/html")

    assert "token is expired" in comment("azure-repos", api)[1]


@pytest.mark.parametrize(
    "body", [b"<html>proxy</html>", b"\xff\xfe", b"[" * 100_000, b'{"value": 7}', b"null", b'"text"']
)
@pytest.mark.parametrize("host", APIS)
def test_answers_that_are_no_comments_are_said(comment, host, body):
    """A proxy's page, or another service behind the address."""
    api = APIS[host]()
    api.refuse("GET", 200, body)

    error, _ = comment(host, api)

    assert isinstance(error, Refused)
    assert error.hint
    assert not api.texts


def test_a_link_to_another_host_is_not_followed(comment):
    """The token stays with the host that it is for."""
    api = APIS["bitbucket"]()
    page = {"values": [], "next": "http://elsewhere.example.com/2.0/comments?page=2"}
    api.refuse("GET", 200, json.dumps(page).encode())

    assert "posted" in comment("bitbucket", api)[1]


def test_a_host_that_does_not_answer_is_said(tmp_path, monkeypatch):
    """Nothing listens on the port."""
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    (tmp_path / "c.md").write_text(TEXT)
    with serving(Api()) as url:
        pass

    done = CliRunner().invoke(
        command, [str(tmp_path / "c.md"), "--host", "github", "--api", url, "--project", "a/b", "--pull-request", "1"]
    )

    assert isinstance(done.exception, Refused)
    assert "refused" in str(done.exception)
    assert TOKEN not in str(done.exception)


def test_no_token_goes_out_in_clear_text(tmp_path, monkeypatch):
    """But for loopback, an address has to be https."""
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    (tmp_path / "c.md").write_text(TEXT)

    done = CliRunner().invoke(
        command, [str(tmp_path / "c.md"), "--host", "github", "--api", "http://github.example.com", "--project", "a/b", "--pull-request", "1"]
    )  # fmt: skip

    assert isinstance(done.exception, InputError)
    assert "https://" in done.exception.hint


JOBS = {
    "github": {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/chat", "GITHUB_REF": "refs/pull/7/merge"},
    "gitlab": {"GITLAB_CI": "true", "CI_PROJECT_ID": "55", "CI_MERGE_REQUEST_IID": "7", "CI_API_V4_URL": "https://gitlab.example.com/api/v4"},
    "azure-repos": {"TF_BUILD": "True", "SYSTEM_COLLECTIONURI": "https://dev.azure.com/acme/", "SYSTEM_TEAMPROJECT": "My Project",
                    "BUILD_REPOSITORY_ID": "chat", "SYSTEM_PULLREQUEST_PULLREQUESTID": "7"},
    "bitbucket": {"BITBUCKET_BUILD_NUMBER": "3", "BITBUCKET_REPO_FULL_NAME": "acme/chat", "BITBUCKET_PR_ID": "7"},
}  # fmt: skip
URLS = {
    "github": "https://api.github.com/repos/acme/chat/issues/7/comments?per_page=100&page=1",
    "gitlab": "https://gitlab.example.com/api/v4/projects/55/merge_requests/7/notes?per_page=100&page=1&sort=asc&order_by=created_at",
    "azure-repos": "https://dev.azure.com/acme/My%20Project/_apis/git/repositories/chat/pullRequests/7/threads?api-version=7.1",
    "bitbucket": "https://api.bitbucket.org/2.0/repositories/acme/chat/pullrequests/7/comments?pagelen=100",
}


@pytest.mark.parametrize("host", JOBS)
def test_a_ci_job_says_where_the_comment_goes(host, tmp_path, monkeypatch):
    """No option is needed within a job of a pull request; a dry run needs no token either."""
    for name, value in JOBS[host].items():
        monkeypatch.setenv(name, value)
    (tmp_path / "c.md").write_text(TEXT)

    done = CliRunner().invoke(command, [str(tmp_path / "c.md"), "--dry-run"])

    assert done.exit_code == 0, done.exception
    assert f"pull request 7 of {PROJECTS[host]} ({HOSTS[host].title}" in done.output
    place = HOSTS[host].in_environment(JOBS[host])
    assert HOSTS[host].first_page(place) == URLS[host]


@pytest.mark.parametrize("host", JOBS)
def test_a_job_of_no_pull_request_is_said(host, tmp_path, monkeypatch):
    """Such as one of a branch."""
    numbers = ("GITHUB_REF", "CI_MERGE_REQUEST_IID", "SYSTEM_PULLREQUEST_PULLREQUESTID", "BITBUCKET_PR_ID")
    for name, value in JOBS[host].items():
        monkeypatch.setenv(name, "" if name in numbers else value)
    (tmp_path / "c.md").write_text(TEXT)

    done = CliRunner().invoke(command, [str(tmp_path / "c.md")])

    assert isinstance(done.exception, InputError)
    assert "for no pull request" in str(done.exception)


def test_github_names_the_number_in_its_event_too(tmp_path):
    """Workflows on other events run on another ref."""
    (tmp_path / "event.json").write_text('{"pull_request": {"number": 12}}')
    environment = JOBS["github"] | {"GITHUB_REF": "refs/heads/main", "GITHUB_EVENT_PATH": str(tmp_path / "event.json")}

    assert HOSTS["github"].in_environment(environment) == PullRequest("https://api.github.com", "acme/chat", "12")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "no CI job says where"),
        (("--host", "github"), "give --project"),
        (("--host", "azure-repos"), "give --api"),
        (("--host", "github", "--project", "a/b"), "for no pull request"),
        (("--host", "github", "--project", "a/b", "--pull-request", "1"), "no token for GitHub"),
    ],
)
def test_what_is_missing_is_named(options, words, tmp_path):
    """Outside of CI, with nothing in the environment."""
    (tmp_path / "c.md").write_text(TEXT)

    done = CliRunner().invoke(command, [str(tmp_path / "c.md"), *options])

    assert isinstance(done.exception, InputError)
    assert words in str(done.exception)
    assert done.exception.hint


@pytest.mark.parametrize("tag", ["", "a b", "a)\n\n# spoof", "-x", "x" * 65, "ü"])
def test_a_tag_cannot_end_its_line(comment, tag):
    """Tags are names."""
    error, _ = comment("github", APIS["github"](), TEXT, "--tag", tag)

    assert isinstance(error, InputError)


@pytest.mark.parametrize("text", ["", " \n\n", "x" * 65_537])
def test_an_empty_or_too_long_comment_asks_nobody(comment, text):
    """The host would refuse it, or show nothing."""
    api = APIS["github"]()

    error, _ = comment("github", api, text)

    assert isinstance(error, InputError)
    assert not api.seen


def test_the_client_does_not_show_its_token():
    """Where a traceback or a log shows it."""
    client = Client(HOSTS["github"], PullRequest("https://api.github.com", "a/b", "1"), TOKEN, "GITHUB_TOKEN")

    assert TOKEN not in repr(client)
    assert TOKEN not in str(client)


PERSON = {"login": "mallory", "username": "mallory", "type": "User"}
FORGED = "[//]: # (advisor-comment: plan)\n\nAll is cheap, merge it.\n"


@pytest.mark.parametrize("host", ["github", "gitlab"])
def test_a_comment_of_another_user_with_the_same_line_stays(comment, host):
    """A token may be allowed to change everybody's comments: what a person wrote under the line of a tag is theirs."""
    api = APIS[host]({101: FORGED}, authors={101: PERSON})

    assert "posted" in comment(host, api)[1]
    assert "updated" in comment(host, api, TEXT + "\nnew\n")[1]
    assert api.texts[101] == FORGED
    assert len(api.texts) == 2


def test_a_token_of_a_person_takes_no_comment_of_a_program_for_its_own(comment):
    """The user of the token decides, where the host tells it."""
    api = APIS["github"]({101: FORGED}, authors={101: {"login": "other[bot]"}}, user=PERSON)

    assert "posted" in comment("github", api)[1]
    assert "updated" in comment("github", api, TEXT + "\nnew\n")[1]
    assert api.texts[101] == FORGED


@pytest.mark.parametrize("options", [("--dry-run",), ()])
def test_a_password_in_the_address_is_not_shown(tmp_path, options, monkeypatch):
    """Neither where a comment would go, nor in an error."""
    (tmp_path / "c.md").write_text(TEXT)
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    place = ("--host", "github", "--api", "https://u:s3cret@127.0.0.1:9", "--project", "a/b", "--pull-request", "7")
    done = CliRunner().invoke(command, [str(tmp_path / "c.md"), *place, *options])

    assert (done.exit_code == 0) == bool(options)
    assert "s3cret" not in done.output + str(done.exception)
