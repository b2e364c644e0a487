#!/usr/bin/env bash
# The black-box benchmark of signet-gateway: it, KrakenD's engine and nginx as a reverse proxy run beside each other, with
# the same nginx behind them, and are loaded one after the other. Writes docs/benchmarks-gateway.md. Every figure of
# the page is from this one run.
#
#   benches/gateway.sh           windows of 3 seconds, writes the page (4 minutes after the build)
#   benches/gateway.sh --quick   windows of 0.7 seconds and 3 seconds of clients, prints the page and writes nothing
#
# Needs Rust, Python 3, bash and nginx. KrakenD's engine is built from tests/gateways/krakend with Go, unless
# SIGNET_TEST_KRAKEND names the program. Nothing is pinned to a processor. Run it alone: whatever else runs is in
# the figures. SIGNET_BENCH_BIN names a directory with signet-gateway and signet-load that are built already.
set -Eeuo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
window=3 warmup=0.5 raw_seconds=0.5 starts=20 crowd_seconds=60 clients=1000000 unseen_seconds=2 quick=
case "${1-}" in
    "") ;;
    --quick) window=0.7 warmup=0.2 raw_seconds=0.2 starts=5 crowd_seconds=3 unseen_seconds=0.7 quick=1 ;;
    *) sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 64 ;;
esac

issuer=https://issuer.example audience=https://api.example
h1=(--protocol h1 --connections 16)

say() { printf '\n== %s\n' "$*" >&2; }
die() { printf '\nbenches/gateway.sh: %s\n' "$*" >&2; exit 1; }

