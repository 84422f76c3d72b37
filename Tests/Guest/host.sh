# Functions of the scripts that boot a guest: device processes, QEMU, the console, the report.
# Sourced by run.sh and disk.sh, which set `here` and `package` and parse the arguments.

skip_code=${skip_code:-0}
memory=${memory:-memory-backend-memfd,id=ram,size=512M,share=on}
skip() { echo "guest test skipped: $1"; exit "$skip_code"; }

# ---- what the tests need ----

# QEMU before 10.1 has no vfio-user-pci among its devices.
qemu=${QEMU:-$(command -v qemu-system-x86_64 || true)}
{ [ -n "$qemu" ] && "$qemu" -device help 2>/dev/null | grep '"vfio-user-pci"' >/dev/null; } ||
  skip "no QEMU >= 10.1 with vfio-user-pci (set QEMU=...)"

tool=${VFIO_USER:-$(ls -t "$package"/.build/{debug,release}/vfio-user 2>/dev/null | head -n 1 || true)}

# ---- processes ----

# A short path: a socket's has at most 107 bytes.
work=$(mktemp -d /tmp/guest-test.XXXXXX)
qemu_pid=
declare -A device_pid=() client_pid=() requests=()
keep_logs=

running() { kill -0 "$1" 2>/dev/null; }
not_running() { ! running "$1"; }

clean_up() {
  local pid
  for pid in $qemu_pid "${client_pid[@]}" "${device_pid[@]}"; do
    kill "$pid" 2>/dev/null || continue
    wait_for 3 not_running "$pid" || kill -KILL "$pid"
  done
  if [ -n "$keep_logs" ]; then echo "logs are in $work"; else rm -rf "$work"; fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# wait_for SECONDS COMMAND...: polls until COMMAND succeeds.
wait_for() {
  local tries=$(($1 * 20))
  shift
  until "$@"; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || return 1
    sleep 0.05
  done
}

# serve NAME DEVICE [OPTION...]: starts a device process and waits for its socket.
serve() {
  local name=$1
  shift
  "$tool" serve "$1" --socket-path "$work/$name.sock" "${@:2}" >"$work/$name.log" 2>&1 </dev/null &
  device_pid[$name]=$!
  wait_for 20 test -S "$work/$name.sock" && running "${device_pid[$name]}" && return 0
  echo "guest test: the device process $name did not start:" >&2
  cat "$work/$name.log" >&2
  exit 1
}

# talk_to NAME: a client of NAME's backend socket. What it receives goes into NAME.received; what is
# written to the descriptor ${requests[NAME]} it sends.
talk_to() {
  local descriptor
  mkfifo "$work/$1.requests"
  # Open for both directions, so that a client which ended cannot end this script with SIGPIPE.
  exec {descriptor}<>"$work/$1.requests"
  requests[$1]=$descriptor
  perl "$here/socket-client.pl" "$work/$1.backend" \
    <"$work/$1.requests" >"$work/$1.received" 2>"$work/$1.client.log" &
  client_pid[$1]=$!
}

# ---- the machine ----

# make_guest [EXTRA]: builds the kernel and the initramfs into the work folder.
make_guest() {
  local status=0 reason
  reason=$("$here/build-initramfs.sh" "${GUEST_CACHE:-$package/.build-guest}" "$work" "$@" 2>&1) || status=$?
  if [ "$status" -eq 77 ]; then skip "$(tail -n 1 <<<"$reason")"; fi
  if [ "$status" -ne 0 ]; then echo "guest test: $reason" >&2; exit 1; fi
  keep_logs=1
}

# machine_options: what every guest has. Its RAM must be shared memory, or a device process cannot map it.
machine_options() {
  options=(
    -machine q35,memory-backend=ram -accel tcg -m 512M
    -object "$memory"
    -nodefaults -display none -no-reboot
    -chardev stdio,id=console,signal=off -serial chardev:console
  )
}

# attach NAME SLOT: plugs a device process in. A property that is a socket address needs the JSON form.
# The slots used here are 4 to 7: the INTx of each reaches the interrupt controller on a line of its own,
# so that interrupts can be counted for each device.
attach() {
  local socket="{\"type\":\"unix\",\"path\":\"$work/$1.sock\"}"
  options+=(-device "{\"driver\":\"vfio-user-pci\",\"addr\":\"$2\",\"socket\":$socket}")
}

# ---- checks ----

passed=0 failed=0
declare -A seen=()

# report NAME ok|FAIL [DETAIL]
report() {
  seen[$1]=1
  if [ "$2" = ok ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  printf '%-4s %s%s\n' "$2" "$1" "${3:+: $3}"
}

# verify NAME COMMAND...: a check on the host's side. COMMAND may leave its reason in `why`.
verify() {
  why=
  if "${@:2}"; then report "$1" ok; else report "$1" FAIL "$why"; fi
}

# has_content FILE BYTES MD5
has_content() {
  local count sum
  count=$(wc -c 2>/dev/null <"$1" || echo 0)
  sum=$(md5sum 2>/dev/null <"$1" | cut -d' ' -f1 || true)
  [ "$count" -eq "$2" ] && [ "$sum" = "$3" ] && return 0
  why="$count bytes with checksum $sum, not $2 with $3"
  return 1
}

# QEMU says on its error output what it does not like about a device, and goes on.
# That it cannot lend a mapped window to other devices concerns nobody here.
qemu_is_content() { why=$(grep vfio "$work/qemu.log" | grep -v -m 1 'failed to create dma-buf') && return 1 || return 0; }

# Device processes outlive the guest, and end when they are told to.
ends_cleanly() {
  local pid=${device_pid[$1]} code=0
  running "$pid" || { why="it was gone before the end"; return 1; }
  kill -TERM "$pid"
  wait_for 5 not_running "$pid" || { why="it goes on after SIGTERM"; return 1; }
  wait "$pid" || code=$?
  unset "device_pid[$1]"
  [ "$code" -eq 0 ] || { why="it ended with code $code"; return 1; }
  [ ! -e "$work/$1.sock" ] || { why="it left its socket behind"; return 1; }
}

# expected_checks SCRIPT...: each check that should report, as the guest's scripts themselves name them.
expected_checks() { for script; do sed -n 's/^check \([^ ]*\) .*/\1/p' "$here/guest/$script.sh"; done; }

# require_checks NAME...: a check that did not report has failed, whatever became of it.
require_checks() {
  local name
  for name; do [ -n "${seen[$name]:-}" ] || report "$name" FAIL "did not run"; done
}

# finish: the last line, and the exit code.
finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ] || exit 1
  keep_logs=
}

