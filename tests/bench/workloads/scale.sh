# scale.sh - the same costs as numbers grow (--scale): points for plots, one file of JSON.
# shellcheck shell=sh disable=SC2015,SC2034,SC2086,SC2154,SC3045

# point PLOT SERIES X Y: a point of a curve; a Y that could not be measured leaves a gap.
point() { [ -z "$4" ] || echo "$1 $2 $3 $4" >>"$tmp/points"; }

# last_of WORKLOAD SERVER EXPRESSION: the medians of what was kept under this name, combined as awk says.
last_of() {
  awk -f $here/figures.awk -f - "$tmp/runs" <<PROGRAM
function m(name) { return median("$1", "$2", name) }
END { if ("$1" in pairs) printf "%.1f", $3 }
PROGRAM
}

# Both servers in turn, as ever. A slice is so long that 18,000 echoes fit several times.
scale_connections() {
  for many in 10 30 100 300 1000 3000 10000 18000; do
    many=$(connections_max $many)
    slice=$((many < 300 ? 50 : many < 3000 ? 200 : 1000))
    only=all pair_workload scale-c$many $slice reference "$out/bench/reference" portico "$echo_command" \
      --connections $many
    for who in reference portico; do
      point connections $who $many "$(last_of scale-c$many $who 'm("cpu_ns_per_message")')"
    done
  done
}

scale_idle() {
  for many in 1000 3000 10000 18000; do
    many=$(connections_max $many)
    for who in reference portico; do
      progress "scale: $many idle connections, $who"
      command=$echo_command
      [ $who = portico ] || command=$out/bench/reference
      server_start $who "" "$command" &&
        record idle-warmup 0 $who "" --warmup 0 --seconds 1 --pid "$server_pid" "$server_url" &&
        record scale-idle$many 1 $who "" --idle $many --pid "$server_pid" "$server_url" ||
        not_measured scale-idle$many "$who"
      servers_stop
      point idle $who $many "$(last_of scale-idle$many $who 'm("used_private_each")')"
    done
  done
}

# 100,000 a second fire whatever the number that waits.
scale_timers() {
  for many in 1000 10000 100000 1000000; do
    progress "scale: $many timers"
    timers_run scale-timers$many 1 $many 100000 1
    point timers portico $many "$(last_of scale-timers$many portico 'm("cpu_ns_per_count")')"
  done
}

# Memory is that of the whole process, with 256 connections, after the load; a VM's own is the slope.
scale_vms() {
  for many in 1 4 16 64 256; do
    progress "scale: $many VMs"
    command="$portico --vms $many echo"
    only=all pair_workload scale-vms$many 50 reference "$out/bench/reference" portico "$command" --connections 256
    point vms_cpu portico $many "$(last_of scale-vms$many portico 'm("cpu_ns_per_message")')"
    point vms_cpu reference $many "$(last_of scale-vms$many reference 'm("cpu_ns_per_message")')"
    server_start portico "" "$command" &&
      record scale-vms-memory$many 1 portico "" --idle 1 --pid "$server_pid" "$server_url" ||
      not_measured scale-vms$many memory
    servers_stop
    point vms_memory portico $many "$(last_of scale-vms-memory$many portico 'm("before_private_bytes") / 1024')"
  done
}

scale_packets() {
  for many in 1 2 3 4 6 8; do
    packets_run scale-packets$many --producers $many --consumers $many --rounds $((2 * pairs + 1))
    point packets ring $many "$(last_of scale-packets$many port '1e9 / m("ring_wall_ns")')"
    point packets port $many "$(last_of scale-packets$many port '1e9 / m("port_wall_ns")')"
  done
}

# The shape that plot.lua reads.
scale_json() {
  awk '
    function plot(name, title, x, y, logx,   i, n, names, parts) {
      if (!(name in series)) return
      printf "%s{\"name\":\"%s\",\"title\":\"%s\",\"x\":\"%s\",\"y\":\"%s\",\"logx\":%s,\"series\":[", \
        (plots++ ? ",\n" : ""), name, title, x, y, logx
      n = split(series[name], names, " ")
      for (i = 1; i <= n; i++)
        printf "%s\n  {\"name\":\"%s\",\"points\":[%s]}", (i == 1 ? "" : ","), names[i], points[name, names[i]]
      printf "]}"
    }
    {
      if (!(($1, $2) in points)) series[$1] = series[$1] " " $2
      points[$1, $2] = points[$1, $2] (points[$1, $2] == "" ? "" : ",") "[" $3 "," $4 "]"
    }
    END {
      print "{\"plots\":["
      plot("connections", "CPU time of a message as connections grow", "active connections", "CPU ns per message",
        "true")
      plot("idle", "Memory of an idle connection", "idle connections", "bytes each, after one echo", "true")
      plot("timers", "CPU time of a timer as those that wait grow", "pending timers", "CPU ns per timer", "true")
      plot("vms_cpu", "CPU time of a message as VMs grow, 256 connections", "VMs", "CPU ns per message", "true")
      plot("vms_memory", "Memory of the process as VMs grow", "VMs", "private KiB", "false")
      plot("packets", "Packets between threads", "producers, and as many consumers", "packets per second", "false")
      print "]}"
    }' "$tmp/points" >"$out/bench/scale.json"
}

scale_workloads() {
  : >"$tmp/points"
  [ "$pairs" -le 3 ] || pairs=3 # curves, not ratios: a point may be a little off
  scale_connections
  scale_idle
  scale_timers
  scale_vms
  scale_packets
  scale_json
  progress ""
  echo "cost as numbers grow: $out/bench/scale.json"
  [ ! -f $here/plot.lua ] || lua5.4 $here/plot.lua "$out/bench/scale.json" $here
}
