"""The science: pure functions of named quantities, one part of the biology a file."""
