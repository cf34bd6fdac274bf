//! Whether this machine's clock can be relied on, and by how much it is off.
//!
//! Dates in the playlist and in `/timestamps.json` are this clock's; a viewer compares them with another machine's. Belongs
//! here: asking the kernel and the programs that steer the clock. Does not: steering it.

#![expect(
    clippy::disallowed_methods,
    reason = "the edge: how long other programs may take"
)]

use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

/// Farther off than this, figures of delay are worth little.
const TOLERABLE: Duration = Duration::from_millis(50);

/// How long the programs may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of the clock.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Clock {
    /// Something keeps it in step.
    Synchronised {
        /// How far it is off, whichever way, and who says so.
        offset: Option<(Duration, &'static str)>,
    },
    /// Nobody does.
    Free,
    /// This system does not tell.
    Unknown,
}

/// Asks whoever may steer the clock, and the kernel.
pub(crate) fn ask() -> Clock {
    // Both at once: one that hangs costs its patience only once.
    let chrony = Question::put("chronyc", &["-c", "-n", "tracking"]);
    let timesyncd = Question::put("timedatectl", &["timesync-status"]);
    judge(
        chrony.answer().as_deref(),
        timesyncd.answer().as_deref(),
        kernel::state(),
    )
}

/// What is to be made of what each of them says; `None` from who is not there.
///
/// The kernel is the last to be believed: chronyd tells it that the clock is in step only where `rtcsync` is configured.
fn judge(chrony: Option<&str>, timesyncd: Option<&str>, kernel: Option<Kernel>) -> Clock {
    let told = (chrony.and_then(chrony_offset).map(|it| (it, "chronyc"))).or_else(|| {
        let offset = timesyncd.and_then(timesyncd_offset)?;
        Some((offset, "timedatectl"))
    });
    match (told, kernel) {
        (Some(_), _) => Clock::Synchronised { offset: told },
        (None, None) => Clock::Unknown,
        (None, Some(kernel)) if !kernel.is_synchronised => Clock::Free,
        (None, Some(kernel)) => Clock::Synchronised {
            offset: kernel.offset.map(|offset| (offset, "adjtimex")),
        },
    }
}

impl Clock {
    /// What to do about it, if anything.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        let is_good = match self {
            Self::Synchronised { offset } => offset.is_none_or(|(offset, _)| offset < TOLERABLE),
            Self::Free => false,
            Self::Unknown => true,
        };
        (!is_good).then_some(
            "Dates in playlist and timestamps.json are only as right as this clock. Run NTP on both ends, here and where delays are \
             measured, for example chrony (sudo apt-get install chrony; chronyc tracking), and keep the offset below 50 ms.",
        )
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Synchronised { offset: None } => write!(f, "synchronised"),
            Self::Synchronised {
                offset: Some((offset, by)),
            } => {
                let millis = offset.as_secs_f64() * 1000.0;
                write!(f, "synchronised, {millis:.3} ms off, says {by}")
            }
            Self::Free => write!(f, "not synchronised"),
            Self::Unknown => write!(f, "whether it is synchronised cannot be told here"),
        }
    }
}

/// What a program was asked.
struct Question {
    output: mpsc::Receiver<io::Result<Output>>,
    until: Instant,
}

impl Question {
    fn put(program: &'static str, arguments: &'static [&str]) -> Self {
        let (sender, output) = mpsc::channel();
        // A program that hangs is left to itself; nobody waits for it any more.
        thread::spawn(move || {
            let output = Command::new(program)
                .args(arguments)
                .env("LC_ALL", "C")
                .stdin(Stdio::null())
                .output();
            let _ = sender.send(output);
        });
        Self {
            output,
            until: Instant::now() + PATIENCE,
        }
    }

    /// What it writes, if it is there, succeeds and does not take long.
    fn answer(&self) -> Option<String> {
        let left = self.until.saturating_duration_since(Instant::now());
        let output = self.output.recv_timeout(left).ok()?.ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// The fifth of the comma-separated fields of `chronyc -c tracking`: seconds to NTP time. The last one says whether there
/// is any.
fn chrony_offset(text: &str) -> Option<Duration> {
    let fields: Vec<&str> = text.lines().next()?.split(',').collect();
    if fields.last()?.starts_with("Not") {
        return None;
    }
    span(fields.get(4)?.parse().ok()?)
}

/// The line `Offset: +1.234ms` of `timedatectl timesync-status`.
fn timesyncd_offset(text: &str) -> Option<Duration> {
    let offset = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("Offset:"))?;
    let mut seconds = 0.0;
    // "+1min 2.5s" has two words.
    for word in offset.split_whitespace() {
        let word = word.trim_start_matches(['+', '-']);
        let unit_at = word.find(|letter: char| letter.is_ascii_alphabetic())?;
        let (number, unit) = word.split_at(unit_at);
        let of_a_second = match unit {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * of_a_second;
    }
    span(seconds)
}

fn span(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds.abs()).ok()
}

/// What the kernel knows of its own clock.
struct Kernel {
    is_synchronised: bool,
    /// What it still has to correct; programs that correct the rate instead, as chrony does, leave nothing here.
    offset: Option<Duration>,
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::mem;
    use std::time::Duration;

