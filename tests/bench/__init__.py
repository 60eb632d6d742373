"""What a user feels, measured: `nox -s bench` writes docs/performance.md, its figures as JSON and a picture."""
