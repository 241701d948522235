#!/bin/sh
# Runs dumpwalk on every core below a folder, one report each.
#
#   analyze-cores.sh DUMPS REPORTS [OPTION...]      OPTIONs go to `dumpwalk analyze`
#
# Writes REPORTS/NAME.txt, .md and .json for each core, and prints all verdict lines together at the end, so that they stand
# in the console log. Files are tried by content, not by name: *.dmp and core.1234 may be anything, and what is no core is
# passed over with a note. Exit code: the highest-ranking one of the cores (10, 11, 12, 0); 0 also where there is no core.
#
# DUMPWALK is the command to run; default: dumpwalk.
set -u
: "${DUMPWALK:=dumpwalk}"
dumps=${1:?usage: analyze-cores.sh DUMPS REPORTS [OPTION...]}
reports=${2:?usage: analyze-cores.sh DUMPS REPORTS [OPTION...]}
shift 2
mkdir -p "$reports" || exit 1
list=$reports/.cores
find "$dumps" -type f ! -name '.*' -size +0 | sort >"$list"

outcome=0
count=0
while IFS= read -r core; do
    # One flat name for each file: folders become part of it.
    name=$(printf '%s' "${core#"$dumps"/}" | tr -c 'A-Za-z0-9._-' '_')
    report=$reports/$name
    $DUMPWALK analyze "$core" -o "$report.md" -o "$report.json" "$@" >"$report.txt" </dev/null
    code=$?
    case $code in
        0 | 10 | 11 | 12) count=$((count + 1)) ;;
        2) exit 2 ;; # an option is wrong: no core would do better
        *)
            rm -f "$report.txt" "$report.md" "$report.json"
            continue # no core, or not readable; dumpwalk has said why
            ;;
    esac
    # 10 before 11 before 12 before 0
    if [ "$code" != 0 ] && { [ "$outcome" = 0 ] || [ "$code" -lt "$outcome" ]; }; then outcome=$code; fi
done <"$list"
rm -f "$list"

echo "dumpwalk: $count cores analysed, reports in $reports"
for report in "$reports"/*.txt; do
    if [ -f "$report" ]; then tail -n 1 "$report"; fi
done
exit $outcome
