"""The benchmark suite: what ketjax takes and what others take for the same work.

    python -m benchmarks --list
    python -m benchmarks --only course cvode

Each row measures, compares with its target where it has one, and leaves a JSON line a figure in
`benchmarks/results/`.
"""
