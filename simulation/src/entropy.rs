//! Clocks and random bits of the whole process, made repeatable.
//!
//! Input: a seed, the runtime's virtual time. Output: what `getrandom` and `clock_gettime` give. I/O: none.
//!
//! A replica is the program as it ships: it reads clocks and random bits wherever it needs them, through the standard
//! library, jiff, nix or ring, and all of these end at three functions of the C library. This program defines them, so the
//! linker prefers them. On the thread of a simulation they answer from a seed and from tokio's paused clock; elsewhere they
//! ask the kernel. A replica may have clocks of its own: see [`Clocks`].

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "numbers of the C library's widths, passed on as they are"
)]

use std::{
    cell::{Cell, RefCell},
    ffi::{c_int, c_long, c_uint, c_void},
    time::Duration,
};

use tokio::{runtime::Handle, time::Instant};

/// The monotonic clock at the start, in seconds: far enough from zero to subtract from.
const MONOTONIC_START: u64 = 1_000_000;
/// The wall clock at the start: 2026-01-01T00:00:00Z.
pub const WALL_START: i64 = 1_767_225_600;

/// How a replica's clocks differ from the others'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// The wall clock is ahead by so many milliseconds.
    pub wall_ahead: i64,
    /// For so many milliseconds the machine was suspended: the boot clock counts them, the monotonic clock does not.
    pub suspended: u64,
    /// The boot clock runs too fast by so many thousandths.
    pub fast_permille: i64,
}

#[derive(Clone, Copy)]
enum Time {
    /// That of the kernel.
    Real,
    /// It stands still, until the runtime is there.
    Start,
    /// That of the runtime, which began at this moment.
    Since(Instant),
}

thread_local! {
    static RANDOM: Cell<Option<u64>> = const { Cell::new(None) };
    static TIME: Cell<Time> = const { Cell::new(Time::Real) };
    static CLOCKS: RefCell<Clocks> = const { RefCell::new(Clocks { wall_ahead: 0, suspended: 0, fast_permille: 0 }) };
}

/// Makes this thread repeatable: random bits follow from the seed, and clocks stand still until [`follow_runtime`].
pub fn seed_thread(seed: u64) {
    RANDOM.set(Some(seed));
    TIME.set(Time::Start);
}

/// Lets the clocks of this thread follow the runtime's, which must be paused. To be called inside it.
pub fn follow_runtime() {
    TIME.set(Time::Since(Instant::now()));
}

/// Runs `action` with these clocks.
pub fn with_clocks<T>(clocks: Clocks, action: impl FnOnce() -> T) -> T {
    let before = CLOCKS.replace(clocks);
    let outcome = action();
    CLOCKS.replace(before);
    outcome
}

/// The time since the start of the simulation.
pub fn elapsed() -> Duration {
    match TIME.get() {
        Time::Since(start) if Handle::try_current().is_ok() => start.elapsed(),
        _ => Duration::ZERO,
    }
}

/// The wall clock of the cluster.
pub fn wall() -> jiff::Timestamp {
    with_clocks(Clocks::default(), jiff::Timestamp::now)
}

/// One step of splitmix64: each state gives another, well mixed number.
pub const fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn next_random(state: u64) -> (u64, u64) {
    (state.wrapping_add(0x9e37_79b9_7f4a_7c15), mix(state))
}

/// `getrandom(2)`: the C library's, for this thread from its seed.
///
/// # Safety
/// `buffer` must be valid for `length` bytes, as for the original.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, flags: c_uint) -> isize {
    let Some(mut state) = RANDOM.get() else {
        let arguments = [buffer.addr(), length, flags as usize, 0, 0, 0];
        // SAFETY: the arguments are passed on as they came.
        return unsafe { kernel(libc::SYS_getrandom, arguments) as isize };
    };
    // SAFETY: the caller lends `length` bytes at `buffer`.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
    for chunk in bytes.chunks_mut(8) {
        let random;
        (state, random) = next_random(state);
        chunk.copy_from_slice(&random.to_le_bytes()[..chunk.len()]);
    }
    RANDOM.set(Some(state));
    isize::try_from(length).unwrap_or(isize::MAX)
}

