//! Name patterns of the reload annotations, with the meaning Go's `regexp` gives them.
//!
//! Input: one item of a reload annotation's comma list. Output: [`NamePattern`]. I/O: none.
//!
//! Upstream compiles the text `^` + item + `$`, anchors not grouped, so that `app|zzz` matches every name that
//! starts with `app` or ends with `zzz`, and `*-cm` every name that ends with `-cm`. Users rely on both.
//!
//! Names of ConfigMaps and Secrets are [DNS subdomains](https://kubernetes.io/docs/concepts/overview/working-with-objects/names/),
//! made of `[a-z0-9.-]`. Go and Rust share RE2's syntax, so `gate.rs` only settles where they differ and refuses what no
//! name needs.
//!
//! One tenant's patterns are matched against every name of the namespace, in the one task that reads all watches: the
//! cost of a match is known beforehand ([`NamePattern::steps`]), whatever the pattern and the name. A regular expression
//! becomes a table of states, of which each byte of a name takes one step. One that needs a large table, as
//! `.*a.*|.*b.*|…` does, is followed state by state if it has few.

use regex_automata::{
    Input,
    dfa::{Automaton, StartKind, dense},
    nfa::thompson::{self, NFA, backtrack::BoundedBacktracker},
    util::syntax,
};

mod error;
mod gate;
mod subject;

pub use error::PatternError;
pub use subject::Subject;
#[cfg(test)]
pub(super) use subject::counted::steps_of;

/// The longest item that is compiled, in bytes. Names have at most 253, so no useful pattern comes near.
pub const MAX_PATTERN_LENGTH: usize = 1024;

/// The largest expression, in bytes before it becomes a table.
const MAX_EXPRESSION_SIZE: usize = 128 << 10;

/// The largest table of states of one expression, in bytes. Those in use take 1 to 4 KiB; `[a-z0-9.-]{1,253}|.{250}`, more
/// than a name can need, takes 35.
const MAX_TABLE_SIZE: usize = 40 << 10;

/// The most memory that the way to the table may take, in bytes: it bounds the time to compile as well, to 25 ms.
const MAX_COMPILER_SIZE: usize = 1 << 20;

/// The most states of an expression without a table.
const MAX_STATES_WITHOUT_TABLE: usize = 128;

/// The places of the longest name.
const PLACES: usize = 256;

/// One compiled item. The common items need no regular expression engine: tens of thousands of workloads each hold
/// their patterns in memory.
#[derive(Clone, Debug)]
pub enum NamePattern {
    /// Only letters, digits, `-` and `_`: the name itself.
    Exact(Box<str>),
    /// Those and `.`, which is any one character, or `.*`, which is any run of them.
    Wildcard(Box<str>),
    /// Anything else.
    Regex(Box<str>, Engine),
}

/// What matches a regular expression.
#[derive(Clone, Debug)]
pub enum Engine {
    /// A table of states.
    Table(Box<dense::DFA<Vec<u32>>>),
    /// An expression with few states.
    States(Box<BoundedBacktracker>),
}

/// An item that needs an engine, read but not compiled.
#[derive(Debug)]
pub struct Expression<'a> {
    item: &'a str,
    nfa: NFA,
}

impl NamePattern {
    /// The item's pattern if it needs no regular expression engine.
    pub fn plain(item: &str) -> Option<Self> {
        let literal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if item.len() > MAX_PATTERN_LENGTH {
            None
        } else if item.bytes().all(literal) {
            Some(Self::Exact(item.into()))
        } else if item
            .replace(".*", ".")
            .bytes()
            .all(|byte| literal(byte) || byte == b'.')
        {
            Some(Self::Wildcard(item.into()))
        } else {
            None
        }
    }

    /// Compiles one item of a reload annotation. Fails where Go's `regexp.Compile` fails, on items beyond
    /// [`MAX_PATTERN_LENGTH`] or the size limits, and on [unsupported](PatternError::Unsupported) syntax.
    pub fn compile(item: &str) -> Result<Self, PatternError> {
        Self::plain(item).map_or_else(|| Expression::read(item)?.compile(), Ok)
    }

    /// Whether the pattern matches that name.
    pub fn is_match(&self, name: &str) -> bool {
        self.matches(&Subject::new(name))
    }

