"""`texapi doctor`."""

from __future__ import annotations

from texapi_core.cli.doctor.examination import Examination
from texapi_core.cli.gateway_output import print_findings
from texapi_core.cli.guard import FAULTY
from texapi_core.cli.language import language


def doctor(*, model: str, request: bool, timeout: float, format: str) -> None:
    """Check the setup, from the key to one small request, and suggest fixes. Never shows the key."""
    examination = Examination(model=model, timeout=timeout, sends_request=request)
    findings = print_findings(examination.run(), language(), format)
    if any(finding.verdict == "fault" for finding in findings):
        raise SystemExit(FAULTY)
