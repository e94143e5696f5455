"""What was typed? One file a verb: parse, load the claim, call, print."""
