"""advisor: the cheapest way to serve measured AI-inference demand, and the code that deploys it."""

__version__ = "0.1.0"
