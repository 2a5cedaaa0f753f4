import argparse
from pathlib import Path
from compllm.bench.residency.gap import measure_gaps, format_gaps
p=argparse.ArgumentParser(); p.add_argument("--first",type=int,default=0); p.add_argument("--count",type=int,default=20); p.add_argument("--cache",type=Path,default=None)
a=p.parse_args()
if a.cache: a.cache.mkdir(parents=True,exist_ok=True)
print(format_gaps(measure_gaps(range(a.first,a.first+a.count),cache_dir=a.cache)))
