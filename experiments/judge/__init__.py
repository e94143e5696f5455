"""What follows? Declared effects, samples, statistics, verdicts, the table."""
