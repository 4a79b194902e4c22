"""Side-by-side measurements: `python -m benchmarks.NAME [--quick]`; their output: `benchmarks/form.py`."""
