"""The page of the gateway's benchmark: reads the JSON files that benches/gateway.sh left in one directory, prints Markdown.

`gateway_report.py machine DIR …` records the machine and versions before the run; `gateway_report.py page DIR` prints the
page. A goal is met or it is not: nothing is rounded in its favour.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from report import machine, met, number, output, processor_ticks

# Times that KrakenD's engine needs more CPU time than signet-gateway.
RATIO = {"open": 4, "es256-seen": 9, "rs256-seen": 9, "es256-unseen": 4, "rs256-unseen": 5, "json": 8, "merge": 6, "chain": 6}
# `p`: nginx as a proxy. How many of it a request may cost, and the bare verification that comes on top of it.
SHARE = {
    "open": (1.5, None),
    "es256-seen": (1.6, None),
    "rs256-seen": (1.6, None),
    "es256-unseen": (1.6, "verify_es256"),
    "rs256-unseen": (1.6, "verify_rs256"),
    "json": (2.0, None),
    "merge": (4.5, None),
    "chain": (3.2, None),
}
P99 = 3
"""How many times as long KrakenD's engine takes for the slowest hundredth."""
IDLE_MIB, LOADED_MIB, GROWTH = 15, 40, 1.10
BINARY_MB, READY_MS = 8, 20
CLIENTS, TOKENS = 1_000_000, 100_000

WHAT = {
    "open": "no-op, no token",
    "es256-seen": "no-op, ES256 token seen",
    "rs256-seen": "no-op, RS256 token seen",
    "es256-unseen": "no-op, ES256 all unseen",
    "rs256-unseen": "no-op, RS256 all unseen",
    "json": "one JSON backend, no filter, seen",
    "merge": "merge of 3, groups, allow on one, seen",
    "chain": "chain of 2, seen",
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["machine", "page"])
    parser.add_argument("directory", type=Path)
    for name in ["window", "unseen", "quick", "signet", "nginx", "krakend", "body"]:
        parser.add_argument(f"--{name}", default="")
    arguments = parser.parse_args()
    if arguments.what == "machine":
        arguments.bao = ""
        facts = machine(arguments) | {
            "signet": output(arguments.signet, "version"),
            "unseen": float(arguments.unseen),
            "krakend": krakend(),
            "go": output("go", "version").removeprefix("go version "),
            "body": Path(arguments.body).stat().st_size,
        }
        (arguments.directory / "machine.json").write_text(json.dumps(facts))
    else:
        results = {path.stem: json.loads(path.read_text()) for path in arguments.directory.glob("*.json")}
        print(page(results), end="")


def krakend():
    """The versions of the engine and its validator, from its go.mod."""
    text = (Path(__file__).parents[1] / "tests/gateways/krakend/go.mod").read_text()
    found = {name: version for name, version in re.findall(r"(lura|krakend-jose)/v2 v(\S+)", text)}
    return ", ".join(f"{name} {version}" for name, version in sorted(found.items()))


# ------------------------------------------------------------------------------------------------------------- tables

COSTS = ["scenario", "signet CPU µs", "of it kernel", "per s", "KrakenD CPU µs", "per s", "KrakenD / signet", "goal", "",
         "of nginx", "goal", ""]
OTHERS = ["what", "signet", "KrakenD", "goal", ""]


def cost(run):
    return run["server"]["cpu_us_per_unit"]


def bare(results, operation):
    """The mean of the measurements before and after the load."""
    return sum(results[f"raw-{when}"]["cpu_us"][operation] for when in ("before", "after")) / 2


def proxy(results):
    """`p`: nginx as a proxy, the mean of the windows before and after the others."""
    return (cost(results["nginx-open"]) + cost(results["nginx-open-after"])) / 2


def costs(results):
    for name, what in WHAT.items():
        ours, theirs = results[f"signet-{name}"], results[f"krakend-{name}"]
        ratio = cost(theirs) / cost(ours)
        share, operation = SHARE[name]
        rest = cost(ours) - (bare(results, operation) if operation else 0)
        beside = " + c" if operation else ""
        yield [
            what, number(cost(ours)), f'{ours["server"]["kernel_share"]:.0%}', number(ours["requests_per_s"]),
            number(cost(theirs)), number(theirs["requests_per_s"]), f"**{ratio:.1f}×**", f"≥ {RATIO[name]}×",
            met(ratio >= RATIO[name]), f"{rest / proxy(results):.2f} p{beside}", f"≤ {share} p{beside}",
            met(rest <= share * proxy(results)),
        ]  # fmt: skip
    run = results["nginx-open"]
    yield ["– nginx as a proxy, no token (`p`)", number(proxy(results)), f'{run["server"]["kernel_share"]:.0%}',
           number(run["requests_per_s"])] + [""] * 8  # fmt: skip


def mib(kib):
    return f"{kib / 1024:.1f} MiB"


def loaded(results, name):
    """The largest resident memory at the end of a window."""
    return max(run["server"]["rss_kib"] for stem, run in results.items()
               if stem.startswith(f"{name}-") and "server" in run)


