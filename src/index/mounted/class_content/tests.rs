use std::collections::BTreeMap;

use proptest::prelude::*;
use rstest::rstest;

use super::*;

/// The class as the index sees it: a status for each pod, a version for each write.
#[derive(Default)]
struct Class {
    content: ClassContent,
    pods: BTreeMap<u8, Shown>,
    version: u64,
    /// Every content that became current by a move, in order.
    moves: Vec<u8>,
}

fn digest(content: u8) -> Digest {
    Digest::from_bytes([content; 20])
}

impl Class {
    /// Pods that all show the first content, watched since.
    fn of(pods: u8) -> Self {
        let mut class = Self::default();
        (0..pods).for_each(|pod| class.start(pod, 1));
        class
    }

    fn write(&mut self, content: u8, rotated: bool) -> Shown {
        self.version += 1;
        Shown {
            digest: digest(content),
            write: Write {
                version: self.version,
                at: None,
            },
            rotated,
        }
    }

    /// A new pod mounts that content.
    fn start(&mut self, pod: u8, content: u8) {
        let shown = self.write(content, false);
        self.content.appeared(&shown, false);
        self.pods.insert(pod, shown);
    }

    /// The pod's files change to that content.
    fn rotate(&mut self, pod: u8, content: u8) {
        let shown = self.write(content, true);
        let before = self.pods.insert(pod, shown).unwrap();
        if before.digest != shown.digest && self.content.rotated(before.digest, &shown) {
            self.moves.push(content);
        }
    }

    fn stop(&mut self, pod: u8) {
        self.content.vanished(self.pods.remove(&pod).unwrap().digest);
    }

    /// The pod's files change while nobody watches.
    fn rotate_unseen(&mut self, pod: u8, content: u8) {
        let shown = self.write(content, true);
        self.pods.insert(pod, shown);
    }

    /// What another process concludes from a list of what there is, and what the ledger says if there is one.
    fn restart(&mut self, ledger: Option<u8>) -> bool {
        self.content = ClassContent::default();
        if let Some(content) = ledger {
            self.content.restore(digest(content));
        }
        for shown in self.pods.values() {
            self.content.appeared(shown, true);
        }
        self.conclude()
    }

    fn all(&self) -> Vec<Shown> {
        self.pods.values().copied().collect()
    }

    fn conclude(&mut self) -> bool {
        self.content.conclude(&self.all())
    }

    fn current(&self) -> Option<u8> {
        self.content.current().map(|(digest, _)| digest.as_bytes()[0])
    }
}

#[test]
fn a_rotation_moves_once_however_many_pods_it_reaches() {
    let mut class = Class::of(100);
    (0..100).for_each(|pod| class.rotate(pod, 2));
    assert_eq!(class.moves, [2]);
}

/// The flip-flop of upstream: the second pod's first step comes after the first pod's second.
#[test]
fn what_a_late_pod_shows_is_not_news() {
    let mut class = Class::of(2);
    class.rotate(0, 2);
    class.rotate(0, 3);
    class.rotate(1, 2);
    assert_eq!(class.moves, [2, 3]);
    class.rotate(1, 3);
    assert_eq!(class.moves, [2, 3]);
}

/// As above, but the content in between was never seen before it comes late.
#[test]
fn what_a_late_pod_shows_is_not_news_even_if_nobody_has_shown_it() {
    let mut class = Class::of(3);
    class.rotate(0, 3);
    class.rotate(1, 2);
    assert_eq!((class.moves.as_slice(), class.current()), (&[3][..], Some(3)));
    class.rotate(1, 3);
    class.rotate(2, 3);
    assert_eq!(class.moves, [3]);
}

#[test]
fn a_content_that_comes_back_is_a_change() {
    let mut class = Class::of(2);
    class.rotate(0, 2);
    class.rotate(1, 2);
    class.rotate(1, 1);
    class.rotate(0, 1);
    assert_eq!(class.moves, [2, 1]);
}

#[test]
fn what_every_pod_shows_is_current_whatever_was_before() {
    let mut class = Class::of(2);
    class.rotate(0, 2);
    class.rotate(0, 3);
    class.stop(0);
    class.rotate(1, 2);
    assert_eq!(
        (class.moves.as_slice(), class.current()),
        (&[2, 3, 2][..], Some(2))
    );
}

#[test]
fn pods_that_start_and_stop_move_nothing() {
    let mut class = Class::of(2);
    class.start(2, 2);
    class.stop(0);
    class.stop(1);
    assert_eq!((class.moves.len(), class.current()), (0, Some(1)));
    class.rotate(2, 3);
    assert_eq!(
        class.moves,
        [3],
        "it started with something newer and is rotated now"
    );
}

#[test]
fn scaled_to_zero_and_back() {
    let mut class = Class::of(2);
    (0..2).for_each(|pod| class.stop(pod));
    assert!(!class.content.is_shown());
    class.start(2, 1);
    assert!(class.moves.is_empty());
    class.rotate(2, 2);
    assert_eq!(class.moves, [2]);
}

