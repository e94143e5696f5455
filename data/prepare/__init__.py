"""Turns text of any size into token shards; see `run.prepare`."""
