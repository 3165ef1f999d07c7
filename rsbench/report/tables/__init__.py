"""Tables for a terminal, a paper or a program."""
