# shellcheck shell=bash disable=SC2154 # root, infra, servers and the ports are set by scripts/infra
# The same three servers as containers of docker-compose.yml, in a project named after the folder.

compose() {
	local tool=(docker compose)
	docker compose version >/dev/null 2>&1 || tool=(docker-compose)
	MILLRACE_POSTGRES_PORT=$port_postgres MILLRACE_KAFKA_PORT=$port_kafka MILLRACE_REDIS_PORT=$port_redis \
		"${tool[@]}" -p "millrace-infra-$(cksum <<<"$infra" | cut -d' ' -f1)" \
		-f "$root/docker-compose.yml" "$@" </dev/null 9>&-
}

engine_prepare() {
	docker info >/dev/null 2>&1 || fail "no Docker engine answers"
	compose version >/dev/null 2>&1 || fail "there is a Docker engine, but no docker compose"
}

engine_alive() {
	local id
	id=$(compose ps -q "$1" 2>/dev/null) && [[ -n $id ]] || return 1
	[[ $(docker inspect -f '{{.State.Status}} {{.State.Health.Status}}' "$id" 2>/dev/null) == "running healthy" ]]
}

engine_start() {
	local name
	compose up -d "$@" >&2
	for name in "$@"; do
		await 120 engine_alive "$name" || {
			compose logs --tail 20 "$name" >&2
			fail "$name did not come up; the end of its log stands above"
		}
	done
}

engine_stop() { compose stop "$1" >&2; }
engine_kill() { compose kill "$1" >&2; }
engine_down() { compose down -v >&2; }
