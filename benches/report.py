"""The page of the benchmark: reads the JSON files that benches/run.sh left in one directory, prints Markdown.

`report.py machine DIR …` records the machine and versions before the run; `report.py page DIR` prints the page.
Targets are those of the design, section "Speed". A target is met or it is not: nothing is rounded in its favour.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

# `c` is the cost of the bare cryptography in the same run; `n` is that of nginx's static answer over a Unix socket.
ONE_ANSWER = 1.0
"""A request may cost `c` plus this many `n`."""
BATCH = 1.05
"""A token in a batch may cost this many `c`."""
SEEN = 0.7
"""A token that was seen before may cost this many `n`."""
JWKS = {"h1": 1.4, "h2": 4.0}
"""How many times as many answers as nginx for the same CPU time."""
REMOTE_US, REMOTE_RATE = 55.0, 0.75
"""Our CPU time for each signature of OpenBao, and the share of a direct client's rate, with 16 requests at once."""
READY_MS, IDLE_MIB, RING_MS, BINARY_MB = 10.0, 15.0, 5.0, 20.0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["machine", "page"])
    parser.add_argument("directory", type=Path)
    for name in ["window", "quick", "signet", "nginx", "bao"]:
        parser.add_argument(f"--{name}", default="")
    arguments = parser.parse_args()
    if arguments.what == "machine":
        facts = machine(arguments)
        (arguments.directory / "machine.json").write_text(json.dumps(facts))
    else:
        print(page(Results(arguments.directory)), end="")


# ------------------------------------------------------------------------------------------------------------- facts


def output(*command):
    """The first line that a command prints, or an empty text if it does not run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return ((done.stdout or done.stderr).strip().splitlines() or [""])[0]


def field(path, name):
    for line in Path(path).read_text().splitlines():
        if line.split(":")[0].strip() == name:
            return line.split(":", 1)[1].strip()
    return ""


def processor_ticks():
    """The ticks of all processors, and those that the hypervisor gave to others."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return sum(ticks[:8]), ticks[7]


def machine(arguments):
    commit = output("git", "rev-parse", "--short=12", "HEAD")
    if commit and output("git", "status", "--porcelain"):
        commit += " with uncommitted changes"
    release = {}
    if hasattr(platform, "freedesktop_os_release"):
        try:
            release = platform.freedesktop_os_release()
        except OSError:
            pass
    flags = field("/proc/cpuinfo", "flags").split()
    memory_gib = int(field("/proc/meminfo", "MemTotal").split()[0]) / 1024**2
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "window": float(arguments.window),
        "quick": arguments.quick == "1",
        "processor": field("/proc/cpuinfo", "model name") or platform.machine(),
        "processors": os.cpu_count(),
        "virtual": "hypervisor" in flags,
        "memory_gib": round(memory_gib),
        "system": f"{release.get('PRETTY_NAME', platform.system())}, Linux {platform.release().split('-')[0]}",
        "load": os.getloadavg()[0],
        "ticks": processor_ticks(),
        "commit": commit or "unknown",
        "rustc": output("rustc", "--version"),
        "signet": output(arguments.signet, "--version"),
        "binary": Path(arguments.signet).stat().st_size,
        "nginx": output(arguments.nginx, "-v").removeprefix("nginx version: ") if arguments.nginx else "",
        "openbao": output(arguments.bao, "version").split(" (")[0] if arguments.bao else "",
    }


class Results:
    """The files of one run, by name."""

    def __init__(self, directory):
        self.files = {path.stem: json.loads(path.read_text()) for path in directory.glob("*.json")}

    def __getitem__(self, name):
        return self.files[name]

    def get(self, name):
        return self.files.get(name)

    def raw(self, prefix, operation):
        """The bare cost: the mean of the measurements before and after."""
        costs = [self[name]["cpu_us"][operation] for name in self.files if name.startswith(f"raw-{prefix}-")]
        return sum(costs) / len(costs)

    def rss_mib(self):
        """The sidecar's memory while it served ES256: the maximum at the end of a window, and the peak."""
        runs = [run["server"] for name, run in self.files.items()
                if name.startswith(("sign-es256", "batch-", "verify-", "authorize-", "jwks-"))]
        return max(r["rss_kib"] for r in runs) / 1024, max(r["rss_peak_kib"] for r in runs) / 1024


