"""Measurements of residency from the command line, until `compllm bench schedule` has them."""

import argparse
from pathlib import Path

from compllm.bench.residency.compare import compare_brains, format_residency, format_traces
from compllm.bench.residency.gap import format_gaps, measure_gaps

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["exact", "traces"], nargs="?", default="exact")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("-v", action="store_true")
    given = parser.parse_args()
    if given.what == "exact":
        seeds = range(given.first, given.first + (given.count or 20))
        print(format_gaps(measure_gaps(seeds, cache_dir=given.cache)))
    else:
        report = compare_brains(range(given.first, given.first + (given.count or 50)))
        print(*([format_traces(report)] if given.v else []), format_residency(report), sep="\n")
