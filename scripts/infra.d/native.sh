# shellcheck shell=bash disable=SC2154 # root, infra, shown, servers and the ports are set by scripts/infra
# Servers as native processes. Each is a file beside this one with five functions:
#   NAME_need     prints the Debian packages that are missing
#   NAME_lay      makes its folder, once
#   NAME_start    starts it in the background
#   NAME_ready    true when it takes requests
#   NAME_signal   the signal that asks for a clean end
# A server runs inside $infra/NAME with its process id in $infra/NAME/pid.

here=$(dirname -- "${BASH_SOURCE[0]}")
for name in "${servers[@]}"; do
	# shellcheck source=/dev/null
	. "$here/$name.sh"
done

# A process id is ours only while that process still works in the server's own folder:
# after a crash the number may belong to anybody.
engine_alive() {
	local pid cwd
	pid=$(head -n1 "$infra/$1/pid" 2>/dev/null) && [[ -n $pid ]] || return 1
	cwd=$(readlink "/proc/$pid/cwd") || return 1
	[[ $cwd == "$(readlink -f "$infra/$1")"* ]] || return 1
	REPLY=$pid
}

engine_prepare() {
	local missing=()
	mapfile -t missing < <(for name in "${servers[@]}"; do "${name}_need"; done)
	((${#missing[@]})) || return 0
	local line="apt-get install -y --no-install-recommends ${missing[*]}"
	{ [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; } ||
		fail "missing are ${missing[*]} (as root: $line) or a Docker engine"
	say "$line"
	# Run level 1 keeps the packages from starting servers of their own.
	{ apt-get update -q && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive $line; } \
		>"$infra/apt.log" 2>&1 9>&- </dev/null || fail "missing are ${missing[*]}, and they could not be installed: see $shown/apt.log"
}

engine_start() {
	local name starting=() failed=0
	for name in "$@"; do
		engine_alive "$name" && continue
		start "$name" </dev/null 9>&- &
		starting+=($!)
	done
	for pid in "${starting[@]}"; do wait "$pid" || failed=1; done
	return $failed
}

start() {
	if [[ ! -e $infra/$1/laid ]]; then
		rm -rf "${infra:?}/$1"
		"${1}_lay"
		touch "$infra/$1/laid"
	fi
	attempt "$1" && return
	if ended "$1"; then
		tail -n 20 "$infra/$1/log" >&2
		say "$1 ended before it was ready, and is started once more"
		attempt "$1" && return
	fi
	tail -n 20 "$infra/$1/log" >&2
	fail "$1 did not come up; the end of $shown/$1/log stands above"
}

# attempt NAME: true when the server serves.
attempt() {
	local until=$((SECONDS + 60))
	"${1}_start"
	while ((SECONDS < until)); do
		"${1}_ready" && return
		if ended "$1"; then
			sleep 0.2
			if ended "$1"; then return 1; fi # twice: one that is just being executed could look like it
		fi
		sleep 0.05
	done
	return 1
}

ended() { [[ -s $infra/$1/pid ]] && ! engine_alive "$1"; }

engine_stop() { end "$1" "$("${1}_signal")"; }

# The children go with their parent: a PostgreSQL backend that outlives it would bar the next start.
engine_kill() { end "$1" KILL; }

end() {
	engine_alive "$1" || return 0
	local pid=$REPLY children
	children=$(cat "/proc/$pid/task/$pid/children")
	kill -s "$2" "$pid"
	# shellcheck disable=SC2086
	[[ $2 != KILL ]] || kill -s KILL $children 2>/dev/null || true
	await 60 gone "$pid" || fail "$1 (process $pid) does not end"
	for pid in $children; do await 10 gone "$pid" || true; done
}

engine_down() {
	local name
	for name in "${servers[@]}"; do
		engine_stop "$name"
		rm -rf "$(readlink -f "$infra/$name")" "${infra:?}/$name"
	done
}

# A process that has ended and waits for its parent to notice has no working folder any more.
gone() { ! readlink "/proc/$1/cwd" >/dev/null; }

takes_connections() { (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