# ------------------------------------------------------------------------------------------------------------- table

PROTOCOLS = {"h1": "HTTP/1.1", "h2": "HTTP/2"}
HEAD = ["what", "over", "per s", "p50 µs", "p99 µs", "CPU µs each", "of it kernel", "bare µs", "ratio", "target", ""]


def met(good):
    return "met" if good else "**not met**"


def number(value):
    """Three significant digits, or all digits of a large whole number."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def row(what, over, run, bare="", ratio="", target="", verdict=""):
    latency = run["latency_us"]
    cpu = kernel = ""
    if "server" in run:
        cpu, kernel = number(run["server"]["cpu_us_per_unit"]), f'{run["server"]["kernel_share"]:.0%}'
    return [what, over, number(run["units_per_s"]), number(latency["p50"]), number(latency["p99"]), cpu, kernel, bare,
            ratio, target, verdict]


def unmeasured(what, over):
    return [what, over, "not measured", "", "", "", "", "", "", "", ""]


def static_answer_us(results):
    """`n`: the cost of nginx's static answer over a Unix socket, if nginx was measured."""
    nginx = results.get("nginx-unix-h1")
    return nginx and nginx["server"]["cpu_us_per_unit"]


def batched(results, what, name, bare):
    """The CPU time divided by the bare cost, for both protocols."""
    for protocol, over in PROTOCOLS.items():
        run = results[f"{name}-{protocol}"]
        ratio = run["server"]["cpu_us_per_unit"] / bare
        yield row(what, f"socket, {over}", run, number(bare), f"{ratio:.2f} c", f"≤ {BATCH} c", met(ratio <= BATCH))


def one_request(results, what, name, bare):
    """The CPU time above the bare cost, in static answers of nginx, for both protocols."""
    answer = static_answer_us(results)
    for protocol, over in PROTOCOLS.items():
        run = results[f"{name}-{protocol}"]
        if not answer:
            yield row(what, f"socket, {over}", run, number(bare), "", f"≤ c + {ONE_ANSWER} n", "not measured")
            continue
        ratio = (run["server"]["cpu_us_per_unit"] - bare) / answer
        yield row(what, f"socket, {over}", run, number(bare), f"c + {ratio:.2f} n", f"≤ c + {ONE_ANSWER} n",
                  met(ratio <= ONE_ANSWER))


def seen(results, what, name):
    """The CPU time for tokens that were seen before, in static answers of nginx."""
    answer = static_answer_us(results)
    for protocol, over in PROTOCOLS.items():
        run = results[f"{name}-{protocol}"]
        if not answer:
            yield row(what, f"socket, {over}", run, "", "", f"≤ {SEEN} n", "not measured")
            continue
        ratio = run["server"]["cpu_us_per_unit"] / answer
        yield row(what, f"socket, {over}", run, "", f"{ratio:.2f} n", f"≤ {SEEN} n", met(ratio <= SEEN))


def jwks(results):
    """Requests per CPU second, divided by nginx's."""
    for protocol, over in PROTOCOLS.items():
        run, nginx, goal = results[f"jwks-{protocol}"], results.get(f"nginx-{protocol}"), JWKS[protocol]
        if not nginx:
            yield row("JWKS", f"TCP, {over}", run, "", "", f"≥ {goal}× of nginx by CPU", "not measured")
            yield unmeasured("– nginx, the same bytes", f"TCP, {over}")
            continue
        rate = run["units_per_s"] / nginx["units_per_s"]
        work = nginx["server"]["cpu_us_per_unit"] / run["server"]["cpu_us_per_unit"]
        yield row("JWKS", f"TCP, {over}", run, "", f"{work:.2f}× by CPU, {rate:.2f}× by rate",
                  f"≥ {goal}× of nginx by CPU", met(work >= goal))
        yield row("– nginx, the same bytes", f"TCP, {over}", nginx)
    nginx = results.get("nginx-unix-h1")
    what, over = "– nginx, the same bytes", "Unix socket, HTTP/1.1"
    yield row(what, over, nginx) if nginx else unmeasured(what, over)


