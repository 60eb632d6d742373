"""What keeps a model from being patched."""

from pomt_ref.errors import PomtError


class ModelError(PomtError, TypeError):
    """A model, or a part of one, that patching does not understand: it is refused, and stays as it was."""
