"""The agent that runs on inference hosts, with nothing but the standard library.

Read in this order: ``__main__`` (what a run is made of: one loop over everything that can happen),
``supervised`` (a source in a process or thread of its own, and what to do when it hangs or ends), ``processes`` (that
process, and what it says), ``compaction`` (another process), ``status`` (rows reach the spool, also when the disk was
full), ``latest`` and ``page_server``.

No module here imports a vendor's library, and no process of a running agent numpy, pandas, pyarrow, duckdb or click.
"""
