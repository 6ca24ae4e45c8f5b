# table.awk - prints what is in the file `rows` of the lines that run.sh collected, and writes the summary of last.json
# (to the file named by the variable `json`). Exit code 1: a figure misses its bar.
#
#   awk -f figures.awk -f table.awk -v json=FILE rows runs

function verdict(value, bar) {
  if (bar == "-") return ""
  met = value <= bar + 0
  if (!met) missed = 1
  return sprintf("  bar %s %s", bar, met ? "met" : "MISSED")
}

function summary(line) { printf "%s{%s}", (summaries++ ? ",\n" : ""), line >json }
function bar_of(bar) { return bar == "-" ? "" : sprintf(",\"bar\":%s,\"met\":%s", bar, met ? "true" : "false") }

# What other programs used of one core, in per cent. Short runs of an idle machine are under-counted, hence the limit.
function foreign(work, server,   share) {
  share = median(work, server, "foreign_busy")
  return share > 0 ? 100 * share : 0
}

# A figure that this kind of run does not have (redis-benchmark's, mostly) is a dash.
function cell(work, server, name, format, value) { return has(work, server, name) ? sprintf(format, value) : "-" }

function pair_row(work, bar, title,   i, s, mark, ratio) {
  for (i = 1; i <= servers[work]; i++) {
    s = server_of[work, i]
    mark = ratio = ""
    if (i == 2 && cpu_ratios(work, server_of[work, 1], s)) {
      mark = sprintf("%6.2f (%.2f..%.2f)%s", ratio_mid, ratio_min, ratio_max, verdict(ratio_mid, bar))
      ratio = sprintf(",\"cpu_ratio\":%.3f,\"cpu_ratio_min\":%.3f,\"cpu_ratio_max\":%.3f%s", ratio_mid, ratio_min, ratio_max, bar_of(bar))
    }
    printf "%-26s %-9s %10d %9.1f %9s %10d %6s %6s %s\n", (i == 1 ? title : ""), s,
      median(work, s, "messages_per_s"), median(work, s, "p50_us"),
      cell(work, s, "p99_us", "%.1f", median(work, s, "p99_us")), median(work, s, "cpu_ns_per_message"),
      cell(work, s, "server_busy", "%d%%", 100 * median(work, s, "server_busy")),
      cell(work, s, "server_busy", "%d%%", foreign(work, s)), mark
    summary(sprintf("\"workload\":\"%s\",\"server\":\"%s\",\"messages_per_s\":%d,\"p50_us\":%.1f,\"p99_us\":%.1f,\"cpu_ns_per_message\":%.1f%s",
      work, s, median(work, s, "messages_per_s"), median(work, s, "p50_us"), median(work, s, "p99_us"),
      median(work, s, "cpu_ns_per_message"), ratio))
  }
}

# works is MANY/FEW: what a message costs in the one workload, divided by what it costs in the other.
function growth_row(works, bar, title,   part, i, s, growth, mark) {
  split(works, part, "/")
  if (!(part[1] in pairs) || !(part[2] in pairs)) return
  for (i = 1; i <= 2; i++) {
    s = server_of[part[1], i]
    growth = median(part[1], s, "cpu_ns_per_message") / median(part[2], s, "cpu_ns_per_message")
    mark = i == 2 ? verdict(growth, bar) : ""
    printf "%-26s %-9s %63.2f%s\n", (i == 1 ? title : ""), s, growth, mark
    summary(sprintf("\"workload\":\"growth\",\"server\":\"%s\",\"growth\":%.3f%s", s, growth, i == 2 ? bar_of(bar) : ""))
  }
}

function idle_row(work, bar, title,   i, s, fresh, used, cpu, mark) {
  for (i = 1; i <= servers[work]; i++) {
    s = server_of[work, i]
    fresh = figure[work, s, 1, "fresh_private_each"]
    used = figure[work, s, 1, "used_private_each"]
    cpu = figure[work, s, 1, "still_cpu_ns"]
    mark = s == "portico" ? verdict(fresh > used ? fresh : used, bar) : ""
    if (figure[work, s, 1, "connections"] != 10000) mark = sprintf("  of %d%s", figure[work, s, 1, "connections"], mark)
    printf "%-26s %-9s %10d %9d %9d %10d %9d%s", (i == 1 ? title : ""), s, figure[work, s, 1, "before_private_bytes"] / 1024,
      fresh, used, cpu, figure[work, s, 1, "still_switches"], mark
    summary(sprintf("\"workload\":\"%s\",\"server\":\"%s\",\"connections\":%d,\"fresh_bytes_each\":%d,\"used_bytes_each\":%d%s",
      work, s, figure[work, s, 1, "connections"], fresh, used, s == "portico" ? bar_of(bar) : ""))
    if (s == "portico") printf "; CPU time:%s", substr(verdict(cpu, 0), 2)
    print ""
    summary(sprintf("\"workload\":\"still\",\"server\":\"%s\",\"seconds\":%.1f,\"cpu_ns\":%d,\"switches\":%d%s",
      s, figure[work, s, 1, "still_s"], cpu, figure[work, s, 1, "still_switches"], s == "portico" ? bar_of(0) : ""))
  }
}

function timers_row(work, bar, title,   each) {
  each = median(work, "portico", "cpu_ns_per_count")
  printf "%-26s %-9s %10d %9.1f %9.1f %10d %5d%%%s\n", title, "portico", median(work, "portico", "counted_per_s"),
    median(work, "portico", "late_ms"), median(work, "portico", "late_ms_max"), each, 100 * median(work, "portico", "server_busy"), verdict(each, bar)
  summary(sprintf("\"workload\":\"%s\",\"timers_per_s\":%d,\"late_ms\":%.2f,\"cpu_ns_per_timer\":%.1f%s", work,
    median(work, "portico", "counted_per_s"), median(work, "portico", "late_ms"), each, bar_of(bar)))
}

