"""What is this machine? Processes, devices, compiler, facts, checks."""
