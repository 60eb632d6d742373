"""The version of the project, where everything that says it can import it; pyproject.toml has the same."""

from typing import Final

__version__: Final = "0.2.0"