    use super::Kernel;

    /// adjtimex(2), which needs no privilege as long as it changes nothing. By hand: rustix does not have it, and
    /// clock-steering keeps the state to itself.
    pub(super) fn state() -> Option<Kernel> {
        // SAFETY: all zeroes is a valid timex, and one that changes nothing (`modes` is 0).
        #[expect(unsafe_code, reason = "a plain structure of integers")]
        let mut timex: libc::timex = unsafe { mem::zeroed() };
        // SAFETY: the structure is as the system call wants it and outlives the call.
        #[expect(unsafe_code, reason = "there is no safe way to ask")]
        let code = unsafe { libc::adjtimex(&raw mut timex) };
        if code < 0 {
            return None;
        }
        let is_synchronised = code != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0;
        let per_second = if timex.status & libc::STA_NANO != 0 {
            1e9
        } else {
            1e6
        };
        let seconds = timex.offset.unsigned_abs() as f64 / per_second;
        Some(Kernel {
            is_synchronised,
            offset: Duration::try_from_secs_f64(seconds)
                .ok()
                .filter(|offset| !offset.is_zero()),
        })
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    use super::Kernel;

    pub(super) fn state() -> Option<Kernel> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chrony_says_the_offset_in_seconds() {
        let line = "A29FC87B,162.159.200.123,4,1795355567.123456789,-0.000412345,0.000010021,0.000023100,-9.512,0.001,\
                    0.052,0.012345,0.000412,64.5,Normal\n";
        assert_eq!(chrony_offset(line), Some(Duration::from_nanos(412_345)));
        assert_eq!(
            chrony_offset("00000000,,0,0.0,0.1,0,0,0,0,0,1,1,0.0,Not synchronised\n"),
            None
        );
        assert_eq!(chrony_offset("506 Cannot talk to daemon\n"), None);
        assert_eq!(chrony_offset(""), None);
    }

    #[test]
    fn timesyncd_says_it_with_units() {
        let of = |offset: &str| {
            let text = format!(
                "       Server: 10.0.0.1 (ntp)\n       Offset: {offset}\n        Delay: 1ms\n"
            );
            timesyncd_offset(&text)
        };
        assert_eq!(of("+1.234ms"), Some(Duration::from_micros(1234)));
        assert_eq!(of("-523us"), Some(Duration::from_micros(523)));
        assert_eq!(of("+1min 2.5s"), Some(Duration::from_millis(62_500)));
        assert_eq!(of("n/a"), None);
        assert_eq!(timesyncd_offset("Packet count: 0\n"), None);
    }

    /// chronyd without `rtcsync`, as it comes: the kernel never learns that the clock is in step.
    #[test]
    fn who_steers_the_clock_is_believed_before_the_kernel() {
        let chrony = "A29FC87B,162.159.200.123,4,1795355567.1,0.002,0.00001,0.00002,-9.5,0.001,0.05,0.01,0.0004,64.5,Normal\n";
        let lost = "00000000,,0,0.0,0.1,0,0,0,0,0,1,1,0.0,Not synchronised\n";
        let timesyncd = "       Server: 10.0.0.1 (ntp)\n       Offset: +3ms\n";
        let told = |millis, by| Clock::Synchronised {
            offset: Some((Duration::from_millis(millis), by)),
        };
        let kernel = |is_synchronised| {
            Some(Kernel {
                is_synchronised,
                offset: Some(Duration::from_millis(4)),
            })
        };
        for (chrony, timesyncd, kernel, expected) in [
            (Some(chrony), None, kernel(false), told(2, "chronyc")),
            (
                Some(chrony),
                Some(timesyncd),
                kernel(true),
                told(2, "chronyc"),
            ),
            (
                Some(lost),
                Some(timesyncd),
                kernel(false),
                told(3, "timedatectl"),
            ),
            (None, Some(timesyncd), kernel(false), told(3, "timedatectl")),
            // Something that is not asked, such as ntpd, or the host of a container.
            (None, None, kernel(true), told(4, "adjtimex")),
            (Some(lost), None, kernel(false), Clock::Free),
            (None, None, kernel(false), Clock::Free),
            // A system without such a kernel may still have chrony.
            (Some(chrony), None, None, told(2, "chronyc")),
            (Some(lost), None, None, Clock::Unknown),
            (None, None, None, Clock::Unknown),
        ] {
            assert_eq!(judge(chrony, timesyncd, kernel), expected);
        }
    }

    #[test]
    fn advice_comes_with_trouble_only() {
        let off = |millis| Clock::Synchronised {
            offset: Some((Duration::from_millis(millis), "chronyc")),
        };
        assert_eq!(
            off(1).to_string(),
            "synchronised, 1.000 ms off, says chronyc"
        );
        assert_eq!(off(49).advice(), None);
        assert!(
            off(50)
                .advice()
                .is_some_and(|advice| advice.contains("chrony"))
        );
        assert!(Clock::Free.advice().is_some());
        assert_eq!(Clock::Synchronised { offset: None }.advice(), None);
        assert_eq!(Clock::Unknown.advice(), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_answers() {
        assert!(kernel::state().is_some());
    }
}
