//! stub

/// stub
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotationKeys;
/// stub
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptIn;
/// stub
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// stub
    No,
}
