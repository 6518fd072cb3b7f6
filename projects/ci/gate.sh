#!/usr/bin/env bash
# One judgement, for any CI: arguments are environment variables, so that nothing is ever pasted into a command.
#
#   PCT_CANDIDATE        what to judge: NAME@alias or NAME/VERSION (required)
#   PCT_POLICY           the rules (default policy.yaml)
#   PCT_PROMOTE          true: move production on PASS or BOOTSTRAP; false (default): judge only
#   PCT_REASON           kept in the history of production
#   PCT_INTO             judge for this model, and copy the version there to promote it
#   PCT_REPORTS          folder for gate.json, gate.xml and gate.md (default test-results)
#   PCT_EXPLORER_URL     link the summary to this explorer
#   PCT_PROGRAM          the pct to run (default: the one on the PATH)
#   MLFLOW_TRACKING_URI  the registry; MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD where it has users
#
# Exit code: that of pct gate (0 yes, 1 no, 2 error, 3 inconclusive). What could not even start is 2: never a "no".
set -euo pipefail

error() {
  printf 'Error: %s\n' "$1" >&2
  exit 2
}

candidate=${PCT_CANDIDATE:-}
policy=${PCT_POLICY:-policy.yaml}
promote=${PCT_PROMOTE:-false}
reason=${PCT_REASON:-}
into=${PCT_INTO:-}
reports=${PCT_REPORTS:-test-results}
pct=${PCT_PROGRAM:-pct}

# A report of an earlier judgement must not be published as the one of this.
mkdir -p -- "$reports" && rm -f -- "$reports"/gate.{json,xml,md} || error "The folder for reports, $reports, cannot be written."
[[ -n $candidate ]] || error "PCT_CANDIDATE is empty: set it to NAME@alias or NAME/VERSION."
[[ $promote == true || $promote == false ]] || error "PCT_PROMOTE is '$promote': set it to true or false."
command -v -- "$pct" >/dev/null || error "There is no '$pct' here: install pct-mlops, or set PCT_PROGRAM."

words=(--policy="$policy" --json="$reports/gate.json" --junit="$reports/gate.xml" --markdown="$reports/gate.md")
if [[ -n $reason ]]; then words+=(--reason="$reason"); fi
if [[ -n $into ]]; then words+=(--into="$into"); fi
if [[ $promote == true ]]; then words+=(--promote); fi

code=0
"$pct" gate "${words[@]}" -- "$candidate" || code=$?
if [[ -n ${GITHUB_STEP_SUMMARY:-} && -f $reports/gate.md ]]; then
  { cat -- "$reports/gate.md" && echo; } >>"$GITHUB_STEP_SUMMARY" || echo "The summary could not be written." >&2
fi
((code <= 3)) || error "pct ended with code $code before it had a verdict; where it was promoting, run 'pct verify'."
exit "$code"
