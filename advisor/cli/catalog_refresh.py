"""``advisor catalog refresh``: asking providers for today's prices, or an index for releases of engines."""

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import click

from advisor.catalog import engines_dir, load_catalog, refreshed_dir, user_catalog
from advisor.catalog.layers.layered import LayeredCatalog
from advisor.catalog.layers.merging import REFRESHED
from advisor.catalog.layers.refreshing import Refreshed, RefreshOptions, refresh, refresh_engines
from advisor.catalog.layers.snapshot import (
    RELEASES,
    Damaged,
    Snapshot,
    current,
    forget,
    previous,
    providers,
    release_changes,
    releases_of,
)
from advisor.catalog.refresh import BUILT_IN, aws, aws_public, azure, engines, gcp, plugin, plugin_names
from advisor.catalog.refresh.engines import ENGINES
from advisor.catalog.refresh.http import Client
from advisor.catalog.refresh.values import MOST_MOVED_RATIO, Guard, RefreshJob, Task
from advisor.catalog.values import InstanceType
from advisor.cli.options import PATH
from advisor.cli.output import Progress, deliver, output_option, table_or_json_option, tell
from advisor.data_files import data_dir
from advisor.errors import AdvisorError, InputError
from advisor.names import suggestion, without_credentials
from advisor.reading import read_text
from advisor.records import dataclass
from advisor.report.refresh_words import (
    change_words,
    changes_json,
    engine_refresh_words,
    refresh_json,
    refresh_words,
)
from advisor.tables import read_rows

_MOST_CONFIRMED = 6
confirm_option = click.option(
    "--confirm",
    "confirmed",
    multiple=True,
    metavar="KEY",
    help="Accept rows that are held back: moved:g6. (repeatable)",
)
max_move_option = click.option(
    "--max-move",
    type=click.FloatRange(min=0, min_open=True),
    default=MOST_MOVED_RATIO,
    show_default=True,
    help="Largest move of a price that nobody has to confirm, as a share of it.",
)


Given = TypeVar("Given", str | None, tuple[str, ...])


class NotPublished(AdvisorError):  # noqa: N818 - an outcome
    """A refresh that was not taken; the old prices or releases hold."""


def without_password(_context: click.Context, _option: click.Parameter, given: Given) -> Given:
    """Refuse addresses with a password: they name services in messages and in what is kept."""
    urls = (given,) if isinstance(given, str) else given or ()
    if any(without_credentials(url) != url for url in urls):
        raise click.BadParameter("give it without a user name and password; a proxy in front of it can add them")
    return given


