#!/usr/bin/env python3
"""Compares emserve_bench with installed peers: same data, same start, fixed iterations, alternating runs.

    compare.py PATH/TO/emserve_bench [--pairs 3] [--threads 1,2] [WORKLOAD ...]

Prints a table of medians and ratios. Peers that cannot be imported are left out. Nothing fails on time; a
difference of the objectives above 1e-9 relative is marked in the table.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

PEERS = {"scikit-learn": "sklearn"}
SAME_OBJECTIVE = 1e-9


def run_scikit_learn(stem):
    """Fits the workload at `stem` in this process and prints a JSON line like emserve_bench's."""
    import numpy as np
    from sklearn.mixture import GaussianMixture

    with open(stem + ".json", encoding="utf-8") as file:
        shape = json.load(file)
    rows, columns, k = shape["rows"], shape["columns"], shape["components"]
    data = np.fromfile(stem + ".data.f64").reshape(rows, columns)
    start = np.fromfile(stem + ".start.f64")
    weights, means, covariances = np.split(start, [k, k + k * columns])
    if shape["covariance"] == "full":
        precisions = np.linalg.inv(covariances.reshape(k, columns, columns))
    else:
        precisions = 1 / covariances.reshape(k, columns)

    times = []

    class Timed(GaussianMixture):
        def _e_step(self, *arguments, **options):
            times.append(time.perf_counter())
            return super()._e_step(*arguments, **options)

    model = Timed(
        k,
        covariance_type={"full": "full", "diagonal": "diag"}[shape["covariance"]],
        tol=0,
        reg_covar=0,
        max_iter=shape["iterations"],
        init_params="random",
        weights_init=weights,
        means_init=means.reshape(k, columns),
        precisions_init=precisions,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it did not converge, which is the point
        model.fit(data)
    seconds = statistics.median(b - a for a, b in zip(times, times[1:]))
    print(json.dumps({"seconds_per_iteration": seconds, "objective": model.score(data) * rows}))


def measure(command, threads):
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = dict(os.environ, **{name: str(threads) for name in names})
    result = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(result.stdout.splitlines()[-1])


def compare(bench, workload, threads, peer, pairs, directory):
    ours, theirs = [], []
    for _ in range(pairs):
        ours.append(measure([bench, "run", workload, str(threads)], threads))
        theirs.append(
            measure([sys.executable, __file__, "--peer", peer, os.path.join(directory, workload)], threads)
        )
    mine = statistics.median(run["seconds_per_iteration"] for run in ours)
    peers = statistics.median(run["seconds_per_iteration"] for run in theirs)
    ratio = statistics.median(
        b["seconds_per_iteration"] / a["seconds_per_iteration"] for a, b in zip(ours, theirs)
    )
    difference = abs(ours[0]["objective"] / theirs[0]["objective"] - 1)
    mark = "" if difference <= SAME_OBJECTIVE else " (!)"
    print(
        f"| {workload} | {threads} | {mine:.4g} | {peer} {peers:.4g} | {ratio:.1f} "
        f"| {difference:.1e}{mark} | {ours[0]['peak_memory_mib']:.0f} / {ours[0]['data_mib']:.0f} |",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2])
    parser.add_argument("--peer", help=argparse.SUPPRESS)  # this process is the peer
    parser.add_argument("bench")
    parser.add_argument("workloads", nargs="*")
    arguments = parser.parse_intermixed_args()
    if arguments.peer:
        run_scikit_learn(arguments.bench)
        return
    bench = os.path.abspath(arguments.bench)
    peers = [name for name, module in PEERS.items() if importlib.util.find_spec(module)]
    if not peers:
        sys.exit(f"none of {', '.join(PEERS)} can be imported by {sys.executable}")
    workloads = arguments.workloads or subprocess.run(
        [bench, "list"], check=True, capture_output=True, text=True
    ).stdout.split()
    print("| workload | threads | emserve s/iteration | peer s/iteration | ratio | objectives differ by "
          "| MiB peak / data |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as directory:
        for workload in workloads:
            subprocess.run([bench, "write", workload, directory], check=True)
            for threads in arguments.threads:
                for peer in peers:
                    compare(bench, workload, threads, peer, arguments.pairs, directory)


if __name__ == "__main__":
    main()
