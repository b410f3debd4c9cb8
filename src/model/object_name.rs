//! Names of objects, as the API server allows them.
//!
//! Input: text from a field or an annotation. Output: whether it can be a name. I/O: none.

/// Longest name in bytes.
const LONGEST: usize = 253;

/// Whether the text is a
/// [DNS subdomain](https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names).
///
/// The client puts names into URLs as they are: text that a user wrote must pass this first, or `../` in it leads to
/// another object.
pub fn is_dns_subdomain(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(is_inner)
    };
    text.len() <= LONGEST && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("web", true)]
    #[case("web-1.example.com", true)]
    #[case("0", true)]
    #[case("", false)]
    #[case("a..b", false)]
    #[case(".", false)]
    #[case("-a", false)]
    #[case("a-", false)]
    #[case("A", false)]
    #[case("a/b", false)]
    #[case("../secrets/a", false)]
    #[case("a?dryRun=All", false)]
    #[case("a%2fb", false)]
    #[case("a#", false)]
    #[case("ä", false)]
    #[case("a\n", false)]
    fn only_names_pass(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(is_dns_subdomain(text), expected);
    }

    #[test]
    fn a_name_has_253_bytes_at_most() {
        assert!(is_dns_subdomain(&"a".repeat(253)));
        assert!(!is_dns_subdomain(&"a".repeat(254)));
    }
}
