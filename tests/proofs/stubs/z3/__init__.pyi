# z3 publishes no types: whatever comes from it is Any, as it is for mypy.
from typing import Any

def __getattr__(name: str) -> Any: ...  # noqa: ANN401  # pyright: ignore[reportIncompleteStub]
