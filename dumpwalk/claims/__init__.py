"""What is claimed of a dump: findings with their evidence, coverage, the verdict. Below those who find and those who show."""
