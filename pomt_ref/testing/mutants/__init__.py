"""Faulty implementations that the laws must reject, and honest variants that they must accept."""

from pomt_ref.testing.mutants.faults import FAULTS
from pomt_ref.testing.mutants.honest import HONEST
from pomt_ref.testing.mutants.mutant import Mutant
from pomt_ref.testing.mutants.step import ClassStep, Step

__all__ = ["FAULTS", "HONEST", "ClassStep", "Mutant", "Step"]
