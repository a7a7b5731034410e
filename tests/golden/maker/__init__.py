"""Parts of make_golden.py, one module per kind of fixture."""