def others(results):
    ours, theirs = (results[f"{name}-paced"]["latency_us"]["p99"] for name in ("signet", "krakend"))
    yield ["p99 at 5,000 requests a second, ES256 seen", f"{number(ours)} µs", f"{number(theirs)} µs", f"≤ 1/{P99} of KrakenD",
           met(ours * P99 <= theirs)]
    ours, theirs = (results[f"{name}-paced"]["latency_us"]["p50"] for name in ("signet", "krakend"))
    yield ["– its p50", f"{number(ours)} µs", f"{number(theirs)} µs", "–", ""]
    ours, theirs = results["signet-idle"]["rss_kib"], results["krakend-idle"]["rss_kib"]
    yield ["resident memory, idle", mib(ours), mib(theirs), f"≤ {IDLE_MIB} MiB", met(ours <= IDLE_MIB * 1024)]
    ours, theirs = loaded(results, "signet"), loaded(results, "krakend")
    yield ["resident memory, loaded", mib(ours), mib(theirs), f"≤ {LOADED_MIB} MiB", met(ours <= LOADED_MIB * 1024)]
    crowd = results["crowd"]
    first, last = crowd["rss_kib_after_tenth"], crowd["rss_kib_after_all"]
    enough = "" if crowd["clients"] >= CLIENTS and crowd["tokens"] >= TOKENS else ", with fewer clients or tokens than the goal"
    what = f'resident memory after {crowd["clients"]:,} clients and {crowd["tokens"]:,} tokens, and after a tenth of them'
    yield [what, f"{mib(last)}, {mib(first)}", "", f"≤ {GROWTH:.2f} of that after a tenth",
           met(last <= GROWTH * first) + enough]
    ours, theirs = results["signet-ready"], results["krakend-ready"]
    yield [f'ready, median of {ours["starts"]} starts', f'{ours["median_ms"]:.1f} ms', f'{theirs["median_ms"]:.1f} ms',
           f"≤ {READY_MS} ms", met(ours["median_ms"] <= READY_MS)]
    binary = results["machine"]["binary"] / 1e6
    yield ["binary", f"{binary:.2f} MB", "", f"≤ {BINARY_MB} MB", met(binary <= BINARY_MB)]


def table(head, numbers, rows):
    lines = [head, ["---"] + ["---:"] * numbers + ["---"] * (len(head) - 1 - numbers), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


# ------------------------------------------------------------------------------------------------------------- page

PAGE = """# Benchmarks of the gateway

Generated by `benches/gateway.sh`; do not edit. Every figure is from one run.
{quick}
- **When:** {date}, commit {commit}
- **Machine:** {processor}, {processors} processors{virtual}, {memory_gib} GiB, {system}
- **Versions:** {signet}, {rustc}, {nginx}, KrakenD's engine ({krakend}; {go})
- **How:** the load generator, the gateway and the backend share the {processors} processors, nothing is pinned. Load average
  before the run: {load:.2f}; the hypervisor gave others {steal:.1f} % of the processor time during it.
  Each window: {window:g} s after a warm-up ({unseen:g} s for unseen tokens), 16 connections kept alive, one request at
  a time on each, every answer checked. All gateways have the same nginx behind them, with a JSON document of {body} bytes.

{costs}

{others}

**Reading it.**

- *CPU µs* is the CPU time of the whole process of the gateway, kernel included, for each request. It comes from the process's
  nanosecond account (`schedstat`), checked against the kernel's other account (`stat`).
- *KrakenD / signet* decides: how many times as much CPU time KrakenD's engine needs for the same request with the same file.
- *of nginx* is our CPU time in units of `p`: nginx itself as a reverse proxy with kept connections and without tokens, on
  one worker, {p} µs in this run. `c` is the bare verification with aws-lc-rs: {es256} µs for ES256, {rs256} µs for RS256.
- *Seen:* 1,000 tokens in turn. *Unseen:* every request has another token. KrakenD's engine verifies each token twice, whether
  it has seen it or not.
- KrakenD's engine is lura with krakend-jose, as KrakenD combines them (`tests/gateways/krakend`): no logs, no access log,
  `cache: true`, 250 idle connections to each host, and Go's default number of threads, which is that of the processors.
- Latency at 5,000 requests a second is that of a machine that the load generator, the gateway and the backend share.
- *Clients:* each has another address and a new connection, for {crowd_seconds:.0f} s ({crowd_rate} a second).
- *Ready:* from the start of the process to the first 200 of `/__health`, polled every 0.1 ms. For signet-gateway that includes
  the first fetch of both JWKS; KrakenD's engine fetches them later.
"""


def page(results):
    facts = dict(results["machine"])
    total, stolen = processor_ticks()
    before_total, before_stolen = facts["ticks"]
    crowd = results["crowd"]
    facts.update(
        quick="\n**A quick run, to see that everything works: its figures mean little.**\n" if facts["quick"] else "",
        virtual=" (virtual machine)" if facts["virtual"] else "",
        steal=100 * (stolen - before_stolen) / max(total - before_total, 1),
        costs=table(COSTS, 6, costs(results)),
        others=table(OTHERS, 2, others(results)),
        p=number(proxy(results)),
        es256=number(bare(results, "verify_es256")),
        rs256=number(bare(results, "verify_rs256")),
        crowd_seconds=crowd["seconds"],
        crowd_rate=number(crowd["clients"] / crowd["seconds"]),
    )
    return PAGE.format(**facts)


if __name__ == "__main__":
    sys.exit(main())
