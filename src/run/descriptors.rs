//! The limit of open file descriptors, of which each connection takes one.
//!
//! Input: the number of connections that watches take. Output: the limit in force, and a warning where it is too low. I/O: sets the process'
//! own limit.
//!
//! Systems start processes with a low soft limit for the sake of programs that use `select`, and let them raise it up to
//! the hard one. Watches keep their connections, so namespaces times kinds add up.

#[cfg(unix)]
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What is open besides watches: the HTTP endpoint's 64 connections, the pools of the other clients, a list in pages for
/// some of the streams, the runtime's own.
const BESIDES_WATCHES: u64 = 128;

/// Raises the soft limit to the hard one. Returns the limit that is in force afterwards; `None` where the system does not
/// say.
#[cfg(unix)]
pub(super) fn raise_limit() -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        return Some(hard);
    }
    Some(soft)
}

/// Other systems have no such limit.
#[cfg(not(unix))]
pub(super) const fn raise_limit() -> Option<u64> {
    None
}

/// What to tell where the limit does not suffice for the watches' connections in so many namespaces.
pub(super) fn warning(limit: u64, connections: usize, namespaces: usize) -> Option<String> {
    let needed = BESIDES_WATCHES.saturating_add(connections.try_into().unwrap_or(u64::MAX));
    (needed > limit).then(|| {
        format!(
            "The process may open {limit} files, and {connections} connections of watches in {namespaces} namespaces need \
             {needed}: some of them will fail, and requests to /live, /ready and /metrics. Raise the hard limit of open files \
             (RLIMIT_NOFILE), watch fewer namespaces or kinds, or all namespaces with one watch a kind: without \
             --namespaces"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(raise_limit(), Some(hard));
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
        assert_eq!(raise_limit(), Some(hard));
    }

    #[test]
    fn a_limit_below_namespaces_times_kinds_is_a_warning() {
        assert_eq!(warning(1024, 560, 80), None);
        assert_eq!(warning(688, 560, 80), None);
        for limit in [256, 687] {
            let text = warning(limit, 560, 80).unwrap();
            for part in [
                &format!("{limit} files"),
                "560 connections of watches in 80 namespaces",
                "need 688",
                "--namespaces",
            ] {
                assert!(text.contains(part), "{part:?} is missing in {text:?}");
            }
        }
    }
}