# Faults count as a missed bar whatever the bar is.
function packets_row(work, bar, title,   ratio, faults) {
  ratio = figure[work, "port", 1, "wall_ratio"]
  faults = figure[work, "port", 1, "lost"] + figure[work, "port", 1, "doubled"] + figure[work, "port", 1, "disorder"]
  if (faults) missed = 1
  printf "%-26s %-9s %10d %9.1f %9.1f\n", title, "ring", 1e9 / figure[work, "port", 1, "ring_wall_ns"],
    figure[work, "port", 1, "ring_wall_ns"], figure[work, "port", 1, "ring_cpu_ns"]
  printf "%-26s %-9s %10d %9.1f %9.1f  %d lost or out of order %5.2f (%.2f..%.2f)%s\n", "", "port",
    1e9 / figure[work, "port", 1, "port_wall_ns"], figure[work, "port", 1, "port_wall_ns"], figure[work, "port", 1, "port_cpu_ns"],
    faults, ratio, figure[work, "port", 1, "wall_ratio_min"], figure[work, "port", 1, "wall_ratio_max"], verdict(ratio, bar)
  summary(sprintf("\"workload\":\"%s\",\"ring_wall_ns\":%.1f,\"port_wall_ns\":%.1f,\"ring_cpu_ns\":%.1f,\"port_cpu_ns\":%.1f,\"wall_ratio\":%.3f,\"faults\":%d%s",
    work, figure[work, "port", 1, "ring_wall_ns"], figure[work, "port", 1, "port_wall_ns"], figure[work, "port", 1, "ring_cpu_ns"],
    figure[work, "port", 1, "port_cpu_ns"], ratio, faults, bar_of(bar)))
}

function start_row(work, bar, title,   i, s, ms) {
  for (i = 1; i <= servers[work]; i++) {
    s = server_of[work, i]
    ms = figure[work, s, 1, "start_ms"]
    printf "%-26s %-9s %10.2f (%.2f..%.2f)%s\n", (i == 1 ? title : ""), s, ms, figure[work, s, 1, "start_ms_min"],
      figure[work, s, 1, "start_ms_max"], s == "portico" ? verdict(ms, bar) : ""
    summary(sprintf("\"workload\":\"%s\",\"server\":\"%s\",\"start_ms\":%.2f%s", work, s, ms, s == "portico" ? bar_of(bar) : ""))
  }
}

function size_row(work, bar, title,   bytes) {
  bytes = figure[work, "portico", 1, "stripped_bytes"]
  printf "%-26s %-9s %10d%s\n", title, "portico", bytes, verdict(bytes, bar)
  summary(sprintf("\"workload\":\"%s\",\"stripped_bytes\":%d%s", work, bytes, bar_of(bar)))
}

function sleeper_row(work, bar, title,   on, off) {
  if (!p99_ratios(work)) return
  on = median(work, "on", "p99_us"); off = median(work, "off", "p99_us")
  printf "%-36s %10.1f %9.1f %5.2f (%.2f..%.2f)%s\n", title, off, on, ratio_mid, ratio_min, ratio_max, verdict(ratio_mid, bar)
  summary(sprintf("\"workload\":\"%s\",\"p99_us_without\":%.1f,\"p99_us_with\":%.1f,\"p99_ratio\":%.3f%s", work, off, on, ratio_mid, bar_of(bar)))
}

function heading(kind, title) {
  if (kind == "pair")
    printf "\n%-26s %-9s %10s %9s %9s %10s %6s %6s  %s\n", title, "server", "a second", "p50 us", "p99 us", "CPU ns", "busy", "other", "ratio of CPU (min..max)"
  else if (kind == "idle")
    printf "\n%-26s %-9s %10s %9s %9s %10s %9s\n", title, "server", "KiB before", "B, fresh", "B, used", "CPU ns", "switches"
  else if (kind == "timers")
    printf "\n%-26s %-9s %10s %9s %9s %10s %6s\n", title, "server", "a second", "late ms", "max ms", "CPU ns", "busy"
  else if (kind == "packets")
    printf "\n%-26s %-9s %10s %9s %9s  %s\n", title, "queue", "a second", "ns each", "CPU ns", "ratio of ns each"
  else if (kind == "sleeper")
    printf "\n%-36s %10s %9s   %s\n", title, "p99 us off", "on", "ratio of p99 of other VMs"
  else
    print "\n" title
}

END {
  for (row = 1; row <= rows; row++) {
    if (row_kind[row] == "heading") { heading_due = row; continue }
    split(row_work[row], part, "/")
    if (!(part[1] in pairs)) continue
    if (heading_due) heading(row_work[heading_due], row_title[heading_due])
    heading_due = 0
    kind = row_kind[row]; work = row_work[row]; bar = row_bar[row]; title = row_title[row]
    if (kind == "pair") pair_row(work, bar, title)
    else if (kind == "growth") growth_row(work, bar, title)
    else if (kind == "idle") idle_row(work, bar, title)
    else if (kind == "timers") timers_row(work, bar, title)
    else if (kind == "packets") packets_row(work, bar, title)
    else if (kind == "start") start_row(work, bar, title)
    else if (kind == "size") size_row(work, bar, title)
    else if (kind == "sleeper") sleeper_row(work, bar, title)
  }
  if (summaries) print "" >json
  print ""
  exit missed
}
