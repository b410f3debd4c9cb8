//! SecretProviderClasses: where their rules differ from those of ConfigMaps and Secrets.

use super::*;
use crate::model::{SourceKind::SecretProviderClass, Volume};

const VARIABLE: &str = "STAKATER_MY_SPC_SECRETPROVIDERCLASS";

/// A workload whose second container mounts the class `my-spc`.
fn mounting() -> Workload {
    let mut workload = workload(
        true,
        vec![
            container("first", &[]),
            Container {
                mounts: vec!["vault".into()],
                ..container("second", &[])
            },
        ],
    );
    workload.template.volumes = vec![Volume {
        name: "vault".into(),
        sources: vec![SourceRef::new(SecretProviderClass, "my-spc")],
    }];
    workload
}

fn class(digest: u8) -> Owed {
    owed(SecretProviderClass, "my-spc", digest, 1)
}

#[rstest]
#[case(ENV_VARS)]
#[case(ANNOTATIONS)]
fn the_container_that_mounts_it_is_marked_once(#[case] options: Options) {
    let first = plan(decide(&mounting(), &[class(1)], &options));
    let mark = &first.marks[0];
    assert_eq!((&*mark.container, mark.env_name.as_str()), ("second", VARIABLE));
    let text = mark.annotation_value();
    assert!(
        text.starts_with(r#"{"type":"SECRETPROVIDERCLASS","name":"my-spc","namespace":"ns","hash":"01"#),
        "{text}"
    );
    let after = apply(mounting(), &first);
    assert_eq!(
        decide(&after, &[class(1)], &options),
        Decision::Skip(SkipReason::AlreadyMarked)
    );
    plan(decide(&after, &[class(2)], &options));
}

/// Upstream looks at every container, and at the first that has the variable only.
#[rstest]
#[case::in_another_container(&[Some(1), None], true)]
#[case::the_first_counts(&[Some(2), None], false)]
#[case::in_the_chosen_one(&[Some(2), Some(1)], true)]
#[case::nowhere(&[None, None], false)]
fn the_variable_of_any_container_counts(#[case] markers: &[Option<u8>; 2], #[case] marked: bool) {
    let mut workload = mounting();
    for (container, marker) in workload.template.containers.iter_mut().zip(markers) {
        let value = marker.map(|byte| Digest::from_bytes([byte; 20]).to_string());
        container
            .markers
            .extend(value.map(|value| (VARIABLE.into(), value.into())));
    }
    let decision = decide(&workload, &[class(1)], &ENV_VARS);
    assert_eq!(
        decision == Decision::Skip(SkipReason::AlreadyMarked),
        marked,
        "{decision:?}"
    );
}

/// For ConfigMaps and Secrets only the container that is to be marked counts.
#[test]
fn the_variable_of_another_container_counts_for_no_other_kind() {
    let mut workload = workload(
        true,
        vec![container("a", &[]), container("b", &[(ConfigMap, "cm")])],
    );
    let value = Digest::from_bytes([1; 20]).to_string();
    workload.template.containers[0].markers = vec![("STAKATER_CM_CONFIGMAP".into(), value.into())];
    plan(decide(&workload, &[owed(ConfigMap, "cm", 1, 1)], &ENV_VARS));
}

#[rstest]
#[case::anywhere("my-spc 0101010101010101010101010101010101010101", true)]
#[case::another_class("other 0101010101010101010101010101010101010101", false)]
#[case::another_content("my-spc 0202020202020202020202020202020202020202", false)]
#[case::nothing("", false)]
fn the_annotation_counts_where_its_text_holds_name_and_digest(#[case] text: &str, #[case] marked: bool) {
    let mut workload = mounting();
    workload.template.last_reloaded_from = Some(text.into());
    let decision = decide(&workload, &[class(1)], &ANNOTATIONS);
    assert_eq!(
        decision == Decision::Skip(SkipReason::AlreadyMarked),
        marked,
        "{decision:?}"
    );
}

#[test]
fn a_volume_that_no_container_mounts_leads_to_nothing_unless_named() {
    let mut workload = mounting();
    workload.template.containers[1].mounts.clear();
    assert_eq!(
        decide(&workload, &[class(1)], &ENV_VARS),
        Decision::Skip(SkipReason::NoContainer)
    );
    let named = |key: &str| (key == "secretproviderclass.reloader.stakater.com/reload").then_some("my-.*");
    workload.opt_in = OptIn::parse(&AnnotationKeys::default(), named, |_| None);
    let plan = plan(decide(&workload, &[class(1)], &ENV_VARS));
    assert_eq!(&*plan.marks[0].container, "first");
}