def openbao(results):
    what, over = "– OpenBao transit signs ES256", "TCP, HTTP/1.1"
    run = results.get("openbao-h1")
    if not run:
        return unmeasured(what, over)
    ours = results["sign-es256-h1"]
    rate = ours["units_per_s"] / run["units_per_s"]
    work = run["server"]["cpu_us_per_unit"] / ours["server"]["cpu_us_per_unit"]
    return row(what, over, run, "", f"signet: {rate:.1f}× by rate, {work:.1f}× by CPU")


def remote(results):
    """Signing with remote custody, compared with a client that calls OpenBao directly."""
    for clients in ["1", "4", "16"]:
        what, over = f"sign ES256 in OpenBao, {clients} at once", "socket, HTTP/1.1"
        run, direct = results.get(f"remote-{clients}"), results.get(f"direct-{clients}")
        if not run or not direct:
            yield unmeasured(what, over)
            continue
        added = (run["latency_us"]["p50"] - direct["latency_us"]["p50"]) / 1000
        rate, cpu = run["units_per_s"] / direct["units_per_s"], run["server"]["cpu_us_per_unit"]
        goal = ("–", "")
        if clients == "16":
            goal = (f"≤ {REMOTE_US:.0f} µs, ≥ {REMOTE_RATE} by rate",
                    f"CPU {met(cpu <= REMOTE_US)}, rate {met(rate >= REMOTE_RATE)}")
        yield row(what, over, run, "", f"{rate:.2f} by rate, {added:+.2f} ms at p50", *goal)
        yield row("– a client of OpenBao itself", "TCP, HTTP/1.1", direct)
    calls = results.get("remote-calls")
    if calls:
        ratio = calls["calls"] / calls["signed"]
        yield single("requests to OpenBao for a signature", "", f"{ratio:.3f}", "≤ 1", ratio <= 1)


def single(what, over, value, target, good):
    return [what, over, "", "", "", "", "", "", value, target, met(good)]


def rows(results):
    es256 = results.raw("es256", "sign_es256")
    yield from one_request(results, "sign ES256", "sign-es256", es256)
    yield openbao(results)
    yield from remote(results)
    yield from batched(results, "sign ES256, batches of 64", "batch-es256", es256)
    yield from one_request(results, "sign RS256", "sign-rs256", results.raw("rs256", "sign_rs256"))
    yield from one_request(results, "sign EdDSA", "sign-eddsa", results.raw("eddsa", "sign_eddsa"))
    unseen = results.raw("verify", "verify_es256")
    yield from one_request(results, "verify ES256, unseen", "verify-unseen", unseen)
    yield from seen(results, "verify ES256, seen", "verify-seen")
    yield from seen(results, "authorize, seen", "authorize")
    yield from jwks(results)
    yield row("GET /v1/ring, 200 a second", "socket, HTTP/1.1", results["ring-alone"])
    ring = results["ring-beside-rs256"]
    p99 = ring["latency_us"]["p99"] / 1000
    yield row("– while 16 clients sign RS256", "socket, HTTP/1.1", ring, "", "", f"p99 < {RING_MS:.0f} ms",
              met(p99 < RING_MS))
    ready = results["ready"]["median_ms"]
    yield single("ready with an existing ring", f"median of {results['ready']['starts']} starts", f"{ready:.1f} ms",
                 f"≤ {READY_MS:.0f} ms", ready <= READY_MS)
    idle = results["idle"]["rss_kib"] / 1024
    yield single("resident memory, idle", "", f"{idle:.1f} MiB", f"≤ {IDLE_MIB:.0f} MiB", idle <= IDLE_MIB)
    binary = results["machine"]["binary"] / 1e6
    yield single("binary with all providers", "", f"{binary:.1f} MB", f"≤ {BINARY_MB:.0f} MB", binary <= BINARY_MB)
    now, peak = results.rss_mib()
    yield ["resident memory, under load", f"peak {peak:.1f} MiB", "", "", "", "", "", "", f"{now:.1f} MiB", "–", ""]


