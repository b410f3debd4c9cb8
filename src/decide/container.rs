//! Chooses the container that carries the marker of a source.
//!
//! Input: a pod template and a source. Output: the place of one of its regular containers. I/O: none.

use crate::model::{Container, PodTemplate, SourceRef, Volume};

/// The index of the regular container that carries the marker of that source, if the pods use it, or if the workload
/// lists it by name (`named`).
///
/// The order is upstream's, because a marker that moved to another container would restart the workload at migration: a
/// mount of the first volume that shows the source, then an environment reference, then, for a named source, the first
/// container. A use by an init container counts for the first container. Where upstream finds none, later volumes that
/// show the source are tried as well.
pub(super) fn choose(template: &PodTemplate, source: &SourceRef, named: bool) -> Option<usize> {
    let refers = |container: &Container| container.references.contains(source);
    let mounted = |volume: &Volume| user(template, |container| container.mounts.contains(&volume.name));
    let first = (!template.containers.is_empty()).then_some(0);
    let mut volumes = template
        .volumes
        .iter()
        .filter(|volume| volume.sources.contains(source));

    volumes
        .next()
        .and_then(mounted)
        .or_else(|| user(template, refers))
        .or_else(|| first.filter(|_| named))
        .or_else(|| volumes.find_map(mounted))
}

/// The first regular container that uses something, or the first of all if only an init container does.
fn user(template: &PodTemplate, uses: impl Fn(&Container) -> bool) -> Option<usize> {
    let regular = template.containers.iter().position(&uses);
    let only_init = || !template.containers.is_empty() && template.init_containers.iter().any(&uses);
    regular.or_else(|| only_init().then_some(0))
}

#[cfg(test)]
mod tests;
