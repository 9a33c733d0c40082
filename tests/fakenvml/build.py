"""Compiles the fake NVIDIA driver library."""

import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("fakenvml.c")
NAME = "libnvidia-ml.so.1"


def compiler() -> str | None:
    """The C compiler of this machine, if it has one."""
    return shutil.which("cc")


def build_library(directory: Path, hidden: tuple[str, ...] = ()) -> Path:
    """Compile into *directory*.

    Args:
        directory: where to put it; becomes LD_LIBRARY_PATH.
        hidden: functions that an older driver does not have: they are no symbols of the library.

    Returns:
        The library.
    """
    library = directory / NAME
    version_script = directory / "symbols.map"
    version_script.write_text(
        f"{{ local: {' '.join(f'{name};' for name in hidden)} }};" if hidden else "{ global: *; };"
    )
    subprocess.run(
        [
            compiler() or "cc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden",
            f"-Wl,-soname,{NAME}", f"-Wl,--version-script={version_script}", "-o", library, SOURCE,
        ],
        check=True,
    )  # fmt: skip
    return library
