"""Who carries the work? This process, local workers, several processes."""
