"""One kind of finding a file. Detectors read facts and print nothing; each is run or failed, and that is recorded."""
