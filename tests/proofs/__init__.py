"""What is proved of the project's own source files without running them on data: ``nox -s prove``.

Every module proves statements of one kind; :mod:`tests.proofs.mutants` changes one token of the sources at a time and
asks which statement notices. docs/proofs.md says what each kind rests on.
"""
