#!/usr/bin/env bash
# Every check of this repository, with all its set-up, on a machine that has Rust (rustup) and Python 3.11 or later with
# venv. What else it has (Node, cargo-deny) is used; what it lacks is said at the end. Nothing is written into the
# checkout.
set -euo pipefail

usage() {
    echo "usage: tests/run.sh [--long]"
    echo "  --long   reserved for tests of many hours; there are none yet"
}

for argument in "$@"; do
    case "$argument" in
        --long) long=1 ;;
        -h | --help) usage && exit 0 ;;
        *) echo "tests/run.sh: unknown argument: $argument" >&2 && usage >&2 && exit 64 ;;
    esac
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/signet-target}"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/signet-tests"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

passed=0 failed=0
summary=() left_out=()
[[ -z "${long:-}" ]] || left_out+=("--long: there are no long tests yet, this was the usual run")

# step TITLE COMMAND…: runs it under a headed line, and goes on if it fails: one run shows everything that is wrong.
step() {
    local title="$1" before="$failed" start="$SECONDS" verdict=ok
    shift
    printf '\n== %s\n' "$title"
    if ! "$@"; then
        verdict=FAILED
        # A step may fail with no failing test to show: a lint, or a program that did not compile.
        [[ "$failed" -gt "$before" ]] || failed=$((failed + 1))
    fi
    summary+=("$(printf '%-8s%6d s   %s' "$verdict" "$((SECONDS - start))" "$title")")
    printf -- '-- %s, %d s\n' "$verdict" "$((SECONDS - start))"
}

has() { command -v "$1" > /dev/null; }

cargo_doc() { RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked; }

# Cargo prints one "test result:" line for each test program.
cargo_test() {
    local status=0 ok bad
    cargo test --workspace --locked --no-fail-fast | tee "$scratch/cargo" || status=$?
    read -r ok bad < <(awk '/^test result:/ {
        for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) ok += $(i - 1); if ($i ~ /^failed/) bad += $(i - 1) }
    } END { print ok + 0, bad + 0 }' "$scratch/cargo")
    passed=$((passed + ok)) failed=$((failed + bad))
    return "$status"
}

# The first Python that the pinned requirements were resolved for, or a later one.
find_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
            python="$candidate"
            return
        fi
    done
    echo "Python 3.11 or later with venv is needed (Debian: apt install python3-venv)" >&2
    return 1
}

digest() { "$python" -c 'import hashlib, sys
print(hashlib.sha256(b"".join(open(f, "rb").read() for f in sys.argv[1:]) + sys.version.encode()).hexdigest()[:16])' "$@"; }

# A folder of the cache is whole once its mark is there; one that is not is made anew.
set_up_python() {
    find_python || return
    venv="$cache/python-$(digest tests/interop/requirements.txt)"
    [[ ! -e "$venv/complete" ]] || return 0
    echo "setting up $venv"
    "$python" -m venv --clear "$venv" \
        && "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/interop/requirements.txt \
        && touch "$venv/complete"
}

set_up_node() {
    local source=tests/interop/node
    export SIGNET_INTEROP_NODE
    SIGNET_INTEROP_NODE="$cache/node-$(digest "$source/package.json" "$source/package-lock.json")"
    mkdir -p "$SIGNET_INTEROP_NODE" && cp "$source"/* "$SIGNET_INTEROP_NODE/" || return
    [[ ! -e "$SIGNET_INTEROP_NODE/complete" ]] || return 0
    echo "setting up $SIGNET_INTEROP_NODE"
    (cd "$SIGNET_INTEROP_NODE" && npm ci --silent --no-audit --no-fund --ignore-scripts && touch complete)
}

interop() {
    local status=0 ok bad
    set_up_python || return
    if ! has node; then
        left_out+=("tokens against jose (npm): this machine has no Node")
    elif ! set_up_node; then
        # In CI the tests fail for want of it; see tests/interop/conftest.py.
        left_out+=("tokens against jose (npm): there is Node, but npm could not install it")
    fi
    cargo build --package signet --locked || return
    SIGNET_BIN="$CARGO_TARGET_DIR/debug/signet" PYTHONDONTWRITEBYTECODE=1 \
        "$venv/bin/python" -m pytest --junit-xml "$scratch/interop.xml" tests/interop || status=$?
    read -r ok bad < <("$venv/bin/python" - "$scratch/interop.xml" << 'END'
import sys
import xml.etree.ElementTree as tree

suites = tree.parse(sys.argv[1]).getroot().iter("testsuite")
tests, skipped, bad = map(sum, zip(*[
    (int(s.get("tests")), int(s.get("skipped")), int(s.get("failures")) + int(s.get("errors"))) for s in suites
]))
print(tests - skipped - bad, bad)
END
    ) || return
    passed=$((passed + ok)) failed=$((failed + bad))
    return "$status"
}

step "cargo fmt --check" cargo fmt --check
step "cargo clippy" cargo clippy --workspace --all-targets --locked -- -D warnings
step "cargo doc" cargo_doc
step "cargo test" cargo_test
step "interop: PyJWT, joserfc, jose" interop
if has cargo-deny; then
    step "cargo deny" cargo deny --offline check bans licenses sources
else
    left_out+=("cargo deny: cargo-deny is not installed (cargo install cargo-deny)")
fi

printf '\n== Summary, %d s\n' "$SECONDS"
printf '%s\n' "${summary[@]}"
for what in ${left_out[@]+"${left_out[@]}"}; do
    printf 'LEFT OUT: %s\n' "$what"
done
printf '%d passed, %d failed\n' "$passed" "$failed"
[[ "$failed" -eq 0 ]]
