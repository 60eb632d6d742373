"""How the laws run: the Hypothesis profile, one thread, and what device was found.

The profile is ``HYPOTHESIS_PROFILE``, or ``ci`` where ``CI`` is set, or ``dev``.
"""

import os

import hypothesis
import pytest
import torch

SLOW_IS_FINE = (hypothesis.HealthCheck.too_slow,)
"""A case holds tensors of up to a thousand tokens: drawing one may take longer than Hypothesis expects."""

HEADER_SHOWN = pytest.StashKey[bool]()

hypothesis.settings.register_profile("dev", deadline=None, max_examples=10, suppress_health_check=SLOW_IS_FINE)
hypothesis.settings.register_profile(
    "ci",
    deadline=None,
    max_examples=10,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=SLOW_IS_FINE,
)
hypothesis.settings.register_profile(
    "nightly", deadline=None, max_examples=100, print_blob=True, suppress_health_check=SLOW_IS_FINE
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))

# Cases are small: threads cost more than they bring, and sums come in one order on every machine.
torch.set_num_threads(1)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say once which accelerator the laws also run on (other folders' conftest.py share this function)."""
    if config.stash.get(HEADER_SHOWN, False):
        return []
    config.stash[HEADER_SHOWN] = True
    return [f"CUDA: {torch.cuda.get_device_name() if torch.cuda.is_available() else 'not available'}"]
