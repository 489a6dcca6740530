"""A workload in PyTorch, on the CPU or on CUDA: prints a line of JSON, as the other programs here do.

    python train.py W1.toml --seconds 3 --threads 2
    python train.py W1.toml --seconds 3 --device cuda [--upload] [--half] [--no-tf32]

On CUDA all batches lie on the device before the first step, unless each is to be uploaded as its step begins.
"""

import argparse
import json
import pathlib
import resource
import sys
import time
import tomllib

import torch
from safetensors.torch import load_file

AT_ONCE = 0.1  # steps that are begun before a loss is asked for take about so long together
FEWEST = 2  # measurements, at least
OPTIMIZERS = {
    "adamw": lambda p, o: torch.optim.AdamW(p, lr=o["learning_rate"]),
    "sgd": lambda p, o: torch.optim.SGD(p, lr=o["learning_rate"], momentum=o.get("momentum", 0.0)),
}
CELLS = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}


class Network(torch.nn.Module):
    """The layers of a run file, one after another."""

    def __init__(self, run, features):
        super().__init__()
        self.layers = torch.nn.ModuleList()
        for layer in run["layer"]:
            match layer["type"]:
                case "embedding":
                    made, features = torch.nn.Embedding(run["data"]["vocabulary"], layer["size"]), layer["size"]
                case "linear":
                    made, features = torch.nn.Linear(features, layer["out_features"]), layer["out_features"]
                case "relu":
                    made = torch.nn.ReLU()
                case kind:
                    made = CELLS[kind](features, layer["hidden_size"], layer.get("layers", 1))
                    features = layer["hidden_size"]
            self.layers.append(made)

    def forward(self, x, state):
        for layer in self.layers:
            if isinstance(layer, torch.nn.RNNBase):
                x, state = layer(x, state)
            else:
                x = layer(x)
        return x, state


def detached(state):
    return tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()


class Trainee:
    def __init__(self, run, folder, device, upload=False, half=False):
        self.device, self.upload, self.half = torch.device(device), upload, half
        train, data = run["train"], run["data"]
        arrays = load_file(folder / data["file"])
        self.batch, self.groups, self.clip = train["batch"], train.get("accumulate", 1), train.get("clip_norm")
        self.carry = train.get("carry_state", False)
        x, y = arrays["inputs"], arrays["targets"]
        if "vocabulary" in data:
            x = x.long()
        if data["target"] == "class":
            y = y.long()
        self.batches = list(zip(x.split(self.batch), y.split(self.batch)))
        if self.carry:  # timesteps come first, as in torch.nn.RNN
            self.batches = [(x.t().contiguous(), y.t().contiguous()) for x, y in self.batches]
        if upload:
            self.batches = [(x.pin_memory(), y.pin_memory()) for x, y in self.batches]
        else:
            self.batches = [(x.to(self.device), y.to(self.device)) for x, y in self.batches]
        torch.manual_seed(run["seed"])
        self.network = Network(run, x.shape[1]).to(self.device)
        self.loss_of = torch.nn.CrossEntropyLoss() if train["loss"] == "cross_entropy" else torch.nn.MSELoss()
        self.optimizer = OPTIMIZERS[train["optimizer"]["type"]](self.network.parameters(), train["optimizer"])
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=half)
        self.state, self.begun, self.last = None, 0, None

    def step(self):
        x, y = self.batches[self.begun % len(self.batches)]
        self.begun += 1
        if self.upload:
            x, y = x.to(self.device, non_blocking=True), y.to(self.device, non_blocking=True)
        self.optimizer.zero_grad()
        rows = 1 if self.carry else 0
        parts = zip(x.chunk(self.groups, rows), y.chunk(self.groups, rows))
        self.last = 0.0
        for x, y in parts:
            with torch.autocast(self.device.type, torch.float16, enabled=self.half):
                out, state = self.network(x, self.state)
                classes = y.dtype == torch.long
                loss = self.loss_of(out.flatten(0, -2), y.flatten()) if classes else self.loss_of(out, y)
            if self.carry:
                self.state = detached(state)
            loss = loss / self.groups
            self.scaler.scale(loss).backward()
            self.last = self.last + loss.detach()
        if self.clip is not None:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def loss(self):
        loss = float(self.last)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return loss


