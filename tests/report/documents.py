"""Documents that have a page beside plans and estates, as their commands write them."""

from decimal import Decimal

from advisor.audit.run import Inputs, audited
from advisor.report.bill_documents import audit_json
from advisor.report.levers import levers_json
from advisor.report.programme import programme_json, review_json
from audit.bills import Charge, hours, write_bill
from audit.machines import ACCELERATED, billed, day_of, sampled
from levers.test_levers import few
from programme.test_programme import finding, made
from programme.test_review import CHANGED, PROGRAMME, reviewed, written


def audit_text(folder):
    """The audit of a bill of every kind, one machine of which was sampled."""
    charges = [
        *hours(Charge(cost=Decimal("5.672"), tags={"endpoint": "chat", "env": "dev"}), 24),
        *hours(Charge(cost=Decimal("5.672"), resource="i-0bbb", tags={"endpoint": "search", "env": "prod"}), 24),
        Charge("nat", Decimal("45.5"), resource="nat-1"),
        Charge("logs", Decimal("33.3"), resource="log-group"),
        Charge("disk", Decimal("9.99"), resource="vol-checkpoints"),
        Charge("tokens", Decimal("7.77"), resource="claude"),
    ]
    bill = write_bill(folder, "cur", charges)
    with audited(Inputs((str(bill),))) as opened:
        return audit_json(opened.audit)


def sampled_audit_text(folder):
    """The audit of one machine that hardly works."""
    folder.mkdir(exist_ok=True)
    bill, samples = billed(folder, day_of(ACCELERATED)), sampled(folder, lambda _: 0.05)
    with audited(Inputs((str(bill),), telemetry=(samples,))) as opened:
        return audit_json(opened.audit)


def texts(folder):
    """JSON of levers, of an audit, of a programme of both, and of a review, by kind."""
    levers = few()
    programme = made(finding("ADV112"), finding("ADV109", 40.0, ("sp-1",)), levers=(levers,), max_payback=1e6)
    review = reviewed(written(folder, nat=lambda day: 40.0 if day < CHANGED else 55.0), APPLIED, programme=PROGRAMME)
    return {
        "levers": levers_json(levers),
        "audit": audit_text(folder),
        "programme": programme_json(programme),
        "review": review_json(review),
    }


APPLIED = {"chat/spot": CHANGED, "ADV112": CHANGED}
