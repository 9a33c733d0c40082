"""Compiles modules of plain lists and numbers into the wheel, where that is asked for and a C compiler is at hand.

``HATCH_BUILD_HOOK_ENABLE_CUSTOM=true`` asks for it; an editable installation then has them beside their sources.
Without a compiler the sources run as they are: the same floats, more slowly.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MODULES = ("advisor/plan/replay/batching.py",)
"""Modules that import nothing of the program."""


class CompiledModules(BuildHookInterface[Any]):
    """Adds what mypyc makes of them."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the modules; say so and go on where that fails."""
        self.folder = TemporaryDirectory()
        try:
            libraries = compiled(Path(self.folder.name))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - compilers fail in many ways, and none is needed
            self.app.display_warning(f"{', '.join(MODULES)} run uncompiled: {error}")
            return
        for place, library in libraries.items():
            if version == "editable":
                Path(self.root, place).write_bytes(library.read_bytes())
            else:
                build_data["force_include"][str(library)] = place
                build_data |= {"pure_python": False, "infer_tag": True}

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - hatchling's signature
        """Remove what is in the wheel by now."""
        self.folder.cleanup()


def compiled(folder: Path) -> dict[str, Path]:
    """Libraries, made in a folder, by their places in the project."""
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    alone = ["--follow-imports=skip", "--ignore-missing-imports", *MODULES]
    extensions = mypycify(alone, opt_level="3", debug_level="0", target_dir=str(folder / "c"))
    for extension in extensions:
        extension.extra_compile_args.append(
            "-ffp-contract=off"
        )  # a product is rounded before it is added, as in Python
    command = build_ext(Distribution({"ext_modules": extensions}))
    command.build_lib, command.build_temp = str(folder), str(folder / "objects")
    command.ensure_finalized()
    command.run()
    places = [command.get_ext_filename(extension.name) for extension in extensions]
    return {place: folder / place for place in places}
