"""The cores of a batch on the workers of a Dask cluster (`pip install 'dumpwalk[cluster]'`)."""
