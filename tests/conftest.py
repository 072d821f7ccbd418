"""What holds for all tests: how many examples Hypothesis takes."""

import os

from hypothesis import HealthCheck, settings

# A machine that is busy with something else is slow: no test may fail for that.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("default", _PATIENT, max_examples=30)
# The same examples each time: what fails is the change's fault.
settings.register_profile("ci", _PATIENT, max_examples=100, derandomize=True, print_blob=True)
settings.register_profile("nightly", _PATIENT, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if "CI" in os.environ else "default"))
