"""Trains the same workloads with Plimsoll and with its peers, in turns, and writes what a step took.

    python3 compare.py [--rounds N] [--seconds S] [--only NAME ...] [--resume] [--train 'KEY = VALUE']

Of each workload every library that is built trains a model in a process of its own. Once all are warm
they take turns: in each round each measures its steps for some seconds while the others wait. Results
are kept in results.json as they come, and go into a table in benches/RESULTS.md.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import threading
import time

import report
from setup import HERE, ROOT, default_target

# What `benches/matmul.rs` says of a product of square matrices.
PRODUCT = re.compile(r"^matmul (\d+)x\d+x\d+/(\w+)\b.*?cpu:.*?which is ([\d.]+) GFLOP/s", re.M | re.S)
LONGEST_S = 900  # for a first step or a measurement; some tune or compile for minutes
WORKLOADS = ["w1", "w2", "w3", "w4", "w5", "w6", "r"]


def programs(target, settings, one_thread):
    """The command of each library that is built, before the run file, and what it needs in its environment."""
    cargo = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    crate = lambda name: target / name / "release" / f"peer-{name.removesuffix('-vulkan')}"
    python, train = target / "venv" / "bin" / "python", HERE / "pytorch" / "train.py"
    own = cargo / "release" / "examples" / "workload"
    more = ["--probe", *(["--train", settings] if settings else [])]  # as the program does, once for each device
    found = {
        "plimsoll": (own, more, {}),
        "plimsoll f16": (own, [*more, "--train", 'storage = "f16"'], {}),
        "pytorch": (python, [train], {}),
        "burn wgpu": (crate("burn"), ["--backend", "wgpu"], {}),
        "burn vulkan": (crate("burn-vulkan"), ["--backend", "vulkan"], {}),
        "burn flex": (crate("burn"), ["--backend", "flex"], {}),
        "candle": (crate("candle"), [], {}),
        "meganeura": (crate("meganeura"), [], {}),
    }
    if has_cuda(python):
        found |= {
            "pytorch, cuda": (python, [train, "--device", "cuda"], {}),
            "pytorch, cuda f16": (python, [train, "--device", "cuda", "--half"], {}),
        }
    if one_thread:
        alone = {"RAYON_NUM_THREADS": "1"}
        found |= {
            "pytorch, 1 thread": (python, [train, "--threads", "1"], {}),
            "burn flex, 1 thread": (crate("burn"), ["--backend", "flex"], alone),
            "candle, 1 thread": (crate("candle"), [], alone),
        }
    for name, (program, *_) in found.items():
        if not program.exists():
            print(f"{name} is not built and left out: no {program}", file=sys.stderr)
    built = {name: whole for name, whole in found.items() if whole[0].exists()}
    return {name: ([program, *rest], more) for name, (program, rest, more) in built.items()}


def has_cuda(python):
    """Whether there is a PyTorch, and a device for its CUDA."""
    asks = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return python.exists() and subprocess.run([python, "-c", asks]).returncode == 0


class Trainee:
    """A process that measures when it is told to."""

    def __init__(self, name, command, workload, seconds, log):
        run = workload if name.startswith("plimsoll") else ROOT / "benches" / "workloads" / f"{workload}.toml"
        (command, more), seconds = command, str(seconds)
        whole = [*command, run, "--seconds", seconds, "--wait"]
        # Variables that make an OpenBLAS choose older kernels are for others to set.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
        environment |= {"NODEVICE_SELECT": "1", **more}
        pipe = subprocess.PIPE
        whole = [str(part) for part in whole]
        self.process = subprocess.Popen(whole, stdin=pipe, stdout=pipe, stderr=log, text=True, env=environment)
        self.name = name
        self.about = self.line()

    def line(self):
        """The next line that is JSON; none once the process has ended."""
        watchdog = threading.Timer(LONGEST_S, self.process.kill)
        watchdog.start()
        try:
            return next((json.loads(line) for line in self.process.stdout if line.startswith("{")), None)
        finally:
            watchdog.cancel()

    def measure(self):
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        return self.line()

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()


def others_cpu():
    """Processor seconds that all but this process and its children have had; none where Linux does not tell."""
    if not os.path.exists("/proc/stat"):
        return None
    user, nice, system, _, _, irq, soft = map(int, pathlib.Path("/proc/stat").read_text().split()[1:8])
    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    busy = (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")
    return busy - sum(usage.ru_utime + usage.ru_stime for usage in own)


def take_turns(workload, commands, asked, log):
    """Samples of each library, round by round."""
    trainees, samples = [], {}
    for name, command in commands.items():
        print(f"{workload}: {name} warms up", file=sys.stderr, flush=True)
        trainee = Trainee(name, command, workload, asked.seconds, log)
        if trainee.about is None:
            trainee.end()
            samples[name] = {"failed": f"ended with {trainee.process.returncode}; see {log.name}"}
        elif "unsupported" in trainee.about:
            trainee.end()
            samples[name] = {"failed": trainee.about["unsupported"]}
        else:
            trainees.append(trainee)
    for _ in range(asked.rounds):
        for trainee in trainees:
            line = trainee.measure()
            if line is not None:
                samples.setdefault(trainee.name, {"samples": []})["samples"].append(line)
    for trainee in trainees:
        trainee.end()
        samples.setdefault(trainee.name, {"failed": f"ended before it had measured; see {log.name}"})
    return {name: one if "failed" in one else summary(one["samples"]) for name, one in samples.items()}


def summary(samples):
    """One line of what was measured in all rounds."""
    whole = dict(samples[-1])
    for key in ("wall_ms", "cpu_ms"):
        whole[key] = statistics.median(sample[key] for sample in samples)
        whole[f"{key}_best"] = min(sample[f"{key}_best"] for sample in samples)
    whole["rounds"] = len(samples)
    falls = all(sample["last_loss"] is not None for sample in samples)
    whole["falls"] = falls and whole["last_loss"] < whole["first_loss"] < float("inf")
    return whole


def cold_start(workload, command, log):
    """Milliseconds from opening the device to the end of the first step, where Mesa has no compiled shaders."""
    (command, more) = command
    environment = os.environ | {"NODEVICE_SELECT": "1", "MESA_SHADER_CACHE_DISABLE": "true"} | more
    whole = [str(part) for part in [*command, workload, "--seconds", 0]]
    done = subprocess.run(whole, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    if done.returncode != 0:
        return None
    line = json.loads(done.stdout.splitlines()[-1])
    return line["start_ms"] + line["first_step_ms"]


def products(target, asked, log):
    """Products of square matrices beside one thread of OpenBLAS: GFLOP/s of processor time, of both."""
    python = target / "venv" / "bin" / "python"
    if not python.exists():
        return None
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    environment |= {"OPENBLAS_NUM_THREADS": "1", "NODEVICE_SELECT": "1"}
    run = lambda command: subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    bench = ["cargo", "bench", "--quiet", "--bench", "matmul", "--", "matmul (256|512|1024|2048)x"]
    theirs, ours = None, {}
    for _ in range(max(1, asked.rounds // 2)):
        line = json.loads(run([python, HERE / "openblas.py"]).stdout)
        theirs = line if theirs is None else {**theirs, "rates": best(theirs["rates"], line["rates"])}
        found = {}
        for size, layout, rate in PRODUCT.findall(run(bench).stdout):
            found.setdefault(size, {})[layout] = float(rate)
        ours = best(ours, found) if ours else found
    return {"library": theirs["library"], "theirs": theirs["rates"], "ours": ours}


def best(rates, others):
    return {
        size: {layout: max(rate, others.get(size, {}).get(layout, 0.0)) for layout, rate in of.items()}
        for size, of in rates.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement, at least")
    parser.add_argument("--only", nargs="+", default=[], help="workloads and libraries, by name; gemm for products")
    parser.add_argument("--resume", action="store_true", help="measure only what is not in results.json")
    parser.add_argument("--train", default="", help="a line for [train] of Plimsoll's run files")
    parser.add_argument("--target", type=pathlib.Path, default=default_target(), help="where the peers are built")
    parser.add_argument("--one-thread", action="store_true", help="the libraries on processors by one thread as well")
    parser.add_argument("--no-table", action="store_true", help="leave benches/RESULTS.md as it is")
    asked = parser.parse_args()
    commands = programs(asked.target, asked.train, asked.one_thread)
    wanted = [name for name in WORKLOADS if name in asked.only] or WORKLOADS
    chosen = {name: command for name, command in commands.items() if name in asked.only} or commands
    if "gemm" in asked.only and not set(asked.only) & set(WORKLOADS):
        wanted = []
    unknown = set(asked.only) - set(WORKLOADS) - set(commands) - {"gemm"}
    if unknown:
        parser.error(f"neither a workload nor a library that is built: {', '.join(sorted(unknown))}")
    file = asked.target / "results.json"
    results = json.loads(file.read_text()) if asked.resume and file.exists() else {"workloads": {}}
    results |= {"date": datetime.date.today().isoformat(), "rounds": asked.rounds, "seconds": asked.seconds}
    results |= {"train": asked.train, "machine": report.machine(), "others": results.get("others", {})}
    with open(asked.target / "peers.log", "w") as log:
        for workload in wanted:
            kept = {name: one for name, one in results["workloads"].get(workload, {}).items() if "failed" not in one}
            missing = {name: command for name, command in chosen.items() if name not in kept}
            if not missing:
                continue
            # What is kept was measured in other minutes; Plimsoll is measured in these as well.
            missing = {name: command for name, command in chosen.items() if name in missing or name == "plimsoll"}
            before, started = others_cpu(), time.monotonic()
            results["workloads"][workload] = kept | take_turns(workload, missing, asked, log)
            if before is not None:
                results["others"][workload] = (others_cpu() - before) / (time.monotonic() - started)
            if "plimsoll" in missing:
                results.setdefault("cold", {})[workload] = cold_start(workload, missing["plimsoll"], log)
            file.write_text(json.dumps(results, indent=1) + "\n")
            print(report.table({**results, "workloads": {workload: results["workloads"][workload]}}), flush=True)
        if ("gemm" in asked.only or not asked.only) and not (asked.resume and results.get("products")):
            results["products"] = products(asked.target, asked, log)
            file.write_text(json.dumps(results, indent=1) + "\n")
            print(report.gemm(results), flush=True)
    if not asked.no_table:
        report.write(ROOT / "benches" / "RESULTS.md", results, asked.target)


if __name__ == "__main__":
    main()
