"""What of machines that are not here? Ahead-of-time compilation."""
