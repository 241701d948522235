"""Damaged and hostile cores: mutations of committed cores with a fixed seed, run through the command line, and an oracle.

python -m tests.fuzz               200 mutations, as in `make test`
python -m tests.fuzz --extended    2,000, as in `make fuzz`
python -m tests.fuzz --only 123    one of them, its file and its report kept and its findings told
"""
