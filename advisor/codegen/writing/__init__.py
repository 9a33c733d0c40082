"""Writing code into a directory that people work in: file by file, and never over what a person wrote."""

from advisor.codegen.writing.former import left_roots, read_former
from advisor.codegen.writing.merging import Action, Change, ConflictPolicy, WriteOptions, WriteReport
from advisor.codegen.writing.write import last_generated, write_files

__all__ = [
    "Action",
    "Change",
    "ConflictPolicy",
    "WriteOptions",
    "WriteReport",
    "last_generated",
    "left_roots",
    "read_former",
    "write_files",
]
