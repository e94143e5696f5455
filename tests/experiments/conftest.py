"""Puts what the tests of several rooms share on the path."""
