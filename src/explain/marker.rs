//! What the markers of a source in a pod template show.
//!
//! Input: a workload, a source. Output: [`Marker`], [`Held`]. I/O: none.

use super::answer::{Held, Marker};
use crate::model::{
    Content, Digest, LastReloadedFrom, SourceKind, SourceRef, Workload, env_name, opt_in::LAST_RELOADED_FROM,
};

/// The markers of that source, whichever strategy wrote them. `now`: what it holds, if that is known.
///
/// A text that is no digest is not shown: it could be anything.
pub(super) fn markers(workload: &Workload, source: &SourceRef, now: Option<Content>) -> Vec<Marker> {
    let template = &workload.template;
    let variable = env_name(source.kind, &source.name);
    let marker = |place: String, text: &str| {
        let digest = text.parse::<Digest>().ok();
        Marker {
            place,
            digest: digest.map(|digest| digest.to_string()),
            is_current: now
                .zip(digest)
                .map(|(now, digest)| now.shown().prints_like(&digest)),
        }
    };
    let in_containers = template.containers.iter().filter_map(|container| {
        let (name, value) = container.markers.iter().find(|(name, _)| **name == *variable)?;
        let place = format!("variable {name} in container {}", container.name);
        Some(marker(place, value))
    });
    let text = template.last_reloaded_from.as_deref().unwrap_or_default();
    let annotation = LastReloadedFrom::read(text);
    let in_annotation = annotation.hash_of(source.kind, &source.name);
    let in_annotation = in_annotation.map(|hash| marker(format!("annotation {LAST_RELOADED_FROM}"), hash));
    in_containers.chain(in_annotation).collect()
}

/// The content, as far as an answer may show it.
pub(super) fn held(content: Content, kind: SourceKind, markers: &[Marker]) -> Held {
    let Content::Present(digest) = content else {
        return Held::Absent;
    };
    let digest = digest.to_string();
    let is_shown = || {
        markers
            .iter()
            .any(|marker| marker.digest.as_ref() == Some(&digest))
    };
    if kind == SourceKind::ConfigMap || is_shown() {
        Held::Digest(digest)
    } else {
        Held::Withheld
    }
}