    /// The same, of a name that is matched against many patterns.
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Exact(text) => **text == *subject.name(),
            Self::Wildcard(text) => subject.fits(text.as_bytes()),
            Self::Regex(_, engine) => engine.matches(subject.name()),
        }
    }

    /// What every name that it matches begins with; empty where that is not known.
    pub fn prefix(&self) -> &str {
        let text = self.as_str();
        match self {
            Self::Exact(_) => text,
            Self::Wildcard(_) => text.split('.').next().unwrap_or_default(),
            // `^` and `$` belong to the first and the last alternative only.
            Self::Regex(..) if text.contains('|') => "",
            Self::Regex(..) => {
                let is_literal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
                let literal = text.bytes().take_while(is_literal).count();
                let repeated = matches!(text.as_bytes().get(literal), Some(b'*' | b'?' | b'{'));
                &text[..literal - usize::from(repeated && literal > 0)]
            }
        }
    }

    /// How much a match costs at most, in steps of about a nanosecond.
    pub fn steps(&self) -> usize {
        match self {
            Self::Exact(_) => 1,
            Self::Wildcard(text) => text.len(),
            Self::Regex(_, Engine::Table(_)) => PLACES,
            // Each state at each place, which takes two nanoseconds.
            Self::Regex(_, Engine::States(engine)) => engine.get_nfa().states().len() * PLACES * 2,
        }
    }

    /// The heap it takes, in bytes.
    pub fn size(&self) -> usize {
        let engine = match self {
            Self::Regex(_, Engine::Table(dfa)) => size_of_val(&**dfa) + dfa.memory_usage(),
            Self::Regex(_, Engine::States(engine)) => {
                size_of_val(&**engine) + engine.get_nfa().memory_usage()
            }
            _ => 0,
        };
        self.as_str().len() + engine
    }

    /// The item as it was written, trimmed.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Wildcard(text) | Self::Regex(text, _) => text,
        }
    }

    /// The one name this pattern matches, if it can match only one.
    pub fn exact_name(&self) -> Option<&str> {
        match self {
            Self::Exact(text) => Some(text),
            _ => None,
        }
    }
}

impl PartialEq for NamePattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for NamePattern {}

impl<'a> Expression<'a> {
    /// Reads an item. Fails as [`NamePattern::compile`] does, but for the size of its table.
    pub fn read(item: &'a str) -> Result<Self, PatternError> {
        if item.len() > MAX_PATTERN_LENGTH {
            return Err(PatternError::TooLong);
        }
        let config = thompson::Config::new()
            .utf8(false)
            .which_captures(thompson::WhichCaptures::None)
            .nfa_size_limit(Some(MAX_EXPRESSION_SIZE));
        let built = thompson::Compiler::new()
            .configure(config)
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .build(&gate::admit(&format!("^{item}$"))?);
        match built {
            Ok(nfa) => Ok(Self { item, nfa }),
            Err(error) if error.size_limit().is_some() => Err(PatternError::TooLarge),
            Err(_) => Err(PatternError::Unsupported),
        }
    }

    /// How many states it has: what it takes to compile it grows with them.
    pub fn states(&self) -> usize {
        self.nfa.states().len()
    }

    /// Compiles it; fails if it is too large.
    pub fn compile(self) -> Result<NamePattern, PatternError> {
        let table = dense::Config::new()
            .start_kind(StartKind::Unanchored)
            .accelerate(false)
            .dfa_size_limit(Some(MAX_TABLE_SIZE))
            .determinize_size_limit(Some(MAX_COMPILER_SIZE));
        let engine = if let Ok(dfa) = dense::Builder::new().configure(table).build_from_nfa(&self.nfa) {
            Engine::Table(Box::new(dfa))
        } else if self.states() <= MAX_STATES_WITHOUT_TABLE {
            let engine = BoundedBacktracker::new_from_nfa(self.nfa).map_err(|_| PatternError::Unsupported)?;
            Engine::States(Box::new(engine))
        } else {
            return Err(PatternError::TooLarge);
        };
        Ok(NamePattern::Regex(self.item.into(), engine))
    }
}

impl Engine {
    fn matches(&self, name: &str) -> bool {
        let input = Input::new(name).earliest(true);
        match self {
            Self::Table(dfa) => matches!(dfa.try_search_fwd(&input), Ok(Some(_))),
            Self::States(engine) => {
                let found = engine.try_is_match(&mut engine.create_cache(), input);
                found.unwrap_or(false)
            }
        }
    }
}

#[cfg(test)]
mod tests;
