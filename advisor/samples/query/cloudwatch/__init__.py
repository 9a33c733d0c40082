"""Metrics that CloudWatch keeps of accelerators and of SageMaker's endpoints."""

from advisor.samples.query.cloudwatch.api import CloudWatchApi, Metric, Points, Span
from advisor.samples.query.cloudwatch.backend import CloudWatchBackend

__all__ = ["CloudWatchApi", "CloudWatchBackend", "Metric", "Points", "Span"]
