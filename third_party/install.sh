#!/bin/sh
# Installs what the build and the tests need and this machine lacks, from Debian's packages:
#   sh third_party/install.sh             build and test on Linux
#   sh third_party/install.sh --windows   also the cross build: mingw-w64, Wine, and sources of Lua and CMocka for it
#   sh third_party/install.sh --fuzz      also clang and its fuzzer
#   sh third_party/install.sh --luacheck  also the sources of Lua, for a build with its checks on
#   sh third_party/install.sh --peers     also what the bench compares Portico with: luv, cqueues, copas, Node.js, redis
# The options may be combined.
# Does nothing, offline, when all is there. Run as root, or with sudo at hand.
set -u
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

lua_version=5.4.4-3+deb12u1
cmocka_version=1.1.5-2.1

# want FOLDER VERSION: the sources are to be unpacked there; a file in it says that this version is.
sources=
want() { [ -e "$1/debian/fetched-$2" ] || sources="$sources $1"; }

windows=false peers=false fuzz=false
for option; do
  case $option in
    --windows)
      windows=true
      want build-windows/third_party/lua $lua_version
      want build-windows/third_party/cmocka $cmocka_version ;;
    --luacheck) want build-luacheck/third_party/lua $lua_version ;;
    --peers) peers=true ;;
    --fuzz) fuzz=true ;;
    *) echo "usage: sh third_party/install.sh [--windows] [--luacheck] [--peers] [--fuzz]" >&2; exit 2 ;;
  esac
done

fail() { echo "install.sh: $*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo env DEBIAN_FRONTEND=noninteractive "$@"; fi
}

# Debian starts a service as soon as it is installed, and at every boot. The bench wants the program redis-server only,
# and a redis that somebody has installed before is none of our business.
policy=/usr/sbin/policy-rc.d
policy_ours=false
services_hold() {
  [ -e $policy ] && return # somebody else's: where there is one, it is to keep services from starting, as in Docker
  printf '#!/bin/sh\nexit 101\n' >"$T/policy"
  policy_ours=true
  as_root install -m 755 "$T/policy" $policy
}
services_release() {
  $policy_ours && as_root rm -f $policy
  policy_ours=false
}

T=$(mktemp -d) || exit 1
trap 'services_release; rm -rf "$T"' EXIT
trap 'exit 1' HUP INT TERM

# need PACKAGE PATH-OR-COMMAND...: the package is wanted unless each of these is there; a path may be a pattern.
packages=
need() {
  package=$1; shift
  for what; do
    case $what in
      */*) set -- $what; [ -e "$1" ] || { packages="$packages $package"; return; } ;;
      *) command -v "$what" >/dev/null 2>&1 || { packages="$packages $package"; return; } ;;
    esac
  done
}

need gcc cc gcc
need libc6-dev '/usr/include/stdio.h' '/usr/lib/*/crt1.o'
need cmake cmake ctest
need ninja-build ninja
need lua5.4 lua5.4
need liblua5.4-dev '/usr/include/lua5.4/lua.h' '/usr/lib/*/liblua5.4.a'
need libcmocka-dev '/usr/include/cmocka.h' '/usr/lib/*/libcmocka.so'
need liburing-dev '/usr/include/liburing.h'
need lua-socket '/usr/lib/*/lua/5.4/socket/core.so'
need lua-cjson '/usr/lib/*/lua/5.4/cjson.so'
need valgrind valgrind callgrind_annotate
need strace strace
need faketime '/usr/lib/*/faketime/libfaketimeMT.so.1'
if $windows; then
  need gcc-mingw-w64-x86-64 x86_64-w64-mingw32-gcc
  need mingw-w64-x86-64-dev '/usr/x86_64-w64-mingw32/include/windows.h'
  need wine64 '/usr/lib/wine/wine64'
  need wine wine
fi
if $fuzz; then
  need clang clang
  need libclang-rt-dev '/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a'
  need llvm llvm-symbolizer   # names in the traces of a crash
fi
if [ -n "$sources" ]; then need dpkg-dev dpkg-source; fi
if $peers; then
  need lua-luv '/usr/lib/*/lua/5.4/luv.so'
  need lua-cqueues '/usr/lib/*/lua/5.4/_cqueues.so'
  need lua-copas /usr/share/lua/5.2/copas.lua   # Debian has it for Lua 5.1 and 5.2 only
  need lua5.2 lua5.2
  need nodejs node
  need redis-tools redis-benchmark redis-cli
  need redis-server redis-server
fi

if [ -n "$packages" ]; then
  command -v apt-get >/dev/null ||
    fail "this is no Debian: install what these packages hold by hand:$packages (see third_party/README.md)"
  [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || fail "run this as root: apt-get install$packages"
  echo "install.sh: installing$packages"
  as_root apt-get -q update >"$T/log" 2>&1   # one broken source of many is no reason to stop: the next line decides
  case "$packages " in *' redis-server '*) services_hold ;; esac
  as_root apt-get -q install -y --no-install-recommends $packages >>"$T/log" 2>&1 || {
    tail -n 20 "$T/log" >&2
    fail "could not install$packages: mend what apt says above, then run me again"
  }
  case "$packages " in *' redis-server '*) as_root update-rc.d redis-server disable >>"$T/log" 2>&1 ;; esac
  services_release
