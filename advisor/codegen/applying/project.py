"""A user's Terraform project as it lies on disk: the modules an address leads through."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from advisor.codegen.hcl import Attribute, Block, Document, literal, read_hcl
from advisor.errors import InputError
from advisor.reading import read_json
from advisor.records import dataclass

_INSTALLED = ".terraform/modules/modules.json"


@dataclass(frozen=True)
class Module:
    """One folder of ``.tf`` files, as it is called from its parent."""

    directory: Path
    root: Path
    """The directory that paths are shown relative to."""
    name: str = ""
    """Address of the module, such as ``module.x``; "": the root."""
    parent: "Module | None" = None
    call: "tuple[Document, Block] | None" = None
    """The ``module`` block, and the file that it is in."""
    call_key: str | None = None
    """Instance of the call, where it has ``for_each``."""
    is_editable: bool = True
    """False for a copy that `terraform init` downloaded."""

    @cached_property
    def documents(self) -> tuple[Document, ...]:
        """Documents in the order of their names; those ending in ``override.tf`` last, as Terraform merges them."""
        paths = sorted(self.directory.glob("*.tf"), key=lambda path: (path.stem.endswith("override"), path.name))
        return tuple(_read(path, self.root) for path in paths)

    @cached_property
    def variable_files(self) -> tuple[Document, ...]:
        """Files of the root that set variables by themselves, in the order in which Terraform reads them."""
        if self.parent is not None:
            return ()
        plain = [path for path in (self.directory / "terraform.tfvars",) if path.is_file()]
        return tuple(_read(path, self.root) for path in [*plain, *sorted(self.directory.glob("*.auto.tfvars"))])

    def blocks(self) -> Iterator[tuple[Document, Block]]:
        """Every top-level block, with its file."""
        return ((document, block) for document in self.documents for block in document.body.blocks)

    def find(self, address: str) -> "tuple[Document, Block] | None":
        """The block with an address, such as ``aws_lb.this`` or ``module.x``."""
        return next(((document, block) for document, block in self.blocks() if block.address == address), None)

    def local_value(self, name: str) -> "tuple[Document, Attribute] | None":
        """Where ``local.name`` is defined."""
        for document, block in self.blocks():
            if block.kind == "locals" and name in block.attributes:
                return document, block.attributes[name]
        return None

    def variable(self, name: str) -> "tuple[Document, Block] | None":
        """The declaration of a variable."""
        return self.find(f"variable.{name}")

    def json_variable_file(self, name: str) -> str:
        """The JSON file that sets a variable of the root; "" where none does."""
        if self.parent is not None:
            return ""
        paths = [self.directory / "terraform.tfvars.json", *sorted(self.directory.glob("*.auto.tfvars.json"))]
        for path in reversed(paths):
            if path.is_file() and name in _json_keys(path):
                return str(path.relative_to(self.root))
        return ""

    def inner(self, name: str, key: str | None) -> "Module | None":
        """The module that a call leads to; None where its files are not on this disk.

        Raises:
            InputError: there is no such call.
        """
        call = self.find(f"module.{name}")
        if call is None:
            raise InputError(f"there is no module {name!r}", where=str(self.directory), hint=self._calls())
        address = f"{self.name}.module.{name}".removeprefix(".")
        source = call[1].attributes.get("source")
        text = literal(source.value.node) if source else None
        if isinstance(text, str) and text.startswith((".", "/")):
            directory: Path | None = (self.directory / text).resolve()
            is_editable = self.is_editable
        else:
            directory, is_editable = self._installed(address), False
        if directory is None or not directory.is_dir():
            return None
        return Module(directory, self.root, address, self, call, key, is_editable)

    def _installed(self, address: str) -> Path | None:
        """Where `terraform init` put a module."""
        index = self.root / _INSTALLED
        key = address.replace("module.", "")
        try:
            modules = read_json(index, "list of modules")["Modules"]
            return next((self.root / module["Dir"] for module in modules if module["Key"] == key), None)
        except (InputError, KeyError, TypeError):
            return None

    def _calls(self) -> str:
        names = sorted(block.labels[0] for _, block in self.blocks() if block.kind == "module")
        return f"its modules: {', '.join(names)}" if names else "it calls no modules"


def open_project(directory: Path) -> Module:
    """The root module in *directory*.

    Raises:
        InputError: it is no directory, or holds no Terraform.
    """
    if not directory.is_dir():
        raise InputError("not a directory", where=str(directory), hint="give the directory of a Terraform root")
    root = Module(directory.resolve(), directory.resolve())
    if not root.documents:
        raise InputError("no .tf files", where=str(directory), hint="give the directory of a Terraform root")
    return root


def open_projects(directory: Path) -> dict[str, Module]:
    """The root module in *directory*, or those of its folders where it has no code itself, by their names.

    Raises:
        InputError: it is no directory, or neither it nor a folder of it holds Terraform.
    """
    folders = sorted(path for path in directory.glob("*/") if not path.name.startswith(".") and any(path.glob("*.tf")))
    if any(directory.glob("*.tf")) or not folders:
        return {"": open_project(directory)}
    return {f"{folder.name}/": open_project(folder) for folder in folders}


def _read(path: Path, root: Path) -> Document:
    try:
        shown = path.relative_to(root) if path.is_relative_to(root) else path
        # Bytes, so that an edit leaves line ends as they are.
        return read_hcl(path.read_bytes().decode("utf-8"), str(shown))
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError("not UTF-8 text", where=str(path)) from error


def _json_keys(path: Path) -> Mapping[str, object]:
    try:
        document = read_json(path, "variables")
    except InputError:
        return {}
    return document if isinstance(document, dict) else {}
