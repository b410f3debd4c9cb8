#!/usr/bin/env bash
# Tests the simulation itself: each patch in defects/ takes a safeguard out of the controller, and 2,000 plays must notice.
# Usage: simulation/defects.sh [NAME...]; compiles the controller once for each, about a minute on two cores.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

SEEDS=${SEEDS:-2000}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
tree=$(mktemp -d)
trap 'git worktree remove --force "$tree/tree"; rm -rf "$tree"' EXIT
git worktree add --quiet --detach "$tree/tree" HEAD
cd "$tree/tree"

missed=0
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
    for patch in simulation/defects/*.patch; do names+=("$(basename "$patch" .patch)"); done
fi
for name in "${names[@]}"; do
    git apply "simulation/defects/$name.patch"
    cargo build --quiet --profile simulation --package simulation 2>/dev/null
    if found=$("$CARGO_TARGET_DIR/simulation/simulate" --seeds "$SEEDS" --first 1 --first-failure); then
        echo "$name: NOT FOUND in $SEEDS seeds"
        missed=$((missed + 1))
    else
        echo "$name: $(grep -m 1 '^seed' <<<"$found" | cut -c 1-110)"
    fi
    git apply --reverse "simulation/defects/$name.patch"
done
echo "defects: $missed of ${#names[@]} not found"
[ "$missed" -eq 0 ]
