# shellcheck shell=bash disable=SC2154 # root, infra, servers and the ports are set by scripts/infra
# PostgreSQL 15 or newer: a cluster of its own; the packaged one on 5432 is never touched.

# The newest one installed: where Debian puts it, else whatever PATH finds.
postgres_bin() {
	local initdb
	initdb=$(find /usr/lib/postgresql/*/bin/initdb 2>/dev/null | sort -V | tail -n1)
	[[ -n $initdb ]] || initdb=$(command -v initdb) || return 0
	dirname "$(readlink -f "$initdb")"
}

postgres_need() { [[ -n $(postgres_bin) ]] || echo postgresql; }

# PostgreSQL refuses to run as root.
as_postgres() { if [[ $(id -u) == 0 ]]; then runuser -u postgres -- "$@"; else "$@"; fi; }

postgres_lay() {
	local dir=$infra/postgres bin
	bin=$(postgres_bin)
	mkdir -p "$dir"
	# In a checkout that the user postgres cannot enter, its folder is a link to one in /tmp.
	if ! (cd / && as_postgres test -x "$dir"); then
		rmdir "$dir"
		ln -s "$(mktemp -d /tmp/millrace-postgres.XXXXXX)" "$dir"
	fi
	echo millrace >"$dir/password"
	if [[ $(id -u) == 0 ]]; then chown -R postgres "$dir/."; fi
	cd -P "$dir" || return
	as_postgres "$bin/initdb" -D data -U millrace --pwfile=password --auth=scram-sha-256 \
		--encoding=UTF8 --locale=C.UTF-8 >log 2>&1
	cat >>data/postgresql.conf <<-END
		listen_addresses = '127.0.0.1'
		port = $port_postgres
		unix_socket_directories = ''
		max_connections = 300
		shared_buffers = 512MB
		max_wal_size = 4GB
		log_line_prefix = '%m %u@%d %a '
	END
	echo 'CREATE DATABASE millrace' | as_postgres "$bin/postgres" --single -D data postgres >>log 2>&1
	ln -s data/postmaster.pid pid
	if [[ $(id -u) == 0 ]]; then chown postgres log; fi
	cd "$root" || return
}

postgres_start() {
	local bin
	bin=$(postgres_bin)
	# Left by a killed server: the number in it may be another process of the same user by now.
	rm -f "$infra/postgres/data/postmaster.pid"
	(cd -P "$infra/postgres" && as_postgres "$bin/pg_ctl" -D "$PWD/data" -l log -W start >/dev/null)
}

postgres_ready() { "$(postgres_bin)/pg_isready" -q -h 127.0.0.1 -p "$port_postgres"; }

# A fast shutdown: sessions are ended, work is rolled back, the checkpoint is written.
postgres_signal() { echo INT; }
