"""What is to be run? The algebra of sweeps, plans, identity, cost."""
