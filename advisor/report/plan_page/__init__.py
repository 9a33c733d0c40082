"""The page of a plan: one HTML file without a request; its numbers are in tables too, its charts follow its width.

Charts are SVG in percent of their box, not drawn by a library: the smallest that would do (Vega-Lite) adds 0.9 MB to a
page, takes seconds to be bundled, and shows nothing without JavaScript.
"""

from advisor.report.plan_page.page import plan_page

__all__ = ["plan_page"]
