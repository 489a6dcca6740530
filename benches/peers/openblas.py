"""Products on one thread of NumPy's OpenBLAS: prints GFLOP/s of processor time for each size and layout."""

import json
import time

import numpy

SIZES = [256, 512, 1024, 2048]
LAYOUTS = {"Nn": lambda a, b: a @ b, "Nt": lambda a, b: a @ b.T, "Tn": lambda a, b: a.T @ b}


def rate(product, a, b):
    """The best of several, which is what noise hurts least."""
    best, until = float("inf"), time.perf_counter() + 1.0
    while time.perf_counter() < until:
        started = time.process_time()
        product(a, b)
        best = min(best, time.process_time() - started)
    return 2 * a.shape[0] ** 3 / best / 1e9


def main():
    random = numpy.random.default_rng(1)
    rates = {}
    for size in SIZES:
        a, b = (random.random((size, size), dtype=numpy.float32) for _ in range(2))
        rates[size] = {name: rate(product, a, b) for name, product in LAYOUTS.items()}
    library = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
    print(json.dumps({"library": f"{library['name']} {library['version']}", "rates": rates}))


main()
