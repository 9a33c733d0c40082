"""A plan in; infrastructure code out."""
