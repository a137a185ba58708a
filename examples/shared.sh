# What the examples' `run` scripts share: a temporary folder, certificates, a gateway, the end.
# Sourced by them, after `set -euo pipefail`; not run by itself.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${SCOREGATE_TEST_CACHE:-$HOME/.cache/scoregate-tests}
once=
case ${1:-} in
'') ;;
--once) once=yes ;;
*) echo "usage: $0 [--once]" >&2 && exit 2 ;;
esac

# Installs what is missing and makes the folder $work, which is removed at the end.
begin() {
    "$repository/Tests/setup" components
    scoregate=$(find_scoregate)
    work=$(mktemp -d)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

find_scoregate() {
    local binary
    for binary in "${SCOREGATE:-}" "$repository"/.build/{release,debug}/scoregate; do
        if [[ -x $binary ]]; then
            echo "$binary"
            return
        fi
    done
    echo 'No scoregate binary: build one with `swift build`, or name one in SCOREGATE.' >&2
    exit 3
}

# make_certificates DNS-NAME…: what clients see, and the gateway's own identity towards models.
make_certificates() {
    local names=() name
    for name in "$@"; do names+=(--dns "$name"); done
    {
        "$scoregate" certs init --directory "$work/certs"
        "$scoregate" certs issue server --directory "$work/certs" --name server \
            "${names[@]}" --ip 127.0.0.1
        "$scoregate" certs issue identity --directory "$work/certs" --name gateway \
            spiffe://scoregate.local/gateway/edge
    } >"$work/certs.log"
}

# start_gateway PORT ENDPOINT…: the endpoints' configuration comes by standard input, indented by
# two. Each ENDPOINT's key goes to the file $work/ENDPOINT.key.
start_gateway() {
    local port=$1 endpoint
    shift
    (umask 077 && head -c 32 /dev/urandom >"$work/root.key" && mkdir "$work/state")
    cat >"$work/gateway.yaml" <<END
trust_domain: scoregate.local
service: {kind: gateway, name: edge}
state: $work/state
root_key: {file: $work/root.key}
workers: 1
listeners:
  - address: 127.0.0.1:$port
    tls:
      certificates: [{chain: $work/certs/server.pem, key: $work/certs/server.key}]
admin: {address: unix:$work/admin.sock}
identity:
  chain: $work/certs/gateway.pem
  key: $work/certs/gateway.key
  trust_roots: $work/certs/ca.pem
endpoints:
END
    cat >>"$work/gateway.yaml"
    for endpoint in "$@"; do
        (umask 077 && "$scoregate" keys regenerate "$endpoint" --config "$work/gateway.yaml" |
            grep -oE -m1 'sgk1[ps]_[0-9A-Za-z]{60}' >"$work/$endpoint.key")
    done
    "$scoregate" serve --config "$work/gateway.yaml" >"$work/gateway.log" 2>&1 &
    wait_until gateway "https://localhost:$port/" --cacert "$work/certs/ca.pem"
}

# wait_until NAME URL CURL-ARGUMENT…: until the process started last answers, at most 60 s.
wait_until() {
    local name=$1 url=$2 process=$!
    shift 2
    local deadline=$((SECONDS + 60))
    until curl --silent --output "$work/answer" "$@" "$url"; do
        if ((SECONDS >= deadline)) || ! kill -0 "$process" 2>/dev/null; then
            echo "$name does not answer:" >&2
            cat "$work/$name.log" >&2
            exit 3
        fi
        sleep 0.05
    done
}

# Ends too when one of the servers does: then something is wrong.
stay() {
    wait -n
    echo 'a server ended by itself:' >&2
    tail -n 20 "$work"/*.log >&2
    exit 3
}

# free_ports COUNT
free_ports() {
    /usr/bin/python3 - "$1" <<'END'
import socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(one.getsockname()[1] for one in sockets))
END
}

clean_up() {
    # A second Ctrl-C must not end the cleaning itself.
    trap '' INT TERM
    local processes
    processes=$(jobs -p)
    [[ -z $processes ]] || kill $processes 2>/dev/null || true
    wait || true
    rm -rf "$work"
}
