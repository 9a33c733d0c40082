"""Inference services that run today: found in clusters, metrics, samples and accounts, and written as workload files.

Read in this order: ``values`` says what a service is, ``launches`` reads how its engine was started,
``kubernetes_api`` and ``cluster`` read a cluster, ``monitored`` a Prometheus-compatible server; ``find`` reads an
account and samples and joins them all, ``proposal`` says what is missing and has the planner judge today's machines
under the proposed targets, ``workload_text`` writes. ``bill_changes`` edits Terraform as an audited bill asks.
"""
