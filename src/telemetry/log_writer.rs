//! Writes log lines from a thread of its own.
//!
//! Input: lines. Output: the same, on stderr. I/O: writes.
//!
//! stderr is a pipe to the container runtime. While its other end does not read, as when the node's disk is full, a
//! write blocks: from a runtime thread it would stop watches, probes and the renewal of the lease. So lines wait in a
//! bounded buffer, and lines that do not fit are dropped and counted.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// Bytes of lines that wait at most: some 5,000 lines.
const LARGEST_BACKLOG: usize = 1 << 20;

/// The number of lines that were dropped.
#[derive(Clone, Debug, Default)]
pub struct LostLines(Arc<AtomicU64>);

impl LostLines {
    /// How many there are by now.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Takes lines without ever waiting for their writing; clones write to the same place.
#[derive(Clone, Debug)]
pub(super) struct LogWriter {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    backlog: Mutex<Backlog>,
    /// A line has come, or one has been written.
    changed: Condvar,
    lost: LostLines,
}

/// What is not written yet, the line that is being written included.
#[derive(Debug, Default)]
struct Backlog {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    writing: bool,
}

impl LogWriter {
    /// A writer to `output`, and the thread behind it, which lives as long as the process.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(output: impl io::Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writing = Arc::clone(&shared);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writing.write_to(output))?;
        Ok(Self { shared })
    }

    /// How many lines were dropped.
    pub(super) fn lost(&self) -> LostLines {
        self.shared.lost.clone()
    }

    /// Waits until every line is written, for `limit` at most.
    pub(super) fn flush(&self, limit: Duration) {
        let backlog = self.shared.backlog();
        let is_unwritten = |backlog: &mut Backlog| backlog.writing || !backlog.lines.is_empty();
        drop(
            self.shared
                .changed
                .wait_timeout_while(backlog, limit, is_unwritten),
        );
    }
}

impl io::Write for LogWriter {
    /// Takes one line, or drops it: it is always taken whole.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut backlog = self.shared.backlog();
        if backlog.bytes + line.len() > LARGEST_BACKLOG {
            self.shared.lost.0.fetch_add(1, Ordering::Relaxed);
        } else {
            backlog.bytes += line.len();
            backlog.lines.push_back(line.to_owned());
            drop(backlog);
            self.shared.changed.notify_all();
        }
        Ok(line.len())
    }

    /// Does nothing: waiting is left to [`LogWriter::flush`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn write_to(&self, mut output: impl io::Write) {
        loop {
            let mut backlog = self
                .changed
                .wait_while(self.backlog(), |backlog| backlog.lines.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            let Some(line) = backlog.lines.pop_front() else {
                continue;
            };
            backlog.writing = true;
            drop(backlog);
            // The buffer is free meanwhile, however long this takes. Where stderr is closed, lines have no reader.
            let _ = output.write_all(&line);
            let mut backlog = self.backlog();
            backlog.writing = false;
            backlog.bytes -= line.len();
            drop(backlog);
            self.changed.notify_all();
        }
    }

    /// The backlog is whole after every statement, so a panic elsewhere must not end the log.
    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        sync::mpsc::{self, Receiver, Sender},
        time::Instant,
    };

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    /// An output that takes one line for each permit, and one that hands out what was written.
    struct Pipe {
        permits: Receiver<()>,
        written: Sender<Vec<u8>>,
    }

    impl io::Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Without permits from now on, it blocks no longer.
            let _ = self.permits.recv();
            let _ = self.written.send(bytes.to_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn blocked() -> (LogWriter, Sender<()>, Receiver<Vec<u8>>) {
        let (unblock, permits) = mpsc::channel();
        let (written, read) = mpsc::channel();
        (
            LogWriter::start(Pipe { permits, written }).unwrap(),
            unblock,
            read,
        )
    }

    #[test]
    fn a_blocked_output_blocks_no_line_and_keeps_the_oldest() {
        let (mut writer, unblock, read) = blocked();
        let line = vec![b'x'; 1024];
        for _ in 0..3 * LARGEST_BACKLOG / line.len() {
            writer.write_all(&line).unwrap();
        }
        let kept = LARGEST_BACKLOG / line.len();
        assert_eq!(writer.lost().count(), 2 * u64::try_from(kept).unwrap());

        drop(unblock);
        writer.flush(LONG);
        assert_eq!(read.try_iter().count(), kept);
        writer.write_all(b"again").unwrap();
        assert_eq!(read.recv_timeout(LONG).unwrap(), b"again");
    }

    #[test]
    fn a_flush_waits_for_the_line_that_is_being_written_and_not_for_ever() {
        let (mut writer, unblock, read) = blocked();
        writer.write_all(b"last").unwrap();
        let before = Instant::now();
        writer.flush(Duration::from_millis(50));
        assert!(before.elapsed() < LONG);
        assert!(read.try_recv().is_err());

        unblock.send(()).unwrap();
        writer.flush(LONG);
        assert_eq!(read.try_recv().unwrap(), b"last");
    }
}