/// `clock_gettime(2)`: the C library's, for this thread in virtual time.
///
/// # Safety
/// `time` must be valid for writes, as for the original.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut libc::timespec) -> c_int {
    if matches!(TIME.get(), Time::Real) {
        let arguments = [clock as usize, time.addr(), 0, 0, 0, 0];
        // SAFETY: the arguments are passed on as they came.
        return unsafe { kernel(libc::SYS_clock_gettime, arguments) as c_int };
    }
    let Clocks {
        wall_ahead,
        suspended,
        fast_permille,
    } = CLOCKS.with_borrow(|clocks| *clocks);
    let elapsed = i128::try_from(elapsed().as_nanos()).unwrap_or(i128::MAX);
    let seconds = |seconds: i128| seconds * 1_000_000_000;
    let nanos = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => {
            seconds(i128::from(WALL_START)) + elapsed + i128::from(wall_ahead) * 1_000_000
        }
        libc::CLOCK_BOOTTIME => {
            seconds(i128::from(MONOTONIC_START)) + elapsed * (1000 + i128::from(fast_permille)) / 1000
        }
        _ => seconds(i128::from(MONOTONIC_START)) + elapsed - i128::from(suspended) * 1_000_000,
    };
    let part = |nanos: i128| c_long::try_from(nanos).unwrap_or(c_long::MAX);
    // SAFETY: the caller lends a `timespec`.
    unsafe {
        *time = libc::timespec {
            tv_sec: part(nanos.div_euclid(1_000_000_000)),
            tv_nsec: part(nanos.rem_euclid(1_000_000_000)),
        };
    }
    0
}

/// `syscall(2)`: the C library's, with random bits as [`getrandom`] gives them. The original takes any number of arguments;
/// on these processors six in registers are the same.
///
/// # Safety
/// As for the original.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall(
    number: c_long,
    first: usize,
    second: usize,
    third: usize,
    fourth: usize,
    fifth: usize,
    sixth: usize,
) -> c_long {
    if number == libc::SYS_getrandom && RANDOM.get().is_some() {
        let buffer = std::ptr::with_exposed_provenance_mut(first);
        // SAFETY: the arguments are those of this call of the kernel.
        return unsafe { getrandom(buffer, second, 0) as c_long };
    }
    // SAFETY: the arguments are passed on as they came.
    unsafe { kernel(number, [first, second, third, fourth, fifth, sixth]) }
}

/// Calls the kernel, and sets `errno` as the C library does.
unsafe fn kernel(number: c_long, arguments: [usize; 6]) -> c_long {
    let result: c_long;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the convention of this processor's kernel calls.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            in("r9") arguments[5],
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the convention of this processor's kernel calls.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") arguments[0] => result,
            in("x1") arguments[1],
            in("x2") arguments[2],
            in("x3") arguments[3],
            in("x4") arguments[4],
            in("x5") arguments[5],
            options(nostack),
        );
    }
    if (-4095..0).contains(&result) {
        // SAFETY: it points to this thread's `errno`.
        unsafe { *libc::__errno_location() = c_int::try_from(-result).unwrap_or(libc::EINVAL) };
        return -1;
    }
    result
}

#[cfg(test)]
mod tests {
    use std::{
        hash::{BuildHasher, RandomState},
        time::SystemTime,
    };

    use super::*;

    /// On a thread of its own, as seeds stay.
    fn simulated<T: Send + 'static>(seed: u64, action: impl AsyncFnOnce() -> T + Send + 'static) -> T {
        let run = move || {
            seed_thread(seed);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(async {
                follow_runtime();
                action().await
            })
        };
        std::thread::spawn(run).join().unwrap()
    }

    #[test]
    fn the_same_seed_gives_the_same_order_and_the_same_keys() {
        let draw = async || {
            let mut bits = [0; 8];
            ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bits).unwrap();
            (RandomState::new().hash_one("x"), bits)
        };
        assert_eq!(simulated(1, draw), simulated(1, draw));
        assert_ne!(simulated(1, draw), simulated(2, draw));
    }

    #[test]
    fn clocks_follow_the_runtime() {
        let (std, wall) = simulated(1, async || {
            let (std, wall) = (std::time::Instant::now(), SystemTime::now());
            tokio::time::sleep(Duration::from_secs(90)).await;
            (std.elapsed(), wall.elapsed().unwrap())
        });
        assert_eq!((std.as_secs(), wall.as_secs()), (90, 90));
    }

    #[test]
    fn a_replica_may_have_clocks_of_its_own() {
        simulated(1, async || {
            let ahead = Clocks {
                wall_ahead: 5000,
                ..Clocks::default()
            };
            let wall = || {
                SystemTime::now()
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .unwrap()
                    .as_secs()
            };
            assert_eq!(with_clocks(ahead, wall), wall() + 5);
        });
    }
}