@click.command("refresh")
@click.argument("names", metavar="PROVIDER…", nargs=-1)
@click.option("--region", "regions", multiple=True, help="Only this region; default: all that are known. (repeatable)")
@click.option("--public", is_flag=True, help="aws: read the public price files; needs no account, tells no spot price.")
@click.option("--profile", help="aws: named profile of the credentials.")
@click.option("--endpoint-url", callback=without_password, help="Ask this address instead of the provider's.")
@click.option("--gcp-api-key-file", type=PATH, help="gcp: file that holds an API key; without it a public list.")
@click.option("--gcp-project", help="gcp: project to ask for the zones of machine types; needs --gcp-token-file.")
@click.option("--gcp-token-file", type=PATH, help="gcp: file that holds an access token.")
@click.option("--azure-subscription", help="azure: subscription to ask for zones of sizes; needs --azure-token-file.")
@click.option("--azure-token-file", type=PATH, help="azure: file that holds an access token.")
@confirm_option
@max_move_option
@click.option("--jobs", type=click.IntRange(min=1, max=64), default=8, show_default=True, help="Questions at a time.")
@click.option("--dry-run", is_flag=True, help="Ask and compare, and keep the old prices.")
@click.option("--forget", "is_forgotten", is_flag=True, help="Go back to the prices that came with the program.")
@click.option("--print-policy", is_flag=True, help="aws: print the least IAM policy that is needed, and ask nothing.")
@table_or_json_option
@output_option
def command(
    names: tuple[str, ...],
    regions: tuple[str, ...],
    public: bool,
    profile: str | None,
    endpoint_url: str | None,
    gcp_api_key_file: Path | None,
    gcp_project: str | None,
    gcp_token_file: Path | None,
    azure_subscription: str | None,
    azure_token_file: Path | None,
    confirmed: tuple[str, ...],
    max_move: float,
    jobs: int,
    dry_run: bool,
    is_forgotten: bool,
    print_policy: bool,
    output_format: str,
    output: Path | None,
) -> None:
    """Ask PROVIDER (aws, gcp, azure, all, or one that a package brings) for today's prices.

    PROVIDER `engines` asks a package index for the releases of vLLM, SGLang and TensorRT-LLM.

    What is read is kept as it comes, so that a run that was cut off goes on where it was. It takes the place of the
    old prices only when it is whole and sound: nothing free, no price moved too far, no spot above on demand, no
    family gone. `advisor catalog show TYPE` tells which price counts.
    """
    if ENGINES in names:
        check_alone(names)
        if is_forgotten:
            _forget(ENGINES, engines_dir(), RELEASES, "releases")
        else:
            refresh_options = RefreshOptions(frozenset(confirmed), max_move, dry_run, jobs)
            _refresh_engines(refresh_options, endpoint_url, output_format, output)
        return
    if print_policy:
        if set(names) - {"aws", "all"}:
            raise click.UsageError("--print-policy is for aws; no other provider asks for a policy")
        deliver(json.dumps(aws.policy(), indent=2) + "\n", output)
        return
    wanted = wanted_providers(names)
    if is_forgotten:
        if dry_run:
            raise click.UsageError("--forget and --dry-run exclude each other")
        for name in wanted:
            _forget(name, refreshed_dir(), name, "prices")
        return
    regions_of = _regions_by_provider(wanted, regions)
    project = _Account(gcp_project, gcp_token_file, "--gcp-project", "--gcp-token-file")
    subscription = _Account(azure_subscription, azure_token_file, "--azure-subscription", "--azure-token-file")
    asks: dict[str, Callable[[LayeredCatalog], RefreshJob]] = {
        "aws": lambda catalog: _ask_aws(catalog, regions_of["aws"], public, profile, endpoint_url),
        "azure": lambda catalog: _ask_azure(catalog, regions_of["azure"], subscription, endpoint_url),
        "gcp": lambda catalog: _ask_gcp(catalog, regions_of["gcp"], gcp_api_key_file, project, endpoint_url),
    }
    asks |= {name: partial(_ask_plugin, name, regions_of[name]) for name in regions_of if name not in BUILT_IN}
    refresh_options = RefreshOptions(frozenset(confirmed), max_move, dry_run, jobs)
    results, not_asked = _refresh_each({name: asks[name] for name in regions_of}, refresh_options)
    deliver(refresh_json(results) if output_format == "json" else "\n".join(map(refresh_words, results)), output)
    _check(results, not_asked)


def wanted_providers(names: Sequence[str]) -> tuple[str, ...]:
    """Providers to refresh, each once: those that are named, or every known one.

    Raises UsageError if none is named, and InputError if nothing is known of a name.
    """
    every = tuple(dict.fromkeys((*BUILT_IN, *plugin_names(), *providers(refreshed_dir()))))
    if not names:
        raise click.UsageError(f"name a provider: {', '.join(every)} or all")
    for name in names:
        if name not in (*every, "all"):
            raise InputError(
                f"no provider of this name can be refreshed: '{name}'", hint=suggestion(name, (*every, "all"))
            )
    return every if "all" in names else tuple(dict.fromkeys(names))


