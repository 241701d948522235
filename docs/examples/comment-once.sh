#!/bin/sh
# Comments on an issue or a pull request, once for each signature that it has no comment for yet.
#
#   comment-once.sh REPORTS NUMBER      REPORTS as written by analyze-cores.sh
#
# A signature is equal for two dumps of one bug, so a second dump of it, in this run or in a later one, adds nothing. Reports
# without a signature (nothing stuck, inconclusive) make no comment. Needs the GitHub client `gh`, with GH_TOKEN set, and
# GH_REPO or a clone as the current folder. Exit code 0, or that of gh when it fails.
set -eu
reports=${1:?usage: comment-once.sh REPORTS NUMBER}
number=${2:?usage: comment-once.sh REPORTS NUMBER}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

gh api --paginate "repos/{owner}/{repo}/issues/$number/comments" --jq '.[].body' >"$work/told"

for text in "$reports"/*.txt; do
    [ -f "$text" ] || continue
    signature=$(tail -n 1 "$text" | sed -n 's/^dumpwalk-verdict: .*\[sig \([0-9a-f]\{1,\}\)\]$/\1/p')
    [ -n "$signature" ] || continue
    mark="<!-- dumpwalk signature $signature -->"
    if grep -qF "$mark" "$work/told"; then
        echo "dumpwalk: signature $signature was commented on before"
        continue
    fi
    { printf '%s\n' "$mark"; cat "${text%.txt}.md"; } >"$work/body"
    gh api "repos/{owner}/{repo}/issues/$number/comments" -F "body=@$work/body" --jq .html_url
    printf '%s\n' "$mark" >>"$work/told"
done
