"""Tables of what was measured, for benches/RESULTS.md."""

import json
import os
import pathlib

BEGIN, END = "<!-- written by benches/peers/compare.py: begin -->", "<!-- end -->"
LAYOUTS = ["Nn", "Nt", "Tn"]


def machine():
    """The processor, and how many of it."""
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines() if os.path.exists("/proc/cpuinfo") else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {models[0] if models else 'a processor unknown'}"


def called(name):
    return name.replace("plimsoll", "Plimsoll").replace("pytorch", "PyTorch")


def number(x):
    """Three digits, and no more."""
    if x is None:
        return ""
    if x >= 100:
        return f"{x:,.0f}"
    return f"{x:.1f}" if x >= 10 else f"{x:.2f}"


def mib(x):
    return "" if x is None else f"{x / 2**20:,.0f}"


def rows(results):
    for workload, libraries in results["workloads"].items():
        own = libraries.get("plimsoll", {})
        for name, one in libraries.items():
            label = called(name)
            if "failed" in one:
                yield [workload.upper(), label, one["failed"]] + [""] * 6
                continue
            ratios = [one[k] / own[k] if own.get(k) and name != "plimsoll" else None for k in ("wall_ms", "cpu_ms")]
            loss = f"{one['first_loss']:.3f} > {one['last_loss']:.3f}" + ("" if one["falls"] else " (does not fall)")
            yield [
                workload.upper(),
                label,
                f"{number(one['wall_ms'])} ({number(one['wall_ms_best'])})",
                f"{number(one['cpu_ms'])} ({number(one['cpu_ms_best'])})",
                *(f"{number(ratio)}x" if ratio else "" for ratio in ratios),
                number(one["first_step_ms"]),
                mib(one["peak_resident_bytes"]),
                loss,
            ]


def table(results):
    head = [
        "", "library", "ms a step (best)", "CPU ms a step (best)", "wall, of Plimsoll's", "CPU, of Plimsoll's",
        "first step, ms", "peak resident, MiB", "loss",
    ]  # fmt: skip
    lines = [head, ["---"] * len(head), *rows(results)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def versions(results):
    """Which versions, on what."""
    seen = {}
    for libraries in results["workloads"].values():
        for name, one in libraries.items():
            if "failed" not in one:
                driver = f", {one['driver']}" if one.get("driver") else ""
                seen[name] = f"- {called(name)} {one['version']}: {one['adapter']}{driver}"
    return "\n".join(seen.values())


def plans(results):
    """What libraries that plan a step say of it, and what it takes them to get there."""
    head = ["", "library", "planned, MiB", "dispatches a step", "start and first step, ms", "without compiled shaders, ms"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for workload, libraries in results["workloads"].items():
        for name, one in libraries.items():
            if "memory_bytes" in one:
                cold = results.get("cold", {}).get(workload) if name == "plimsoll" else None
                start = number(one["start_ms"] + one["first_step_ms"])
                cells = [workload.upper(), called(name), f"{one['memory_bytes'] / 2**20:.1f}", str(one["dispatches"])]
                lines.append("| " + " | ".join([*cells, start, number(cold)]) + " |")
    return "\n".join(lines)


def gemm(results):
    """Products beside one thread of OpenBLAS, per core."""
    products = results.get("products")
    if not products:
        return ""
    lines = [
        f"Products of square matrices, GFLOP/s of processor time, beside one thread of {products['library']}:",
        "",
        "| size | NN | NT | TN | OpenBLAS NN | NT | TN |",
        "|---|---|---|---|---|---|---|",
    ]
    for size, ours in products["ours"].items():
        theirs = products["theirs"].get(size, {})
        own = [f"{number(ours[k])} ({100 * ours[k] / theirs[k]:.0f} %)" if k in ours and k in theirs else "" for k in LAYOUTS]
        lines.append("| " + " | ".join([size, *own, *(number(theirs.get(k)) for k in LAYOUTS)]) + " |")
    return "\n".join(lines)


def builds(target):
    file = target / "builds.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    lines = ["| library | crates in its tree | cold release build, CPU s | on the wall, s |", "|---|---|---|---|"]
    for name, facts in known.items():
        cold = facts.get("cold") or {}
        cells = [called(name), str(facts.get("crates", "")), number(cold.get("cpu_s")), number(cold.get("wall_s"))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write(path, results, target):
    """Puts the tables between their marks in `path`, or at its end."""
    others = max(results["others"].values(), default=0.0)
    settings = f" With `{results['train']}` in Plimsoll's `[train]`." if results["train"] else ""
    section = f"""{BEGIN}
## Beside other libraries, {results['date']}

By `make peers`: each library trains the same model on the same data in a process of its own, and they take
turns, {results['rounds']} rounds of {results['seconds']:g} s each; medians, and the best in brackets. On
{results['machine']}, of which other work took up to {others:.1f} meanwhile: where that is more than a tenth
or two, wall time says little, and threads that spin while they wait make the CPU time of libraries on processors
larger than it is.{settings} Memory is the process's at its peak, the library's code and the data included.

{versions(results)}

{table(results)}

{plans(results)}

{gemm(results)}

{builds(target)}
{END}"""
    text = path.read_text()
    if BEGIN in text:
        before, rest = text.split(BEGIN, 1)
        text = before + section + rest.split(END, 1)[1]
    else:
        text = text.rstrip("\n") + "\n\n" + section + "\n"
    path.write_text(text)