def _regions_by_provider(names: Sequence[str], regions: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Providers to ask, with the regions to ask for; of several those that have one of the regions."""
    catalog = user_catalog()
    regions_of = {name: catalog.regions_of(name) for name in names}
    everywhere = sorted({region for of_one in regions_of.values() for region in of_one})
    for region in regions:
        if everywhere and region not in everywhere:
            raise InputError(
                f"unknown region of {', '.join(names)}: '{region}'",
                where="--region",
                hint=suggestion(region, everywhere),
            )
    if not regions or not everywhere:
        return dict.fromkeys(names, tuple(regions))
    asked = {name: tuple(region for region in regions if region in of_one) for name, of_one in regions_of.items()}
    return {name: of_one for name, of_one in asked.items() if of_one}


def _refresh(name: str, ask: Callable[[LayeredCatalog], RefreshJob], refresh_options: RefreshOptions) -> Refreshed:
    catalog = user_catalog()
    with Progress(f"answers of {name}") as progress:
        return refresh(
            ask(catalog), catalog, refreshed_dir(), refresh_options,
            lambda done, total, _: progress.watch(f"answers of {name}", done, total),
        )  # fmt: skip


def _refresh_each(
    asks: Mapping[str, Callable[[LayeredCatalog], RefreshJob]], refresh_options: RefreshOptions
) -> tuple[list[Refreshed], dict[str, InputError]]:
    """Result of each provider's refresh, and why some could not be asked: of several, the others go on."""
    results: list[Refreshed] = []
    not_asked: dict[str, InputError] = {}
    for name, ask in asks.items():
        try:
            results.append(_refresh(name, ask, refresh_options))
        except InputError as error:
            if len(asks) == 1:
                raise
            not_asked[name] = error
    return results, not_asked


def _check(results: Sequence[Refreshed], not_asked: Mapping[str, InputError]) -> None:
    """Refuse to call it done where a provider's prices were not taken."""
    failed = [result for result in results if not result.is_sound]
    reasons = {refreshed.answer.provider: refreshed.reason for refreshed in failed} | {
        name: input_error.message for name, input_error in not_asked.items()
    }
    if not reasons:
        return
    whose = "the" if len(reasons) == len(results) + len(not_asked) else "their"
    hints = [_remedy(failed), *(f"{name}: {error.hint}" for name, error in not_asked.items() if error.hint)]
    raise NotPublished(
        f"{'; '.join(f'{name}: {reason}' for name, reason in reasons.items())}; {whose} old prices hold",
        hint="; ".join(filter(None, hints)),
    )


def _regions(catalog: LayeredCatalog, provider: str, wanted: Sequence[str]) -> tuple[str, ...]:
    """Regions that are wanted, else those that sell anything."""
    sold_in = {offer.region for offer in catalog.listed_offers if offer.provider == provider}
    return tuple(wanted) or tuple(sorted(sold_in))


def _ask_aws(
    catalog: LayeredCatalog, wanted: Sequence[str], public: bool, profile: str | None, endpoint_url: str | None
) -> RefreshJob:
    regions = _regions(catalog, "aws", wanted)
    types = tuple(sorted(name for owner, name in catalog.instance_types if owner == "aws"))
    if public:
        return RefreshJob(
            "aws", tuple(aws_public.tasks(regions, types, endpoint_url or aws_public.URL)), asker=endpoint_url or ""
        )
    try:
        import boto3  # noqa: PLC0415 - an extra, and heavy
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - as above
    except ImportError as error:
        hint = "pip install 'inference-advisor[aws]', or use --public"
        raise InputError("boto3 is not installed", hint=hint) from error
    try:
        session = boto3.Session(profile_name=profile)
        credentials = session.get_credentials()
    except BotoCoreError as error:
        raise InputError(f"cannot log in to AWS: {error}", hint="see `aws configure list-profiles`") from error
    if credentials is None:
        raise InputError(
            "there are no AWS credentials",
            hint="log in (aws sso login, AWS_PROFILE, a role), or read the public price files with --public",
        )
    now = dt.datetime.now(dt.UTC)
    asker = f"{profile or session.profile_name} {endpoint_url or ''}"
    return RefreshJob("aws", tuple(aws.tasks(regions, session, types, lambda: now, endpoint_url)), asker=asker)


@dataclass(frozen=True, slots=True)
class _Account:
    """Project or subscription that is asked for zones; price lists ask for none."""

    name: str | None
    token_file: Path | None
    name_option: str
    token_option: str

    def client(self) -> tuple[str, Client] | None:
        """Name of the account, and a client with its token; None where no account is given.

        Raises InputError if only one of both options is given, or the file cannot be read.
        """
        if not self.name and self.token_file is None:
            return None
        if not self.name or self.token_file is None:
            missing = self.token_option if self.name else self.name_option
            raise InputError("zones are asked for with an account and its token", where=missing, hint="give both")
        return self.name, Client(token=read_text(self.token_file, "access token").strip())


def _ask_azure(
    catalog: LayeredCatalog, wanted: Sequence[str], account: _Account, endpoint_url: str | None
) -> RefreshJob:
    regions = _regions(catalog, "azure", wanted)
    tasks = [*azure.tasks(regions, Client(), endpoint_url or azure.URL)]
    if (asked := account.client()) is not None:
        parts = urlsplit(endpoint_url or azure.ZONES_URL)
        address = f"{parts.scheme}://{parts.netloc}" if endpoint_url else azure.ZONES_URL
        tasks += azure.zone_tasks(regions, azure.Subscription(*asked, address))
    return RefreshJob("azure", tuple(tasks), asker=f"{endpoint_url or ''} {account.name or ''}".strip())


def _ask_gcp(
    catalog: LayeredCatalog, wanted: Sequence[str], key_file: Path | None, account: _Account, endpoint_url: str | None
) -> RefreshJob:
    if wanted:
        tell("note: Google has one price list for all regions, so all of them are read")
    machines = [machine for (owner, _), machine in catalog.instance_types.items() if owner == "gcp"]
    tasks = [*_gcp_prices(catalog, machines, key_file, endpoint_url)]
    if (asked := account.client()) is not None:
        tasks += gcp.zone_tasks(machines, gcp.Project(*asked, endpoint_url or gcp.ZONES_URL))
    asker = f"{endpoint_url or ''} {account.name or ''}".strip()
    origin = gcp.ORIGIN if key_file is None else None
    asker += "" if key_file else " public"
    return RefreshJob("gcp", tuple(tasks), tells_absence=False, asker=asker, origin=origin)


def _gcp_prices(
    catalog: LayeredCatalog, machines: Sequence[InstanceType], key_file: Path | None, endpoint_url: str | None
) -> Iterator[Task]:
    """Tasks that ask for prices: Google with a key, else those who published what it answered."""
    if key_file is not None:
        key = read_text(key_file, "API key").strip()
        return gcp.tasks(machines, Client(), key, endpoint_url or gcp.URL)
    tell("note: Google asks for a key (--gcp-api-key-file); without one a public list of sums is read")
    offers = catalog.as_listed().offers_in(("gcp",))
    asked = [
        snapshot.read_on for snapshot in catalog.snapshots if snapshot.provider == "gcp" and not _is_public(snapshot)
    ]
    return gcp.public_tasks(offers, max(asked, default=""), Client(), endpoint_url or gcp.PUBLIC_URL)


def _is_public(snapshot: Snapshot) -> bool:
    """The last refresh read the public list, not Google."""
    sources = {row["source_id"]: row["title"] for row in read_rows(snapshot.directory / "sources.csv")}
    return sources.get(REFRESHED) == gcp.ORIGIN.title


def _ask_plugin(name: str, wanted: Sequence[str], catalog: LayeredCatalog) -> RefreshJob:
    return plugin(name)(catalog, wanted)


def _remedy(failed: Sequence[Refreshed]) -> str:
    """Remedy; where there is more than one, they stand beside the parts that are missing."""
    held = sorted({(violation.guard.value, violation.key) for refreshed in failed for violation in refreshed.held})
    remedies = sorted({gap.remedy for refreshed in failed for gap in refreshed.answer.gaps if gap.remedy})
    parts = []
    if held:
        parts.append(acceptance(held))
    elif remedies:
        parts.append(remedies[0] if len(remedies) == 1 else "see above what would fix each part")
    if any(refreshed.answer.complete for refreshed in failed):
        parts.append("what was read is kept for six hours")
    return "; ".join(parts)


def acceptance(held: Sequence[tuple[str, str]]) -> str:
    """How to accept rows that are held back, by guard and key, where anything can."""
    if any(guard == Guard.NO_PRICE for guard, _ in held):
        return "a price of 0 or less cannot be accepted: ask the provider, or run the command again later"
    return f"if these rows are right, run again with {' '.join(_confirmations(held))}"


def _confirmations(held: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Options that accept what is held back: by family, and of very many families all that a guard holds back."""
    by_guard = len(held) > _MOST_CONFIRMED
    for guard, group in groupby(held, key=lambda row: row[0]):
        keys = [key for _, key in group]
        yield from (f"--confirm {key}" for key in ([guard] if by_guard and len(keys) > 1 else keys))


def _forget(name: str, root: Path, kept: str, noun: str) -> None:
    """Go back to the prices or releases that came with the program."""
    done = forget(root, kept)
    click.echo(f"{name}: {f'back to the {noun} that came with the program' if done else 'was not refreshed'}")


_ENGINES_HINT = "run `advisor catalog refresh engines`"


def check_alone(names: tuple[str, ...]) -> None:
    """Refuse engines beside providers: they are asked of another service, with guards of their own."""
    if set(names) != {ENGINES}:
        raise click.UsageError("`engines` is refreshed and compared by itself, not beside providers")


def _refresh_engines(refresh_options: RefreshOptions, url: str | None, output_format: str, output: Path | None) -> None:
    """Ask an index for releases; what is read counts when it is whole and sound."""
    address = url or engines.URL
    job = RefreshJob(ENGINES, tuple(engines.tasks(Client(), address)), asker=address)
    with Progress("answers of the package index") as progress:
        result = refresh_engines(
            job, user_catalog().releases, engines_dir(), refresh_options,
            lambda done, total, _: progress.watch("answers of the package index", done, total),
        )  # fmt: skip
    deliver(refresh_json([result]) if output_format == "json" else engine_refresh_words(result), output)
    if not result.is_sound:
        raise NotPublished(f"engines: {result.reason}; the old releases hold", hint=_engines_remedy(result))


def _engines_remedy(result: Refreshed) -> str:
    if any(held.guard is engines.ReleaseGuard.FUTURE for held in result.held):
        return "a release of the future cannot be accepted: check this machine's clock, or ask another index"
    if result.held:
        confirmations = " ".join(f"--confirm {held}" for held in sorted({held.key for held in result.held}))
        return f"if these releases are right, run again with {confirmations}"
    return next((gap.remedy for gap in result.answer.gaps), "")


def diff_engines(*, shipped: bool, output_format: str, output: Path | None) -> None:
    """Print the changes of the last refresh. Raises InputError if there was none, or it is damaged."""
    now = current(engines_dir(), RELEASES)
    if isinstance(now, Damaged):
        raise InputError(f"the refreshed releases are not used: {now.reason}", hint=_ENGINES_HINT)
    if now is None:
        raise InputError("engines was not refreshed", hint=_ENGINES_HINT)
    before = None if shipped else previous(engines_dir(), RELEASES)
    old = releases_of(before) if before else load_catalog(data_dir("instance_catalog")).releases
    changes = release_changes(old, releases_of(now))
    deliver(changes_json(changes) if output_format == "json" else change_words(changes), output)