# ---- the run ----

# The guest may wait for a device process that has ended, but not this script.
all_run() {
  local name
  for name in "${!device_pid[@]}"; do
    running "${device_pid[$name]}" || { report "$name-runs" FAIL "it ended under the guest"; return 1; }
  done
}

# boot: runs QEMU with `options` until the guest has switched off, and collects what it reports. The script
# that sources this one defines `answer` and `learn`, for what the guest asks and tells.
boot() {
  local finished= line result detail left deadline
  rm -f "$work/console"
  mkfifo "$work/console"
  "$qemu" "${options[@]}" >"$work/console" 2>>"$work/qemu.log" </dev/null &
  qemu_pid=$!
  exec 3<"$work/console"
  deadline=$((SECONDS + ${GUEST_TIMEOUT:-180}))
  while left=$((deadline - SECONDS)) && [ "$left" -gt 0 ] && IFS= read -r -t "$left" line <&3; do
    line=${line%$'\r'}
    printf '%s\n' "$line" >>"$work/console.log"
    # Requests and facts are split into words on purpose.
    case $line in
      *GUEST-ASK\ *) answer ${line#*GUEST-ASK } ;;
      *GUEST-FACT\ *) learn ${line#*GUEST-FACT } ;;
      *GUEST-CHECK\ *)
        line=${line#*GUEST-CHECK }
        result=${line#*: }
        detail=${result#* }
        report "${line%%:*}" "${result%% *}" "${detail% }"
        ;;
      *GUEST-INFO\ *) echo "${line#*GUEST-INFO }" ;;
      *GUEST-LOG\ *) report guest-kernel-log FAIL "${line#*GUEST-LOG }" ;;
      *GUEST-DONE*) finished=1 ;;
    esac
    all_run || break
  done
  exec 3<&-

  if [ -z "$finished" ]; then
    report guest-finished FAIL "not within $SECONDS s; QEMU's messages, and the end of the console:"
    { tail -n 5 "$work/qemu.log"; tail -n 10 "$work/console.log"; } 2>/dev/null | sed 's/^/     /' || true
  elif wait_for 20 not_running "$qemu_pid"; then
    qemu_pid=
  else
    report guest-finished FAIL "it does not switch off"
  fi
}
