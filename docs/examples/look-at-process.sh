#!/bin/sh
# Two looks at a live process and what they show, before it is killed or dumped. It goes on all the while.
# usage: look-at-process.sh PID FOLDER
# Writes PID.txt, PID.json, PID.md, PID.core.xz (the evidence core) and PID.compare.md; prints the verdict lines.
# DUMPWALK is the command, DUMPWALK_AGAIN the seconds between the looks (10). Exit code: that of the first look.
set -u
pid=$1
folder=$2
dumpwalk=${DUMPWALK:-dumpwalk}
mkdir -p "$folder" || exit 2
at="$folder/$pid"
$dumpwalk analyze --pid "$pid" --timeout 120 -o "$at.json" -o "$at.md" -o "$at.core.xz" > "$at.txt"
code=$?
tail -n 1 "$at.txt"
[ -s "$at.json" ] || exit $code
sleep "${DUMPWALK_AGAIN:-10}"
$dumpwalk analyze --pid "$pid" --timeout 120 -o "$at.again.json" > /dev/null
if [ -s "$at.again.json" ]; then
    $dumpwalk compare "$at.json" "$at.again.json" -o "$at.compare.md" | tail -n 1
fi
exit $code
