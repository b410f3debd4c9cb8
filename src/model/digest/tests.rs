use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use rstest::rstest;

use super::*;

const BYTES: &[u8] = &[0x00, 0xff, 0x10, 0x80];

impl Digest {
    /// The bytes of the SHA-1.
    pub(crate) const fn as_bytes(&self) -> &[u8; 20] {
        &self.sha1
    }

    /// The digest of a ConfigMap: `data` as text, `binaryData` as the bytes it stands for.
    pub(crate) fn of_config_map<'a>(
        data: impl IntoIterator<Item = (&'a str, &'a str)>,
        binary_data: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        let mut canonical = Canonical::new();
        for (key, value) in data {
            canonical.push_text(key, value.as_bytes());
        }
        for (key, value) in binary_data {
            canonical.push_base64(key, &STANDARD.encode(value));
        }
        canonical.finish()
    }

    /// The digest of a Secret: `data` as the bytes its base64 stands for.
    pub(crate) fn of_secret<'a>(data: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut canonical = Canonical::new();
        for (key, value) in data {
            canonical.push_text(key, value);
        }
        canonical.finish()
    }
}

/// Values upstream Reloader v1.4.21 gives; they are on the workloads of every cluster it ran in.
#[rstest]
#[case::no_data(&[], &[], "da39a3ee5e6b4b0d3255bfef95601890afd80709")]
#[case::one_pair(&[("key", "value")], &[], "dc30e0faa89a70dec1033016a2309bbeb9efcbd0")]
#[case::sorted_as_whole_entries(&[("a", "1"), ("a.b", "2"), ("a-b", "3"), ("a_b", "4"), ("a0", "5")], &[],
    "cbef5f2ca947d8d426d9fe5e8e83f3949292cc19")]
#[case::both_maps(&[("test", "test")], &[("bintest", b"test".as_slice())], "0d58150de76a895b24f4ca213f590766160c4349")]
#[case::unicode(&[("greeting", "héllo wörld ☃ 😀")], &[], "82ce496f9def6e963e86914ea27c69e67af34507")]
#[case::binary(&[], &[("blob", BYTES)], "b57a0884694dfbcbe15f3f1b5a378d2f5f75a9c1")]
#[case::upper_case_first(&[("B", "1"), ("a", "2"), ("A", "3")], &[], "949c15769254e70a56b92a18f0bc34414b9b41e4")]
#[case::empty_values(&[("a", ""), ("b", "")], &[], "a0e51dab79138fd55663159282b0162310c3b4a5")]
#[case::lines(&[("app.properties", "x=1\ny=2\n"), ("b", "")], &[], "e9623cec6263025d9603ba1395351ef5629f6567")]
#[case::data_only(&[("test", "test")], &[], "b3cefbcce711f8574b0e66c41fc1dcf06eb5b6db")]
#[case::binary_only(&[], &[("bintest", b"test".as_slice())], "f327fede9d5cda17ab984fabce9eddeee1611a84")]
#[case::separators_in_values_collide(&[("a", "1;b=2")], &[], "f83e99e324ba68ccc373a58ef1eb42f8ab88646a")]
#[case::with_separate_entries(&[("a", "1"), ("b", "2")], &[], "f83e99e324ba68ccc373a58ef1eb42f8ab88646a")]
fn config_maps_have_upstreams_digest(
    #[case] data: &[(&str, &str)],
    #[case] binary_data: &[(&str, &[u8])],
    #[case] expected: &str,
) {
    let digest = Digest::of_config_map(data.iter().copied(), binary_data.iter().copied());
    assert_eq!(digest.to_string(), expected);
}

#[rstest]
#[case::no_data(&[], "da39a3ee5e6b4b0d3255bfef95601890afd80709")]
#[case::raw_bytes(&[("token", BYTES), ("password", b"s3cr3t".as_slice())], "a7af69c8e47e67ff2c3e99c1e39c4d4ff67311c4")]
#[case::url(&[("test.url", b"www.google.com".as_slice())], "2834cb2f26ce41acf3a5c4c63b1815df75bae06e")]
fn secrets_have_upstreams_digest(#[case] data: &[(&str, &[u8])], #[case] expected: &str) {
    assert_eq!(Digest::of_secret(data.iter().copied()).to_string(), expected);
}

/// The form is the same for every kind of source upstream knows, secret store classes among them.
#[rstest]
#[case(&[("SecretProviderClassName", "my-spc"), ("secret/data/test:password", "v2"), ("secret/data/test:api_key", "v1")],
    "d55f913d7a23d463041ae7b9e8e071646c0282f8")]
#[case(&[("SecretProviderClassName", "my-spc")], "40c125ef6cd81879ba7d9bf324830530eaee9893")]
fn other_entries_have_upstreams_digest(#[case] entries: &[(&str, &str)], #[case] expected: &str) {
    let mut canonical = Canonical::new();
    for (key, value) in entries {
        canonical.push_text(key, value.as_bytes());
    }
    assert_eq!(canonical.finish().to_string(), expected);
}

