#!/bin/sh
# Comments on an issue or a pull request: one comment for each signature, kept up to date from the store of `dumpwalk triage`.
#
#   comment-update.sh VERDICTS NUMBER [OPTION...]      OPTIONs go to `dumpwalk triage comment` (--store)
#
# VERDICTS is what `dumpwalk batch` or `analyze` printed: every signature in its verdict lines gets its comment, with hit counts,
# since when it is known, and the newest report. A comment that is there already is found by its first line and edited. Needs the
# GitHub client `gh`, with GH_TOKEN set, and GH_REPO or a clone as the current folder. Exit code 0, or that of gh when it fails.
#
# DUMPWALK is the command to run; default: dumpwalk.
set -eu
: "${DUMPWALK:=dumpwalk}"
verdicts=${1:?usage: comment-update.sh VERDICTS NUMBER [OPTION...]}
number=${2:?usage: comment-update.sh VERDICTS NUMBER [OPTION...]}
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sed -n 's/^.*dumpwalk-verdict: .*\[sig \([0-9a-f]\{1,\}\)\]$/\1/p' "$verdicts" | sort -u >"$work/signatures"
gh api --paginate "repos/{owner}/{repo}/issues/$number/comments" \
    --jq '.[] | "\(.id) \(.body | split("\n")[0])"' >"$work/told"

while IFS= read -r signature; do
    $DUMPWALK triage comment "$signature" "$@" >"$work/body"
    mark=$(head -n 1 "$work/body")
    id=$(grep -F "$mark" "$work/told" | head -n 1 | cut -d ' ' -f 1) || true
    if [ -n "$id" ]; then
        gh api --method PATCH "repos/{owner}/{repo}/issues/comments/$id" -F "body=@$work/body" --jq .html_url
    else
        gh api "repos/{owner}/{repo}/issues/$number/comments" -F "body=@$work/body" --jq .html_url
    fi
done <"$work/signatures"
