# What the checks share; they source it. `$folder` is removed at the end, `$reports` is read by `skipped-tests.ts`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
reports=${TEST_REPORTS:-$folder}

# not_run <what> <why>
not_run() {
  echo "Not run: $1, because $2" | tee -a "$reports/not-run.txt"
}

# run_project <project or pattern> <name of the report> [<tests>]
run_project() {
  npx vitest run --project "$1" "${@:3}" --reporter=default --reporter=json --outputFile.json="$reports/$2.json"
}

# Ends the check. skip_project <project> <why> [<other tests>]
skip_project() {
  not_run "the project $1" "$2"
  npx vitest list --project "$1" --filesOnly | sed "s/^\[$1\] /  /" >> "$reports/not-run.txt"
  if [ $# -gt 2 ]; then printf '  %s\n' "${@:3}" >> "$reports/not-run.txt"; fi
  exit 0
}
