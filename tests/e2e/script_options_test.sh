# The default scripts: their options, and addresses that cannot be had.
. "$(dirname "$0")/lib.sh"

usage_error() { # PATTERN ARGS...
  pattern=$1
  shift
  run "$PORTICO" run "$@"
  says 2 "^portico: $1: .*$pattern" "run $*"
}
usage_error 'did you mean --raw?' print --rwa
usage_error 'unknown option --raw (portico run echo --help)' echo --raw
usage_error 'did you mean --file?' send --fiel x
usage_error 'needs a value' send --file
usage_error 'takes no value' print --raw=yes
usage_error 'one address is enough' echo 127.0.0.1:0 127.0.0.1:0
usage_error '--message and --file: give one of them' send --message a --file b
usage_error '--file and -: give one of them' send - --file b
usage_error 'not a whole number' send --send-buffer 4k
usage_error '--two?lines' send "$(printf -- '--two\nlines')"
check 'a mistake is told in one line' [ "$(wc -l <"$T/run.err")" -eq 1 ]
for name in echo print send; do
  run "$PORTICO" run $name --help
  check "run $name --help" grep -q "^usage: portico run $name \[URL\]" "$T/run.out"
  check "it exits with 0" [ $code -eq 0 ]
done

for address in tcp://127.0.0.1 tcp://127.0.0.1:65536 tcp://127.0.0.1:http tcp://127.0.0.1:-1 tcp://:: tcp://[::1 \
  ftp://127.0.0.1:80 tcp:// tcp://127.0.0.1:80/path 'tcp://127.0.0.1:8 0'; do
  run "$PORTICO" run echo "$address"
  says 1 '^portico: echo: .*bad address' "listen on $address"
  run "$PORTICO" run send "$address"
  says 1 '^portico: send: .*bad address' "connect to $address"
done

# 192.0.2.0/24 is for documentation: no machine has such an address.
run "$PORTICO" run echo tcp://192.0.2.1:0
says 1 'address not available' 'an address of another machine'

serve first "$PORTICO" run echo tcp://127.0.0.1:0
check 'port 0 becomes a real port' [ "${url##*:}" -gt 0 ]
run "$PORTICO" run echo "$url"
says 1 'address already in use' 'a port in use'
run "$PORTICO" run --vms 4 print "$url"
says 1 'address already in use' 'a port in use, several VMs'
run "$PORTICO" run send "${url#tcp://}" --message still --receive -
check 'the first server goes on; HOST:PORT is an address' [ "$(cat "$T/run.out")" = still ]
check 'it said so once, though it has several VMs' [ "$(grep -c '' "$T/first.err")" -eq 1 ]
stop first
