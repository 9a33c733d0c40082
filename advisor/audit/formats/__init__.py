"""Billing exports in one shape: one module for each format, each a table of SQL expressions."""

from advisor.audit.formats.azure import AZURE
from advisor.audit.formats.cur import CUR
from advisor.audit.formats.focus import FOCUS
from advisor.audit.formats.gcp import GCP

FORMATS = (FOCUS, CUR, AZURE, GCP)

__all__ = ["FORMATS"]
