use rstest::rstest;

use super::*;
use crate::model::{Fingerprint, SourceKind};

fn config_map() -> SourceRef {
    SourceRef::new(SourceKind::ConfigMap, "cm")
}

/// A container that mounts those volumes, and uses the source in its environment if `refers`.
fn container(name: &str, mounts: &[&str], refers: bool) -> Container {
    Container {
        name: name.into(),
        references: refers.then(config_map).into_iter().collect(),
        mounts: mounts.iter().map(|&mount| mount.into()).collect(),
        ..Container::default()
    }
}

/// A container that uses nothing.
fn idle() -> Container {
    container("idle", &[], false)
}

fn mounts(volumes: &[&str]) -> Container {
    container("mounts", volumes, false)
}

fn refers() -> Container {
    container("refers", &[], true)
}

/// Volumes of those names that show the source, after one that shows another of the same kind.
fn volumes(names: &[&str]) -> Vec<Volume> {
    let volume = |name: &str, source| Volume {
        name: name.into(),
        sources: vec![source],
    };
    let other = volume("other", SourceRef::new(SourceKind::ConfigMap, "other"));
    [other]
        .into_iter()
        .chain(names.iter().map(|name| volume(name, config_map())))
        .collect()
}

const NOWHERE: Option<usize> = None;

#[rstest]
#[case::mounted_in_the_second(&["v"], vec![idle(), mounts(&["v"])], vec![], Some(1), Some(1))]
#[case::first_of_two_that_mount(&["v"], vec![idle(), mounts(&["v"]), mounts(&["v"])], vec![], Some(1), Some(1))]
#[case::a_mount_beats_an_earlier_reference(&["v"], vec![refers(), mounts(&["v"])], vec![], Some(1), Some(1))]
#[case::an_init_mount_beats_a_reference(&["v"], vec![idle(), refers()], vec![mounts(&["v"])], Some(0), Some(0))]
#[case::init_mount_only(&["v"], vec![idle(), idle()], vec![mounts(&["v"])], Some(0), Some(0))]
#[case::init_mount_without_containers(&["v"], vec![], vec![mounts(&["v"])], NOWHERE, NOWHERE)]
#[case::unmounted_but_referred_to(&["v"], vec![idle(), refers()], vec![], Some(1), Some(1))]
#[case::unmounted(&["v"], vec![idle(), idle()], vec![], NOWHERE, Some(0))]
#[case::another_volume_is_mounted(&[], vec![mounts(&["other"])], vec![], NOWHERE, Some(0))]
#[case::referred_to_in_the_second(&[], vec![idle(), refers()], vec![], Some(1), Some(1))]
#[case::first_of_two_that_refer(&[], vec![idle(), refers(), refers()], vec![], Some(1), Some(1))]
#[case::init_reference_only(&[], vec![idle(), idle()], vec![refers()], Some(0), Some(0))]
#[case::a_regular_reference_beats_an_init_one(&[], vec![idle(), refers()], vec![refers()], Some(1), Some(1))]
#[case::init_reference_without_containers(&[], vec![], vec![refers()], NOWHERE, NOWHERE)]
#[case::unused(&[], vec![idle(), idle()], vec![idle()], NOWHERE, Some(0))]
#[case::no_container(&[], vec![], vec![], NOWHERE, NOWHERE)]
#[case::of_two_volumes_the_first_counts(&["v", "w"], vec![mounts(&["w"]), mounts(&["v"])], vec![], Some(1), Some(1))]
#[case::a_later_volume_is_tried_last(&["v", "w"], vec![idle(), mounts(&["w"])], vec![], Some(1), Some(0))]
#[case::a_reference_beats_a_later_volume(&["v", "w"], vec![mounts(&["w"]), refers()], vec![], Some(1), Some(1))]
#[case::a_later_init_mount(&["v", "w"], vec![idle(), idle()], vec![mounts(&["w"])], Some(0), Some(0))]
#[case::two_volumes_of_one_name(&["v", "v"], vec![idle(), mounts(&["v"])], vec![], Some(1), Some(1))]
fn chooses_the_container_upstream_does(
    #[case] volume_names: &[&str],
    #[case] containers: Vec<Container>,
    #[case] init_containers: Vec<Container>,
    #[case] auto: Option<usize>,
    #[case] named: Option<usize>,
) {
    let template = PodTemplate {
        containers,
        init_containers,
        volumes: volumes(volume_names),
        last_reloaded_from: None,
        written_at: None,
        replaced_at: None,
        touched_at: None,
        fingerprint: Fingerprint::default(),
    };
    assert_eq!(choose(&template, &config_map(), false), auto, "auto");
    assert_eq!(choose(&template, &config_map(), true), named, "named");
}

#[test]
fn a_source_of_the_other_kind_is_another_source() {
    let template = PodTemplate {
        containers: vec![mounts(&["v"]), refers()],
        volumes: volumes(&["v"]),
        ..PodTemplate::default()
    };
    assert_eq!(
        choose(&template, &SourceRef::new(SourceKind::Secret, "cm"), false),
        None
    );
}
