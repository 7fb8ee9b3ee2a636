# Reads `go test -json`. Shows a line a package and all output of what failed; appends to the file
# `tally` a line a test: outcome (pass, fail, skip), package, name; and to the file `reasons` what failed
# tests complained of, a line each. Ends with 1 when anything failed.

# A quote inside a JSON string is escaped, so the first match is the field itself.
function field(name) {
	if (!match($0, "\"" name "\":\"([^\"\\\\]|\\\\.)*\"")) return ""
	return substr($0, RSTART + length(name) + 4, RLENGTH - length(name) - 5)
}

function plain(text) {
	gsub(/\\\\/, "\001", text)
	gsub(/\\n/, "\n", text)
	gsub(/\\t/, "\t", text)
	gsub(/\\"/, "\"", text)
	gsub(/\\u003c/, "<", text)
	gsub(/\\u003e/, ">", text)
	gsub(/\\u0026/, "\\&", text)
	gsub(/\001/, "\\", text)
	return text
}

# complaints gives the first lines of a test's output that it wrote by t.Error and its like.
function complaints(text,   lines, n, i, found, all) {
	n = split(text, lines, "\n")
	for (i = 1; i <= n && found < 5; i++)
		if (lines[i] ~ /^ *[a-z0-9_]+\.go:[0-9]+: / && lines[i] !~ /logged last:$/) {
			all = all "  " substr(lines[i], 1, 400) "\n"
			found++
		}
	return all
}

!/^\{/ { print; next }

{
	action = field("Action")
	package = field("Package")
	test = field("Test")
	key = package " " test
}

action == "build-output" { printf "%s", plain(field("Output")) }

action == "output" {
	text = plain(field("Output"))
	if (test == "" && text ~ /^(ok|FAIL)[ \t]/) { printf "%s", text; fflush() }
	else held[key] = held[key] text
}

action == "fail" { printf "%s", held[key]; failures[package]++; failed = 1 }

action == "fail" && test != "" { printf "%s %s\n%s", package, plain(test), complaints(held[key]) >> reasons }

# A package that did not build, or died outside its tests, is one failure of its own.
action == "fail" && test == "" && failures[package] == 1 { print "fail", package, "(package)" >> tally }

action ~ /^(pass|fail|skip)$/ && test != "" { print action, package, plain(test) >> tally }

action ~ /^(pass|fail|skip)$/ { delete held[key] }

END { exit failed }
