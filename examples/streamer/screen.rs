//! Where the program writes: whole lines and, on a terminal, one last line that keeps changing.
//!
//! A reader that goes away (`| head`) ends no stream, so failures to write are ignored.

use std::cell::Cell;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use rustix::termios::tcgetwinsize;

/// Erases the line the cursor is in and goes to its begin.
const CLEAR: &str = "\r\x1b[K";

pub(crate) struct Screen {
    is_terminal: bool,
    /// The last line on the terminal is a status, to be written over.
    shows_status: Cell<bool>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self {
            is_terminal: io::stdout().is_terminal(),
            shows_status: Cell::new(false),
        }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// A line on standard output.
    pub(crate) fn say(&self, line: impl Display) {
        self.clear_status();
        let _ = writeln!(io::stdout(), "{line}");
    }

    /// A line on standard error.
    pub(crate) fn complain(&self, line: impl Display) {
        self.clear_status();
        let _ = writeln!(io::stderr(), "llhls-streamer: {line}");
    }

    /// How things stand: in place of what was said of that before, or where that cannot be, as a line.
    pub(crate) fn show_status(&self, text: &str) {
        let mut out = io::stdout();
        if self.is_terminal {
            // A terminal that does not know its width says 0.
            let columns = tcgetwinsize(&out)
                .map(|size| usize::from(size.ws_col))
                .ok()
                .filter(|columns| *columns > 0)
                .unwrap_or(80);
            // A line that wraps cannot be erased.
            let text: String = text.chars().take(columns - 1).collect();
            let _ = write!(out, "{CLEAR}{text}");
            let _ = out.flush();
            self.shows_status.set(true);
        } else {
            let _ = writeln!(out, "{text}");
        }
    }

    fn clear_status(&self) {
        if self.shows_status.take() {
            let _ = write!(io::stdout(), "{CLEAR}");
            let _ = io::stdout().flush();
        }
    }
}
