#!/usr/bin/env bash
# Tests the simulation itself: each patch in defects/ takes a safeguard out of the controller, and 2,000 plays must notice.
# Usage: simulation/defects.sh [NAME...]; prints a row of a table for each. SEEDS=500 for fewer plays.
#
# A patch that says "Played with --policies." is played so.
#
# All patches go into one copy of the tree, where DEFECT=NAME chooses among them: one build serves for all.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

SEEDS=${SEEDS:-2000}
FIRST=${FIRST:-1}
unset SEED PLAN POLICIES DEFECT
work=$PWD/target/defects
# A folder of its own: cargo would take what it compiles of the copy for what it has compiled of this tree.
export CARGO_TARGET_DIR=$work/build
tree=$work/tree
rm -rf "$tree"
mkdir -p "$tree"
git ls-files -z --cached --others --exclude-standard --deduplicate |
    while IFS= read -r -d '' file; do if [ -e "$file" ]; then printf '%s\0' "$file"; fi; done |
    tar --create --null --files-from=- | tar --extract --directory="$tree"

names=("$@")
if [ ${#names[@]} -eq 0 ]; then
    for patch in simulation/defects/*.patch; do names+=("$(basename "$patch" .patch)"); done
fi

(
    cd "$tree"
    # The copy is no work tree of its own, and must not be taken for a folder of this one.
    export GIT_CEILING_DIRECTORIES=$work
    for patch in simulation/defects/*.patch; do git apply "$patch"; done
    cp simulation/defects/switch.rs src/defect.rs
    printf '\n#[allow(missing_docs, reason = "of a test")]\npub mod defect;\n' >>src/lib.rs
    cargo build --quiet --profile simulation --package simulation
)
cp "$CARGO_TARGET_DIR/simulation/simulate" "$work/simulate"

# The kept plans that notice; they do not count.
kept() {
    local plan
    for plan in simulation/plans/*.json; do
        DEFECT=$1 "$work/simulate" --plan "$plan" >/dev/null || basename "$plan" .json
    done | paste -sd ' '
}

missed=0
echo "| Taken out | Found by seed | As | Kept plans that notice |"
echo "|---|---|---|---|"
for name in "${names[@]}"; do
    [ -e "simulation/defects/$name.patch" ] || { echo "defects: there is no $name" >&2; exit 2; }
    why=$(head -n 1 "simulation/defects/$name.patch")
    plays=()
    if grep -qx 'Played with --policies.' "simulation/defects/$name.patch"; then plays=(--policies); fi
    if found=$(DEFECT=$name "$work/simulate" "${plays[@]}" --seeds "$SEEDS" --first "$FIRST" --first-failure); then
        echo "| \`$name\`: $why | **none of $SEEDS** | | $(kept "$name") |"
        missed=$((missed + 1))
    else
        finding=$(grep -m 1 '^seed' <<<"$found" || echo "seed -: NotPlayed: $found")
        [[ $finding =~ ^seed\ ([0-9-]+):\ ([A-Za-z]+) ]]
        echo "| \`$name\`: $why | ${BASH_REMATCH[1]} | ${BASH_REMATCH[2]} | $(kept "$name") |"
    fi
done
echo
echo "defects: $missed of ${#names[@]} not found in $SEEDS seeds"
[ "$missed" -eq 0 ]
