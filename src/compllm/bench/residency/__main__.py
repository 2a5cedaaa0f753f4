import argparse
from pathlib import Path

p = argparse.ArgumentParser()
p.add_argument("what", choices=["exact", "traces"], nargs="?", default="exact")
p.add_argument("--first", type=int, default=0)
p.add_argument("--count", type=int, default=0)
p.add_argument("--cache", type=Path, default=None)
p.add_argument("-v", action="store_true")
a = p.parse_args()
if a.what == "exact":
    from compllm.bench.residency.gap import measure_gaps, format_gaps

    if a.cache:
        a.cache.mkdir(parents=True, exist_ok=True)
    print(format_gaps(measure_gaps(range(a.first, a.first + (a.count or 20)), cache_dir=a.cache)))
else:
    from compllm.bench.residency.compare import *

    r = compare_brains(range(a.first, a.first + (a.count or 50)))
    if a.v:
        for t in r.traces:
            o, l, b = (t.brains[x] for x in (OURS, LRU, CLAIRVOYANT))
            print(
                f"{t.seed:3} {'skewed ' if t.skewed else 'uniform'} share {t.share:.2f} load ours/lru {o.load_s / l.load_s:.2f} /belady {o.load_s / b.load_s:.2f} /own order {o.load_s / t.own_order_s:.2f} p50 {o.p50_s:.1f} vs {l.p50_s:.1f} p95 {o.p95_s:.1f} vs {l.p95_s:.1f}"
            )
    print(format_residency(r))
