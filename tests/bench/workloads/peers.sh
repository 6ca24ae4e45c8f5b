# peers.sh - Portico beside servers that do the same with other means (--peers): luv, cqueues, copas, node, redis.
# shellcheck shell=sh disable=SC2015,SC2034,SC2086,SC2154,SC3045

peer_names="luv cqueues copas node"

peer_command() {
  case $1 in
    node) echo "node $here/peers/net.js" ;;
    copas) echo "lua5.2 $here/peers/copas.lua" ;; # Debian 12 has it for no later Lua
    *) echo "lua5.4 $here/peers/$1.lua" ;;
  esac
}

peer_workloads() {
  for peer in $peer_names; do
    command=$(peer_command $peer)
    if ! [ -f "${command#* }" ]; then
      wanted $peer && not_measured $peer "there is no ${command#* }"
      continue
    fi
    peer_pair 50 c64 --connections 64
    peer_pair 50 c64x16 --connections 64 --in-flight 16
    peer_pair 100 c1000 --connections 1000
    peer_pair 50 c64x64k --connections 64 --size 65536
    idle_many=10000
    [ $peer != copas ] || idle_many=900 # it waits with select(), which takes descriptors below 1024
    ! wanted $peer || idle_of $peer "$command" $idle_many
  done
}

# peer_pair SLICE-MS WORKLOAD LOAD-OPTIONS...: --only takes the name of the peer or, for one workload, luv-c64.
peer_pair() {
  slice=$1 work_name=$peer-$2
  shift 2
  chosen=$only
  ! wanted $peer || only=$only,$work_name
  pair_workload "$work_name" "$slice" $peer "$command" portico "$echo_command" "$@"
  only=$chosen
}

# --- redis ---

# It listens where it is told to, and does not say where.
redis_start() {
  redis_port=$((20000 + $$ % 10000))
  for try in 1 2 3 4 5; do
    $pin_server redis-server --port $redis_port --save "" --appendonly no --bind 127.0.0.1 --dir "$tmp" \
      </dev/null >"$tmp/redis.err" 2>&1 &
    server_pid=$!
    server_pids="$server_pids $server_pid"
    for wait in 1 2 3 4 5 6 7 8 9 10; do
      sleep 0.1
      ! grep -q 'Ready to accept' "$tmp/redis.err" || return 0
    done
    redis_port=$((redis_port + 1))
  done
  return 1
}

# ping_run WORKLOAD RUN NAME PID PORT DEPTH COUNT: one run of redis-benchmark, and what the server used meanwhile.
ping_run() {
  before=$("$load" --cpu --pid "$4") || return 1
  timeout 120 $pin_load redis-benchmark -h 127.0.0.1 -p "$5" -P "$6" -t ping_mbulk -n "$7" -c 50 -q \
    </dev/null >"$tmp/ping" 2>"$tmp/load.err" || return 1
  after=$("$load" --cpu --pid "$4") || return 1
  tr '\r' '\n' <"$tmp/ping" | awk -v cpu_ns="$before $after" -v count="$7" '
    /requests per second/ { for (i = 2; i <= NF; i++) {
      if ($i == "requests") rate = $(i - 1)
      if ($i ~ /^p50=/) { split($i, p50, "="); us = p50[2] * 1000 } } }
    END { split(cpu_ns, ns, " ")
      if (!rate) exit 1
      printf "{\"mode\":\"ping\",\"messages\":%d,\"messages_per_s\":%.0f,\"p50_us\":%.0f,", count, rate, us
      printf "\"cpu_ns_per_message\":%.1f}\n", (ns[2] - ns[1]) / count }' >"$tmp/lines" || return 1
  keep "$1" "$2" "$3" <"$tmp/lines"
}

# Fresh servers in each pair, and four short runs on each of them: first, second, second, first ...
ping_pair() { # WORKLOAD PAIR DEPTH COUNT
  redis_start || return 1
  redis_pid=$server_pid
  server_start ping "$pin_server" "$portico $here/ping.lua" || return 1
  ping_run ping-warmup "$2" redis "$redis_pid" "$redis_port" "$3" $(($4 / 4)) || return 1
  ping_run ping-warmup "$2" portico "$server_pid" "${server_url##*:}" "$3" $(($4 / 4)) || return 1
  for turn in 1 2 3 4; do
    run=$((4 * ($2 - 1) + turn))
    order="redis portico"
    [ $((turn % 2)) -eq 1 ] || order="portico redis"
    for who in $order; do
      if [ $who = redis ]; then ping_run "$1" $run redis "$redis_pid" "$redis_port" "$3" "$4" || return 1
      else ping_run "$1" $run portico "$server_pid" "${server_url##*:}" "$3" "$4" || return 1; fi
    done
  done
  servers_stop
}

ping_workload() {
  wanted ping || return 0
  [ -f $here/ping.lua ] || { not_measured ping "there is no $here/ping.lua"; return 0; }
  command -v redis-benchmark >/dev/null && command -v redis-server >/dev/null ||
    { not_measured ping "there is no redis-server or redis-benchmark"; return 0; }
  for depth in 1 16; do
    count=$((depth == 1 ? 50000 * seconds : 300000 * seconds))
    n=1
    while [ "$n" -le "$pairs" ]; do
      progress "ping -P $depth: pair $n of $pairs"
      ping_pair ping$depth "$n" $depth $((count / 2)) || { not_measured "ping$depth" "pair $n failed"; break; }
      n=$((n + 1))
    done
    servers_stop
  done
  progress ""
}
