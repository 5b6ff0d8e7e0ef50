#!/usr/bin/env bash
# `mkdocs build --strict --quiet` passes a site with broken links.
#
# Strict mode is to fail where there is a warning. It counts those that are logged, and --quiet, which
# is to print less, logs none: the build ends with status 0, and so does the CI job that was meant to
# find broken links.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet mkdocs==1.6.1
mkdir "$folder/docs"
echo "A link to [a page](nowhere.md) that is not there." > "$folder/docs/index.md"
echo "site_name: test" > "$folder/mkdocs.yml"

echo "versions: mkdocs 1.6.1"
echo "behaviour: a broken link fails a strict build, and passes a strict build that is quiet"
cd "$folder"
seen=$(for words in "--strict" "--strict --quiet"; do
  if venv/bin/mkdocs build $words > /dev/null 2>&1; then echo "$words: passed"; else echo "$words: failed"; fi
done)
echo "output:"
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
--strict: failed
--strict --quiet: passed
EXPECTED
