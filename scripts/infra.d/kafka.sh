# shellcheck shell=bash disable=SC2154 # root, infra, fetched, servers and the ports are set by scripts/infra
# Apache Kafka 4.1.0 in KRaft mode, one process, from Maven Central; the jars stay in .infra/fetched.

kafka_version=4.1.0
kafka_jars=$fetched/kafka-$kafka_version

kafka_need() {
	command -v java >/dev/null || echo default-jre-headless
	[[ -e $kafka_jars/complete ]] || command -v mvn >/dev/null || echo maven
}

kafka_fetch() {
	[[ -e $kafka_jars/complete ]] && return
	say "fetching Apache Kafka $kafka_version"
	mkdir -p "$kafka_jars"
	local log4j=2.24.3
	{
		echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
		echo '<groupId>millrace</groupId><artifactId>kafka</artifactId><version>1</version><dependencies>'
		for jar in "org.apache.kafka:kafka_2.13:$kafka_version" "org.apache.kafka:kafka-tools:$kafka_version" \
			"org.apache.logging.log4j:log4j-core:$log4j" "org.apache.logging.log4j:log4j-slf4j-impl:$log4j"; do
			IFS=: read -r group artifact version <<<"$jar"
			echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency>"
		done
		echo '</dependencies></project>'
	} >"$kafka_jars/pom.xml"
	mvn -q -B -f "$kafka_jars/pom.xml" dependency:copy-dependencies -DoutputDirectory="$kafka_jars/libs" \
		-DincludeScope=runtime >"$kafka_jars/log" 2>&1 </dev/null ||
		{ tail -n 20 "$kafka_jars/log" >&2; fail "Kafka could not be fetched"; }
	touch "$kafka_jars/complete"
}

kafka_lay() {
	local dir=$infra/kafka
	kafka_fetch
	mkdir -p "$dir"
	cat >"$dir/server.properties" <<-END
		process.roles=broker,controller
		node.id=1
		controller.quorum.bootstrap.servers=127.0.0.1:$port_controller
		listeners=PLAINTEXT://127.0.0.1:$port_kafka,CONTROLLER://127.0.0.1:$port_controller
		advertised.listeners=PLAINTEXT://127.0.0.1:$port_kafka,CONTROLLER://127.0.0.1:$port_controller
		controller.listener.names=CONTROLLER
		listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
		log.dirs=$dir/data
		offsets.topic.replication.factor=1
		transaction.state.log.replication.factor=1
		transaction.state.log.min.isr=1
		share.coordinator.state.topic.replication.factor=1
		share.coordinator.state.topic.min.isr=1
		group.initial.rebalance.delay.ms=0
		# a killed broker may register again when its old session has run out
		broker.session.timeout.ms=5000
		broker.heartbeat.interval.ms=1000
		auto.create.topics.enable=false
		message.max.bytes=4194304
		replica.fetch.max.bytes=4194304
	END
	cat >"$dir/log4j2.properties" <<-END
		appender.console.type=Console
		appender.console.name=console
		appender.console.layout.type=PatternLayout
		appender.console.layout.pattern=%d %p %m (%c{1})%n
		rootLogger.level=info
		rootLogger.appenderRef.console.ref=console
	END
	# A cluster's id is 16 bytes in URL-safe base64: 22 digits, the last one of two bits.
	local id
	id=M$(head -c 15 /dev/urandom | base64 | tr '+/' '-_')A
	java -Dlog4j2.configurationFile="$dir/log4j2.properties" -cp "$kafka_jars/libs/*" \
		kafka.tools.StorageTool format --standalone -t "$id" -c "$dir/server.properties" >"$dir/log" 2>&1
}

kafka_start() {
	cd "$infra/kafka" || return
	mv -f log log.before
	setsid java -Xmx512m -Dlog4j2.configurationFile="$PWD/log4j2.properties" \
		-cp "$kafka_jars/libs/*" kafka.Kafka server.properties >log 2>&1 &
	echo $! >pid
	cd "$root" || return
}

# The port opens before the broker serves, so its own word is waited for.
kafka_ready() { grep -q 'Kafka Server started' "$infra/kafka/log" && takes_connections "$port_kafka"; }

kafka_signal() { echo TERM; }
