"""Files of a repository on the hub that are copied to a bucket: one checkpoint, though it may be there several times.

A job of a cluster and the commands in READMEs leave out the same.
"""

from advisor.codegen.quoting import Quoted, comment_text

OF_OTHER_PROGRAMS = ("original/*", "metal/*", "openvino/*", "coreml/*", "flax_model*", "tf_model*")
"""Patterns of copies of the weights that no generated engine reads."""
BESIDE_SAFETENSORS = ("consolidated*", "pytorch_model*", "*.pth")
"""The same where ``*.safetensors`` lie beside them under other names; without these they are the weights."""


def hub_files(include: str, commit: str = "") -> Quoted:
    """Options of ``hf download`` for the files that are copied: those of a pattern, or all but other copies.

    *commit*: that they are taken at; "": the newest.
    """
    revision = f"--revision {comment_text(commit)} " if commit else ""
    if include:
        return Quoted(f'{revision}--include "{comment_text(include)}"')
    lines = (" ".join(f"--exclude '{name}'" for name in names) for names in (OF_OTHER_PROGRAMS, BESIDE_SAFETENSORS))
    return Quoted(revision + " \\\n  ".join(lines))


def hub_remark(include: str) -> Quoted:
    """Comment above the command on repositories of which more is copied; "" where a pattern says what is."""
    if include:
        return Quoted("")
    *names, last = (f"'{name}'" for name in BESIDE_SAFETENSORS)
    which = f"{', '.join(names)} and {last}"
    return Quoted(f"# Take {which} too where no *.safetensors but consolidated ones are in the repository.\n")