#[test]
fn the_pods_of_a_rollout_may_still_mount_what_was_before() {
    let mut class = Class::of(2);
    class.rotate(0, 2);
    class.start(3, 1);
    class.rotate(3, 2);
    class.rotate(1, 2);
    assert_eq!(class.moves, [2]);
}

#[rstest]
#[case::nothing_known(None, 3, false)]
#[case::nothing_changed(Some(3), 3, false)]
#[case::rotated_meanwhile(Some(1), 3, true)]
fn after_a_restart_the_content_written_last_to_a_running_pod_counts(
    #[case] ledger: Option<u8>,
    #[case] current: u8,
    #[case] moved: bool,
) {
    let mut class = Class::of(3);
    class.rotate_unseen(0, 2);
    class.rotate_unseen(1, 2);
    class.rotate_unseen(1, 3);
    assert_eq!(class.restart(ledger), moved);
    assert_eq!(class.current(), Some(current));
    // Pods that lagged at the restart lag after it.
    class.rotate(2, 2);
    assert!(class.moves.is_empty());
}

/// With rotation switched off in the driver, pods that come later show something newer for ever.
#[test]
fn a_restart_takes_no_pod_that_started_with_something_newer_for_a_rotation() {
    let mut class = Class::of(2);
    class.start(2, 2);
    assert!(!class.restart(Some(1)));
    assert_eq!(class.current(), Some(1));
    class.rotate(0, 3);
    assert_eq!(class.moves, [3]);
}

/// A pod of a dead node is never rotated again.
#[test]
fn a_restart_is_not_misled_by_a_pod_that_stands_still() {
    let mut class = Class::of(3);
    class.rotate(0, 2);
    class.rotate(1, 3);
    class.rotate(2, 3);
    assert!(!class.restart(Some(3)));
    assert_eq!(class.current(), Some(3));
}

#[test]
fn a_gap_hides_no_rotation() {
    let mut class = Class::of(2);
    // A pod that came and was rotated while the watch was cut.
    class.start(2, 2);
    class.rotate_unseen(2, 3);
    assert!(class.conclude());
    assert_eq!(class.current(), Some(3));
    assert!(!class.conclude());
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut class = Class::of(1);
    (0..200).for_each(|content| class.rotate(0, content));
    assert_eq!(class.content.left_behind.len(), LEFT_BEHIND);
    assert_eq!(class.content.shown.len(), 1);
}

/// What the store holds advances; each poll of a pod shows what it holds then, some answers come late.
#[derive(Clone, Debug)]
enum Step {
    Poll { pod: u8, lag: u8 },
    Replace { pod: u8 },
}

fn steps(pods: u8) -> impl Strategy<Value = Vec<(bool, Step)>> {
    let poll = (0..pods, 0..3_u8).prop_map(|(pod, lag)| Step::Poll { pod, lag });
    let replace = (0..pods).prop_map(|pod| Step::Replace { pod });
    prop::collection::vec(
        (prop::bool::weighted(0.1), prop_oneof![9 => poll, 1 => replace]),
        0..120,
    )
}

proptest! {
    /// Whatever the order in which a store's versions reach the pods, and however late: no version twice, none after
    /// a newer one that a pod on the newest has shown, and in the end all is right.
    #[test]
    fn a_class_never_goes_back(steps in steps(6)) {
        let mut class = Class::of(6);
        let mut store = 1;
        let mut next_pod = 6;
        let mut alive: Vec<u8> = (0..6).collect();
        for (advance, step) in steps {
            store += u8::from(advance);
            match step {
                Step::Poll { pod, lag } => {
                    let pod = alive[usize::from(pod)];
                    // A pod itself never goes back.
                    let shows = class.pods[&pod].digest.as_bytes()[0];
                    class.rotate(pod, store.saturating_sub(lag).max(shows));
                }
                Step::Replace { pod } => {
                    let place = usize::from(pod);
                    class.start(next_pod, store);
                    class.stop(alive[place]);
                    alive[place] = next_pod;
                    next_pod += 1;
                }
            }
            prop_assert!(class.moves.is_sorted_by(|one, next| one < next), "{:?}", class.moves);
        }
        let running = alive.iter().any(|pod| class.pods[pod].digest != digest(store));
        for pod in alive {
            class.rotate(pod, store);
        }
        prop_assert!(class.moves.is_sorted_by(|one, next| one < next), "{:?}", class.moves);
        if running {
            prop_assert_eq!(class.current(), Some(store));
        }
    }

    /// Every step of every pod in any order: at most one move a version.
    #[test]
    fn a_rotation_in_three_versions_is_at_most_one_move_each(
        order in Just((0..8_u8).flat_map(|pod| [pod, pod]).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let mut class = Class::of(8);
        let mut shows = [1_u8; 8];
        for pod in order {
            let next = &mut shows[usize::from(pod)];
            *next += 1;
            class.rotate(pod, *next);
        }
        prop_assert_eq!(&class.moves, &[2, 3]);
    }
}