work=$(mktemp -d)
results=$work/results
mkdir "$results"
declare -A started=()
finish() {
    local status=$? pid
    for pid in "${!started[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    wait || true
    if ((status)); then
        tail -n 5 "$work"/*.log >&2 || true
    fi
    rm -rf "$work"
}
trap finish EXIT
trap 'printf "\nbenches/gateway.sh: line %s failed\n" "$LINENO" >&2' ERR
trap 'exit 130' INT TERM

# ---------------------------------------------------------------------------------------------------------- programs

cd "$root"
bin=${SIGNET_BENCH_BIN-}
if [[ -z $bin ]]; then
    say "Building the release binaries"
    cargo build --release --locked -p signet-gateway --bin signet-gateway -p signet-load --bin signet-load
    bin=$(cargo metadata --no-deps --format-version 1 \
        | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')/release
fi
signet=$bin/signet-gateway load=$bin/signet-load
nginx=$(PATH=$PATH:/usr/sbin command -v nginx) || die "nginx is not installed; it is the backend of all gateways"
krakend=${SIGNET_TEST_KRAKEND-}
if [[ -z $krakend ]]; then
    say "Building KrakenD's engine"
    command -v go >/dev/null || die "there is no Go to build KrakenD's engine with"
    krakend=$work/krakend
    go build -C tests/gateways/krakend -trimpath -ldflags="-s -w" -o "$krakend" .
fi

# ---------------------------------------------------------------------------------------------------------- tools

read -r backend proxy ours theirs < <(python3 - <<'PY'
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
print(*(s.getsockname()[1] for s in held))
PY
)

await() { # URL PID: until the URL answers 200; fails when the process ends or after 20 seconds
    local i
    for ((i = 0; i < 400; i++)); do
        if python3 -c 'import sys,urllib.request as u; u.urlopen(sys.argv[1], timeout=2)' "$1" 2>/dev/null; then return; fi
        kill -0 "$2" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}

run() { # NAME URL OPTION...: one measured window
    local name=$1
    "$load" run "${@:2}" --warmup "$warmup" "${h1[@]}" >"$results/$name.json" || die "$name failed"
    python3 - "$results/$name.json" "$name" >&2 <<'PY'
import json, sys
r = json.load(open(sys.argv[1]))
print(f'   {sys.argv[2]:<20} {r["requests_per_s"]:8.0f}/s  p50 {r["latency_us"]["p50"]:7.0f} µs  p99 '
      f'{r["latency_us"]["p99"]:7.0f} µs {r["server"]["cpu_us_per_unit"]:8.2f} µs CPU each, {r["server"]["kernel_share"]:.0%} kernel')
PY
}

both() { # NAME PATH OPTION...: the same request to both gateways
    run "signet-$1" "http://127.0.0.1:$ours$2" --pid "$signet_pid" "${@:3}"
    run "krakend-$1" "http://127.0.0.1:$theirs$2" --pid "$krakend_pid" "${@:3}"
}

serve_nginx() { # NAME: starts nginx with $work/NAME.conf, on one worker; sets $pids
    local worker
    "$nginx" -e "$work/$1.log" -c "$work/$1.conf" &
    started[$!]=1
    pids=(--pid $!)
    await "$2" "$!" || die "nginx ($1) did not start: $(tail -n 1 "$work/$1.log")"
    for worker in $(<"/proc/$!/task/$!/children"); do pids+=(--pid "$worker"); done
}

rss() { awk '/^VmRSS:/ {print "{\"rss_kib\":" $2 "}"}' "/proc/$1/status"; }

# ---------------------------------------------------------------------------------------------------------- files

mkdir -p "$work/www"
say "Making tokens"
"$load" raw --seconds "$raw_seconds" --only verify_es256 --only verify_rs256 >"$results/raw-before.json"
# As many as one gateway could verify if it had every processor to itself, or as one thread can send.
supply() { # ALGORITHM SECONDS
    python3 - "$results/raw-before.json" "$1" "$2" <<'PY'
import json, os, sys
cost = json.load(open(sys.argv[1]))["cpu_us"]["verify_" + sys.argv[2].lower()]
# Besides the signature, every request costs at least 30 µs of the gateway, the backend and the generator together.
print(int(os.cpu_count() * 1e6 / (cost + 30) * float(sys.argv[3])))
PY
}
total=$(python3 -c "print($unseen_seconds + $warmup + 0.5)")
for algorithm in ES256 RS256; do
    count=$(supply "$algorithm" "$total")
    # ES256 tokens are also those of the many clients.
    if [[ $algorithm == ES256 ]] && ((count < 100000)); then count=100000; fi
    "$load" mint --algorithm "$algorithm" --count "$count" --issuer "$issuer" --audience "$audience" \
        --out "$work/$algorithm" --jwks "$work/www/$algorithm.json" >/dev/null
    tail -n 1000 "$work/$algorithm" >"$work/$algorithm-seen"
    head -n -1000 "$work/$algorithm" >"$work/$algorithm-unseen"
done
head -n 100000 "$work/ES256" >"$work/crowd"

# 2.4 KB: a page of a shop, nested, with numbers and text.
python3 >"$work/www/document.json" <<'PY'
import json
item = lambda n: {"sku": f"SKU-{n:06}", "name": f"Item number {n}", "price": 10.5 + n, "tags": ["new", "sale"], "stock": n * 7}
print(json.dumps({"id": "order-000042", "status": "open", "total": 4711.5, "currency": "EUR",
                  "customer": {"id": "c-77", "name": "Erika Mustermann", "city": "Köln", "vip": False},
                  "items": [item(n) for n in range(22)],
                  "notes": "leave at the door", "updated": "2026-11-30T12:00:00Z"}, ensure_ascii=False), end="")
PY
python3 - "$ours" "$backend" >"$work/krakend.json" <<'PY'
import json, sys
port, backend = int(sys.argv[1]), f"http://127.0.0.1:{sys.argv[2]}"
def validator(algorithm):
    return {"auth/validator": {"alg": algorithm, "jwk_url": f"{backend}/{algorithm}.json", "cache": True,
                               "disable_jwk_security": True, "issuer": "https://issuer.example",
                               "audience": ["https://api.example"]}}
def one(pattern="/document", **more):
    return {"url_pattern": pattern, **more}
def endpoint(path, *backends, extra=None, **more):
    return {"endpoint": path, "backend": list(backends), "extra_config": extra or {}, **more}
stream = {"output_encoding": "no-op"}
passed = {"encoding": "no-op"}
es256 = validator("ES256")
chain = {**es256, "proxy": {"sequential": True}}
print(json.dumps({
    "version": 3, "name": "benchmark", "port": port, "listen_ip": "127.0.0.1", "timeout": "10s", "host": [backend],
    "max_idle_connections_per_host": 250, "extra_config": {"router": {"disable_access_log": True}},
    "endpoints": [
        endpoint("/open", one(**passed), **stream),
        endpoint("/es256", one(**passed), extra=es256, **stream),
        endpoint("/rs256", one(**passed), extra=validator("RS256"), **stream),
        endpoint("/json", one(), extra=es256),
        endpoint("/merge", one(group="a", allow=["id", "status", "customer.city"]), one(group="b"), one(group="c"),
                 extra=es256),
        endpoint("/chain", one(), one("/document/{resp0_id}"), extra=chain),
    ],
}, indent=1))
PY
python3 - "$work/krakend.json" "$theirs" >"$work/theirs.json" <<'PY'
import json, sys
print(json.dumps(json.load(open(sys.argv[1])) | {"port": int(sys.argv[2])}))
PY

# Configured as for a benchmark of nginx itself: the file stays open, connections are kept, and nothing is logged.
conf() { # NAME UPSTREAM SERVER
    cat >"$work/$1.conf" <<CONF
$([[ $(id -u) == 0 ]] && echo 'user root;')
worker_processes 1;
daemon off;
pid $work/$1.pid;
error_log $work/$1.log;
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
    client_body_temp_path $work/$1-body;
    proxy_temp_path $work/$1-proxy;
    fastcgi_temp_path $work/$1-fastcgi;
    uwsgi_temp_path $work/$1-uwsgi;
    scgi_temp_path $work/$1-scgi;
    $2
    server { $3 }
}
CONF
}
conf backend "" "listen 127.0.0.1:$backend; root $work/www; location /document { try_files /document.json =404; }"
conf proxy "upstream backend { server 127.0.0.1:$backend; keepalive 64; keepalive_requests 1000000000; }" \
    "listen 127.0.0.1:$proxy; location / { proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ''; }"

# ---------------------------------------------------------------------------------------------------------- start

serve_nginx backend "http://127.0.0.1:$backend/document"
export KRAKEND_LOG_LEVEL=CRITICAL
# Before the load: afterwards the kernel is busy with the ends of connections.
say "Time to ready"
ready() { # NAME URL COMMAND...
    "$load" ready --url "$2" --times "$starts" -- "${@:3}" >"$results/$1-ready.json" 2>>"$work/$1.log" \
        || die "$1 did not become ready in one of $starts starts"
}
ready signet "http://127.0.0.1:$ours/__health" "$signet" run -c "$work/krakend.json"
ready krakend "http://127.0.0.1:$theirs/__health" "$krakend" "$work/theirs.json"

say "Starting nginx as a proxy, KrakenD's engine and signet-gateway"
serve_nginx proxy "http://127.0.0.1:$proxy/document"
nginx_pids=("${pids[@]}")
"$krakend" "$work/theirs.json" >"$work/krakend.log" 2>&1 &
krakend_pid=$!
started[$krakend_pid]=1
"$signet" run -c "$work/krakend.json" >"$work/signet.log" 2>&1 &
signet_pid=$!
started[$signet_pid]=1
await "http://127.0.0.1:$theirs/__health" "$krakend_pid" || die "KrakenD's engine did not become ready"
await "http://127.0.0.1:$ours/__health" "$signet_pid" || die "signet-gateway did not become ready"
python3 "$root/benches/gateway_report.py" machine "$results" --window "$window" --unseen "$unseen_seconds" \
    --quick "${quick:-0}" --signet "$signet" --nginx "$nginx" --krakend "$krakend" --body "$work/www/document.json"
sleep 1 # idle: let what the starts have set in motion come to rest
rss "$signet_pid" >"$results/signet-idle.json"
rss "$krakend_pid" >"$results/krakend-idle.json"

# ---------------------------------------------------------------------------------------------------------- load

es256=(--authorization-rounds "$work/ES256-seen") rs256=(--authorization-rounds "$work/RS256-seen")
document=(--expect '"order-000042"') timed=(--duration "$window")
say "A request handed on (no-op)"
run nginx-open "http://127.0.0.1:$proxy/document" "${nginx_pids[@]}" "${document[@]}" "${timed[@]}"
both open /open "${document[@]}" "${timed[@]}"
both es256-seen /es256 "${document[@]}" "${timed[@]}" "${es256[@]}"
both rs256-seen /rs256 "${document[@]}" "${timed[@]}" "${rs256[@]}"
both es256-unseen /es256 "${document[@]}" --duration "$unseen_seconds" --authorizations "$work/ES256-unseen"
both rs256-unseen /rs256 "${document[@]}" --duration "$unseen_seconds" --authorizations "$work/RS256-unseen"
say "JSON"
both json /json "${document[@]}" "${timed[@]}" "${es256[@]}"
both merge /merge "${document[@]}" --expect-times 3 "${timed[@]}" "${es256[@]}"
both chain /chain "${document[@]}" "${timed[@]}" "${es256[@]}"
say "5,000 requests a second"
both paced /es256 "${document[@]}" "${timed[@]}" "${es256[@]}" --rate 312.5
run nginx-open-after "http://127.0.0.1:$proxy/document" "${nginx_pids[@]}" "${document[@]}" "${timed[@]}"
"$load" raw --seconds "$raw_seconds" --only verify_es256 --only verify_rs256 >"$results/raw-after.json"

say "Many clients, for at most $crowd_seconds s"
"$load" crowd --url "http://127.0.0.1:$ours/es256" --authorizations "$work/crowd" --pid "$signet_pid" \
    --clients "$clients" --seconds "$crowd_seconds" >"$results/crowd.json" || die "the clients failed"

# ---------------------------------------------------------------------------------------------------------- page

python3 "$root/benches/gateway_report.py" page "$results" >"$work/page.md"
if [[ -z $quick ]]; then
    cp "$work/page.md" "$root/docs/benchmarks-gateway.md"
    say "Written to docs/benchmarks-gateway.md"
fi
cat "$work/page.md"
