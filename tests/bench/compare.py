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

PEERS = {"gmm": ("scikit-learn", "sklearn"), "hmm": ("hmmlearn", "hmmlearn")}  # by the kind of workload
SAME_OBJECTIVE = 1e-9


def read(stem):
    """The workload's shape, data and start, as emserve_bench wrote them."""
    import numpy as np

    with open(stem + ".json", encoding="utf-8") as file:
        shape = json.load(file)
    data = np.fromfile(stem + ".data.f64").reshape(shape["rows"], shape["columns"])
    return shape, data, np.fromfile(stem + ".start.f64")


def timed(base, step):
    """`base` with the times at which its method `step`, an E-step, begins."""

    class Timed(base):
        times = []

        def step_of_base(self, *arguments, **options):
            self.times.append(time.perf_counter())
            return getattr(super(), step)(*arguments, **options)

    setattr(Timed, step, Timed.step_of_base)
    return Timed


def report(model, objective):
    seconds = statistics.median(b - a for a, b in zip(model.times, model.times[1:]))
    print(json.dumps({"seconds_per_iteration": seconds, "objective": objective}))


def run_scikit_learn(stem):
    """Fits the workload at `stem` in this process and prints a JSON line like emserve_bench's."""
    import numpy as np
    from sklearn.mixture import GaussianMixture

    shape, data, start = read(stem)
    rows, columns, k = shape["rows"], shape["columns"], shape["components"]
    weights, means, covariances = np.split(start, [k, k + k * columns])
    if shape["covariance"] == "full":
        precisions = np.linalg.inv(covariances.reshape(k, columns, columns))
    else:
        precisions = 1 / covariances.reshape(k, columns)
    model = timed(GaussianMixture, "_e_step")(
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
    report(model, model.score(data) * rows)


def run_hmmlearn(stem):
    """As run_scikit_learn, for hidden Markov models, by hmmlearn's faster implementation."""
    import logging

    import numpy as np
    from hmmlearn.hmm import GaussianHMM

    logging.disable()
    shape, data, start = read(stem)
    columns, k = shape["columns"], shape["components"]
    full = shape["covariance"] == "full"
    initial, transitions, means, covariances = np.split(start, np.cumsum([k, k * k, k * columns]))
    model = timed(GaussianHMM, "_do_estep")(
        k,
        covariance_type="full" if full else "diag",
        min_covar=0,
        covars_prior=0,
        covars_weight=0,
        tol=-np.inf,
        n_iter=shape["iterations"],
        init_params="",
        implementation="scaling",
    )
    model.startprob_ = initial
    model.transmat_ = transitions.reshape(k, k)
    model.means_ = means.reshape(k, columns)
    model.covars_ = covariances.reshape((k, columns, columns) if full else (k, columns))
    lengths = [shape["sequence_rows"]] * (shape["rows"] // shape["sequence_rows"])
    model.fit(data, lengths)
    report(model, model.score(data, lengths))


RUN = {"scikit-learn": run_scikit_learn, "hmmlearn": run_hmmlearn}


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
        RUN[arguments.peer](arguments.bench)
        return
    bench = os.path.abspath(arguments.bench)
    peers = {kind: name for kind, (name, module) in PEERS.items() if importlib.util.find_spec(module)}
    if not peers:
        names = ", ".join(name for name, _ in PEERS.values())
        sys.exit(f"none of {names} can be imported by {sys.executable}")
    workloads = arguments.workloads or subprocess.run(
        [bench, "list"], check=True, capture_output=True, text=True
    ).stdout.split()
    print("| workload | threads | emserve s/iteration | peer s/iteration | ratio | objectives differ by "
          "| MiB peak / data |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as directory:
        for workload in workloads:
            peer = peers.get(workload.split("_")[0])
            if peer is None:
                continue
            subprocess.run([bench, "write", workload, directory], check=True)
            for threads in arguments.threads:
                compare(bench, workload, threads, peer, arguments.pairs, directory)


if __name__ == "__main__":
    main()
