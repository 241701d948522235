"""The steps of the analysis, a file each with its `STEP` (analysis/step.py)."""
