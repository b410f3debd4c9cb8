//! What a script asks of an API server, and how scripts are generated.

use proptest::prelude::*;

/// The kinds that scripts are about: their plural, kind, group and version.
pub const KINDS: [(&str, &str, &str); 3] = [
    ("configmaps", "ConfigMap", "v1"),
    ("deployments", "Deployment", "apps/v1"),
    ("leases", "Lease", "coordination.k8s.io/v1"),
];
/// The names that objects have.
pub const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// Label selectors.
pub const LABELS: [&str; 5] = ["", "app=web", "!app", "app in (web,api)", "app!=web"];
/// Field selectors.
pub const FIELDS: [&str; 4] = [
    "",
    "metadata.name=a",
    "metadata.name!=a",
    "metadata.namespace!=elsewhere",
];

/// One object: a kind and a name, by their numbers.
pub type Object = (usize, usize);

/// A resourceVersion or uid that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// None.
    Unset,
    /// The last one that was answered for the object.
    Last,
    /// The one before it, or one that never was.
    Earlier,
}

/// A version at which something is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// None.
    Unset,
    /// 0.
    Any,
    /// That of an answer so many objects ago.
    Answered(usize),
}

/// The variable part of an object's content; each number chooses one of a few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    pub labels: u8,
    pub annotations: u8,
    pub held: bool,
    pub value: u8,
    pub shape: u8,
}

/// Who writes, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// The field manager; 0: none is named.
    pub manager: u8,
    pub dry_run: bool,
    /// To the subresource `status`, of a kind that has it.
    pub status: bool,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Create(Object, Content, Manner),
    Get(Object, bool),
    List {
        kind: usize,
        everywhere: bool,
        selectors: (usize, usize),
        limit: u8,
        at: At,
        exact: bool,
        metadata: bool,
    },
    /// The next page of the last list that had one.
    Next,
    Replace(Object, Content, Known, Known, Manner),
    /// The last answered object with other content in it, its managedFields included.
    Modify(Object, Content, Manner),
    Patch {
        object: Object,
        strategic: bool,
        content: Content,
        version: Known,
        manner: Manner,
    },
    Delete {
        object: Object,
        uid: Known,
        version: Known,
        policy: u8,
        dry_run: bool,
    },
    Watch {
        kind: usize,
        everywhere: bool,
        selectors: (usize, usize),
        at: At,
        initial: Option<bool>,
        bookmarks: bool,
    },
}

fn object() -> impl Strategy<Value = Object> {
    (
        prop_oneof![3 => Just(0_usize), 4 => Just(1_usize), 3 => Just(2_usize)],
        0..NAMES.len(),
    )
}

fn content() -> impl Strategy<Value = Content> {
    (0..4_u8, 0..3_u8, prop::bool::weighted(0.1), 0..3_u8, 0..6_u8).prop_map(
        |(labels, annotations, held, value, shape)| Content {
            labels,
            annotations,
            held,
            value,
            shape,
        },
    )
}

fn manner() -> impl Strategy<Value = Manner> {
    (0..3_u8, prop::bool::weighted(0.1), prop::bool::weighted(0.15)).prop_map(|(manager, dry_run, status)| {
        Manner {
            manager,
            dry_run,
            status,
        }
    })
}

fn known() -> impl Strategy<Value = Known> {
    prop_oneof![3 => Just(Known::Unset), 3 => Just(Known::Last), 1 => Just(Known::Earlier)]
}

fn at() -> impl Strategy<Value = At> {
    prop_oneof![
        3 => Just(At::Unset),
        3 => Just(At::Any),
        3 => (0..12_usize).prop_map(At::Answered),
    ]
}

fn selectors() -> impl Strategy<Value = (usize, usize)> {
    let choice = |count: usize| prop_oneof![2 => Just(0), 3 => 0..count];
    (choice(LABELS.len()), choice(FIELDS.len()))
}

fn step() -> impl Strategy<Value = Step> {
    let kind = 0..KINDS.len();
    let everywhere = prop::bool::weighted(0.15);
    let list = (
        kind.clone(),
        everywhere,
        selectors(),
        0..3_u8,
        at(),
        any::<bool>(),
        prop::bool::weighted(0.2),
    );
    let patch = (object(), any::<bool>(), content(), known(), manner());
    let delete = (object(), known(), known(), 0..3_u8, prop::bool::weighted(0.1));
    let initial = prop_oneof![3 => Just(None), 3 => Just(Some(true)), 1 => Just(Some(false))];
    let watch = (
        kind,
        everywhere,
        selectors(),
        at(),
        initial,
        prop::bool::weighted(0.8),
    );
    prop_oneof![
        8 => (object(), content(), manner()).prop_map(|(object, content, manner)| Step::Create(object, content, manner)),
        2 => (object(), any::<bool>()).prop_map(|(object, cached)| Step::Get(object, cached)),
        3 => list.prop_map(|(kind, everywhere, selectors, limit, at, exact, metadata)| Step::List {
            kind, everywhere, selectors, limit, at, exact, metadata,
        }),
        2 => Just(Step::Next),
        6 => (object(), content(), known(), known(), manner()).prop_map(|(object, content, version, uid, manner)| {
            Step::Replace(object, content, version, uid, manner)
        }),
        4 => (object(), content(), manner()).prop_map(|(object, content, manner)| Step::Modify(object, content, manner)),
        9 => patch.prop_map(|(object, strategic, content, version, manner)| Step::Patch {
            object, strategic, content, version, manner,
        }),
        4 => delete.prop_map(|(object, uid, version, policy, dry_run)| Step::Delete {
            object, uid, version, policy, dry_run,
        }),
        3 => watch.prop_map(|(kind, everywhere, selectors, at, initial, bookmarks)| Step::Watch {
            kind, everywhere, selectors, at, initial, bookmarks,
        }),
    ]
}

/// Scripts of so many steps.
pub fn script(steps: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), steps)
}
