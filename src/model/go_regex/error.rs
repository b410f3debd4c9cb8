//! Why an item of a reload annotation is not a pattern.

/// Why an item is not a pattern. No variant carries the item: the caller names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// More than [`MAX_PATTERN_LENGTH`](super::MAX_PATTERN_LENGTH) bytes.
    #[error("pattern is longer than 1024 bytes")]
    TooLong,
    /// Legal, but it would need more memory or deeper nesting than one annotation may ask for.
    #[error("pattern is too large once compiled")]
    TooLarge,
    /// A `*`, `+`, `?` or `{n}` with nothing before it.
    #[error("nothing before the repetition operator")]
    MissingRepeatArgument,
    /// Two repetition operators in a row.
    #[error("repetition operator directly after another one")]
    NestedRepeat,
    /// A repeat count over 1000, alone or multiplied by the counts around it, or `{n,m}` with n > m.
    #[error("repeat count out of range")]
    RepeatSize,
    /// A `(` without its `)`.
    #[error("missing closing )")]
    MissingParenthesis,
    /// A `)` without its `(`.
    #[error("unexpected )")]
    UnexpectedParenthesis,
    /// A `[` without its `]`.
    #[error("missing closing ]")]
    MissingBracket,
    /// A range that runs backwards, or a class name that does not exist.
    #[error("invalid character class")]
    CharacterClass,
    /// An escape sequence that Go does not know.
    #[error("invalid escape sequence")]
    Escape,
    /// A `(?` that starts neither a group nor flags that Go knows; look-around is among them.
    #[error("invalid or unsupported group syntax")]
    Group,
    /// A capture group's name that is empty or holds something besides letters, digits and `_`.
    #[error("invalid capture group name")]
    GroupName,
    /// Syntax that Go accepts, as a rule, but that no name needs: characters that names cannot hold, character codes,
    /// Unicode classes, flags or group names given twice.
    #[error("syntax not supported for resource names")]
    Unsupported,
}
