"""The workload file: YAML in, a validated :class:`~advisor.workload.values.Workload` out."""
