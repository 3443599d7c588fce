# shellcheck shell=bash
# common.sh - what the scripts of this folder share; sourced, not run.

say() {
	echo "${0##*/}: $*" >&2
}

die() {
	say "$*"
	exit 1
}

# await SECONDS COMMAND...: until the command succeeds; fails at the deadline.
await() {
	local until=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$until" ] || return 1
		sleep 0.1
	done
}

# listening HOST PORT: does anything accept connections there?
listening() {
	(exec 3<>"/dev/tcp/$1/$2") 2>/dev/null
}

# A port that is free now, below those that the kernel gives to clients.  Another process may take
# it before ours does, so whoever asks must be ready to ask again.
free_port() {
	local port
	for _ in {1..50}; do
		port=$((15000 + RANDOM % 17000))
		if ! listening 127.0.0.1 "$port"; then
			echo "$port"
			return 0
		fi
	done
	return 1
}

# ours PID WORD: is PID alive, and does its command line still have WORD?  A pid file outlives its
# process, and the number may belong to somebody else by now.
ours() {
	[ -r "/proc/$1/cmdline" ] && tr '\0' ' ' <"/proc/$1/cmdline" | grep -qF -- "$2"
}

gone() {
	! ours "$@"
}

# end_process PID WORD SECONDS: asks it to end, and kills it at the deadline.
end_process() {
	ours "$1" "$2" || return 0
	kill -TERM "$1" 2>/dev/null || return 0
	await "$3" gone "$1" "$2" && return 0
	say "process $1 did not end in $3 s; killing it"
	kill -KILL "$1" 2>/dev/null || return 0
	await 5 gone "$1" "$2"
}
