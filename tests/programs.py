"""Builds the test programs of the workspace, runs them, and lists the slowest tests.

Usage: tests/programs.py OPTION..., where the options are those of `cargo test` that select packages and features.

SIGNET_TEST_AT_ONCE programs run in parallel, the longest first. The default is 1, because some tests measure time and
fail when others use all processors. Most tests mostly wait, so more is useful on a machine with more than two cores.
The output of a program is printed when it has ended, so lines of two programs never mix. Durations are stored in the
target directory and decide only the order of the next run. The exit code is 1 if anything failed.
"""

import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

AT_ONCE = int(os.environ.get("SIGNET_TEST_AT_ONCE", "1"))
SLOWEST = 10
# These measure time or use up the machine's limits, so nothing else runs at the same time.
ALONE = {"latency", "sockets"}
TIMED = re.compile(r"^test (\S+)(?: - should panic)? \.\.\. ok <([0-9.]+)s>$", re.MULTILINE)


@dataclass(frozen=True)
class Program:
    """A test program."""

    name: str
    """The package and the target, as `signet-vault openbao`."""
    target: str
    path: str
    directory: str
    """The directory in which cargo would run it: that of its package."""


def build(options: list[str]) -> list[Program]:
    """Builds the test programs."""
    command = ["cargo", "test", "--no-run", "--message-format=json-render-diagnostics", *options]
    built = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if built.returncode:
        sys.exit(built.returncode)
    programs = []
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message["reason"] == "compiler-artifact" and message["executable"] and message["profile"]["test"]:
            folder = Path(message["manifest_path"]).parent
            package, target = folder.name, message["target"]["name"]
            programs.append(Program(f"{package} {target}", target, message["executable"], str(folder)))
    return programs


@dataclass(frozen=True)
class Time:
    """How long a program ran, in seconds."""

    elapsed: float
    processors: float
    """The processor time of the program and of those that it started and waited for."""


def run(program: Program) -> tuple[Program, int, Time, str]:
    """Runs a program. Returns its exit code, its time and its output."""
    # libtest prints the time of each test only with an unstable option.
    environment = os.environ | {"RUSTC_BOOTSTRAP": "1", "CARGO_MANIFEST_DIR": program.directory}
    started = time.monotonic()
    with subprocess.Popen(
        [program.path, "-Zunstable-options", "--report-time"],
        cwd=program.directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as running:
        output = running.stdout.read() if running.stdout else ""
        # `Popen.wait` does not tell the processor time.
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    spent = Time(time.monotonic() - started, used.ru_utime + used.ru_stime)
    return program, running.returncode, spent, output


def main() -> int:
    """Builds, runs and reports."""
    programs = build(sys.argv[1:])
    kept = Path(os.environ["CARGO_TARGET_DIR"]) / "tmp" / "durations.json"
    try:
        durations = json.loads(kept.read_text())
    except (OSError, ValueError):
        durations = {}
    # A program that is not known yet may take long.
    programs.sort(key=lambda program: -durations.get(program.name, 1e9))
    alone = [program for program in programs if program.target in ALONE]
    together = [program for program in programs if program.target not in ALONE]
    failed, tests, times = [], [], {}

    def on_ended(program: Program, code: int, spent: Time, output: str) -> None:
        durations[program.name] = spent.elapsed
        times[program.name] = spent
        print(f"\n   -- {program.name}, {spent.elapsed:.1f} s, exit {code}\n{output}", flush=True)
        tests.extend((float(took), f"{program.name} {name}") for name, took in TIMED.findall(output))
        if code:
            failed.append(program.name)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for future in as_completed([pool.submit(run, program) for program in together]):
            on_ended(*future.result())
    for program in alone:
        on_ended(*run(program))
    # rustdoc compiles the examples of the documentation and returns no programs.
    documentation = subprocess.run(["cargo", "test", "--doc", *sys.argv[1:]], check=False)
    if documentation.returncode:
        failed.append("the examples in the documentation")

    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(durations))
    elapsed, processors = (sum(getattr(spent, name) for spent in times.values()) for name in ("elapsed", "processors"))
    print(f"\nAll programs: {elapsed:.0f} s, {processors:.0f} s of processor time. The longest:")
    for name, spent in sorted(times.items(), key=lambda pair: -pair[1].elapsed)[:SLOWEST]:
        print(f"{spent.elapsed:8.1f} s {spent.processors:8.1f} s   {name}")
    print("The slowest tests:")
    for seconds, name in sorted(tests, reverse=True)[:SLOWEST]:
        print(f"{seconds:8.1f} s   {name}")
    for name in failed:
        print(f"FAILED: {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
