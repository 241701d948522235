"""One kind of finding a file. Detectors read facts and print nothing."""
