"""Images by digest: which ones code takes, and the file that keeps them from run to run."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from advisor.codegen.kubernetes import repository
from advisor.codegen.model import Backend, Stack
from advisor.codegen.quoting import image_reference
from advisor.codegen.registries import DIGEST
from advisor.errors import InputError
from advisor.reading import json_of
from advisor.records import replace

FILE = "images.json"
"""Image with its tag → digest; beside the code."""
_REGISTRY_OF_ITS_OWN = ("sagemaker",)
"""Targets that take other images than those that engines publish."""
_DIGEST_ALONE = ("cloud-run", "container-apps")
"""Services whose references have a tag or a digest; others take both."""


def images_of(stacks: Iterable[Stack]) -> tuple[str, ...]:
    """The images of the stacks that a tag names, each once."""
    images = {
        backend.container.image
        for stack in stacks
        if stack.target not in _REGISTRY_OF_ITS_OWN
        for backend in stack.backends
    }
    return tuple(sorted(image for image in images if "@" not in image))


def pinned(stack: Stack, digests: Mapping[str, str]) -> Stack:
    """The stack with each image by its digest, where one is known."""
    if stack.target in _REGISTRY_OF_ITS_OWN:
        return stack
    keeps_tag = stack.target not in _DIGEST_ALONE
    return replace(stack, backends=tuple(_pinned(backend, digests, keeps_tag=keeps_tag) for backend in stack.backends))


def _pinned(backend: Backend, digests: Mapping[str, str], *, keeps_tag: bool) -> Backend:
    image = backend.container.image
    digest = digests.get(image)
    if digest is None:
        return backend
    name = image if keeps_tag else repository(image)
    return replace(backend, container=replace(backend.container, image=f"{name}@{digest}"))


def written(images: Iterable[str], digests: Mapping[str, str]) -> Mapping[str, str]:
    """The file that keeps the digests of the images in use; none where none is known."""
    kept = {image: digests[image] for image in images if image in digests}
    return {FILE: json.dumps(kept, indent=2, sort_keys=True) + "\n"} if kept else {}


def kept_in(directory: Path) -> Mapping[str, str]:
    """The digests that an earlier run kept in *directory*.

    Raises:
        InputError: the file is damaged.
    """
    path = directory / FILE
    try:
        document = json_of(path.read_text("utf-8"), str(path))
        return {image_reference(image): _digest(digest) for image, digest in document.items()}
    except FileNotFoundError:
        return {}
    except (InputError, OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(
            f"this is no list of images and digests: {error}",
            where=str(path),
            hint="delete it, and run the command with --resolve-digests",
        ) from error


def _digest(text: str) -> str:
    if DIGEST.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no digest, such as sha256:{'0' * 8}…")
    return text
