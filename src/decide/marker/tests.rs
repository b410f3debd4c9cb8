use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::model::{Content, Digest, LastReloadedFrom, SourceKey, SourceKind, UnixSeconds};

fn present(byte: u8) -> Content {
    Content::Present(Digest::from_bytes([byte; 20]))
}

fn mark(container: &str) -> Mark {
    Mark {
        source: SourceKey::new(SourceKind::ConfigMap, "ns", "my-config"),
        content: Content::Present("dc30e0faa89a70dec1033016a2309bbeb9efcbd0".parse().unwrap()),
        container: container.into(),
        env_name: "STAKATER_MY_CONFIG_CONFIGMAP".to_owned(),
        observed_at: UnixSeconds(1_754_784_000),
        exact: false,
    }
}

#[test]
fn the_text_is_upstreams() {
    assert_eq!(
        mark("app").annotation_value(),
        r#"{"type":"CONFIGMAP","name":"my-config","namespace":"ns","hash":"dc30e0faa89a70dec1033016a2309bbeb9efcbd0","containerRefs":["app"],"observedAt":1754784000}"#
    );
}

/// The right side is what Go's `json.Marshal` gives for the left.
#[rstest]
#[case("<>&", r"\u003c\u003e\u0026")]
#[case("\u{2028}\u{2029}", r"\u2028\u2029")]
#[case("\"\\/", r#"\"\\/"#)]
#[case("\u{8}\u{c}\n\r\t\u{1}\u{1f}\u{7f}", "\\b\\f\\n\\r\\t\\u0001\\u001f\u{7f}")]
#[case("é日", "é日")]
fn strings_are_escaped_as_go_does(#[case] container: &str, #[case] expected: &str) {
    let expected = format!(r#""containerRefs":["{expected}"]"#);
    let text = mark(container).annotation_value();
    assert!(text.contains(&expected), "{text} should contain {expected}");
}

#[test]
fn a_marker_shows_the_source_it_was_written_for_and_no_other() {
    let mark = Mark {
        content: present(7),
        ..mark("app")
    };
    let text = mark.annotation_value();
    let marker = LastReloadedFrom::read(&text);
    let source = |kind, name: &str| SourceKey::new(kind, "ns", name);
    assert!(marker.shows(&source(SourceKind::ConfigMap, "my-config"), present(7)));
    assert!(!marker.shows(&source(SourceKind::ConfigMap, "my-config"), present(8)));
    assert!(!marker.shows(&source(SourceKind::ConfigMap, "my-config"), Content::Absent));
    assert!(!marker.shows(&source(SourceKind::Secret, "my-config"), present(7)));
    assert!(!marker.shows(&source(SourceKind::ConfigMap, "other"), present(7)));
}

/// As upstream's version 2 writes it.
#[test]
fn the_marker_of_upstreams_version_2_is_understood() {
    let text = format!(
        r#"{{"kind":"configmap","name":"my-config","namespace":"ns","hash":"{}","containers":["app"],"reloadedAt":"2026-09-21T14:13:20Z"}}"#,
        present(7).shown()
    );
    let marker = LastReloadedFrom::read(&text);
    let source = |kind| SourceKey::new(kind, "ns", "my-config");
    assert!(marker.shows(&source(SourceKind::ConfigMap), present(7)));
    assert!(!marker.shows(&source(SourceKind::ConfigMap), present(8)));
    assert!(!marker.shows(&source(SourceKind::Secret), present(7)));
}

proptest! {
    /// Garbled, cut or spliced, the text never stands for another source or for other content.
    #[test]
    fn no_text_makes_it_panic_or_lie(
        garbled in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
        more in "\\PC{0,8}",
    ) {
        let mark = Mark { content: present(7), ..mark("app") };
        let mut text = mark.annotation_value().into_bytes();
        for (at, byte) in garbled {
            *at.get_mut(&mut text) = byte;
        }
        text.truncate(cut.index(text.len() + 1));
        let text = String::from_utf8_lossy(&text).into_owned() + &more;
        let marker = LastReloadedFrom::read(&text);
        for kind in SourceKind::ALL {
            prop_assert!(!marker.shows(&SourceKey::new(kind, "ns", "my-config"), present(8)));
            prop_assert!(!marker.shows(&SourceKey::new(kind, "ns", "another-source"), present(7)));
        }
    }
}

#[test]
fn a_deleted_source_is_shown_with_upstreams_delete_marker() {
    let mark = Mark {
        content: Content::Absent,
        ..mark("app")
    };
    let text = mark.annotation_value();
    assert!(
        text.contains(r#""hash":"aae45badef99284e4dae01d6046154ea9d99532f""#),
        "{text}"
    );
    let marker = LastReloadedFrom::read(&text);
    assert!(marker.shows(&mark.source, Content::Absent));
}
