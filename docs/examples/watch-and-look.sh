#!/bin/sh
# Runs a command. When it has printed nothing for SECONDS, looks at every process that it started, then ends them all.
# usage: watch-and-look.sh SECONDS FOLDER COMMAND [ARGUMENT...]
# Exit code: the command's, or 124 where it had to be ended. What it printed is in FOLDER/output.txt too.
set -u
limit=$1
folder=$2
shift 2
here=$(dirname "$0")
mkdir -p "$folder" || exit 2
output="$folder/output.txt"
: > "$output"
"$@" >> "$output" 2>&1 &
command=$!
tail -n +1 -f "$output" &
shown=$!

below() { # every process that descends from $1, and itself
    awk -v root="$1" '{ sub(/^.*\) /, "", $0) ; print FILENAME, $2 }' /proc/[0-9]*/stat 2> /dev/null |
        awk -v root="$1" '{ split($1, part, "/"); parent[part[3]] = $2 }
            END { for (pid in parent) { for (at = pid; at > 1; at = parent[at]) if (at == root) { print pid; break } } }'
}

quiet=0
size=0
while kill -0 "$command" 2> /dev/null; do
    sleep 1
    now=$(wc -c < "$output")
    if [ "$now" -eq "$size" ]; then quiet=$((quiet + 1)); else quiet=0; fi
    size=$now
    if [ "$quiet" -ge "$limit" ]; then
        all=$(below "$command")
        for pid in $all; do sh "$here/look-at-process.sh" "$pid" "$folder"; done
        for pid in "$command" $all; do kill -9 "$pid" 2> /dev/null; done # itself first: it starts nothing more
        kill "$shown"
        echo "nothing was printed for $limit seconds: ended; see $folder"
        exit 124
    fi
done
wait "$command"
code=$?
kill "$shown"
exit $code
