"""Asking providers what they sell today and at what price: one module for each, rows of one kind from all."""