# ------------------------------------------------------------------------------------------------------------- page

PAGE = """# Benchmarks

Generated by `benches/run.sh`; do not edit. Every figure is from one run.
{quick}
- **When:** {date}, commit {commit}
- **Machine:** {processor}, {processors} processors{virtual}, {memory_gib} GiB, {system}
- **Versions:** {versions}
- **How:** the load generator and the server share the {processors} processors, nothing is pinned. Load average before
  the run: {load:.2f}; the hypervisor gave others {steal:.1f} % of the processor time during it.
  Each window: {window:g} s after a warm-up, every answer checked. HTTP/1.1: 16 connections kept alive, one request at
  a time on each. HTTP/2: 2 connections with 16 streams each.

{table}

**Reading it.**

- *per s* is requests per second; for batches, tokens per second.
- *CPU µs each* is the CPU time of the whole server process, kernel included, for each request or token. It comes from the
  process's nanosecond account (`schedstat`), checked against the kernel's other account (`stat`). *of it kernel* is the
  split of the latter, sampled at its ticks.
- *bare µs* is the CPU time of the same operation with aws-lc-rs alone on one thread, keys parsed, over 330 bytes: the mean
  of measurements in this run before and after the load. It is `c` in the columns that follow. `n` is the CPU time of
  nginx's static answer over a Unix socket, in the same run.
- Latency is that of a busy machine: the generator always sends the next request at once, except for `GET /v1/ring`.

- *Unseen:* each request carries a different token, and the process has neither signed nor seen it.
  *Seen:* 1,000 tokens in turn; `authorize`: one token.
- *nginx* has one worker, an open-file cache, no access log. *By rate*, Signet has all processors that the generator leaves
  it, nginx has one, and the generator's one thread limits both. *By CPU* compares requests per second of CPU time.
  The last nginx row shows the cost of a static answer over a Unix socket (`n`): the minimum for everything on the socket.
- *OpenBao* runs in development mode and signs the signing input of one of Signet's tokens (ECDSA P-256, JWS form).
  Signet also makes the claims and the token.
- *Sign in OpenBao:* in remote custody the sidecar makes the token, has OpenBao sign it, and verifies the signature with the
  published key. *A client of OpenBao itself* requests as many such signatures at once. With 16 at once OpenBao uses every
  processor, so each step of the sidecar adds to the wait.
- *Ready:* from the start of the process to the first 200 of `/readyz`, polled every 0.1 ms: {ready_span}.
- `GET /v1/ring` comes from a separate connection and process. Its latency includes the wait for a processor that 16 signing
  clients and the signing itself keep busy ({ring_load} RS256 tokens a second meanwhile).
"""


def page(results):
    facts = dict(results["machine"])
    total, stolen = processor_ticks()
    before_total, before_stolen = facts["ticks"]
    versions = [facts["signet"] or "signet", facts["rustc"], facts["nginx"] or "nginx not measured",
                facts["openbao"] or "OpenBao not measured"]
    lines = [HEAD, ["---", "---"] + ["---:"] * 7 + ["---", "---"], *rows(results)]
    ready = results["ready"]
    facts.update(
        quick="\n**A quick run, to see that everything works: its figures mean little.**\n" if facts["quick"] else "",
        virtual=" (virtual machine)" if facts["virtual"] else "",
        versions=", ".join(versions),
        steal=100 * (stolen - before_stolen) / max(total - before_total, 1),
        table="\n".join("| " + " | ".join(cells) + " |" for cells in lines),
        ready_span=f"{ready['min_ms']:.1f} to {ready['max_ms']:.1f} ms",
        ring_load=number(results["ring-load"]["units_per_s"]),
    )
    return PAGE.format(**facts)


if __name__ == "__main__":
    sys.exit(main())
