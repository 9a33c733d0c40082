"""Pages of plans, estates, levers, audits, programmes and reviews: HTML without a request.

Their numbers are in tables, and their charts follow the width of the page.

Charts are SVG in percent of their box, not drawn by a library: the smallest that would do (Vega-Lite) adds 0.9 MB to a
page, takes seconds to be bundled, and shows nothing without JavaScript.
"""

from advisor.report.pages.documents import estate_page
from advisor.report.pages.plan import first_page, plan_page

__all__ = ["estate_page", "first_page", "plan_page"]
