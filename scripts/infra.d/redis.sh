# shellcheck shell=bash disable=SC2154 # root, infra, servers and the ports are set by scripts/infra
# Redis 7, with an append-only file so that a stop and start keeps its keys.

redis_need() { command -v redis-server >/dev/null || echo redis-server; }

redis_lay() { mkdir -p "$infra/redis"; }

redis_start() {
	cd "$infra/redis" || return
	setsid redis-server --bind 127.0.0.1 --port "$port_redis" --dir "$PWD" \
		--save '' --appendonly yes >>log 2>&1 &
	echo $! >pid
	cd "$root" || return
}

redis_ready() {
	local answer
	takes_connections "$port_redis" || return 1
	answer=$(exec 3<>"/dev/tcp/127.0.0.1/$port_redis" && printf 'PING\r\n' >&3 && head -n1 <&3)
	[[ $answer == +PONG* ]]
}

redis_signal() { echo TERM; }
