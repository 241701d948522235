#!/bin/sh
# A Helix work item's post command: explains every dump of the work item before the machine cleans up.
#
# Reports go to the work item's uploads, verdict lines to the console log, where Build Analysis finds them. The exit code is 0
# whatever was found: it is the tests that failed, not this.
#
# The correlation payload holds dumpwalk (`pip install --target`, see docs/bots.md) in its folder `dumpwalk`, and the runtime
# under test; -m lets dumpwalk take the runtime's files from there.
payload=${HELIX_CORRELATION_PAYLOAD:?} # as Helix sets it
reports=$HELIX_WORKITEM_UPLOAD_ROOT/dumpwalk

PYTHONPATH=$payload/dumpwalk${PYTHONPATH:+:$PYTHONPATH}
export PYTHONPATH
DUMPWALK="python3 -m dumpwalk"
export DUMPWALK

sh "$payload/dumpwalk/examples/analyze-cores.sh" "$HELIX_DUMP_FOLDER" "$reports" -m "$payload" --timeout 120
case $? in
    0) echo "dumpwalk: nothing stuck was found" ;;
    10) echo "dumpwalk: a hang is explained; see dumpwalk/*.md among the uploaded files" ;;
    11) echo "dumpwalk: damage was found; see dumpwalk/*.md among the uploaded files" ;;
    12) echo "dumpwalk: the dumps do not hold what would tell; heap dumps would" ;;
    *) echo "dumpwalk: could not do its work" ;;
esac
exit 0