def steps(trainee, count):
    """Wall and processor seconds of so many steps, and the last loss."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        trainee.step()
    loss = trainee.loss()
    return time.perf_counter() - wall, time.process_time() - cpu, loss


def measure(trainee, about, seconds, waits):
    """As `benches/workloads/measure.rs` does it."""
    first, _, first_loss = steps(trainee, 1)
    started, one, warmed = time.perf_counter(), steps(trainee, 1)[0], 1
    while warmed < 3 or time.perf_counter() - started < seconds / 4:
        one, warmed = min(one, steps(trainee, 1)[0]), warmed + 1
    about |= {"first_step_ms": 1e3 * first, "first_loss": first_loss, "warm_step_ms": 1e3 * one}
    if not waits:
        print(json.dumps(about | sample(trainee, one, seconds)))
        return
    print(json.dumps(about), flush=True)
    for _ in sys.stdin:
        print(json.dumps(about | sample(trainee, one, seconds)), flush=True)


def sample(trainee, one, seconds):
    """One measurement of steps that take about `one` seconds each."""
    together = int(min(max(AT_ONCE / max(one, 1e-6), 1), 1000))
    samples, started = [], time.perf_counter()
    while len(samples) < FEWEST or time.perf_counter() - started < seconds:
        samples.append(steps(trainee, together))
    wall, cpu = (sorted(1e3 * sample[i] / together for sample in samples) for i in (0, 1))
    line = {
        "steps": together * len(samples),
        "wall_ms": wall[len(wall) // 2],
        "wall_ms_best": wall[0],
        "cpu_ms": cpu[len(cpu) // 2],
        "cpu_ms_best": cpu[0],
        "last_loss": samples[-1][2],
        "peak_resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10,
    }
    if trainee.device.type == "cuda":
        line["peak_device_bytes"] = torch.cuda.max_memory_allocated(trainee.device)
    return line


def adapter(asked):
    """What trains, and how."""
    if asked.device == "cpu":
        return f"CPU, {asked.threads} threads, {torch.backends.cpu.get_cpu_capability()}"
    tf32 = {"products": torch.backends.cuda.matmul.allow_tf32, "recurrent layers": torch.backends.cudnn.allow_tf32}
    tf32 = " and ".join(where for where, allowed in tf32.items() if allowed)
    parts = [torch.cuda.get_device_name(), f"CUDA {torch.version.cuda}", f"TF32 in {tf32}" if tf32 else "no TF32"]
    parts += ["float16 by autocast"] * asked.half + ["batches uploaded"] * asked.upload
    return ", ".join(parts)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--wait", action="store_true", help="measure once for each line that comes in")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--upload", action="store_true", help="upload each batch from pinned memory, step by step")
    parser.add_argument("--half", action="store_true", help="autocast to float16, with a scaled loss")
    parser.add_argument("--no-tf32", action="store_true", help="no TF32 in cuDNN either, which by default has it")
    asked = parser.parse_args()
    if asked.device == "cpu" and (asked.upload or asked.half or asked.no_tf32):
        parser.error("--upload, --half and --no-tf32 are for CUDA")  # oneDNN has no LSTM in float16 everywhere
    torch.set_num_threads(asked.threads)
    if asked.no_tf32:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    run, started = tomllib.loads(asked.run.read_text()), time.perf_counter()
    trainee = Trainee(run, asked.run.parent, asked.device, asked.upload, asked.half)
    start_ms = 1e3 * (time.perf_counter() - started)
    about = {"peer": "pytorch", "version": torch.__version__, "workload": asked.run.stem, "adapter": adapter(asked)}
    measure(trainee, about | {"start_ms": start_ms}, asked.seconds, asked.wait)


main()
