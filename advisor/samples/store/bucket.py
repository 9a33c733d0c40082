"""A bucket of S3, Google Cloud Storage or Azure, through the file systems that pyarrow brings along."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from advisor.errors import InputError
from advisor.samples.agent.upload_policy import BucketUrl

T = TypeVar("T")
_CHUNK_BYTES = 1 << 20
_PAUSES_SECONDS = (1.0, 4.0, 16.0)
_LONGEST_WAIT_SECONDS = 20.0
_PROBLEMS = (
    (("EXPIRED_TOKEN", "ExpiredToken", "INVALID_ACCESS_KEY_ID", "InvalidAccessKeyId", "INVALID_CLIENT_TOKEN_ID",
      "SIGNATURE_DOES_NOT_MATCH", "SignatureDoesNotMatch", "UNRECOGNIZED_CLIENT", "UNAUTHENTICATED",
      "Could not create a OAuth2", "default credentials"),
     "the credentials are not accepted",
     "renew them, or give this host an identity of the provider (`aws sts get-caller-identity` shows whose they are)"),
    (("ACCESS_DENIED", "AccessDenied", "PERMISSION_DENIED", "Permission denied", "Forbidden", "HTTP status 403",
      "AuthorizationFailure", "AuthorizationPermissionMismatch"),
     "it is not permitted",
     ("to read, allow listing and reading (s3:ListBucket and s3:GetObject, Storage Object Viewer, Storage Blob Data "
      "Reader); to upload, what `inference-advisor-agent upload-policy {url}` prints")),
    (("NO_SUCH_BUCKET", "NoSuchBucket", "NOT_FOUND", "ContainerNotFound", "does not exist", "No such file"),
     "there is no such bucket or prefix",
     "check the name, and the region of a new bucket; it has to exist before"),
    (("HTTP status 301", "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraint"),
     "it is in another region", "the bucket is in another region: write {url}?region=REGION"),
    (("REQUEST_TIME_TOO_SKEWED", "RequestTimeTooSkewed"), "the clocks differ", "set this host's clock"),
)  # fmt: skip
"""What errors say, what it means, and what mends it; the first that fits. Anything else may pass and is tried again."""
_PASSING = (
    "it does not answer as it should",
    "check endpoint and network; the next compaction goes on where this one stopped",
)


class Bucket:
    """A place for files in a bucket."""

    def __init__(self, url: BucketUrl, filesystem: Any, pauses: Sequence[float] | None = None) -> None:  # noqa: ANN401 - pyarrow's
        """Nothing is asked yet.

        Args:
            url: where.
            filesystem: a ``pyarrow.fs.FileSystem``.
            pauses: seconds between tries; None: 1, 4 and 16.
        """
        self.url = url
        self.filesystem = filesystem
        self._pauses = _PAUSES_SECONDS if pauses is None else pauses

    @classmethod
    def at(cls, url: BucketUrl) -> "Bucket":
        """The bucket of an address, with the credentials that the provider's own tools would use.

        Raises:
            InputError: pyarrow was built without this provider, or its region cannot be found out.
        """
        try:
            return cls(url, _OPENERS[url.scheme](url))
        except ImportError as error:
            raise InputError(
                f"pyarrow was built without {url.scheme}://",
                where=str(url),
                hint="install pyarrow 16 or later from PyPI",
            ) from error
        except (OSError, ValueError) as error:
            raise cls._refused(url, error) from error

    def names(self) -> list[str]:
        """Names of all files there, in order.

        Raises:
            InputError: there is no such bucket or prefix, or it may not be listed.
        """
        from pyarrow.fs import FileSelector  # noqa: PLC0415 - loaded with the file system

        selector = FileSelector(self.url.root, recursive=True)
        listed = self._tried(lambda: self.filesystem.get_file_info(selector))
        return sorted(file.path.removeprefix(self.url.root).strip("/") for file in listed if file.is_file)

    def open(self, name: str) -> Any:  # noqa: ANN401 - pyarrow's
        """A file there, for reading at any position.

        Raises:
            FileNotFoundError: it is gone.
            InputError: it may not be read.
        """
        return self._tried(lambda: self.filesystem.open_input_file(self._path(name)), may_miss=True)

    def bytes_below(self, folder: str) -> dict[str, int]:
        """Sizes of the files in a folder there, by name; a folder that is not there has none."""
        from pyarrow.fs import FileSelector  # noqa: PLC0415 - loaded with the file system

        selector = FileSelector(self._path(folder), allow_not_found=True)
        listed = self._tried(lambda: self.filesystem.get_file_info(selector))
        return {f"{folder}/{file.base_name}": file.size for file in listed if file.is_file}

    def digest_of(self, name: str) -> str:
        """SHA-256 of a file there, read back whole; "" where there is none."""
        try:
            return self._tried(lambda: self._read_digest(name), may_miss=True)
        except FileNotFoundError:
            return ""

    def put(self, name: str, path: Path) -> None:
        """Bring a file there; it appears whole or not at all."""
        self._tried(lambda: self._write(name, path))

    def remove(self, name: str) -> None:
        """Remove a file that is there."""
        self._tried(lambda: self.filesystem.delete_file(self._path(name)))

    def _write(self, name: str, path: Path) -> None:
        with path.open("rb") as source, self.filesystem.open_output_stream(self._path(name), buffer_size=0) as stream:
            shutil.copyfileobj(source, stream, _CHUNK_BYTES)

    def _read_digest(self, name: str) -> str:
        with self.filesystem.open_input_stream(self._path(name)) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def _path(self, name: str) -> str:
        return f"{self.url.root}/{name}"

    def _tried(self, action: Callable[[], T], *, may_miss: bool = False) -> T:
        """Result of an action, tried again while it fails by what may pass.

        Raises:
            FileNotFoundError: there is no such file, which may be.
            InputError: it is refused, or still fails.
        """
        for pause in (*self._pauses, None):
            try:
                return action()
            except OSError as error:
                if may_miss and isinstance(error, FileNotFoundError):
                    raise
                if pause is None or _problem(error) is not _PASSING:
                    raise self._refused(self.url, error) from error
                time.sleep(pause)
        raise AssertionError

    @staticmethod
    def _refused(url: BucketUrl, error: Exception) -> InputError:
        said = (str(error) or type(error).__name__).splitlines()[0].partition(" (Request ID")[0]
        problem, hint = _problem(error)
        return InputError(f"{problem} ({said})", where=str(url), hint=hint.format(url=url))


def _problem(error: Exception) -> tuple[str, str]:
    """Meaning of an error, and its remedy."""
    said = str(error)
    return next(
        ((problem, hint) for marks, problem, hint in _PROBLEMS if any(mark in said for mark in marks)), _PASSING
    )


def _s3(url: BucketUrl) -> Any:  # noqa: ANN401 - pyarrow's
    from pyarrow.fs import S3FileSystem, resolve_s3_region  # noqa: PLC0415 - only a bucket of S3 needs it

    endpoint = (
        url.options.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    )
    region = url.options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    scheme, _, address = (endpoint or "").rpartition("://")
    return S3FileSystem(
        region=region or ("us-east-1" if endpoint else resolve_s3_region(url.bucket)),
        endpoint_override=address.rstrip("/") or None,
        scheme=scheme or "https",
        connect_timeout=_LONGEST_WAIT_SECONDS,
        request_timeout=_LONGEST_WAIT_SECONDS,
        background_writes=False,
    )


def _gs(url: BucketUrl) -> Any:  # noqa: ANN401 - pyarrow's
    from datetime import timedelta  # noqa: PLC0415

    from pyarrow.fs import GcsFileSystem  # noqa: PLC0415 - only a bucket of Google's needs it

    endpoint = url.options.get("endpoint")
    scheme, _, address = (endpoint or "").rpartition("://")
    return GcsFileSystem(
        anonymous=endpoint is not None and not os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"),
        endpoint_override=address or None,
        scheme=scheme or "https",
        retry_time_limit=timedelta(seconds=_LONGEST_WAIT_SECONDS),
    )


def _az(url: BucketUrl) -> Any:  # noqa: ANN401 - pyarrow's
    from pyarrow.fs import AzureFileSystem  # noqa: PLC0415 - only a container of Azure needs it

    account = url.options.get("account") or os.environ.get("AZURE_STORAGE_ACCOUNT", "")
    if not account:
        raise InputError(
            "the storage account is not known",
            where=str(url),
            hint=f"write {url}?account=NAME, or set AZURE_STORAGE_ACCOUNT",
        )
    return AzureFileSystem(account_name=account, account_key=os.environ.get("AZURE_STORAGE_KEY"))


_OPENERS: dict[str, Callable[[BucketUrl], Any]] = {"s3": _s3, "gs": _gs, "az": _az}
