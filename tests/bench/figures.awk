# figures.awk - reads `rows` and the lines of a run; medians and ratios of their figures. For table.awk, and scale.sh.

function text_of(name) {
  return match($0, "\"" name "\":\"[^\"]*") ? substr($0, RSTART + length(name) + 4, RLENGTH - length(name) - 4) : ""
}

# Every number of the line, by name.
function keep_numbers(work, server, pair,   rest, name, value) {
  rest = $0
  while (match(rest, /"[a-z0-9_]+":-?[0-9][-+.e0-9]*/)) {
    name = substr(rest, RSTART + 1, RLENGTH - 1)
    value = name
    sub(/".*/, "", name)
    sub(/.*:/, "", value)
    figure[work, server, pair, name] = value + 0
    rest = substr(rest, RSTART + RLENGTH)
  }
}

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

function has(work, server, name,   i) {
  for (i = 1; i <= pairs[work]; i++) if ((work, server, i, name) in figure) return 1
  return 0
}

# Sets ratio_mid, ratio_min and ratio_max of list[1..n]; returns n.
function spread(list, n) {
  if (!n) return 0
  sort(list, n)
  ratio_mid = sorted_median(list, n); ratio_min = list[1]; ratio_max = list[n]
  return n
}

# The load compares slice by slice; where it did not (redis-benchmark) each run is compared with the one beside it.
function cpu_ratios(work, first, second,   i, n, list) {
  for (i = 1; i <= pairs[work]; i++) {
    if ((work, second, i, "cpu_ratio") in figure)
      list[++n] = figure[work, second, i, "cpu_ratio"]
    else if ((work, first, i, "cpu_ns_per_message") in figure && (work, second, i, "cpu_ns_per_message") in figure)
      list[++n] = figure[work, second, i, "cpu_ns_per_message"] / figure[work, first, i, "cpu_ns_per_message"]
  }
  return spread(list, n)
}

function p99_ratios(work,   i, n, list) {
  for (i = 1; i <= pairs[work]; i++)
    if ((work, "on", i, "p99_us") in figure && figure[work, "off", i, "p99_us"] > 0)
      list[++n] = figure[work, "on", i, "p99_us"] / figure[work, "off", i, "p99_us"]
  return spread(list, n)
}

/^#/ { next }

!/^\{/ {
  row_kind[++rows] = $1; row_work[rows] = $2; row_bar[rows] = $3
  row_title[rows] = $0
  sub(/^[^ ]+ [^ ]+ [^ ]+ /, "", row_title[rows])
  next
}

{
  work = text_of("workload"); server = text_of("server")
  match($0, /"pair":[0-9]+/)
  pair = substr($0, RSTART + 7, RLENGTH - 7) + 0
  keep_numbers(work, server, pair)
  if (!((work, server) in known)) { known[work, server]; server_of[work, ++servers[work]] = server }
  if (pair > pairs[work]) pairs[work] = pair
}