fi

# fetch NAME VERSION FOLDER DIGESTS: gets a Debian source package, checks its files and unpacks it to FOLDER.
fetch() {
  (
    cd "$T" && apt-get -q $apt source --download-only "$1=$2" &&
      echo "$4" | sha256sum --check --strict - &&
      dpkg-source --no-check -x "$1_$2.dsc" unpacked
  ) >>"$T/log" 2>&1 || {
    tail -n 20 "$T/log" >&2
    fail "could not fetch the source package $1=$2: mend what is said above, then run me again"
  }
  rm -rf "$3"
  mkdir -p "$(dirname "$3")" && mv "$T/unpacked" "$3" && : >"$3/debian/fetched-$2"
}

if [ -n "$sources" ]; then
  echo "install.sh: fetching sources to$sources"
  # A throw-away apt set-up, made from this machine's own list of sources; nothing under /etc or /var changes.
  mkdir -p "$T/parts" "$T/lists/partial" "$T/cache/archives/partial"
  for list in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    case $list in
      *.list) sed -n 's/^deb[[:space:]]/deb-src /p' "$list" >"$T/parts/$(basename "$list")" ;;
      *.sources) sed 's/^Types:.*/Types: deb-src/' "$list" >"$T/parts/$(basename "$list")" ;;
    esac
  done 2>>"$T/log"
  apt="-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$T/parts -o Dir::State::lists=$T/lists
       -o Dir::Cache=$T/cache -o APT::Sandbox::User=$(id -un)"
  apt-get -q $apt update >>"$T/log" 2>&1
  for folder in $sources; do
    case $folder in
      */lua) fetch lua5.4 $lua_version "$folder" \
"164c7849653b80ae67bec4b7473b884bf5cc8d2dca05653475ec2ed27b9ebf61  lua5.4_5.4.4.orig.tar.gz
2d8e0e380722c648cfeffb8d58287865619b4d035544d93d7ef3a2eaf627abe6  lua5.4_5.4.4-3+deb12u1.debian.tar.xz" ;;
      */cmocka) fetch cmocka $cmocka_version "$folder" \
"f0ccd8242d55e2fd74b16ba518359151f6f8383ff8aef4976e48393f77bba8b6  cmocka_1.1.5.orig.tar.xz
6ba25b3981ce2a6b954ba17b2e05460e5b14fd2092475fb3c13b0eb9aa3208b2  cmocka_1.1.5-2.1.debian.tar.xz" ;;
    esac
  done
fi
exit 0
