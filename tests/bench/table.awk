# table.awk - turns the lines that run.sh collected into the table it prints, and into the summary of last.json (the file
# named by the variable `json`). Exit code 1: a figure misses its bar.

function text_of(name) { return match($0, "\"" name "\":\"[^\"]*") ? substr($0, RSTART + length(name) + 4, RLENGTH - length(name) - 4) : "" }
function number_of(name) { return match($0, "\"" name "\":[-0-9.]+") ? substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3) + 0 : 0 }

# list[1..n] sorted in place
function sort(list, n,   i, j, v) {
  for (i = 2; i <= n; i++) {
    v = list[i]
    for (j = i - 1; j >= 1 && list[j] > v; j--) list[j + 1] = list[j]
    list[j + 1] = v
  }
}

function sorted_median(list, n) { return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2 }

# The median over all pairs of one figure of one server.
function median(work, server, name,   i, n, list) {
  for (i = 1; i <= pairs[work]; i++) if ((work, server, i, name) in figure) list[++n] = figure[work, server, i, name]
  if (!n) return 0
  sort(list, n)
  return sorted_median(list, n)
}

# Sets ratio_mid, ratio_min and ratio_max of list[1..n]; returns n.
function spread(list, n) {
  if (!n) return 0
  sort(list, n)
  ratio_mid = sorted_median(list, n); ratio_min = list[1]; ratio_max = list[n]
  return n
}

function cpu_ratios(work,   i, n, list) {
  for (i = 1; i <= pairs[work]; i++) if (figure[work, "portico", i, "cpu_ratio"] > 0) list[++n] = figure[work, "portico", i, "cpu_ratio"]
  return spread(list, n)
}

function p99_ratios(work,   i, n, list) {
  for (i = 1; i <= pairs[work]; i++)
    if (figure[work, "on", i, "p99_us"] > 0 && figure[work, "off", i, "p99_us"] > 0)
      list[++n] = figure[work, "on", i, "p99_us"] / figure[work, "off", i, "p99_us"]
  return spread(list, n)
}

# What other programs used of one core, in per cent. Short runs of an idle machine are under-counted, hence below 0 at times.
function foreign(work, server,   share) {
  share = median(work, server, "foreign_busy")
  return share > 0 ? 100 * share : 0
}

function verdict(value, bar) {
  if (value <= bar) return "met"
  missed = 1
  return "MISSED"
}

function summary(line) { printf "%s%s", (summaries++ ? ",\n" : ""), line >json }

function echo_rows(work, title, bar,   s, i, mark) {
  if (!(work in pairs)) return
  for (i = 1; i <= 2; i++) {
    s = i == 1 ? "reference" : "portico"
    mark = ""
    if (i == 2 && cpu_ratios(work))
      mark = sprintf("%5.2f (%.2f..%.2f)%s", ratio_mid, ratio_min, ratio_max, bar ? sprintf("  bar %.2f %s", bar, verdict(ratio_mid, bar)) : "")
    printf "%-26s %-9s %10d %9.1f %9.1f %10d %5d%% %5d%%  %s\n", (i == 1 ? title : ""), s, median(work, s, "messages_per_s"),
      median(work, s, "p50_us"), median(work, s, "p99_us"), median(work, s, "cpu_ns_per_message"), 100 * median(work, s, "server_busy"), foreign(work, s), mark
    summary(sprintf("{\"workload\":\"%s\",\"server\":\"%s\",\"messages_per_s\":%d,\"p50_us\":%.1f,\"p99_us\":%.1f,\"cpu_ns_per_message\":%.1f%s}",
      work, s, median(work, s, "messages_per_s"), median(work, s, "p50_us"), median(work, s, "p99_us"), median(work, s, "cpu_ns_per_message"),
      i == 2 ? sprintf(",\"cpu_ratio\":%.3f,\"cpu_ratio_min\":%.3f,\"cpu_ratio_max\":%.3f", ratio_mid, ratio_min, ratio_max) : ""))
  }
}

function memory_rows(   i, s, fresh, used) {
  if (!("memory" in pairs)) return
  printf "\nmemory, %d idle connections   private bytes before    each, fresh    each, after one echo\n", figure["memory", "portico", 1, "connections"]
  for (i = 1; i <= 2; i++) {
    s = i == 1 ? "reference" : "portico"
    fresh = figure["memory", s, 1, "fresh_private_each"]
    used = figure["memory", s, 1, "used_private_each"]
    printf "  %-26s %20d %14d %22d%s\n", s, figure["memory", s, 1, "before_private_bytes"], fresh, used,
      (i == 2 ? sprintf("  bar 2048 %s", verdict(used > fresh ? used : fresh, 2048)) : "")
    summary(sprintf("{\"workload\":\"memory\",\"server\":\"%s\",\"connections\":%d,\"fresh_bytes_each\":%d,\"used_bytes_each\":%d}", s, figure["memory", s, 1, "connections"], fresh, used))
  }
}

function sleeper_rows(nap, title,   work) {
  work = "sleeper-" nap
  if (!(work in pairs) || !p99_ratios(work)) return
  if (!sleepers++) print "\na handler asleep for 200 ms: p99 us of other VMs     without       with   ratio of p99"
  printf "  %-49s %9.1f  %9.1f   %.2f (%.2f..%.2f)  bar 3.00 %s\n", title, median(work, "off", "p99_us"), median(work, "on", "p99_us"), ratio_mid, ratio_min, ratio_max, verdict(ratio_mid, 3)
  summary(sprintf("{\"workload\":\"%s\",\"p99_us_without\":%.1f,\"p99_us_with\":%.1f,\"p99_ratio\":%.3f,\"p99_ratio_min\":%.3f,\"p99_ratio_max\":%.3f}",
    work, median(work, "off", "p99_us"), median(work, "on", "p99_us"), ratio_mid, ratio_min, ratio_max))
}

BEGIN { names = split("messages_per_s p50_us p99_us cpu_ns_per_message server_busy foreign_busy cpu_ratio connections before_private_bytes fresh_private_each used_private_each", name, " ") }

{
  work = text_of("workload"); server = text_of("server"); pair = number_of("pair")
  for (i = 1; i <= names; i++) figure[work, server, pair, name[i]] = number_of(name[i])
  if (pair > pairs[work]) pairs[work] = pair
}

END {
  if ("c64" in pairs || "c1" in pairs || "c1000" in pairs || "c64x16" in pairs || "c64paced" in pairs)
    print "64-byte messages           server    messages/s    p50 us    p99 us CPU ns/msg  busy other  ratio of CPU/msg (min..max)"
  echo_rows("c64", "64 connections", 1.1)
  echo_rows("c1", "1 connection", 0)
  echo_rows("c1000", "1000 connections", 1.1)
  echo_rows("c64x16", "64 conns, 16 in flight", 0)
  echo_rows("c64paced", "64 conns, 20,000 a second", 0)
  memory_rows()
  sleeper_rows("os", "os.execute \"sleep 0.2\"")
  sleeper_rows("socket", "LuaSocket socket.sleep(0.2)")
  if (summaries) print "" >json
  print ""
  exit missed
}