/// What upstream writes for a deleted source under the annotations strategy: SHA-1 of this text alone.
#[test]
fn the_delete_markers_text_has_upstreams_digest() {
    let digest = Digest::from_bytes(Sha1::digest(b"__RELOADER_EMPTY_DELETE_MARKER__").into());
    assert_eq!(digest.to_string(), "aae45badef99284e4dae01d6046154ea9d99532f");
}

#[test]
fn a_deleted_source_is_shown_as_upstreams_delete_marker() {
    let text = Sha1::digest(b"__RELOADER_EMPTY_DELETE_MARKER__");
    assert_eq!(Digest::OF_NOTHING, Digest::from_bytes(text.into()));
    assert_eq!(
        Digest::OF_NOTHING.to_string(),
        "aae45badef99284e4dae01d6046154ea9d99532f"
    );
}

#[test]
fn base64_text_and_the_bytes_it_stands_for_are_the_same() {
    let mut text = Canonical::new();
    text.push_base64("blob", "AP8QgA==");
    let mut bytes = Canonical::new();
    bytes.push_base64("blob", &STANDARD.encode(BYTES));
    assert_eq!(text.finish(), bytes.finish());
}

#[rstest]
#[case("")]
#[case("da39a3ee5e6b4b0d3255bfef95601890afd8070")]
#[case("da39a3ee5e6b4b0d3255bfef95601890afd807090")]
#[case("DA39A3EE5E6B4B0D3255BFEF95601890AFD80709")]
#[case("ga39a3ee5e6b4b0d3255bfef95601890afd80709")]
#[case("+a39a3ee5e6b4b0d3255bfef95601890afd80709")]
#[case("da39a3ee5e6b4b0d3255bfef95601890afd80709~")]
#[case("da39a3ee5e6b4b0d3255bfef95601890afd80709~0123456")]
#[case("~01234567")]
fn other_text_is_no_digest(#[case] text: &str) {
    assert_eq!(text.parse::<Digest>(), Err(ParseDigestError));
}

fn map(pairs: &[(&str, &str)]) -> Digest {
    Digest::of_config_map(pairs.iter().copied(), [])
}

#[rstest]
#[case::one_entry_or_two(map(&[("a", "1;b=2")]), map(&[("a", "1"), ("b", "2")]))]
#[case::at_another_place(map(&[("a", "1;b=2"), ("c", "3")]), map(&[("a", "1"), ("b", "2;c=3")]))]
#[case::text_or_bytes(map(&[("a", "AP8QgA==")]), Digest::of_config_map([], [("a", BYTES)]))]
fn contents_that_print_alike_differ(#[case] one: Digest, #[case] other: Digest) {
    assert_eq!(one.to_string(), other.to_string());
    assert!(one.is_look_alike_of(&other) && other.is_look_alike_of(&one));
    assert_ne!(one.exact().to_string(), other.exact().to_string());
    for digest in [one, other, one.unknown_look_alike()] {
        assert_eq!(digest.exact().to_string().parse(), Ok(digest));
    }
}

#[rstest]
#[case(&[("a", "1"), ("b", "x;y"), ("c", ";=;;"), ("d", "x; y=1"), ("e", ";key"), ("f", ";a/b=1")])]
#[case(&[("app.properties", "x=1\ny=2\n")])]
fn what_can_be_read_in_one_way_only_has_nothing_beside_the_sha_1(#[case] pairs: &[(&str, &str)]) {
    assert_eq!(map(pairs).exact().to_string(), map(pairs).to_string());
}

proptest! {
    #[test]
    fn other_data_is_another_digest(
        one in prop::collection::btree_map("[ab]", "[ab=;1]{0,6}", 0..3),
        other in prop::collection::btree_map("[ab]", "[ab=;1]{0,6}", 0..3),
    ) {
        let digest = |data: &std::collections::BTreeMap<String, String>| {
            Digest::of_config_map(data.iter().map(|(key, value)| (key.as_str(), value.as_str())), [])
        };
        prop_assert_eq!(digest(&one) == digest(&other), one == other);
    }

    #[test]
    fn text_comes_back(bytes: [u8; 20]) {
        let digest = Digest::from_bytes(bytes);
        prop_assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
        prop_assert_eq!(format!("{digest:?}"), digest.to_string());
    }

    #[test]
    fn the_order_of_the_pairs_does_not_matter(
        (sorted, shuffled) in prop::collection::btree_map("[a-c._-]{1,4}", "[a-c;=]{0,4}", 0..6)
            .prop_map(|map| map.into_iter().collect::<Vec<_>>())
            .prop_flat_map(|pairs| (Just(pairs.clone()), Just(pairs).prop_shuffle()))
    ) {
        let digest = |pairs: &[(String, String)]| {
            Digest::of_secret(pairs.iter().map(|(key, value)| (key.as_str(), value.as_bytes())))
        };
        prop_assert_eq!(digest(&sorted), digest(&shuffled));
    }
}
