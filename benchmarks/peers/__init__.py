"""Peers: other solvers, and plain C, on the same equations, patients and output times."""
